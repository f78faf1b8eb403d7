//! Arithmetic with operands of every kind: in a register, folded from memory, broadcast, constant, pinned.

use super::*;
use crate::tile::*;

/// What an operand is.
const FORMS: u32 = 6;
/// Where a result goes: a let, a pinned register, the pinned register of the first, second or third operand.
const HOMES: u32 = 5;

const ITEMS: i64 = 6;

struct Forms {
    input: PointerRef,
    pins: RegId,
    kept: Vec<Operand>,
}

impl Forms {
    /// The operand of this form with contents from the `at`-th input vector.
    fn operand(&mut self, k: &mut Builder, form: u32, at: u32) -> Operand {
        let disp = i64::from(at * k.lanes() * 4);
        match form {
            0 => k.load(self.input, disp),
            1 => {
                let kept = k.load(self.input, disp);
                self.kept.push(kept.clone());
                kept
            }
            2 => k.float(1.75 - at as f32 * 0.5),
            3 => {
                let lanes: Vec<i32> = (0..k.lanes() as i32).map(|i| (i << 21) + 0x3f10_0000 + at as i32).collect();
                k.ints(&lanes)
            }
            4 => k.splat_load(self.input, disp),
            _ => {
                let load = Mem { pointer: self.input, disp: disp.into() };
                k.set(self.pins, &[at.into_index()], VectorOp::Load { mem: load, first: None, storage: Storage::B32 });
                k.get(self.pins, &[at.into_index()])
            }
        }
    }
}

trait IntoIndex {
    fn into_index(self) -> Index;
}
impl IntoIndex for u32 {
    fn into_index(self) -> Index {
        Index::Const(self.into())
    }
}

/// A kernel that applies `op` to operands of these forms and stores the result and everything that must have survived.
fn kernel(
    target: Target,
    forms: &[u32],
    home: u32,
    op: &dyn Fn(&mut Builder, Vec<Operand>) -> VectorOp,
) -> Option<Kernel> {
    if home >= 2 && forms.get(home as usize - 2) != Some(&5) {
        return None;
    }
    let mut k = Builder::new("form", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, i| {
        let bytes = i64::from(target.lanes) * 4;
        let (from, to) = (k.mul_const(i, bytes * 3), k.mul_const(i, bytes * 8));
        let (input, output) = (k.pointer(x, from), k.pointer(y, to));
        let pins = k.reg(Lane::F32, &[4]);
        let mut f = Forms { input, pins, kept: Vec::new() };
        let operands: Vec<Operand> = forms.iter().zip(0..).map(|(form, at)| f.operand(k, *form, at)).collect();
        let op = op(k, operands);
        let result = match home {
            0 => k.vector(op),
            1 => {
                k.set(pins, &[3.into()], op);
                k.get(pins, &[3.into()])
            }
            _ => {
                k.set(pins, &[(home - 2).into_index()], op);
                k.get(pins, &[(home - 2).into_index()])
            }
        };
        k.store(output, 0, result);
        for (at, kept) in f.kept.iter().enumerate() {
            k.store(output, bytes * (at as i64 + 1), kept.clone());
        }
        for (at, _) in forms.iter().enumerate().filter(|(at, form)| **form == 5 && home != *at as u32 + 2) {
            let pinned = k.get(pins, &[(at as u32).into_index()]);
            k.store(output, bytes * (at as i64 + 4), pinned);
        }
    });
    Some(k.finish())
}

/// Runs `op` over operands of all forms and results in all places; gives the number of cases.
fn all_forms(operands: u32, compare: Compare, op: &dyn Fn(&mut Builder, Vec<Operand>) -> VectorOp) -> usize {
    let mut cases = 0;
    for (level, target) in levels() {
        let lanes = target.lanes as usize;
        let input = words(u64::from(operands) * 77 + 5, ITEMS as usize * 3 * lanes + 3 * lanes);
        for code in 0..FORMS.pow(operands) * HOMES {
            let (home, mut rest) = (code % HOMES, code / HOMES);
            let forms: Vec<u32> = (0..operands).map(|_| (rest % FORMS, rest /= FORMS).0).collect();
            if let Some(kernel) = kernel(target, &forms, home, op) {
                agree(&kernel, level, &[&input], ITEMS as usize * 8 * lanes * 4, &[], ITEMS, compare);
                cases += 1;
            }
        }
    }
    cases
}

fn pair(operands: Vec<Operand>) -> (Operand, Operand) {
    (operands[0].clone(), operands[1].clone())
}

