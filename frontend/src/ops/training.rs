//! The optimisers of the domain `ai.onnx.preview.training`, as the arithmetic they are defined by.
//!
//! Specification: <https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Adam.html>, Adagrad, Momentum. Operands are the
//! rate, the number of the update, then for n tensors: n tensors, n gradients, n of each kind of state.

use crate::context::{Context, Results};
use crate::error::{NodeError, invalid};
use brolga_compiler::ir::{BinaryOp, Op, UnaryOp, ValueId};
use brolga_runtime::DType;

/// The operands by tensor: `kinds` of each, the tensor first.
fn groups(cx: &Context<'_, '_>, kinds: usize) -> Result<Vec<Vec<ValueId>>, NodeError> {
    let all = cx.all_inputs()?;
    let rest = all.get(2..).unwrap_or_default();
    let count = rest.len() / kinds;
    if count == 0 || count * kinds != rest.len() {
        return invalid(format!("{} operands; 2 and {kinds} for each tensor are expected", all.len()));
    }
    Ok((0..count).map(|i| rest.iter().skip(i).step_by(count).copied().collect()).collect())
}

/// Arithmetic in the type of one tensor.
struct Maths<'c, 'a, 'g> {
    cx: &'c mut Context<'a, 'g>,
    dtype: DType,
}

type Made = Result<ValueId, NodeError>;

impl Maths<'_, '_, '_> {
    fn number(&mut self, value: f64) -> Made {
        self.cx.scalar(self.dtype, value)
    }
    fn add(&mut self, a: ValueId, b: ValueId) -> Made {
        self.cx.binary(BinaryOp::Add, a, b)
    }
    fn sub(&mut self, a: ValueId, b: ValueId) -> Made {
        self.cx.binary(BinaryOp::Sub, a, b)
    }
    fn mul(&mut self, a: ValueId, b: ValueId) -> Made {
        self.cx.binary(BinaryOp::Mul, a, b)
    }
    fn div(&mut self, a: ValueId, b: ValueId) -> Made {
        self.cx.binary(BinaryOp::Div, a, b)
    }
    fn scaled(&mut self, factor: f64, x: ValueId) -> Made {
        let factor = self.number(factor)?;
        self.mul(factor, x)
    }
    fn sqrt(&mut self, x: ValueId) -> Made {
        self.cx.unary(UnaryOp::Sqrt, x)
    }
    /// An attribute.
    fn attribute(&self, name: &str, default: f32) -> Result<f64, NodeError> {
        Ok(f64::from(self.cx.node.attributes.float_or(name, default)?))
    }
    /// Operand `i`, the rate or the number of the update, in the tensor's type.
    fn operand(&mut self, i: usize) -> Made {
        let x = self.cx.input(i)?;
        self.cx.cast(x, self.dtype)
    }
    /// `condition ? a : b` where the condition is that this is not the first update.
    fn after_first(&mut self, a: ValueId, b: ValueId) -> Made {
        let t = self.cx.input(1)?;
        let zero = self.cx.scalar(self.cx.dtype(t), 0.0)?;
        let later = self.cx.binary(BinaryOp::Greater, t, zero)?;
        self.cx.emit(Op::Where, &[later, a, b])
    }
    /// The gradient with that of the norm's penalty.
    fn regularized(&mut self, x: ValueId, g: ValueId) -> Made {
        let penalty = self.attribute("norm_coefficient", 0.0)?;
        let penalty = self.scaled(penalty, x)?;
        self.add(penalty, g)
    }
}

