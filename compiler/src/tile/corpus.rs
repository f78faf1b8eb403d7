//! Kernels for every statement and operation of the Tile IR, with inputs: what the evaluator and every lowering must agree on.

mod control;
mod memory;
mod random;
mod values;

use super::*;
pub use values::Rng;

/// A kernel and what it is called with.
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// First contents of each base.
    pub buffers: Vec<Vec<u8>>,
    /// Run-time arguments.
    pub args: Vec<i64>,
    /// The share.
    pub share: (i64, i64),
    /// Whether outputs are f32, where any NaN equals any other.
    pub floats: bool,
}

/// Every case for a target.
pub fn corpus(target: Target) -> Vec<Case> {
    let mut cases = arithmetic(target);
    cases.extend(lanes(target));
    cases.extend(memory::cases(target));
    cases.extend(control::cases(target));
    cases.extend((0..24).map(|seed| random::case(target, seed)));
    cases
}

/// Names of the statements and operations a kernel contains, each with its kind and format.
pub fn features(kernel: &Kernel) -> Vec<String> {
    let mut found = Vec::new();
    collect(&kernel.body, &mut found);
    found
}

fn head(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_string()
}

fn collect(body: &[Stmt], found: &mut Vec<String>) {
    for stmt in body {
        found.push(format!("stmt {}", head(stmt)));
        match stmt {
            Stmt::Scalar(_, op) => found.push(format!("scalar {}", head(op))),
            Stmt::Mask(_, MaskOp::CmpFloat(cmp, ..)) => found.push(format!("mask float {cmp:?}")),
            Stmt::Mask(_, MaskOp::CmpInt(cmp, ..)) => found.push(format!("mask int {cmp:?}")),
            Stmt::Mask(_, op) => found.push(format!("mask {}", head(op))),
            Stmt::Let(_, op) | Stmt::Set(_, _, op) => found.push(match op {
                VectorOp::Load { first, storage, .. } => format!("load {storage:?} {}", first.is_some()),
                VectorOp::SplatLoad { storage, .. } => format!("splat {storage:?}"),
                VectorOp::Gather { first, .. } => format!("gather {}", first.is_some()),
                VectorOp::Float(op, ..) => format!("float {op:?}"),
                VectorOp::Unary(op, ..) => format!("unary {op:?}"),
                VectorOp::Int(op, ..) => format!("int {op:?}"),
                VectorOp::Reduce(kind, ..) => format!("reduce {kind:?}"),
                VectorOp::Bitcast(lane, ..) => format!("bitcast {lane:?}"),
                op => format!("vector {}", head(op)),
            }),
            Stmt::Store { first, storage, .. } => found.push(format!("store {storage:?} {}", first.is_some())),
            Stmt::For { body, .. } | Stmt::Unroll { body, .. } => collect(body, found),
            Stmt::If { then, otherwise, .. } => {
                collect(then, found);
                collect(otherwise, found);
            }
            _ => {}
        }
    }
}

const FLOAT_BINS: [FloatBin; 6] =
    [FloatBin::Add, FloatBin::Sub, FloatBin::Mul, FloatBin::Div, FloatBin::Min, FloatBin::Max];
const FLOAT_UNS: [FloatUn; 7] =
    [FloatUn::Neg, FloatUn::Abs, FloatUn::Sqrt, FloatUn::Floor, FloatUn::Ceil, FloatUn::Trunc, FloatUn::Nearest];
const INT_BINS: [IntBin; 11] = [
    IntBin::Add,
    IntBin::Sub,
    IntBin::Mul,
    IntBin::And,
    IntBin::Or,
    IntBin::Xor,
    IntBin::Shl,
    IntBin::Shr,
    IntBin::Sar,
    IntBin::Min,
    IntBin::Max,
];
const CMPS: [Cmp; 6] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];

