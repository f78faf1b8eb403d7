//! One closed value per library call, with a text form (`gather axis=1`) that a stored program keeps.

use super::*;
use std::fmt;
use std::str::FromStr;

/// A library call with its attributes; operands in the order of the ONNX operation.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Call {
    Unary(UnaryOp),
    Binary(BinaryOp),
    /// `[condition, a, b]`
    Where,
    Cast,
    /// Conversion to a float of 8 bits, not as [`Call::Cast`] does it.
    CastNarrow {
        saturate: bool,
        rounding: PowerRounding,
    },
    /// `[x, scale, (zero)]`
    Quantize {
        axis: usize,
        block: usize,
        precision: DType,
        saturate: bool,
    },
    /// `[x, scale, (zero)]`
    Dequantize {
        axis: usize,
        block: usize,
    },
    /// `[x, w, x zero, w zero]`
    ConvInteger(IntegerWindow),
    /// `[a, b, a zero, b zero]`
    MatMulInteger,
    Reduce {
        kind: ReduceKind,
        axes: Vec<usize>,
    },
    ArgReduce {
        min: bool,
        axis: usize,
        last: bool,
    },
    CumSum {
        axis: usize,
        exclusive: bool,
        reverse: bool,
    },
    /// Two results.
    TopK {
        axis: usize,
        largest: bool,
    },
    /// `[x, index]`
    Gather {
        axis: usize,
    },
    /// `[x, index]`
    GatherElements {
        axis: usize,
    },
    /// `[x, index]`
    GatherNd {
        batch: usize,
    },
    /// `[x, index, updates]`
    ScatterNd {
        kind: ScatterKind,
    },
    /// `[x, index, updates]`
    ScatterElements {
        axis: usize,
        kind: ScatterKind,
    },
    /// `[index, values]`
    OneHot {
        axis: usize,
    },
    Trilu {
        upper: bool,
        k: i64,
    },
    /// `[start, delta]`
    Range,
    /// `[]`
    Fill {
        value: f64,
    },
    /// `[]`: these integers in the result's type.
    Integers {
        values: Vec<i64>,
    },
    Copy,
    Transpose {
        perm: Vec<usize>,
    },
    /// Starts count from 0; the counts are the result's extents.
    Slice {
        axes: Vec<usize>,
        starts: Vec<i64>,
        steps: Vec<i64>,
    },
    Concat {
        axis: usize,
    },
    Expand,
    Tile,
    Pad {
        mode: PadMode,
        before: Vec<i64>,
    },
    DepthToSpace {
        block: usize,
        crd: bool,
    },
    SpaceToDepth {
        block: usize,
    },
}

impl Call {
    /// Runs it. The views' shapes say what is made.
    pub fn run(&self, inputs: &[TensorView], outputs: &mut [TensorViewMut]) -> Result<(), LibraryError> {
        if let Call::TopK { axis, largest } = self {
            let ([x], [values, positions]) = (inputs, outputs) else { return Err(self.count()) };
            return top_k(*axis, *largest, x, values, positions);
        }
        let [out] = outputs else { return Err(self.count()) };
        match (self, inputs) {
            (Call::Concat { axis }, _) => concat(*axis, inputs, out),
            (Call::Quantize { axis, block, precision, saturate }, _) => {
                quantize((*axis, *block), *precision, *saturate, inputs, out)
            }
            (Call::Dequantize { axis, block }, _) => dequantize((*axis, *block), inputs, out),
            (Call::ConvInteger(window), _) => conv_integer(window, inputs, out),
            (Call::MatMulInteger, _) => matmul_integer(inputs, out),
            (_, []) => self.run0(out),
            (_, [x]) => self.run1(x, out),
            (_, [a, b]) => self.run2(a, b, out),
            (Call::Where, [c, a, b]) => select(c, a, b, out),
            (Call::ScatterNd { kind }, [x, index, updates]) => scatter_nd(*kind, x, index, updates, out),
            (Call::ScatterElements { axis, kind }, [x, i, updates]) => {
                scatter_elements(*axis, *kind, x, i, updates, out)
            }
            _ => Err(self.count()),
        }
    }
    fn count(&self) -> LibraryError {
        LibraryError::Operands { accepted: "as many operands and results as the operation has" }
    }
    fn run0(&self, out: &mut TensorViewMut) -> Result<(), LibraryError> {
        match self {
            Call::Fill { value } => fill(*value, out),
            Call::Integers { values } => integers(values, out),
            _ => Err(self.count()),
        }
    }
    fn run1(&self, x: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
        match self {
            Call::Unary(op) => unary(*op, x, out),
            Call::Cast => cast(x, out),
            Call::CastNarrow { saturate, rounding } => cast_narrow(*saturate, *rounding, x, out),
            Call::Reduce { kind, axes } => reduce(*kind, axes, x, out),
            Call::ArgReduce { min, axis, last } => arg_reduce(*min, *axis, *last, x, out),
            Call::CumSum { axis, exclusive, reverse } => cum_sum(*axis, *exclusive, *reverse, x, out),
            Call::Trilu { upper, k } => trilu(*upper, *k, x, out),
            Call::Copy => copy(x, out),
            Call::Transpose { perm } => transpose(perm, x, out),
            Call::Slice { axes, starts, steps } => slice(axes, starts, steps, x, out),
            Call::Expand => expand(x, out),
            Call::Tile => tile(x, out),
            Call::Pad { mode, before } => pad(*mode, before, x, out),
            Call::DepthToSpace { block, crd } => depth_to_space(*block, *crd, x, out),
            Call::SpaceToDepth { block } => space_to_depth(*block, x, out),
            _ => Err(self.count()),
        }
    }
    fn run2(&self, a: &TensorView, b: &TensorView, out: &mut TensorViewMut) -> Result<(), LibraryError> {
        match self {
            Call::Binary(op) => binary(*op, a, b, out),
            Call::Gather { axis } => gather(*axis, a, b, out),
            Call::GatherElements { axis } => gather_elements(*axis, a, b, out),
            Call::GatherNd { batch } => gather_nd(*batch, a, b, out),
            Call::OneHot { axis } => one_hot(*axis, a, b, out),
            Call::Range => range(a, b, out),
            _ => Err(self.count()),
        }
    }
}

