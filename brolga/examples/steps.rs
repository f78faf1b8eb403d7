//! Debug: every value as an output, against the evaluator.
use brolga::{Level, Model, Options, Tensor};
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::eval::evaluate;
use brolga_compiler::pass::PassOptions;
use brolga_runtime::{Instance, Pool, RunOptions};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a: Vec<String> = std::env::args().collect();
    let level: Level = a.get(3).map(|t| t.parse()).transpose()?.unwrap_or(Level::host().unwrap());
    let limit: usize = a.get(4).map(|t| t.parse()).transpose()?.unwrap_or(1000);
    let model = Model::open(&a[1], Options::default())?;
    let mut npz = npyz::npz::NpzArchive::open(&a[2])?;
    let mut inputs = Vec::new();
    for port in model.inputs() {
        let array = npz.by_name(&port.name)?.ok_or("missing input")?;
        let shape: Vec<usize> = array.shape().iter().map(|d| *d as usize).collect();
        inputs.push(Tensor::from_slice(&shape, &array.into_vec::<f32>()?)?);
    }
    let mut g = model.graph().bind(&model.bindings(&inputs.iter().map(|t| t.shape()).collect::<Vec<_>>())?)?;
    for id in g.topological().into_iter().take(limit) {
        let node = g.node(id).clone();
        for v in node.outputs {
            if g.ty(v).dtype == brolga::DType::F32 { g.add_output(format!("{id} {v} {}", node.name), v); }
        }
    }
    let want = evaluate(&g, &inputs)?;
    let (program, _) = compile(&g, &CompileOptions { level, threads: 2, passes: PassOptions::default() })?.link(2)?;
    let got = Instance::new(std::sync::Arc::new(program), Pool::shared(1))?.run_tensors(&inputs, RunOptions::default())?;
    let mut bad = 0;
    for (i, (x, y)) in want.iter().zip(&got).enumerate() {
        let (x, y) = (x.as_slice::<f32>()?, y.as_slice::<f32>()?);
        let scale = x.iter().fold(1e-9f32, |m, v| m.max(v.abs()));
        let worst = x.iter().zip(y).enumerate().map(|(i, (a, b))| ((a - b).abs() / scale, i)).fold((0.0f32, 0), |m, v| if v.0 > m.0 || v.0.is_nan() { v } else { m });
        if !(worst.0 < 1e-4) {
            let (name, v) = &g.outputs()[i];
            println!("{name}: {} error {worst:?} want {} got {}", g.ty(*v), x[worst.1], y[worst.1]);
            if let Some(n) = g.producer(*v) { println!("   {:?} {:?}", n.op, n.inputs.iter().map(|v| g.ty(*v).to_string()).collect::<Vec<_>>()); }
            bad += 1;
            if bad > 3 { break; }
        }
    }
    println!("{} values, {bad} bad", want.len());
    Ok(())
}
