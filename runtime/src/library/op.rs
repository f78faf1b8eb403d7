//! Element-wise functions and kinds of combination, shared by the Graph IR, the evaluator and library calls.

/// One-operand functions. Parameters are f32.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Abs,
    Neg,
    Floor,
    Ceil,
    /// To nearest, ties to even.
    Round,
    Sign,
    Sqrt,
    Reciprocal,
    Exp,
    Log,
    Erf,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Sigmoid,
    Softplus,
    Softsign,
    Relu,
    /// max(0, min(1, alpha * x + beta))
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// x * max(0, min(1, x / 6 + 0.5))
    HardSwish,
    /// x * sigmoid(alpha * x)
    Silu {
        alpha: f32,
    },
    /// 0.5 * x * (1 + erf(x / sqrt 2))
    Gelu,
    /// 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
    GeluTanh,
    /// x * tanh(softplus(x))
    Mish,
    LeakyRelu {
        alpha: f32,
    },
    Elu {
        alpha: f32,
    },
    Celu {
        alpha: f32,
    },
    Selu {
        alpha: f32,
        gamma: f32,
    },
    ThresholdedRelu {
        alpha: f32,
    },
    /// min(hi, max(lo, x))
    Clip {
        lo: f32,
        hi: f32,
    },
    /// Logical not (bool), bitwise not (integers).
    Not,
    IsNaN,
}

/// Two-operand functions with ONNX broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Integer division truncates; by zero is an error at run time.
    Div,
    /// Remainder with the sign of the divisor (ONNX `Mod`, `fmod = 0`).
    Mod,
    /// Remainder with the sign of the dividend (`fmod = 1`).
    Fmod,
    Pow,
    Min,
    Max,
    /// x >= 0 ? x : slope * x; the second operand is the slope.
    PRelu,
    And,
    Or,
    Xor,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Towards the higher bits, of integers; all bits are lost when shifted by their number and more.
    ShiftLeft,
    /// Towards the lower bits.
    ShiftRight,
}

/// Kinds of reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ReduceKind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// How Pad fills.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum PadMode {
    /// With this number (converted to the element type).
    Constant(f64),
    Edge,
    Reflect,
    Wrap,
}

/// How a scattered update meets the element that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScatterKind {
    Replace,
    Add,
    Mul,
    Max,
    Min,
}

/// Names of the values of a plain enum, in texts.
macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal,)* }) => {
        impl $type {
            /// Every one of them.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];
            /// Name in texts.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }
            /// The one with this name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)* _ => None }
            }
        }
    };
}

names!(BinaryOp {
    Add => "add", Sub => "sub", Mul => "mul", Div => "div", Mod => "mod", Fmod => "fmod", Pow => "pow", Min => "min",
    Max => "max", PRelu => "prelu", And => "and", Or => "or", Xor => "xor", Equal => "equal", Less => "less",
    LessOrEqual => "less_or_equal", Greater => "greater", GreaterOrEqual => "greater_or_equal",
    ShiftLeft => "shift_left", ShiftRight => "shift_right",
});
names!(ReduceKind {
    Sum => "sum", Mean => "mean", Max => "max", Min => "min", Prod => "prod", L1 => "l1", L2 => "l2",
    SumSquare => "sum_square", LogSum => "log_sum", LogSumExp => "log_sum_exp",
});
names!(ScatterKind { Replace => "replace", Add => "add", Mul => "mul", Max => "max", Min => "min", });

macro_rules! unary_names {
    ($($variant:ident $({ $($field:ident),* })? => $name:literal,)*) => {
        impl UnaryOp {
            /// Every one of them, parameters 0.
            pub const ALL: &'static [UnaryOp] = &[$(UnaryOp::$variant $({ $($field: 0.0),* })?),*];
            /// Name and named parameters, for texts.
            pub fn parts(self) -> (&'static str, Vec<(&'static str, f32)>) {
                match self { $(UnaryOp::$variant $({ $($field),* })? => ($name, vec![$($((stringify!($field), $field)),*)?]),)* }
            }
            /// The function with this name, its parameters looked up by theirs.
            pub fn from_parts(name: &str, mut parameter: impl FnMut(&str) -> Option<f32>) -> Option<UnaryOp> {
                let _ = &mut parameter;
                match name {
                    $($name => Some(UnaryOp::$variant $({ $($field: parameter(stringify!($field))?),* })?),)*
                    _ => None,
                }
            }
        }
    };
}

unary_names! {
    Abs => "abs", Neg => "neg", Floor => "floor", Ceil => "ceil", Round => "round", Sign => "sign", Sqrt => "sqrt",
    Reciprocal => "reciprocal", Exp => "exp", Log => "log", Erf => "erf", Sin => "sin", Cos => "cos", Tan => "tan",
    Asin => "asin", Acos => "acos", Atan => "atan", Sinh => "sinh", Cosh => "cosh", Tanh => "tanh", Asinh => "asinh",
    Acosh => "acosh", Atanh => "atanh", Sigmoid => "sigmoid", Softplus => "softplus", Softsign => "softsign",
    Relu => "relu", HardSigmoid { alpha, beta } => "hard_sigmoid", HardSwish => "hard_swish", Silu { alpha } => "silu",
    Gelu => "gelu", GeluTanh => "gelu_tanh", Mish => "mish", LeakyRelu { alpha } => "leaky_relu", Elu { alpha } => "elu",
    Celu { alpha } => "celu", Selu { alpha, gamma } => "selu", ThresholdedRelu { alpha } => "thresholded_relu",
    Clip { lo, hi } => "clip", Not => "not", IsNaN => "is_nan",
}