/// Applies `step` to each tensor; its results are listed kind by kind.
fn each<const KINDS: usize, const RESULTS: usize>(
    cx: &mut Context<'_, '_>,
    step: impl Fn(&mut Maths<'_, '_, '_>, [ValueId; KINDS]) -> Result<[ValueId; RESULTS], NodeError>,
) -> Results {
    let mut made = Vec::new();
    for group in groups(cx, KINDS)? {
        let Ok(group) = <[ValueId; KINDS]>::try_from(group) else { return invalid("too few operands") };
        let dtype = group.first().map_or(DType::F32, |x| cx.dtype(*x));
        made.push(step(&mut Maths { cx, dtype }, group)?);
    }
    Ok((0..RESULTS).flat_map(|kind| made.iter().filter_map(move |results| results.get(kind).copied())).collect())
}

pub(crate) fn adagrad(cx: &mut Context<'_, '_>) -> Results {
    each(cx, |m, [x, g, h]| {
        let (rate, t) = (m.operand(0)?, m.operand(1)?);
        let decay = m.attribute("decay_factor", 0.0)?;
        let (decayed, one) = (m.scaled(decay, t)?, m.number(1.0)?);
        let divisor = m.add(one, decayed)?;
        let rate = m.div(rate, divisor)?;
        let g = m.regularized(x, g)?;
        let squared = m.mul(g, g)?;
        let h = m.add(h, squared)?;
        let (root, epsilon) = (m.sqrt(h)?, m.attribute("epsilon", 1e-6)?);
        let epsilon = m.number(epsilon)?;
        let adaptive = m.add(root, epsilon)?;
        let step = m.mul(rate, g)?;
        let step = m.div(step, adaptive)?;
        Ok([m.sub(x, step)?, h])
    })
}

pub(crate) fn momentum(cx: &mut Context<'_, '_>) -> Results {
    let nesterov = match cx.node.attributes.required("mode", cx.node.attributes.text("mode")?)? {
        "nesterov" => true,
        "standard" => false,
        other => return invalid(format!("mode {other:?}; nesterov or standard is expected")),
    };
    each(cx, |m, [x, g, v]| {
        let rate = m.operand(0)?;
        let (alpha, beta) = (m.attribute("alpha", 0.0)?, m.attribute("beta", 0.0)?);
        let g = m.regularized(x, g)?;
        let (beta, one) = (m.number(beta)?, m.number(1.0)?);
        let beta = m.after_first(beta, one)?;
        let (kept, fresh) = (m.scaled(alpha, v)?, m.mul(beta, g)?);
        let v = m.add(kept, fresh)?;
        let direction = if nesterov {
            let ahead = m.scaled(alpha, v)?;
            m.add(g, ahead)?
        } else {
            v
        };
        let step = m.mul(rate, direction)?;
        Ok([m.sub(x, step)?, v])
    })
}

pub(crate) fn adam(cx: &mut Context<'_, '_>) -> Results {
    each(cx, |m, [x, g, v, h]| {
        let (alpha, beta) = (m.attribute("alpha", 0.9)?, m.attribute("beta", 0.999)?);
        let g = m.regularized(x, g)?;
        let (kept, fresh) = (m.scaled(alpha, v)?, m.scaled(1.0 - alpha, g)?);
        let v = m.add(kept, fresh)?;
        let squared = m.mul(g, g)?;
        let (kept, fresh) = (m.scaled(beta, h)?, m.scaled(1.0 - beta, squared)?);
        let h = m.add(kept, fresh)?;
        let (root, epsilon) = (m.sqrt(h)?, m.attribute("epsilon", 1e-6)?);
        let epsilon = m.number(epsilon)?;
        let root = m.add(root, epsilon)?;
        let rate = adam_rate(m, alpha, beta)?;
        let step = m.mul(rate, v)?;
        let step = m.div(step, root)?;
        let x = m.sub(x, step)?;
        let shrink = m.attribute("norm_coefficient_post", 0.0)?;
        Ok([m.scaled(1.0 - shrink, x)?, v, h])
    })
}

/// The rate, corrected for averages that began at zero.
fn adam_rate(m: &mut Maths<'_, '_, '_>, alpha: f64, beta: f64) -> Made {
    let (rate, t, one) = (m.operand(0)?, m.operand(1)?, m.number(1.0)?);
    let (alpha, beta) = (m.number(alpha)?, m.number(beta)?);
    let powers = [alpha, beta].map(|base| m.cx.binary(BinaryOp::Pow, base, t));
    let [alpha, beta] = powers;
    let (alpha, beta) = (m.sub(one, alpha?)?, m.sub(one, beta?)?);
    let root = m.sqrt(beta)?;
    let corrected = m.mul(rate, root)?;
    let corrected = m.div(corrected, alpha)?;
    m.after_first(corrected, rate)
}
