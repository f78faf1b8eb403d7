//! How many vector registers a kernel holds at once: pinned arrays, live lets, and masks where they are vectors (below 16 lanes).

use super::ir::*;
use rustc_hash::FxHashSet;

/// A value that occupies a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Held {
    Let(LetId),
    Mask(MaskId),
}

/// The largest number of vector registers in use at once, temporaries of the lowering not counted.
pub fn pressure(kernel: &Kernel) -> u32 {
    Counter { masks: kernel.target.lanes < 16 }.block(&kernel.body, &FxHashSet::default())
}

struct Counter {
    masks: bool,
}

impl Counter {
    /// The peak of a block after which `after` is live.
    fn block(&self, body: &[Stmt], after: &FxHashSet<Held>) -> u32 {
        let mut pinned: u32 = body.iter().map(registers).fold(0, u32::saturating_add);
        let (mut live, mut peak) = (after.clone(), pinned.saturating_add(self.count(after)));
        for stmt in body.iter().rev() {
            let mut inside = 0;
            match stmt {
                Stmt::Reg { .. } => pinned = pinned.saturating_sub(registers(stmt)),
                // What a repeated body uses from outside is needed again in its next turn.
                Stmt::For { body, .. } | Stmt::Unroll { body, .. } => {
                    self.uses(body, &mut live);
                    inside = self.block(body, &live);
                }
                Stmt::If { then, otherwise, .. } => {
                    inside = self.block(then, &live).max(self.block(otherwise, &live));
                    self.uses(then, &mut live);
                    self.uses(otherwise, &mut live);
                }
                _ => {
                    if let Some(defined) = defined(stmt) {
                        live.insert(defined);
                        inside = self.count(&live);
                        live.remove(&defined);
                    }
                    self.operands(stmt, &mut live);
                }
            }
            peak = peak.max(pinned.saturating_add(inside)).max(pinned.saturating_add(self.count(&live)));
        }
        peak
    }

    fn count(&self, live: &FxHashSet<Held>) -> u32 {
        live.iter().filter(|held| self.masks || matches!(held, Held::Let(_))).count() as u32
    }

    /// Adds what a block uses and does not define.
    fn uses(&self, body: &[Stmt], live: &mut FxHashSet<Held>) {
        let mut inside = FxHashSet::default();
        for stmt in body.iter().rev() {
            match stmt {
                Stmt::For { body, .. } | Stmt::Unroll { body, .. } => self.uses(body, &mut inside),
                Stmt::If { then, otherwise, .. } => {
                    self.uses(then, &mut inside);
                    self.uses(otherwise, &mut inside);
                }
                _ => {
                    if let Some(defined) = defined(stmt) {
                        inside.remove(&defined);
                    }
                    self.operands(stmt, &mut inside);
                }
            }
        }
        live.extend(inside);
    }

    fn operands(&self, stmt: &Stmt, live: &mut FxHashSet<Held>) {
        let mut operand = |operand: &Operand| {
            if let Operand::Let(id) = operand {
                live.insert(Held::Let(*id));
            }
        };
        match stmt {
            Stmt::Let(_, op) | Stmt::Set(_, _, op) => {
                vector_operands(op, &mut operand);
                if let VectorOp::Select(mask, ..) = op {
                    live.insert(Held::Mask(*mask));
                }
            }
            Stmt::Store { value, .. } => operand(value),
            Stmt::Mask(_, MaskOp::CmpFloat(_, a, b) | MaskOp::CmpInt(_, a, b)) => {
                operand(a);
                operand(b);
            }
            Stmt::Mask(_, MaskOp::And(a, b) | MaskOp::Or(a, b)) => live.extend([Held::Mask(*a), Held::Mask(*b)]),
            Stmt::Mask(_, MaskOp::Not(a)) => {
                live.insert(Held::Mask(*a));
            }
            _ => {}
        }
    }
}

fn registers(stmt: &Stmt) -> u32 {
    match stmt {
        Stmt::Reg { dims, .. } => dims.iter().fold(1, |size: u32, dim| size.saturating_mul(*dim)),
        _ => 0,
    }
}

fn defined(stmt: &Stmt) -> Option<Held> {
    match stmt {
        Stmt::Let(id, _) => Some(Held::Let(*id)),
        Stmt::Mask(id, _) => Some(Held::Mask(*id)),
        _ => None,
    }
}

/// Visits the vector operands of an operation, in order.
fn vector_operands(op: &VectorOp, visit: &mut dyn FnMut(&Operand)) {
    match op {
        VectorOp::Load { .. } | VectorOp::SplatLoad { .. } | VectorOp::SplatScalar(_) | VectorOp::Iota => {}
        VectorOp::Gather { index, .. } => visit(index),
        VectorOp::Copy(a)
        | VectorOp::Unary(_, a)
        | VectorOp::ToInt(a)
        | VectorOp::ToFloat(a)
        | VectorOp::Bitcast(_, a)
        | VectorOp::SplatLane(a, _)
        | VectorOp::Permute(a, _)
        | VectorOp::Reduce(_, a) => visit(a),
        VectorOp::Float(_, a, b)
        | VectorOp::Scale(a, b)
        | VectorOp::Int(_, a, b)
        | VectorOp::Select(_, a, b)
        | VectorOp::Slide(a, b, _) => [a, b].into_iter().for_each(visit),
        VectorOp::Fma(a, b, c) | VectorOp::Dot(a, b, c) => [a, b, c].into_iter().for_each(visit),
    }
}
