//! The product of some samples' states with the recurrent weights, in register tiles.

use super::{Bases, Spec};
use crate::tile::{Builder, Index, Lane, Operand, PointerRef, ScalarId, VectorOp};
use std::ops::Range;

impl Spec {
    /// Writes gates: biases, plus the input's share if `projected`, plus `source` (its first element, and bytes from one
    /// sample's to the next) times the weights.
    pub(super) fn product(
        &self,
        k: &mut Builder,
        bases: &Bases,
        gates: Range<usize>,
        source: (PointerRef, i64),
        projected: bool,
    ) {
        let (begin, end) = (k.num(gates.start as i64), k.num(gates.end as i64));
        let panels = self.panels(k.lanes()) as i64;
        let width = self.panel as i64 * i64::from(k.lanes());
        k.for_(begin, end, 1, |k, gate| {
            k.for_count(panels, |k, panel| {
                let column = k.mul_const(panel, width);
                let whole = k.mul_const(gate, panels);
                let whole = k.sadd(whole, panel);
                let offset = k.mul_const(whole, 4 * width * self.hidden as i64);
                let weights = k.pointer(bases.weights, offset);
                let own = self.offset(k, (gate, self.hidden), (column, 1));
                let from = projected.then(|| k.pointer(bases.projected, own));
                let bias = bases.bias.map(|bias| k.pointer(bias, own));
                let to = self.offset(k, (gate, (panels * width) as usize), (column, 1));
                let to = k.pointer(bases.gates, to);
                self.panel(k, [from, bias], (weights, source), to, column);
            });
        });
    }

    fn panel(
        &self,
        k: &mut Builder,
        [from, bias]: [Option<PointerRef>; 2],
        (weights, (source, each)): (PointerRef, (PointerRef, i64)),
        to: PointerRef,
        column: ScalarId,
    ) {
        let (samples, vectors, vector) = (self.samples.1, self.panel, 4 * i64::from(k.lanes()));
        let sums = k.reg(Lane::F32, &[samples as u32, vectors as u32]);
        let at = |sample: usize, v: usize| [Index::Const(sample as i64), Index::Const(v as i64)];
        let row = 4 * (self.directions() * self.cell.gates() * self.hidden) as i64;
        for v in 0..vectors {
            let first = self.valid(k, column, v);
            let load = |k: &mut Builder, pointer: PointerRef, disp: i64| match first {
                Some(first) => k.load_first(pointer, disp, first),
                None => k.load(pointer, disp),
            };
            for sample in 0..samples {
                let mut sum: Option<Operand> = None;
                if let Some(from) = from {
                    sum = Some(load(k, from, sample as i64 * row + v as i64 * vector));
                }
                if let Some(bias) = bias {
                    let bias = load(k, bias, v as i64 * vector);
                    sum = Some(sum.map_or(bias.clone(), |sum| k.add(sum, bias)));
                }
                let sum = sum.unwrap_or_else(|| k.float(0.0));
                k.set(sums, &at(sample, v), VectorOp::Copy(sum));
            }
        }
        k.for_count(self.hidden as i64, |k, i| {
            let offset = k.mul_const(i, vectors as i64 * vector);
            let weights = k.pointer(weights, offset);
            let offset = k.mul_const(i, 4);
            let source = k.pointer(source, offset);
            let columns: Vec<Operand> = (0..vectors as i64).map(|v| k.load(weights, v * vector)).collect();
            for sample in 0..samples {
                let x = k.splat_load(source, sample as i64 * each);
                for (v, column) in columns.iter().enumerate() {
                    k.accumulate(sums, &at(sample, v), x.clone(), column.clone());
                }
            }
        });
        let padded = 4 * (self.cell.gates() * self.padded(k.lanes())) as i64;
        for sample in 0..samples {
            for v in 0..vectors {
                let sum = k.get(sums, &at(sample, v));
                k.store(to, sample as i64 * padded + v as i64 * vector, sum);
            }
        }
    }

    /// Lanes of a panel's vector that are hidden units; `None` where all are, in every panel.
    fn valid(&self, k: &mut Builder, column: ScalarId, v: usize) -> Option<ScalarId> {
        if self.padded(k.lanes()) == self.hidden {
            return None;
        }
        let hidden = k.num(self.hidden as i64 - v as i64 * i64::from(k.lanes()));
        let (left, zero) = (k.ssub(hidden, column), k.num(0));
        Some(k.smax(left, zero))
    }
}
