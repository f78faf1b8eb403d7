//! Runs a model on an archive of inputs and writes an archive of outputs: `npz MODEL IN.npz OUT.npz [THREADS] [LEVEL]`.
use brolga::{Model, Options, Tensor};
use std::io::BufWriter;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a: Vec<String> = std::env::args().collect();
    let threads = a.get(4).map(|t| t.parse()).transpose()?;
    let level = a.get(5).map(|t| t.parse()).transpose()?;
    let start = std::time::Instant::now();
    let model = Model::load_with(&a[1], Options { threads, level, ..Options::default() })?;
    let mut npz = npyz::npz::NpzArchive::open(&a[2])?;
    let mut inputs = Vec::new();
    for port in model.inputs() {
        let array = npz.by_name(&port.name)?.ok_or("missing input")?;
        let shape: Vec<usize> = array.shape().iter().map(|d| *d as usize).collect();
        inputs.push(Tensor::from_slice(&shape, &array.into_vec::<f32>()?)?);
    }
    let out = model.run_tensors(&inputs)?;
    eprintln!("{:?} {:?}", model.load_timing(), start.elapsed());
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let t = std::time::Instant::now();
        model.run_tensors(&inputs)?;
        best = best.min(t.elapsed().as_secs_f64());
    }
    eprintln!("run {:.2} ms", best * 1e3);
    let mut writer = npyz::npz::NpzWriter::new(BufWriter::new(std::fs::File::create(&a[3])?));
    for (name, t) in out.iter() {
        use npyz::WriterBuilder;
        let shape: Vec<u64> = t.shape().iter().map(|d| *d as u64).collect();
        let mut w = writer.array::<f32>(name, Default::default())?.default_dtype().shape(&shape).begin_nd()?;
        w.extend(t.as_slice::<f32>()?.iter().copied())?;
        w.finish()?;
    }
    Ok(())
}