/// Cases of each operation of one, two and three operands, for each level.
const OF_ONE: usize = 6 * 2 + 1;
const OF_TWO: usize = 36 * 2 + 6 * 2;
const OF_THREE: usize = 216 * 2 + 36 * 3;

#[test]
fn float_operations_agree() {
    use FloatBin::*;
    let mut cases = 0;
    for op in [Add, Sub, Mul, Div, Min, Max] {
        cases += all_forms(2, Compare::Floats, &|_, x| {
            let (a, b) = pair(x);
            VectorOp::Float(op, a, b)
        });
    }
    assert_eq!(cases, 6 * OF_TWO * levels().len());
}

#[test]
fn fused_multiply_add_agrees() {
    let cases = all_forms(3, Compare::Floats, &|_, x| VectorOp::Fma(x[0].clone(), x[1].clone(), x[2].clone()));
    let same = all_forms(2, Compare::Floats, &|_, x| VectorOp::Fma(x[0].clone(), x[0].clone(), x[1].clone()));
    assert_eq!(cases + same, (OF_THREE + OF_TWO) * levels().len());
}

#[test]
fn integer_operations_agree() {
    use IntBin::*;
    let mut cases = 0;
    for op in [Add, Sub, Mul, And, Or, Xor, Shl, Shr, Sar, Min, Max] {
        cases += all_forms(2, Compare::Bits, &|_, x| {
            let (a, b) = pair(x);
            VectorOp::Int(op, a, b)
        });
    }
    for (op, count) in [(Shl, 3), (Shr, 31), (Sar, 33)] {
        cases += all_forms(1, Compare::Bits, &|k, x| VectorOp::Int(op, x[0].clone(), k.int(count)));
    }
    assert_eq!(cases, (11 * OF_TWO + 3 * OF_ONE) * levels().len());
}

#[test]
fn operations_of_one_operand_agree() {
    use FloatUn::*;
    let mut cases = 0;
    for op in [Neg, Abs, Sqrt, Floor, Ceil, Trunc, Nearest] {
        cases += all_forms(1, Compare::Floats, &|_, x| VectorOp::Unary(op, x[0].clone()));
    }
    cases += all_forms(1, Compare::Bits, &|_, x| VectorOp::ToInt(x[0].clone()));
    cases += all_forms(1, Compare::Bits, &|_, x| VectorOp::ToFloat(x[0].clone()));
    cases += all_forms(1, Compare::Bits, &|_, x| VectorOp::Copy(x[0].clone()));
    cases += all_forms(1, Compare::Bits, &|_, x| VectorOp::Bitcast(Lane::I32, x[0].clone()));
    assert_eq!(cases, 11 * OF_ONE * levels().len());
}

#[test]
fn scaling_agrees() {
    let mut cases = all_forms(2, Compare::Floats, &|k, x| {
        let (a, n) = pair(x);
        // Into -252..=254, from any bits.
        let (most, least) = (k.int(254), k.int(-252));
        let n = k.vector(VectorOp::Int(IntBin::Min, n, most));
        let n = k.vector(VectorOp::Int(IntBin::Max, n, least));
        VectorOp::Scale(a, n)
    });
    for n in [-252, -149, -127, -126, -7, 0, 1, 127, 128, 254] {
        cases += all_forms(1, Compare::Floats, &|k, x| VectorOp::Scale(x[0].clone(), k.int(n)));
    }
    assert_eq!(cases, (OF_TWO + 10 * OF_ONE) * levels().len());
}

#[test]
fn masks_agree() {
    use Cmp::*;
    let mut cases = 0;
    for cmp in [Eq, Ne, Lt, Le, Gt, Ge] {
        for float in [false, true] {
            cases += all_forms(2, Compare::Bits, &|k, x| {
                let (a, b) = pair(x);
                let compare = if float { MaskOp::CmpFloat } else { MaskOp::CmpInt };
                let mask = k.mask(compare(cmp, a, b));
                VectorOp::Select(mask, k.int(3), k.int(4))
            });
        }
    }
    for which in 0..3 {
        cases += all_forms(2, Compare::Bits, &|k, x| {
            let (a, b) = pair(x);
            let zero = k.float(0.5);
            let (m, n) = (k.cmp(Lt, a.clone(), zero.clone()), k.cmp(Gt, b.clone(), zero));
            let mask = k.mask([MaskOp::And(m, n), MaskOp::Or(m, n), MaskOp::Not(n)][which].clone());
            VectorOp::Select(mask, a, b)
        });
    }
    assert_eq!(cases, 15 * OF_TWO * levels().len());
}
