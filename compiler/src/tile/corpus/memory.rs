//! Loads and stores in every storage format, whole and for the first n lanes; gathers.

use super::values::{self, Rng};
use super::{Case, Target};
use crate::tile::*;

const STORAGES: [Storage; 7] =
    [Storage::B32, Storage::F16, Storage::Bf16, Storage::U8, Storage::I8, Storage::U16, Storage::I16];

fn is_float(storage: Storage) -> bool {
    matches!(storage, Storage::F16 | Storage::Bf16)
}

/// Cases for a target.
pub fn cases(target: Target) -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in STORAGES {
        cases.push(load(target, storage));
        cases.push(splat(target, storage));
        cases.push(store(target, storage));
        for count in 0..=target.lanes + 2 {
            cases.push(load_first(target, storage, count));
            cases.push(store_first(target, storage, count));
        }
    }
    cases.push(gather(target, None));
    for count in 0..=target.lanes + 1 {
        cases.push(gather(target, Some(count)));
    }
    cases.push(scalar_loads(target));
    cases
}

/// Bytes for a storage format: for 16-bit formats every bit pattern.
fn elements(rng: &mut Rng, storage: Storage) -> Vec<u8> {
    match storage.bytes() {
        1 => (0..=255u8).collect(),
        2 => (0..=u16::MAX).flat_map(u16::to_le_bytes).collect(),
        _ => values::ints(rng, 64).iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

fn load(target: Target, storage: Storage) -> Case {
    let lanes = i64::from(target.lanes);
    let width = i64::from(storage.bytes());
    let mut k = Builder::new(format!("load-{storage:?}"), target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, i| {
        let (from, to) = (k.mul_const(i, lanes * width), k.mul_const(i, lanes * 4));
        let (from, to) = (k.pointer(x, from), k.pointer(y, to));
        let mem = Mem { pointer: from, disp: Index::Const(0) };
        let value = k.vector(VectorOp::Load { mem, first: None, storage });
        k.store(to, 0, value);
    });
    let bytes = elements(&mut Rng::new(3), storage);
    let count = bytes.len() as i64 / width / lanes;
    let output = vec![0xa5; (count * lanes * 4) as usize];
    Case { kernel: k.finish(), buffers: vec![bytes, output], args: vec![], share: (0, count), floats: false }
}

fn splat(target: Target, storage: Storage) -> Case {
    let (lanes, width) = (target.lanes, i64::from(storage.bytes()));
    let mut k = Builder::new(format!("splat-{storage:?}"), target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    k.unroll(8, |k, u| {
        let mem = Mem { pointer: x, disp: u * width };
        let value = k.vector(VectorOp::SplatLoad { mem, storage });
        k.store(y, u * i64::from(lanes * 4), value);
    });
    let bytes = match storage.bytes() {
        2 => [0u16, 1, 0x3c00, 0x7bff, 0x7c00, 0x8001, 0xfc00, 0x7d01].iter().flat_map(|x| x.to_le_bytes()).collect(),
        1 => vec![0, 1, 127, 128, 129, 200, 254, 255],
        _ => values::ints(&mut Rng::new(4), 8)[14..22].iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let output = vec![0xa5; lanes as usize * 32];
    Case { kernel: k.finish(), buffers: vec![bytes, output], args: vec![], share: (0, 0), floats: false }
}

fn lane_values(storage: Storage, count: usize) -> Vec<u8> {
    let mut rng = Rng::new(5);
    let words = if is_float(storage) { values::floats(&mut rng, count) } else { values::ints(&mut rng, count) };
    // Around every border of rounding to half precision, too.
    let borders = (0..64u32).map(|at| 0x3f80_0000 + at * 0x0400 - if at % 3 == 0 { 1 } else { 0 });
    let words: Vec<u32> = words.into_iter().chain(borders).collect();
    words.iter().cycle().take(words.len().next_multiple_of(16)).flat_map(|word| word.to_le_bytes()).collect()
}

fn store(target: Target, storage: Storage) -> Case {
    let lanes = i64::from(target.lanes);
    let width = i64::from(storage.bytes());
    let mut k = Builder::new(format!("store-{storage:?}"), target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let (begin, end) = (k.begin(), k.end());
    k.for_(begin, end, 1, |k, i| {
        let (from, to) = (k.mul_const(i, lanes * 4), k.mul_const(i, lanes * width));
        let (from, to) = (k.pointer(x, from), k.pointer(y, to));
        let value = k.load(from, 0);
        k.store_as(to, 0, value, None, storage);
    });
    let bytes = lane_values(storage, 400);
    let count = bytes.len() as i64 / 4 / lanes;
    let output = vec![0xa5; (count * lanes * width) as usize];
    Case { kernel: k.finish(), buffers: vec![bytes, output], args: vec![], share: (0, count), floats: false }
}

/// Exactly `count` elements: one byte more would leave the buffer.
fn load_first(target: Target, storage: Storage, count: u32) -> Case {
    let present = count.min(target.lanes) as usize * storage.bytes() as usize;
    let mut k = Builder::new(format!("load_first-{storage:?}-{count}"), target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let count = k.num(count.into());
    let mem = Mem { pointer: x, disp: Index::Const(0) };
    let value = k.vector(VectorOp::Load { mem, first: Some(count), storage });
    k.store(y, 0, value);
    let all = elements(&mut Rng::new(6), storage);
    let bytes = all[all.len() / 5..][..present].to_vec();
    let output = vec![0xa5; target.lanes as usize * 4];
    Case { kernel: k.finish(), buffers: vec![bytes, output], args: vec![], share: (0, 0), floats: false }
}

fn store_first(target: Target, storage: Storage, count: u32) -> Case {
    let present = count.min(target.lanes) as usize * storage.bytes() as usize;
    let mut k = Builder::new(format!("store_first-{storage:?}-{count}"), target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let n = k.arg("n");
    let value = k.load(x, 64);
    k.store_as(y, 0, value, Some(n), storage);
    let bytes = lane_values(storage, 64)[..128].to_vec();
    let buffers = vec![bytes, vec![0xa5; present]];
    Case { kernel: k.finish(), buffers, args: vec![count.into()], share: (0, 0), floats: false }
}

fn gather(target: Target, first: Option<u32>) -> Case {
    let mut k = Builder::new(format!("gather-{first:?}"), target);
    let (x, at, y) = (k.base("x", Access::Read), k.base("at", Access::Read), k.base("y", Access::Write));
    let middle = k.num(40);
    let middle = k.pointer(x, middle);
    let index = k.load(at, 0);
    let first_count = first.map(|count| k.num(count.into()));
    let mem = Mem { pointer: middle, disp: Index::Const(8) };
    let value = k.vector(VectorOp::Gather { mem, index, first: first_count });
    k.store(y, 0, value);
    let mut rng = Rng::new(7);
    let data: Vec<u8> = values::ints(&mut rng, 64).iter().flat_map(|x| x.to_le_bytes()).collect();
    // Lanes that are not loaded point far outside.
    let used = first.unwrap_or(target.lanes);
    let index = |lane: u32| if lane < used { rng.below(64) as i32 - 12 } else { i32::MAX };
    let index: Vec<u8> = (0..target.lanes).map(index).flat_map(i32::to_le_bytes).collect();
    let buffers = vec![data, index, vec![0xa5; target.lanes as usize * 4]];
    Case { kernel: k.finish(), buffers, args: vec![], share: (0, 0), floats: false }
}

fn scalar_loads(target: Target) -> Case {
    let mut k = Builder::new("scalar_loads", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let at = |disp: i64| Mem { pointer: x, disp: Index::Const(disp) };
    let wide = k.scalar(ScalarOp::LoadI64(at(0)));
    let narrow = k.scalar(ScalarOp::LoadI32(at(8)));
    let bytes = i64::from(target.lanes) * 4;
    let to = k.mul_const(wide, bytes);
    let to = k.pointer(y, to);
    let value = k.vector(VectorOp::SplatScalar(narrow));
    k.store(to, 0, value);
    let back = k.mul_const(narrow, -bytes);
    let back = k.pointer(y, back);
    let value = k.vector(VectorOp::SplatScalar(wide));
    k.store(back, 0, value);
    let input: Vec<u8> = 2i64.to_le_bytes().into_iter().chain((-1i32).to_le_bytes()).collect();
    let buffers = vec![input, vec![0xa5; bytes as usize * 3]];
    Case { kernel: k.finish(), buffers, args: vec![], share: (0, 0), floats: false }
}