/// A kernel that maps whole vectors: inputs `x0`, `x1`, ... to output `y`.
fn map(
    target: Target,
    name: &str,
    inputs: Vec<Vec<u32>>,
    floats: bool,
    body: impl FnOnce(&mut Builder, &[Operand]) -> Operand,
) -> Case {
    let mut k = Builder::new(name, target);
    let sources: Vec<_> = (0..inputs.len()).map(|at| k.base(&format!("x{at}"), Access::Read)).collect();
    let output = k.base("y", Access::Write);
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, i| {
        let offset = k.mul_const(i, i64::from(target.lanes) * 4);
        let operands: Vec<_> = sources
            .iter()
            .map(|base| {
                let from = k.pointer(*base, offset);
                k.load(from, 0)
            })
            .collect();
        let value = body(k, &operands);
        let to = k.pointer(output, offset);
        k.store(to, 0, value);
    });
    let lanes = target.lanes as usize;
    let vectors = inputs.iter().map(|words| words.len().div_ceil(lanes)).max().unwrap_or(1);
    let mut buffers: Vec<Vec<u8>> = inputs
        .into_iter()
        .map(|words| words.iter().cycle().take(vectors * lanes).flat_map(|word| word.to_le_bytes()).collect())
        .collect();
    buffers.push(vec![0xa5; vectors * lanes * 4]);
    Case { kernel: k.finish(), buffers, args: Vec::new(), share: (0, vectors as i64), floats }
}

fn arithmetic(target: Target) -> Vec<Case> {
    let mut rng = Rng::new(1);
    let (floats, ints) = (values::float_pairs(&mut rng), values::int_pairs(&mut rng));
    let mut cases = Vec::new();
    for op in FLOAT_BINS {
        let inputs = vec![floats.0.clone(), floats.1.clone()];
        cases.push(map(target, &format!("float-{op:?}"), inputs, true, |k, x| {
            k.vector(VectorOp::Float(op, x[0].clone(), x[1].clone()))
        }));
        cases.push(map(target, &format!("float-{op:?}-const"), vec![floats.0.clone()], true, |k, x| {
            let c = k.float(1.7);
            let first = k.vector(VectorOp::Float(op, x[0].clone(), c.clone()));
            k.vector(VectorOp::Float(op, c, first))
        }));
    }
    for op in FLOAT_UNS {
        cases.push(map(target, &format!("unary-{op:?}"), vec![values::floats(&mut rng, 800)], true, |k, x| {
            k.unary(op, x[0].clone())
        }));
    }
    for op in INT_BINS {
        let inputs = vec![ints.0.clone(), ints.1.clone()];
        cases.push(map(target, &format!("int-{op:?}"), inputs, false, |k, x| {
            k.vector(VectorOp::Int(op, x[0].clone(), x[1].clone()))
        }));
        for constant in [5, 33, -1] {
            cases.push(map(target, &format!("int-{op:?}-{constant}"), vec![ints.0.clone()], false, |k, x| {
                let c = k.int(constant);
                k.vector(VectorOp::Int(op, x[0].clone(), c))
            }));
        }
    }
    if target.fma {
        let inputs = vec![floats.0.clone(), floats.1.clone(), values::floats(&mut rng, 997)];
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 0, 1]] {
            cases.push(map(target, &format!("fma-{order:?}"), inputs.clone(), true, |k, x| {
                let [a, b, c] = order.map(|at| x[at].clone());
                k.vector(VectorOp::Fma(a, b, c))
            }));
        }
    }
    if target.dot {
        let inputs = vec![ints.0.clone(), ints.1.clone(), ints.0.iter().rev().copied().collect()];
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 0, 1], [1, 0, 0]] {
            cases.push(map(target, &format!("dot-{order:?}"), inputs.clone(), false, |k, x| {
                let [a, b, c] = order.map(|at| x[at].clone());
                k.vector(VectorOp::Dot(a, b, c))
            }));
        }
    }
    cases.extend(conversions(target, &mut rng, &floats, &ints));
    cases
}

