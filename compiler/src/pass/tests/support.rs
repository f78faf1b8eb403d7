//! Small graphs, a readable report of what a pass did to one, and the comparison of results.

use crate::ir::*;
use crate::pass::{Outcome, Pass, PassOptions, once, run_stages};
use brolga_runtime::{DType, Tensor};
use std::fmt::Write;

/// A graph in the making.
pub struct Net {
    pub graph: Graph,
    seed: u64,
}

impl Net {
    pub fn new() -> Net {
        Net { graph: Graph::new("test"), seed: 1 }
    }
    /// A graph input.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.graph.add_input(name, Type::known(DType::F32, shape))
    }
    /// A constant of seeded numbers between 0.25 and 1.25, of alternating sign.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let count = shape.iter().product();
        let elements = random(&mut self.seed, count);
        self.graph.add_weight(name, Weight::from_tensor(&Tensor::from_slice(shape, &elements).unwrap()))
    }
    /// A constant of seeded positive numbers.
    pub fn positive(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let count = shape.iter().product();
        let elements: Vec<f32> = random(&mut self.seed, count).iter().map(|x| x.abs()).collect();
        self.graph.add_weight(name, Weight::from_tensor(&Tensor::from_slice(shape, &elements).unwrap()))
    }
    /// A constant scalar.
    pub fn number(&mut self, x: f32) -> ValueId {
        self.graph.add_weight("", Weight::from_tensor(&Tensor::scalar(x)))
    }
    /// A constant list of integers.
    pub fn ints(&mut self, list: &[i64]) -> ValueId {
        self.graph.add_weight("", Weight::from_tensor(&Tensor::from_slice(&[list.len()], list).unwrap()))
    }
    /// A node with one result, named after its number.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = format!("node{}", self.graph.next_node());
        self.graph.add_node(op, inputs, 1, name).unwrap()[0]
    }
    pub fn unary(&mut self, op: UnaryOp, x: ValueId) -> ValueId {
        self.op(Op::Unary(op), &[x])
    }
    pub fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(op), &[a, b])
    }
    /// A convolution with a constant weight, without bias; padded so that extents stay when k is odd.
    pub fn conv(&mut self, x: ValueId, channels: usize, k: usize) -> ValueId {
        let input = self.graph.ty(x).dims().unwrap()[1];
        let w = self.weight("w", &[channels, input, k, k]);
        self.op(conv_op(window(k, (k / 2) as i64), 1, false), &[x, w])
    }
    /// A batch normalisation with constant statistics.
    pub fn batchnorm(&mut self, x: ValueId) -> ValueId {
        let c = self.graph.ty(x).dims().unwrap()[1];
        let (scale, bias) = (self.weight("scale", &[c]), self.weight("bias", &[c]));
        let (mean, variance) = (self.weight("mean", &[c]), self.positive("variance", &[c]));
        self.op(Op::BatchNorm { epsilon: 1e-5 }, &[x, scale, bias, mean, variance])
    }
    /// The graph with these outputs.
    pub fn outputs(mut self, values: &[ValueId]) -> Graph {
        for (i, value) in values.iter().enumerate() {
            self.graph.add_output(format!("y{i}"), *value);
        }
        self.graph
    }
}

pub fn window(k: usize, pad: i64) -> Window {
    Window {
        kernel: vec![k, k],
        stride: vec![1, 1],
        dilation: vec![1, 1],
        pad_begin: vec![pad, pad],
        pad_end: vec![pad, pad],
        auto_pad: AutoPad::Explicit,
    }
}

pub fn conv_op(window: Window, group: usize, bias: bool) -> Op {
    Op::Conv { window, group, bias, epilogue: Expression::default() }
}

pub fn matmul_op() -> Op {
    Op::MatMul { trans_a: false, trans_b: false, bias: false, epilogue: Expression::default() }
}

fn random(seed: &mut u64, count: usize) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (next() + 0.25) * if next() < 0.5 { -1.0 } else { 1.0 }).collect()
}

/// Runs passes in order, once each, with the verifier on.
pub fn run(graph: &Graph, passes: &[&dyn Pass]) -> Outcome {
    let options = PassOptions { verify: true, ..PassOptions::default() };
    run_stages(graph.clone(), &[once("test", passes)], &options).unwrap()
}

/// Runs passes, checks that results stay, and reports text before and after, patches and refusals.
pub fn report(graph: &Graph, passes: &[&dyn Pass]) -> String {
    let outcome = run(graph, passes);
    assert_same(graph, &outcome.graph);
    let mut text = format!("{}--- after\n{}--- log\n", show(graph), show(&outcome.graph));
    for record in &outcome.log {
        for patch in &record.patches {
            writeln!(text, "{} patch {}: {}", record.pass, patch.number, patch.text).unwrap();
        }
        for remark in &record.refused {
            writeln!(text, "{} at {} ({}): {}", record.pass, remark.node, remark.name, remark.why).unwrap();
        }
    }
    text
}

/// Names of the operations left, in order.
pub fn ops(graph: &Graph) -> Vec<String> {
    let name = |id: &NodeId| {
        let text = format!("{:?}", graph.node(*id).op);
        text.split([' ', '{', '(']).next().unwrap_or("").to_owned()
    };
    graph.topological().iter().map(name).collect()
}

/// Text of a graph.
pub fn show(graph: &Graph) -> String {
    graph.to_text()
}

/// Checks that two graphs with the same inputs compute the same outputs on seeded inputs. Symbols are 2.
pub fn assert_same(before: &Graph, after: &Graph) {
    let two = before.symbols().into_iter().map(|s| (s, 2)).collect();
    let mut seed = 7;
    let input = |id: &ValueId| {
        let shape = before.ty(*id).bind(&two).dims().unwrap();
        Tensor::from_slice(&shape, &random(&mut seed, shape.iter().product())).unwrap()
    };
    let inputs: Vec<Tensor> = before.inputs().iter().map(input).collect();
    let (wanted, found) = (eval::evaluate(before, &inputs).unwrap(), eval::evaluate(after, &inputs).unwrap());
    assert_eq!(wanted.len(), found.len());
    for (w, f) in wanted.iter().zip(&found) {
        assert_eq!((w.dtype(), w.shape()), (f.dtype(), f.shape()));
        if w.dtype() != DType::F32 {
            assert_eq!(w.bytes(), f.bytes());
            continue;
        }
        let (w, f) = (w.as_slice::<f32>().unwrap(), f.as_slice::<f32>().unwrap());
        let largest = w.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        for (w, f) in w.iter().zip(f) {
            assert!((w - f).abs() <= 2e-5 * largest, "{w} became {f}");
        }
    }
}