struct List<'a, T>(&'a [T]);
impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, x) in self.0.iter().enumerate() {
            write!(f, "{}{x}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Unary(op) => {
                let (name, parameters) = op.parts();
                write!(f, "unary op={name}")?;
                parameters.iter().try_for_each(|(name, value)| write!(f, " {name}={value:?}"))
            }
            Call::Binary(op) => write!(f, "binary op={}", op.name()),
            Call::Where => f.write_str("where"),
            Call::Cast => f.write_str("cast"),
            Call::CastNarrow { saturate, rounding } => {
                write!(f, "cast_narrow saturate={saturate} rounding={}", rounding.name())
            }
            Call::Quantize { axis, block, precision, saturate } => {
                write!(f, "quantize axis={axis} block={block} precision={precision} saturate={saturate}")
            }
            Call::Dequantize { axis, block } => write!(f, "dequantize axis={axis} block={block}"),
            Call::ConvInteger(IntegerWindow { stride, dilation, begin, group }) => {
                let (stride, dilation) = (List(stride), List(dilation));
                write!(f, "conv_integer stride={stride} dilation={dilation} begin={} group={group}", List(begin))
            }
            Call::MatMulInteger => f.write_str("matmul_integer"),
            Call::Reduce { kind, axes } => write!(f, "reduce kind={} axes={}", kind.name(), List(axes)),
            Call::ArgReduce { min, axis, last } => write!(f, "arg_reduce min={min} axis={axis} last={last}"),
            Call::CumSum { axis, exclusive, reverse } => {
                write!(f, "cum_sum axis={axis} exclusive={exclusive} reverse={reverse}")
            }
            Call::TopK { axis, largest } => write!(f, "top_k axis={axis} largest={largest}"),
            Call::Gather { axis } => write!(f, "gather axis={axis}"),
            Call::GatherElements { axis } => write!(f, "gather_elements axis={axis}"),
            Call::GatherNd { batch } => write!(f, "gather_nd batch={batch}"),
            Call::ScatterNd { kind } => write!(f, "scatter_nd kind={}", kind.name()),
            Call::ScatterElements { axis, kind } => write!(f, "scatter_elements axis={axis} kind={}", kind.name()),
            Call::OneHot { axis } => write!(f, "one_hot axis={axis}"),
            Call::Trilu { upper, k } => write!(f, "trilu upper={upper} k={k}"),
            Call::Range => f.write_str("range"),
            Call::Fill { value } => write!(f, "fill value={value:?}"),
            Call::Integers { values } => write!(f, "integers values={}", List(values)),
            Call::Copy => f.write_str("copy"),
            Call::Transpose { perm } => write!(f, "transpose perm={}", List(perm)),
            Call::Slice { axes, starts, steps } => {
                write!(f, "slice axes={} starts={} steps={}", List(axes), List(starts), List(steps))
            }
            Call::Concat { axis } => write!(f, "concat axis={axis}"),
            Call::Expand => f.write_str("expand"),
            Call::Tile => f.write_str("tile"),
            Call::Pad { mode, before } => {
                f.write_str("pad mode=")?;
                match mode {
                    PadMode::Constant(value) => write!(f, "constant value={value:?}")?,
                    PadMode::Edge => f.write_str("edge")?,
                    PadMode::Reflect => f.write_str("reflect")?,
                    PadMode::Wrap => f.write_str("wrap")?,
                }
                write!(f, " before={}", List(before))
            }
            Call::DepthToSpace { block, crd } => write!(f, "depth_to_space block={block} crd={crd}"),
            Call::SpaceToDepth { block } => write!(f, "space_to_depth block={block}"),
        }
    }
}

