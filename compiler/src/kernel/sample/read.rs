//! Taps become samples: of planes by gathering, for many places of one channel at once; of channel blocks by loads of
//! whole vectors, for many channels of one place at once.

use crate::tile::{Builder, Cmp, Index, Lane, MaskOp, Mem, Operand, PointerRef, RegId, ScalarId, ScalarOp, VectorOp};

/// Channels that share taps, and where their samples go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channels {
    /// Channels, or channel blocks.
    pub count: usize,
    /// Bytes from one to the next: of the result and of the image.
    pub strides: [i64; 2],
    /// Of these, those that are a group of the result, and the number of taps of a window: the result's are ordered by group,
    /// tap, channel.
    pub group: (usize, usize),
    /// Samples of blocks: how, else of planes.
    pub blocks: Option<Blocks>,
}

/// How samples of channel blocks are made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blocks {
    /// Bytes from one place of the result to the next.
    pub pixel: i64,
    /// Tables that the lanes of one block are divided among.
    pub tables: usize,
    /// Blocks that are summed at once.
    pub unroll: usize,
}

/// A run of places to be read.
pub(super) struct Places {
    /// Result and image, at the first place and at the first channel of all.
    pub bases: [PointerRef; 2],
    /// Tables of the run's vectors, one after another.
    pub table: PointerRef,
    /// Bytes of a vector's table, and of all tables of a run.
    pub table_bytes: [i64; 2],
    /// Number of places.
    pub count: ScalarId,
    /// Taps of a sample.
    pub taps: usize,
    /// First of the channels (or blocks), and the tap of the window that this is.
    pub from: (ScalarId, ScalarId),
}

impl Channels {
    /// Writes the samples of a run of places.
    pub(super) fn read(&self, k: &mut Builder, run: &Places) {
        match &self.blocks {
            None => k.for_count(self.count as i64, |k, at| {
                let [y, x] = self.at(k, run, at);
                gathered(k, run, y, x);
            }),
            Some(blocks) => {
                let lanes = i64::from(k.lanes());
                let zero = k.num(0);
                k.for_(zero, run.count, lanes, |k, first| {
                    let (left, all) = (k.ssub(run.count, first), k.num(lanes));
                    let here = k.smin(left, all);
                    let vector = k.div_const(first, lanes);
                    let offset = k.mul_const(vector, run.table_bytes[0]);
                    let table = k.pointer(run.table, offset);
                    k.for_(zero, here, 1, |k, lane| {
                        let offset = k.mul_const(lane, 4);
                        let table = k.pointer(table, offset);
                        let place = k.sadd(first, lane);
                        let offset = k.mul_const(place, blocks.pixel);
                        let y = k.pointer(run.bases[0], offset);
                        let run = Places { bases: [y, run.bases[1]], table, ..*run };
                        self.all_blocks(k, &run, blocks);
                    });
                });
            }
        }
    }

    /// Result and image at a channel or block, counted from the first of the run.
    fn at(&self, k: &mut Builder, run: &Places, at: ScalarId) -> [PointerRef; 2] {
        let (first, tap) = run.from;
        let at = k.sadd(first, at);
        let (own, taps) = self.group;
        let mut row = at;
        if taps > 1 {
            let group = k.div_const(at, own as i64);
            let groups = k.mul_const(group, (own * (taps - 1)) as i64);
            let tap = k.mul_const(tap, own as i64);
            let moved = k.sadd(groups, tap);
            row = k.sadd(at, moved);
        }
        let (to, from) = (k.mul_const(row, self.strides[0]), k.mul_const(at, self.strides[1]));
        [k.pointer(run.bases[0], to), k.pointer(run.bases[1], from)]
    }

    /// One place's samples of all blocks.
    fn all_blocks(&self, k: &mut Builder, run: &Places, blocks: &Blocks) {
        // Blocks that follow each other in the result too.
        let joined = if self.group.1 > 1 { gcd(self.count, self.group.0) } else { self.count };
        k.for_count((self.count / joined) as i64, |k, part| {
            let part = k.mul_const(part, joined as i64);
            let (whole, rest) = (joined / blocks.unroll, joined % blocks.unroll);
            k.for_count(whole as i64, |k, step| {
                let step = k.mul_const(step, blocks.unroll as i64);
                let at = k.sadd(part, step);
                self.some_blocks(k, run, blocks, at, blocks.unroll);
            });
            if rest > 0 {
                let at = k.add_const(part, (whole * blocks.unroll) as i64);
                self.some_blocks(k, run, blocks, at, rest);
            }
        });
    }

