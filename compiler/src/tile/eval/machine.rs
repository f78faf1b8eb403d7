//! Runs flattened kernels.

use super::flatten::{Arith, At, Flat, Step, Test};
use super::{Buffer, EvalError};
use crate::tile::ir::{Kernel, ReduceKind, Storage};
use crate::tile::lanes;

type Vector = [u32; 16];

/// Why a step stopped; the statement is named outside the hot path.
enum Stop {
    Bounds { base: u32, offset: i64, bytes: i64 },
    ReadOnly { base: u32 },
    Unset,
    Undefined(String),
}

struct Machine<'m, 'b> {
    bases: &'m mut [Buffer<'b>],
    scalars: Vec<i64>,
    pointers: Vec<(u32, i64)>,
    masks: Vec<u32>,
    vectors: Vec<Vector>,
    set: Vec<bool>,
    args: &'m [i64],
    share: (i64, i64),
}

enum Flow {
    On,
    Goto(usize),
    Return(i32),
}

/// Runs items `begin..end` with vectors of `L` lanes.
pub fn run<const L: usize>(
    kernel: &Kernel,
    flat: &Flat<'_>,
    bases: &mut [Buffer<'_>],
    args: &[i64],
    begin: i64,
    end: i64,
) -> Result<i32, EvalError> {
    let mut set = vec![false; flat.vectors.len()];
    set[..flat.constants].fill(true);
    let mut pointers = vec![(0, 0); flat.pointers];
    for (at, pointer) in pointers.iter_mut().take(bases.len()).enumerate() {
        pointer.0 = at as u32;
    }
    let mut machine = Machine {
        bases,
        scalars: vec![0; flat.scalars],
        pointers,
        masks: vec![0; flat.masks],
        vectors: flat.vectors.clone(),
        set,
        args,
        share: (begin, end),
    };
    let mut at = 0;
    while let Some(step) = flat.steps.get(at) {
        match machine.step::<L>(step) {
            Ok(Flow::On) => at += 1,
            Ok(Flow::Goto(to)) => at = to,
            Ok(Flow::Return(code)) => return Ok(code),
            Err(stop) => return Err(explain(stop, flat.statement(kernel, at), kernel, machine.bases)),
        }
    }
    Ok(0)
}

fn explain(stop: Stop, statement: String, kernel: &Kernel, bases: &[Buffer<'_>]) -> EvalError {
    let name = |base: u32| kernel.bases.get(base as usize).map_or_else(String::new, |b| b.name.clone());
    match stop {
        Stop::Bounds { base, offset, bytes } => {
            let size = bases.get(base as usize).map_or(0, |b| b.bytes().len());
            EvalError::OutOfBounds { statement, base: name(base), offset, bytes, size }
        }
        Stop::ReadOnly { base } => EvalError::ReadOnly { statement, base: name(base) },
        Stop::Unset => EvalError::Unset { statement },
        Stop::Undefined(detail) => EvalError::Undefined { statement, detail },
    }
}

impl Machine<'_, '_> {
    fn s(&self, slot: u32) -> i64 {
        self.scalars[slot as usize]
    }

    #[inline(always)]
    fn v(&self, slot: u32) -> Result<&Vector, Stop> {
        if self.set[slot as usize] { Ok(&self.vectors[slot as usize]) } else { Err(Stop::Unset) }
    }

    fn test(&self, test: &Test) -> bool {
        lanes::compare(test.cmp, self.s(test.a), self.s(test.b))
    }

    #[inline(always)]
    fn define(&mut self, slot: u32, value: Vector) {
        self.vectors[slot as usize] = value;
        self.set[slot as usize] = true;
    }

    #[inline(always)]
    fn map1<const L: usize>(&mut self, to: u32, a: u32, f: impl Fn(u32) -> u32) -> Result<(), Stop> {
        let (a, mut out) = (self.v(a)?, [0; 16]);
        for i in 0..L {
            out[i] = f(a[i]);
        }
        self.define(to, out);
        Ok(())
    }

    #[inline(always)]
    fn map2<const L: usize>(&mut self, to: u32, a: u32, b: u32, f: impl Fn(u32, u32) -> u32) -> Result<(), Stop> {
        let (a, b, mut out) = (self.v(a)?, self.v(b)?, [0; 16]);
        for i in 0..L {
            out[i] = f(a[i], b[i]);
        }
        self.define(to, out);
        Ok(())
    }

    #[inline(always)]
    fn mask2<const L: usize>(&mut self, to: u32, a: u32, b: u32, f: impl Fn(u32, u32) -> bool) -> Result<(), Stop> {
        let (a, b, mut out) = (self.v(a)?, self.v(b)?, 0);
        for i in 0..L {
            out |= u32::from(f(a[i], b[i])) << i;
        }
        self.masks[to as usize] = out;
        Ok(())
    }

    fn range(&self, at: &At, ahead: i64, bytes: i64) -> Result<(u32, usize), Stop> {
        let (base, start) = self.pointers[at.pointer as usize];
        let offset = start.wrapping_add(at.disp).wrapping_add(ahead);
        let size = self.bases[base as usize].bytes().len() as i64;
        if offset < 0 || offset.checked_add(bytes).is_none_or(|end| end > size) {
            return Err(Stop::Bounds { base, offset, bytes });
        }
        Ok((base, offset as usize))
    }

    fn read(&self, at: &At, ahead: i64, bytes: usize) -> Result<u64, Stop> {
        let (base, offset) = self.range(at, ahead, bytes as i64)?;
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&self.bases[base as usize].bytes()[offset..offset + bytes]);
        Ok(u64::from_le_bytes(word))
    }

    fn count<const L: usize>(&self, first: Option<u32>) -> Result<usize, Stop> {
        let Some(slot) = first else { return Ok(L) };
        match self.s(slot) {
            count @ 0.. => Ok((count as usize).min(L)),
            count => Err(Stop::Undefined(format!("the first {count} lanes"))),
        }
    }

    fn load<const L: usize>(&mut self, to: u32, at: &At, first: Option<u32>, storage: Storage) -> Result<(), Stop> {
        let (count, width, mut out) = (self.count::<L>(first)?, storage.bytes() as usize, [0; 16]);
        if count > 0 {
            let (base, offset) = self.range(at, 0, (count * width) as i64)?;
            let bytes = &self.bases[base as usize].bytes()[offset..offset + count * width];
            for (lane, element) in out.iter_mut().zip(bytes.chunks_exact(width)) {
                let mut word = [0; 4];
                word[..width].copy_from_slice(element);
                *lane = lanes::widen(storage, u32::from_le_bytes(word));
            }
        }
        self.define(to, out);
        Ok(())
    }

    fn store<const L: usize>(&mut self, at: &At, value: u32, first: Option<u32>, storage: Storage) -> Result<(), Stop> {
        let (count, width, value) = (self.count::<L>(first)?, storage.bytes() as usize, *self.v(value)?);
        if count == 0 {
            return Ok(());
        }
        let (base, offset) = self.range(at, 0, (count * width) as i64)?;
        let Some(Buffer::Write(bytes)) = self.bases.get_mut(base as usize) else {
            return Err(Stop::ReadOnly { base });
        };
        for (element, lane) in bytes[offset..offset + count * width].chunks_exact_mut(width).zip(value) {
            element.copy_from_slice(&lanes::narrow(storage, lane).to_le_bytes()[..width]);
        }
        Ok(())
    }

    fn gather<const L: usize>(&mut self, to: u32, at: &At, index: u32, first: Option<u32>) -> Result<(), Stop> {
        let (count, index, mut out) = (self.count::<L>(first)?, *self.v(index)?, [0; 16]);
        for (lane, index) in out.iter_mut().zip(index).take(count) {
            *lane = self.read(at, i64::from(index as i32) * 4, 4)? as u32;
        }
        self.define(to, out);
        Ok(())
    }

    fn reduce<const L: usize>(&mut self, kind: ReduceKind, to: u32, a: u32) -> Result<(), Stop> {
        let mut values = self.v(a)?.map(f32::from_bits);
        let mut half = L / 2;
        while half > 0 {
            for i in 0..half {
                let (a, b) = (values[i], values[i + half]);
                values[i] = match kind {
                    ReduceKind::Add => a + b,
                    ReduceKind::Max if a > b => a,
                    ReduceKind::Min if a < b => a,
                    ReduceKind::Max | ReduceKind::Min => b,
                };
            }
            half /= 2;
        }
        self.define(to, [values[0].to_bits(); 16]);
        Ok(())
    }

    fn slide<const L: usize>(&mut self, to: u32, a: u32, b: u32, n: u32) -> Result<(), Stop> {
        let (a, b, n, mut out) = (self.v(a)?, self.v(b)?, n as usize, [0; 16]);
        for (i, lane) in out.iter_mut().enumerate().take(L) {
            *lane = if i + n < L { a[i + n] } else { b[i + n - L] };
        }
        self.define(to, out);
        Ok(())
    }

    fn transpose<const L: usize>(&mut self, first: u32) -> Result<(), Stop> {
        for row in 0..L as u32 {
            self.v(first + row)?;
        }
        let rows = &mut self.vectors[first as usize..first as usize + L];
        let before = rows.to_vec();
        for (at, row) in rows.iter_mut().enumerate() {
            for (lane, column) in row.iter_mut().zip(&before) {
                *lane = column[at];
            }
        }
        Ok(())
    }

    fn arith(op: Arith, a: i64, b: i64) -> i64 {
        match op {
            Arith::Add => a.wrapping_add(b),
            Arith::Sub => a.wrapping_sub(b),
            Arith::Mul => a.wrapping_mul(b),
            Arith::Min => a.min(b),
            Arith::Max => a.max(b),
        }
    }

    fn scalar(&mut self, step: &Step) -> Result<Flow, Stop> {
        let dividend = |a: i64| {
            if a >= 0 { Ok(a) } else { Err(Stop::Undefined(format!("the dividend is {a}"))) }
        };
        let (to, value) = match step {
            Step::Number(to, value) => (to, *value),
            Step::Arg(to, at) => (to, self.args[*at as usize]),
            Step::Begin(to) => (to, self.share.0),
            Step::End(to) => (to, self.share.1),
            Step::ScalarCopy(to, a) => (to, self.s(*a)),
            Step::Scalar(op, to, a, b) => (to, Self::arith(*op, self.s(*a), self.s(*b))),
            Step::ScalarConst(op, to, a, value) => (to, Self::arith(*op, self.s(*a), *value)),
            Step::Div(to, a, divisor) => (to, dividend(self.s(*a))? / divisor),
            Step::Rem(to, a, divisor) => (to, dividend(self.s(*a))? % divisor),
            Step::ScalarSelect(to, test, a, b) => (to, if self.test(test) { self.s(*a) } else { self.s(*b) }),
            Step::ScalarLoad(to, at, 4) => (to, i64::from(self.read(at, 0, 4)? as i32)),
            Step::ScalarLoad(to, at, _) => (to, self.read(at, 0, 8)? as i64),
            Step::Pointer(to, from, offset) => {
                let (base, start) = self.pointers[*from as usize];
                self.pointers[*to as usize] = (base, start.wrapping_add(self.s(*offset)));
                return Ok(Flow::On);
            }
            Step::Enter(var, begin, end, bound, exit) => {
                let (begin, end) = (self.s(*begin), self.s(*end));
                self.scalars[*var as usize] = begin;
                self.scalars[*bound as usize] = end;
                return Ok(if begin < end { Flow::On } else { Flow::Goto(*exit) });
            }
            Step::Next(var, bound, by, body) => {
                let Some(next) = self.s(*var).checked_add(*by) else {
                    return Err(Stop::Undefined("the loop variable overflows".into()));
                };
                self.scalars[*var as usize] = next;
                return Ok(if next < self.s(*bound) { Flow::Goto(*body) } else { Flow::On });
            }
            Step::JumpUnless(test, to) => return Ok(if self.test(test) { Flow::On } else { Flow::Goto(*to) }),
            Step::Jump(to) => return Ok(Flow::Goto(*to)),
            Step::Check(test, code) => return Ok(if self.test(test) { Flow::On } else { Flow::Return(*code) }),
            _ => return Ok(Flow::On),
        };
        self.scalars[*to as usize] = value;
        Ok(Flow::On)
    }

    fn step<const L: usize>(&mut self, step: &Step) -> Result<Flow, Stop> {
        let f = f32::from_bits;
        match *step {
            Step::Load(to, ref at, first, storage) => self.load::<L>(to, at, first, storage)?,
            Step::SplatLoad(to, ref at, storage) => {
                let word = self.read(at, 0, storage.bytes() as usize)? as u32;
                self.define(to, [lanes::widen(storage, word); 16]);
            }
            Step::Gather(to, ref at, index, first) => self.gather::<L>(to, at, index, first)?,
            Step::SplatScalar(to, s) => self.define(to, [self.s(s) as u32; 16]),
            Step::Iota(to) => self.define(to, std::array::from_fn(|i| i as u32)),
            Step::Copy(to, a) => self.define(to, *self.v(a)?),
            Step::Float(op, to, a, b) => self.map2::<L>(to, a, b, |a, b| lanes::float(op, f(a), f(b)).to_bits())?,
            Step::Fma(to, a, b, c) => {
                let (a, b, c, mut out) = (self.v(a)?, self.v(b)?, self.v(c)?, [0; 16]);
                for i in 0..L {
                    out[i] = f(a[i]).mul_add(f(b[i]), f(c[i])).to_bits();
                }
                self.define(to, out);
            }
            Step::Dot(to, a, b, c) => {
                let (a, b, c, mut out) = (self.v(a)?, self.v(b)?, self.v(c)?, [0; 16]);
                for i in 0..L {
                    out[i] = lanes::dot(a[i], b[i], c[i]);
                }
                self.define(to, out);
            }
            Step::Unary(op, to, a) => self.map1::<L>(to, a, |a| lanes::unary(op, f(a)).to_bits())?,
            Step::Scale(to, a, n) => self.map2::<L>(to, a, n, |a, n| lanes::scale(f(a), n as i32).to_bits())?,
            Step::Int(op, to, a, b) => self.map2::<L>(to, a, b, |a, b| lanes::int(op, a as i32, b as i32) as u32)?,
            Step::ToInt(to, a) => self.map1::<L>(to, a, |a| lanes::to_int(f(a)) as u32)?,
            Step::ToFloat(to, a) => self.map1::<L>(to, a, |a| (a as i32 as f32).to_bits())?,
            Step::Select(to, m, a, b) => {
                let (mask, a, b) = (self.masks[m as usize], *self.v(a)?, *self.v(b)?);
                self.define(to, std::array::from_fn(|i| if mask >> i & 1 == 1 { a[i] } else { b[i] }));
            }
            Step::Slide(to, a, b, n) => self.slide::<L>(to, a, b, n)?,
            Step::Permute(to, a, ref pattern) => {
                let a = *self.v(a)?;
                self.define(to, pattern.map(|p| a[p as usize & 15]));
            }
            Step::Reduce(kind, to, a) => self.reduce::<L>(kind, to, a)?,
            Step::CmpFloat(cmp, to, a, b) => self.mask2::<L>(to, a, b, |a, b| lanes::compare(cmp, f(a), f(b)))?,
            Step::CmpInt(cmp, to, a, b) => self.mask2::<L>(to, a, b, |a, b| lanes::compare(cmp, a as i32, b as i32))?,
            Step::MaskAnd(to, a, b) => self.masks[to as usize] = self.masks[a as usize] & self.masks[b as usize],
            Step::MaskOr(to, a, b) => self.masks[to as usize] = self.masks[a as usize] | self.masks[b as usize],
            Step::MaskNot(to, a) => self.masks[to as usize] = !self.masks[a as usize],
            Step::Unset(first, count) => self.set[first as usize..(first + count) as usize].fill(false),
            Step::Store(ref at, value, first, storage) => self.store::<L>(at, value, first, storage)?,
            Step::Transpose(first) => self.transpose::<L>(first)?,
            ref other => return self.scalar(other),
        }
        Ok(Flow::On)
    }
}
