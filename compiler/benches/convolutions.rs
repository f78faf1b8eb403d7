//! Share of the machine's peak that the tile kernel reaches on ResNet-50's convolutions: real epilogue, edges, halos and
//! packing, one thread, median of five blocks, the peak measured before and after every layer of a block, since it moves within a
//! second where other tenants share the machine.
//!
//! `cargo bench -p brolga-compiler --bench convolutions [-- --cpu LEVEL]`

use brolga_compiler::codegen::Level;
use brolga_compiler::codegen::peak::Peak;
use brolga_compiler::compile::{CompileOptions, compile};
use brolga_compiler::ir::*;
use brolga_compiler::pass::PassOptions;
use brolga_runtime::{DType, Instance, Pool, RunOptions, Tensor};
use std::sync::Arc;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// A convolution of ResNet-50: how often it occurs, channels in and out, output extent, kernel, stride, and whether a residual is
/// added.
struct Layer {
    count: usize,
    ic: usize,
    oc: usize,
    size: usize,
    kernel: usize,
    stride: usize,
    residual: bool,
}

const fn layer(count: usize, ic: usize, oc: usize, size: usize, kernel: usize, stride: usize, residual: bool) -> Layer {
    Layer { count, ic, oc, size, kernel, stride, residual }
}

const LAYERS: [Layer; 24] = [
    layer(1, 3, 64, 112, 7, 2, false),
    layer(1, 64, 64, 56, 1, 1, false),
    layer(3, 64, 64, 56, 3, 1, false),
    layer(1, 64, 256, 56, 1, 1, false),
    layer(3, 64, 256, 56, 1, 1, true),
    layer(2, 256, 64, 56, 1, 1, false),
    layer(1, 256, 128, 56, 1, 1, false),
    layer(1, 128, 128, 28, 3, 2, false),
    layer(3, 128, 128, 28, 3, 1, false),
    layer(4, 128, 512, 28, 1, 1, true),
    layer(1, 256, 512, 28, 1, 2, false),
    layer(3, 512, 128, 28, 1, 1, false),
    layer(1, 512, 256, 28, 1, 1, false),
    layer(1, 256, 256, 14, 3, 2, false),
    layer(5, 256, 256, 14, 3, 1, false),
    layer(6, 256, 1024, 14, 1, 1, true),
    layer(1, 512, 1024, 14, 1, 2, false),
    layer(5, 1024, 256, 14, 1, 1, false),
    layer(1, 1024, 512, 14, 1, 1, false),
    layer(1, 512, 512, 7, 3, 2, false),
    layer(2, 512, 512, 7, 3, 1, false),
    layer(3, 512, 2048, 7, 1, 1, true),
    layer(1, 1024, 2048, 7, 1, 2, false),
    layer(2, 2048, 512, 7, 1, 1, false),
];

impl Layer {
    fn flops(&self) -> f64 {
        2.0 * (self.size * self.size * self.oc * self.ic * self.kernel * self.kernel) as f64
    }

    /// The convolution between two element-wise nodes, so that its operands are computed values as in a network.
    fn graph(&self) -> Result<Graph, Failure> {
        let mut g = Graph::new("layer");
        let extent = self.size * self.stride;
        let pad = (self.kernel / 2) as i64;
        let x = g.add_input("x", Type::known(DType::F32, &[1, self.ic, extent, extent]));
        let weight = |g: &mut Graph, name: &str, shape: &[usize]| {
            let n: usize = shape.iter().product();
            let scale = 1.0 / (n / shape[0]).max(1) as f32;
            let data: Vec<u8> =
                (0..n).flat_map(|i| ((((i * 37) % 113) as f32 / 56.0 - 1.0) * scale).to_le_bytes()).collect();
            g.add_weight(name, Weight::from_bytes(DType::F32, shape.to_vec(), data.into()))
        };
        let w = weight(&mut g, "w", &[self.oc, self.ic, self.kernel, self.kernel]);
        let b = weight(&mut g, "b", &[self.oc]);
        let window = Window {
            kernel: vec![self.kernel; 2],
            stride: vec![self.stride; 2],
            dilation: vec![1; 2],
            pad_begin: vec![pad; 2],
            pad_end: vec![pad; 2],
            auto_pad: AutoPad::Explicit,
        };
        let mut inputs = vec![x, w, b];
        let mut steps = Vec::new();
        if self.residual {
            let r = g.add_input("r", Type::known(DType::F32, &[1, self.oc, self.size, self.size]));
            inputs.push(r);
            steps.push(Step::Binary(BinaryOp::Add, Arg::Input(0), Arg::Input(1)));
            steps.push(Step::Unary(UnaryOp::Relu, Arg::Step(0)));
        } else {
            steps.push(Step::Unary(UnaryOp::Relu, Arg::Input(0)));
        }
        let op = Op::Conv { window, group: 1, bias: true, epilogue: Expression { steps } };
        let y = g.add_node(op, &inputs, 1, "conv")?[0];
        g.add_output("y", y);
        g.phase = Phase::Optimized;
        Ok(g)
    }
}