    fn some_blocks(&self, k: &mut Builder, run: &Places, blocks: &Blocks, at: ScalarId, count: usize) {
        let [y, x] = self.at(k, run, at);
        let vector = 4 * i64::from(k.lanes());
        let sums = k.reg(Lane::F32, &[blocks.tables as u32, count as u32]);
        let zero = k.float(0.0);
        for t in 0..blocks.tables {
            (0..count).for_each(|b| k.set(sums, &index(t, b), VectorOp::Copy(zero.clone())));
            for tap in 0..run.taps as i64 {
                let at = t as i64 * run.table_bytes[1] + 2 * tap * vector;
                self.tap(k, (x, run.table, at), sums, (t, count));
            }
        }
        for b in 0..count {
            let mut sample = k.get(sums, &index(0, b));
            for t in 1..blocks.tables {
                // The lanes of a later table are the upper ones.
                let first = (t * k.lanes() as usize / blocks.tables) as i32;
                let (lane, first) = (k.vector(VectorOp::Iota), k.int(first));
                let upper = k.mask(MaskOp::CmpInt(Cmp::Ge, lane, first));
                let later = k.get(sums, &index(t, b));
                sample = k.select(upper, later, sample);
            }
            k.store(y, b as i64 * self.strides[0], sample);
        }
    }

    /// Adds one tap to the sums of some blocks, unless it is outside.
    fn tap(
        &self,
        k: &mut Builder,
        (x, table, at): (PointerRef, PointerRef, i64),
        sums: RegId,
        (t, count): (usize, usize),
    ) {
        let mem = Mem { pointer: table, disp: Index::Const(at) };
        let offset = k.scalar(ScalarOp::LoadI32(mem));
        let zero = k.num(0);
        k.if_(
            Cmp::Ge,
            offset,
            zero,
            |k| {
                let x = k.pointer(x, offset);
                let weight = k.splat_load(table, at + 4 * i64::from(k.lanes()));
                for b in 0..count {
                    let v = k.load(x, b as i64 * self.strides[1]);
                    k.accumulate(sums, &index(t, b), v, weight.clone());
                }
            },
            |_| {},
        );
    }
}

fn index(t: usize, b: usize) -> [Index; 2] {
    [Index::Const(t as i64), Index::Const(b as i64)]
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The samples of one plane.
fn gathered(k: &mut Builder, run: &Places, y: PointerRef, x: PointerRef) {
    let lanes = i64::from(k.lanes());
    let begin = k.num(0);
    k.for_(begin, run.count, lanes, |k, first| {
        let vector = k.div_const(first, lanes);
        let offset = k.mul_const(vector, run.table_bytes[0]);
        let table = k.pointer(run.table, offset);
        let mut sum: Option<Operand> = None;
        for tap in 0..run.taps as i64 {
            let offset = k.load(table, 8 * lanes * tap);
            let offset = k.vector(VectorOp::Bitcast(Lane::I32, offset));
            let zero = k.int(0);
            let index = k.vector(VectorOp::Int(crate::tile::IntBin::Max, offset.clone(), zero.clone()));
            let v = k.vector(VectorOp::Gather { mem: Mem { pointer: x, disp: Index::Const(0) }, index, first: None });
            let weight = k.load(table, 8 * lanes * tap + 4 * lanes);
            let before = sum.unwrap_or_else(|| k.float(0.0));
            let after = k.mul_add(v, weight, before.clone());
            let inside = k.mask(MaskOp::CmpInt(Cmp::Ge, offset, zero));
            sum = Some(k.select(inside, after, before));
        }
        let Some(sum) = sum else { return };
        let left = k.ssub(run.count, first);
        let bytes = k.mul_const(first, 4);
        let y = k.pointer(y, bytes);
        k.store_first(y, 0, sum, left);
    });
}