fn conversions(target: Target, rng: &mut Rng, floats: &(Vec<u32>, Vec<u32>), ints: &(Vec<u32>, Vec<u32>)) -> Vec<Case> {
    let exponents: Vec<u32> = (0..900).map(|_| (rng.below(507) as i32 - 252) as u32).collect();
    let mut cases = vec![
        map(target, "mul_add", vec![floats.0.clone(), floats.1.clone()], true, |k, x| {
            k.mul_add(x[0].clone(), x[1].clone(), x[0].clone())
        }),
        map(target, "scale", vec![values::floats(rng, 900), exponents], true, |k, x| {
            k.vector(VectorOp::Scale(x[0].clone(), x[1].clone()))
        }),
        map(target, "to_int", vec![values::floats(rng, 900)], false, |k, x| k.vector(VectorOp::ToInt(x[0].clone()))),
        map(target, "to_float", vec![ints.0.clone()], true, |k, x| k.vector(VectorOp::ToFloat(x[0].clone()))),
        map(target, "bitcast", vec![values::floats(rng, 100)], false, |k, x| {
            let bits = k.vector(VectorOp::Bitcast(Lane::I32, x[0].clone()));
            let one = k.int(1);
            let next = k.vector(VectorOp::Int(IntBin::Add, bits, one));
            let float = k.vector(VectorOp::Bitcast(Lane::F32, next));
            k.vector(VectorOp::Unary(FloatUn::Neg, float))
        }),
        map(target, "constants", vec![ints.0.clone()], false, |k, x| {
            let lanes: Vec<i32> = (0..target.lanes as i32).map(|lane| lane * 1000 - 7).collect();
            let c = k.ints(&lanes);
            let sum = k.vector(VectorOp::Int(IntBin::Add, c.clone(), x[0].clone()));
            let iota = k.vector(VectorOp::Iota);
            let sum = k.vector(VectorOp::Int(IntBin::Mul, sum, iota));
            k.vector(VectorOp::Int(IntBin::Xor, sum, c))
        }),
    ];
    for cmp in CMPS {
        cases.push(map(
            target,
            &format!("cmp-float-{cmp:?}"),
            vec![floats.0.clone(), floats.1.clone()],
            false,
            |k, x| {
                let mask = k.cmp(cmp, x[0].clone(), x[1].clone());
                let (yes, no) = (k.int(1), k.int(2));
                k.select(mask, yes, no)
            },
        ));
        cases.push(map(target, &format!("cmp-int-{cmp:?}"), vec![ints.0.clone(), ints.1.clone()], false, |k, x| {
            let mask = k.mask(MaskOp::CmpInt(cmp, x[0].clone(), x[1].clone()));
            k.select(mask, x[0].clone(), x[1].clone())
        }));
    }
    cases.push(map(target, "masks", vec![floats.0.clone(), floats.1.clone()], false, |k, x| {
        let less = k.cmp(Cmp::Lt, x[0].clone(), x[1].clone());
        let zero = k.float(0.0);
        let (positive, other) = (k.cmp(Cmp::Gt, x[0].clone(), zero.clone()), k.cmp(Cmp::Ge, x[1].clone(), zero));
        let both = k.mask(MaskOp::And(less, positive));
        let not = k.mask(MaskOp::Not(both));
        let any = k.mask(MaskOp::Or(both, other));
        let (first, second) = (k.select(any, x[0].clone(), x[1].clone()), k.int(9));
        k.select(not, first, second)
    }));
    cases
}

fn lanes(target: Target) -> Vec<Case> {
    let (mut rng, lanes) = (Rng::new(2), target.lanes);
    let (a, b) = (values::ints(&mut rng, 64), values::ints(&mut rng, 64));
    let mut cases = Vec::new();
    for n in 0..=lanes {
        cases.push(map(target, &format!("slide-{n}"), vec![a.clone(), b.clone()], false, |k, x| {
            k.vector(VectorOp::Slide(x[0].clone(), x[1].clone(), n))
        }));
    }
    for n in 0..lanes {
        cases.push(map(target, &format!("splat_lane-{n}"), vec![a.clone()], false, |k, x| {
            k.vector(VectorOp::SplatLane(x[0].clone(), n))
        }));
    }
    let reverse: Vec<u8> = (0..lanes as u8).rev().collect();
    let swap: Vec<u8> = (0..lanes as u8).map(|lane| lane ^ 1).collect();
    let random: Vec<u8> = (0..lanes).map(|_| rng.below(lanes.into()) as u8).collect();
    for (name, pattern) in [("reverse", reverse), ("swap", swap), ("random", random)] {
        cases.push(map(target, &format!("permute-{name}"), vec![a.clone()], false, |k, x| {
            k.vector(VectorOp::Permute(x[0].clone(), pattern))
        }));
    }
    for kind in [ReduceKind::Add, ReduceKind::Max, ReduceKind::Min] {
        cases.push(map(target, &format!("reduce-{kind:?}"), vec![values::floats(&mut rng, 800)], true, |k, x| {
            k.vector(VectorOp::Reduce(kind, x[0].clone()))
        }));
    }
    cases.push(map(target, "copy", vec![a], false, |k, x| {
        let copy = k.vector(VectorOp::Copy(x[0].clone()));
        k.vector(VectorOp::Int(IntBin::Add, copy, x[0].clone()))
    }));
    cases
}