/// One layer ready to be timed.
struct Timed {
    instance: Instance,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    step: usize,
    kernel: String,
}

fn prepare(layer: &Layer, level: Level) -> Result<Timed, Failure> {
    let options = CompileOptions { level, threads: 2, exact: true, passes: PassOptions::default() };
    let (program, _) = compile(&layer.graph()?, &options)?.link(2)?;
    let step = program.steps.iter().position(|s| s.node == "conv").ok_or("no convolution step")?;
    let kernel = program.steps[step].kernel.clone();
    let inputs = program
        .inputs
        .iter()
        .map(|p| {
            let n: usize = p.shape.iter().product();
            let data: Vec<f32> = (0..n).map(|i| ((i * 31) % 97) as f32 / 48.0 - 1.0).collect();
            Tensor::from_slice(&p.shape, &data)
        })
        .collect::<Result<_, _>>()?;
    let instance = Instance::new(Arc::new(program), Pool::shared(1))?;
    let outputs = instance.new_outputs()?;
    Ok(Timed { instance, inputs, outputs, step, kernel })
}

impl Timed {
    /// Median time of the convolution step.
    fn time(&mut self, runs: usize) -> Result<f64, Failure> {
        let mut times = Vec::new();
        for _ in 0..runs {
            let mut timings: Vec<Duration> = Vec::new();
            let inputs: Vec<_> = self.inputs.iter().map(Tensor::view).collect();
            let mut outputs: Vec<_> = self.outputs.iter_mut().map(Tensor::view_mut).collect();
            self.instance.run(
                &inputs,
                &mut outputs,
                RunOptions { timings: Some(&mut timings), ..RunOptions::default() },
            )?;
            times.push(timings[self.step].as_secs_f64());
        }
        Ok(median(&mut times))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let named = args.iter().position(|a| a == "--cpu").and_then(|i| args.get(i + 1));
    let level = match named {
        Some(name) => name.parse::<Level>()?,
        None => Level::host().ok_or("unknown machine")?,
    };
    let peak = Peak::new(level)?;
    let mut layers: Vec<Timed> = LAYERS.iter().map(|l| prepare(l, level)).collect::<Result<_, _>>()?;
    let mut shares = vec![Vec::new(); LAYERS.len()];
    let mut peaks = Vec::new();
    for _ in 0..5 {
        let mut before = peak.measure(1);
        for ((timed, shares), layer) in layers.iter_mut().zip(&mut shares).zip(&LAYERS) {
            let time = timed.time(15)?;
            let after = peak.measure(1);
            let now = (before + after) / 2.0;
            shares.push(layer.flops() / time / now);
            peaks.push(now);
            before = after;
        }
    }
    let peak = median(&mut peaks);
    println!("level {level}, peak {:.1} GFLOP/s", peak / 1e9);
    let (mut work, mut spent) = (0.0, 0.0);
    for ((layer, shares), timed) in LAYERS.iter().zip(&mut shares).zip(&layers) {
        let share = median(shares);
        work += layer.flops() * layer.count as f64;
        spent += layer.flops() * layer.count as f64 / share;
        let Layer { count, ic, oc, size, kernel, stride, residual } = layer;
        let residual = if *residual { "+res" } else { "" };
        println!(
            "{:6.1} %  {count} x {ic:4} -> {oc:4} {size:3}x{size:<3} k{kernel} s{stride} {residual:4} {}",
            share * 100.0,
            timed.kernel
        );
    }
    println!("weighted {:.1} %", work / spent * 100.0);
    Ok(())
}
