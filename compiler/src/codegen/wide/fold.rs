//! Peepholes on the flat form: loads folded into the one instruction that uses them, results written straight into the
//! pinned register they are copied to, instructions without effect removed.

use crate::tile::{FloatBin, IntBin, Storage};

use super::Isa;
use super::flat::*;

const NONE: u32 = u32::MAX;

/// Number of uses of every value.
struct Counts {
    scalars: Vec<u32>,
    vectors: Vec<u32>,
    masks: Vec<u32>,
}

impl Counts {
    fn of(flat: &Flat) -> Self {
        let mut counts = Counts {
            scalars: vec![0; flat.scalars as usize],
            vectors: vec![0; flat.vectors as usize],
            masks: vec![0; flat.masks as usize],
        };
        for inst in &flat.insts {
            if !matches!(inst, Inst::Unpin(..)) {
                inst.uses(&mut |value| *counts.of_mut(value) += 1);
            }
        }
        counts
    }

    fn of_mut(&mut self, value: Value) -> &mut u32 {
        match value {
            Value::Scalar(S(at)) => &mut self.scalars[at as usize],
            Value::Vector(V(at)) => &mut self.vectors[at as usize],
            Value::Mask(K(at)) => &mut self.masks[at as usize],
        }
    }
}

/// Runs the peepholes.
pub(super) fn fold(flat: &mut Flat, isa: Isa) {
    let counts = Counts::of(flat);
    fold_loads(flat, isa, &counts);
    retarget(flat, &counts);
    remove_dead(flat);
}

/// Whether loads may move no further than this instruction.
fn is_barrier(inst: &Inst) -> bool {
    matches!(
        inst,
        Inst::Store(..)
            | Inst::Check(..)
            | Inst::Loop { .. }
            | Inst::EndLoop { .. }
            | Inst::If(_)
            | Inst::Else
            | Inst::EndIf
    )
}

/// Operands of an instruction that may be memory, with whether a broadcast of one word may stand there.
fn foldable(inst: &mut Inst, isa: Isa) -> [Option<(&mut Arg, bool)>; 3] {
    let wide = isa == Isa::Avx512;
    match inst {
        Inst::Vector(_, op) => match op {
            VectorInst::Fma(a, b, c) => [Some((b, wide)), Some((a, wide)), Some((c, wide))],
            VectorInst::Dot(_, _, c) => [Some((c, wide)), None, None],
            VectorInst::Float(FloatBin::Add | FloatBin::Mul, a, b) => [Some((b, wide)), Some((a, wide)), None],
            VectorInst::Float(_, _, b) => [Some((b, wide)), None, None],
            VectorInst::Int(IntBin::Sub | IntBin::Shl | IntBin::Shr | IntBin::Sar, _, b) => {
                [Some((b, wide)), None, None]
            }
            VectorInst::Int(_, a, b) => [Some((b, wide)), Some((a, wide)), None],
            VectorInst::ToInt(a) | VectorInst::ToFloat(a) => [Some((a, wide)), None, None],
            VectorInst::Copy(a) => [Some((a, true)), None, None],
            VectorInst::Select(_, a, _) => [Some((a, wide)), None, None],
            _ => [None, None, None],
        },
        Inst::Mask(_, MaskInst::Float(_, _, b)) => [Some((b, wide)), None, None],
        Inst::Mask(_, MaskInst::Int(_, _, b)) if wide => [Some((b, wide)), None, None],
        _ => [None, None, None],
    }
}

fn fold_loads(flat: &mut Flat, isa: Isa, counts: &Counts) {
    let mut pending = vec![NONE; flat.vectors as usize];
    let mut start = 0;
    for at in 0..flat.insts.len() {
        let (before, rest) = flat.insts.split_at_mut(at);
        let Some(inst) = rest.first_mut() else { return };
        if is_barrier(inst) {
            start = at as u32;
            continue;
        }
        let mut folded = false;
        for (arg, broadcast) in foldable(inst, isa).into_iter().flatten() {
            let Arg::Vector(V(v)) = *arg else {
                folded = true;
                continue;
            };
            let load = pending[v as usize];
            if folded || load == NONE || load < start {
                continue;
            }
            let replaced = match before[load as usize] {
                Inst::Vector(_, VectorInst::Load(addr, ..)) => Arg::Load(addr),
                Inst::Vector(_, VectorInst::Splat(addr, _)) if broadcast => Arg::Splat(addr),
                _ => continue,
            };
            *arg = replaced;
            before[load as usize] = Inst::Nop;
            folded = true;
        }
        if let Inst::Vector(V(v), VectorInst::Load(_, First::All, Storage::B32) | VectorInst::Splat(_, Storage::B32)) =
            inst
            && counts.vectors[*v as usize] == 1
        {
            pending[*v as usize] = at as u32;
        }
    }
}

/// `t = op ...; reg = copy t` becomes `reg = op ...` when t has no other use and nothing touches reg in between.
fn retarget(flat: &mut Flat, counts: &Counts) {
    let mut defined = vec![NONE; flat.vectors as usize];
    let mut touched = vec![0u32; flat.vectors as usize];
    let mut start = 0;
    for at in 0..flat.insts.len() {
        let inst = flat.insts[at];
        if is_barrier(&inst) && !matches!(inst, Inst::Store(..)) {
            start = at as u32;
        }
        if let Inst::Vector(V(reg), VectorInst::Copy(Arg::Vector(V(t)))) = inst {
            let def = defined[t as usize];
            if counts.vectors[t as usize] == 1 && def != NONE && def > start && touched[reg as usize] <= def {
                if let Some(Inst::Vector(dst, _)) = flat.insts.get_mut(def as usize) {
                    *dst = V(reg);
                }
                flat.insts[at] = Inst::Nop;
                touched[reg as usize] = at as u32;
                continue;
            }
        }
        let mut touch = |value| {
            if let Value::Vector(V(v)) = value {
                touched[v as usize] = at as u32;
            }
        };
        inst.uses(&mut touch);
        inst.defs(&mut touch);
        if let Inst::Vector(V(v), _) = inst {
            defined[v as usize] = at as u32;
        }
    }
}

fn remove_dead(flat: &mut Flat) {
    let mut counts = Counts::of(flat);
    for inst in flat.insts.iter_mut().rev() {
        if !matches!(inst, Inst::Scalar(..) | Inst::Vector(..) | Inst::Mask(..)) {
            continue;
        }
        let mut used = false;
        inst.defs(&mut |value| used |= *counts.of_mut(value) > 0);
        if !used {
            inst.uses(&mut |value| *counts.of_mut(value) -= 1);
            *inst = Inst::Nop;
        }
    }
    flat.insts.retain(|inst| !matches!(inst, Inst::Nop));
}