/// A text that is no library call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no library call: {0:?}")]
pub struct ParseCallError(pub String);

/// `key=value` words.
struct Words<'a>(Vec<(&'a str, &'a str)>);
impl Words<'_> {
    fn get<T: FromStr>(&self, key: &str) -> Option<T> {
        self.0.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok())
    }
    fn name(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }
    fn list<T: FromStr>(&self, key: &str) -> Option<Vec<T>> {
        match self.name(key)? {
            "" => Some(vec![]),
            text => text.split(',').map(|x| x.parse().ok()).collect(),
        }
    }
}

impl FromStr for Call {
    type Err = ParseCallError;
    fn from_str(text: &str) -> Result<Call, ParseCallError> {
        let mut words = text.split_ascii_whitespace();
        let head = words.next().unwrap_or("");
        let rest: Option<Vec<(&str, &str)>> = words.map(|w| w.split_once('=')).collect();
        rest.and_then(|rest| parse(head, &Words(rest))).ok_or_else(|| ParseCallError(text.to_string()))
    }
}

fn parse(head: &str, w: &Words) -> Option<Call> {
    Some(match head {
        "unary" => Call::Unary(UnaryOp::from_parts(w.name("op")?, |p| w.get(p))?),
        "binary" => Call::Binary(BinaryOp::from_name(w.name("op")?)?),
        "where" => Call::Where,
        "cast" => Call::Cast,
        "cast_narrow" => {
            Call::CastNarrow { saturate: w.get("saturate")?, rounding: PowerRounding::from_name(w.name("rounding")?)? }
        }
        "quantize" => Call::Quantize {
            axis: w.get("axis")?,
            block: w.get("block")?,
            precision: DType::from_name(w.name("precision")?)?,
            saturate: w.get("saturate")?,
        },
        "dequantize" => Call::Dequantize { axis: w.get("axis")?, block: w.get("block")? },
        "conv_integer" => Call::ConvInteger(IntegerWindow {
            stride: w.list("stride")?,
            dilation: w.list("dilation")?,
            begin: w.list("begin")?,
            group: w.get("group")?,
        }),
        "matmul_integer" => Call::MatMulInteger,
        "reduce" => Call::Reduce { kind: ReduceKind::from_name(w.name("kind")?)?, axes: w.list("axes")? },
        "arg_reduce" => Call::ArgReduce { min: w.get("min")?, axis: w.get("axis")?, last: w.get("last")? },
        "cum_sum" => Call::CumSum { axis: w.get("axis")?, exclusive: w.get("exclusive")?, reverse: w.get("reverse")? },
        "top_k" => Call::TopK { axis: w.get("axis")?, largest: w.get("largest")? },
        "gather" => Call::Gather { axis: w.get("axis")? },
        "gather_elements" => Call::GatherElements { axis: w.get("axis")? },
        "gather_nd" => Call::GatherNd { batch: w.get("batch")? },
        "scatter_nd" => Call::ScatterNd { kind: ScatterKind::from_name(w.name("kind")?)? },
        "scatter_elements" => {
            Call::ScatterElements { axis: w.get("axis")?, kind: ScatterKind::from_name(w.name("kind")?)? }
        }
        "one_hot" => Call::OneHot { axis: w.get("axis")? },
        "trilu" => Call::Trilu { upper: w.get("upper")?, k: w.get("k")? },
        "range" => Call::Range,
        "fill" => Call::Fill { value: w.get("value")? },
        "integers" => Call::Integers { values: w.list("values")? },
        "copy" => Call::Copy,
        "transpose" => Call::Transpose { perm: w.list("perm")? },
        "slice" => Call::Slice { axes: w.list("axes")?, starts: w.list("starts")?, steps: w.list("steps")? },
        "concat" => Call::Concat { axis: w.get("axis")? },
        "expand" => Call::Expand,
        "tile" => Call::Tile,
        "pad" => {
            let mode = match w.name("mode")? {
                "constant" => PadMode::Constant(w.get("value")?),
                "edge" => PadMode::Edge,
                "reflect" => PadMode::Reflect,
                "wrap" => PadMode::Wrap,
                _ => return None,
            };
            Call::Pad { mode, before: w.list("before")? }
        }
        "depth_to_space" => Call::DepthToSpace { block: w.get("block")?, crd: w.get("crd")? },
        "space_to_depth" => Call::SpaceToDepth { block: w.get("block")? },
        _ => return None,
    })
}
