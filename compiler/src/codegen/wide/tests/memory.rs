//! Loads, stores and gathers: formats, counts, and the bytes that must not be touched.

use super::*;
use crate::tile::*;

const STORAGES: [Storage; 7] =
    [Storage::B32, Storage::F16, Storage::Bf16, Storage::U8, Storage::I8, Storage::U16, Storage::I16];

fn is_float(storage: Storage) -> bool {
    matches!(storage, Storage::B32 | Storage::F16 | Storage::Bf16)
}

/// How a count reaches a kernel.
#[derive(Clone, Copy)]
enum Count {
    All,
    Constant(i64),
    Argument,
}

fn count(k: &mut Builder, count: Count) -> Option<ScalarId> {
    match count {
        Count::All => None,
        Count::Constant(n) => Some(k.num(n)),
        Count::Argument => Some(k.arg("n")),
    }
}

/// `y[0..n] = x[0..n]`, both in this format; then the whole vector as words, and an element splat.
fn copy(target: Target, storage: Storage, n: Count) -> Kernel {
    let mut k = Builder::new("copy", target);
    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
    let first = count(&mut k, n);
    let mem = Mem { pointer: x, disp: 0.into() };
    let v = k.vector(VectorOp::Load { mem: mem.clone(), first, storage });
    k.store_as(y, 0, v.clone(), first, storage);
    k.store(y, 64, v);
    let splat = k.vector(VectorOp::SplatLoad { mem, storage });
    k.store(y, 128, splat);
    k.finish()
}

#[test]
fn formats_and_counts_agree() {
    let (mut cases, mut expected) = (0, 0);
    for (level, target) in levels() {
        let lanes = i64::from(target.lanes);
        for storage in STORAGES {
            let compare = if is_float(storage) { Compare::Floats } else { Compare::Bits };
            for seed in 0..4 {
                let input = words(seed, 16);
                agree(&copy(target, storage, Count::All), level, &[&input], 192, &[], 1, compare);
                let by_argument = copy(target, storage, Count::Argument);
                for n in 0..=lanes + 2 {
                    agree(&by_argument, level, &[&input], 192, &[n], 1, compare);
                    agree(&copy(target, storage, Count::Constant(n)), level, &[&input], 192, &[], 1, compare);
                    cases += 2;
                }
            }
        }
        expected += 7 * 4 * 2 * (target.lanes as usize + 3);
    }
    assert_eq!(cases, expected);
}

#[test]
fn narrowing_stores_agree() {
    let mut cases = 0;
    for (level, target) in levels() {
        let lanes = i64::from(target.lanes);
        for storage in STORAGES {
            let mut k = Builder::new("narrow", target);
            let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
            let (begin, end) = (k.begin(), k.end());
            k.for_(begin, end, 1, |k, i| {
                let (from, to) = (k.mul_const(i, lanes * 4), k.mul_const(i, lanes * i64::from(storage.bytes())));
                let (from, to) = (k.pointer(x, from), k.pointer(y, to));
                let v = k.load(from, 0);
                k.store_as(to, 0, v, None, storage);
            });
            let size = 64 * lanes as usize * storage.bytes() as usize;
            agree(&k.finish(), level, &[&words(8, 64 * lanes as usize)], size, &[], 64, Compare::Bits);
            cases += 1;
        }
    }
    assert_eq!(cases, 7 * levels().len());
}

/// A readable and writable page with forbidden pages on both sides.
struct Page(*mut u8);

const PAGE: usize = 4096;

impl Page {
    fn new() -> Self {
        // SAFETY: a fresh mapping of three pages; the middle one is opened.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), 3 * PAGE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let middle = start.cast::<u8>().add(PAGE);
            assert_eq!(libc::mprotect(middle.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE), 0);
            middle.write_bytes(0x5a, PAGE);
            Page(middle)
        }
    }
    /// The address this many bytes before the end.
    fn before_end(&self, bytes: usize) -> *mut u8 {
        assert!(bytes <= PAGE);
        // SAFETY: inside the page or one past it.
        unsafe { self.0.add(PAGE - bytes) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`.
        unsafe { libc::munmap(self.0.sub(PAGE).cast(), 3 * PAGE) };
    }
}

#[test]
fn nothing_beyond_the_first_lanes_is_touched() {
    let mut cases = 0;
    let (input, output) = (Page::new(), Page::new());
    for (level, target) in levels() {
        for storage in STORAGES {
            for n in 0..target.lanes as usize {
                for by in [Count::Argument, Count::Constant(n as i64)] {
                    let mut k = Builder::new("edge", target);
                    let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
                    let first = count(&mut k, by);
                    let v = k.vector(VectorOp::Load { mem: Mem { pointer: x, disp: 0.into() }, first, storage });
                    k.store_as(y, 0, v, first, storage);
                    let kernel = k.finish();
                    let bytes = n * storage.bytes() as usize;
                    let bases = [input.before_end(bytes), output.before_end(bytes)];
                    // SAFETY: `bytes` bytes may be read and written; any more would fault, which is the test.
                    assert_eq!(unsafe { call(&kernel, level, &bases, &[n as i64], 1) }, 0);
                    cases += 1;
                }
            }
        }
    }
    let lanes: usize = levels().iter().map(|(_, target)| target.lanes as usize).sum();
    assert_eq!(cases, 7 * 2 * lanes);
}

#[test]
fn gathers_touch_only_their_lanes() {
    let (mut cases, mut expected) = (0, 0);
    for (level, target) in levels() {
        let lanes = target.lanes as usize;
        let table = words(5, 100);
        for n in 0..=lanes + 1 {
            for whole in [false, true] {
                let mut k = Builder::new("gather", target);
                let (x, at, y) = (k.base("x", Access::Read), k.base("at", Access::Read), k.base("y", Access::Write));
                let count = k.arg("n");
                let index = k.load(at, 0);
                let mem = Mem { pointer: x, disp: 200.into() };
                let first = (!whole).then_some(count);
                let v = k.vector(VectorOp::Gather { mem, index: index.clone(), first });
                k.store(y, 0, v);
                k.store(y, 64, index);
                let mut numbers = Numbers(n as u64);
                // Lanes that are not selected point far outside.
                let index: Vec<u8> = (0..lanes)
                    .map(|lane| if whole || lane < n { numbers.below(100) as i32 - 50 } else { i32::MAX - 7 })
                    .flat_map(i32::to_le_bytes)
                    .collect();
                agree(&k.finish(), level, &[&table, &index], 128, &[n as i64], 1, Compare::Bits);
                cases += 1;
            }
        }
        expected += 2 * (lanes + 2);
    }
    assert_eq!(cases, expected);
}

#[test]
fn a_mask_is_made_once_for_many_lanes_counts() {
    for (level, target) in levels() {
        let bytes = i64::from(target.lanes) * 4;
        let mut k = Builder::new("rows", target);
        let (x, y, n) = (k.base("x", Access::Read), k.base("y", Access::Write), k.arg("n"));
        k.unroll(6, |k, i| {
            let v = k.load_first(x, i * bytes, n);
            k.store_first(y, i * bytes, v, n);
        });
        let kernel = k.finish();
        let listing = listing(&kernel, level);
        let made = listing.matches(if target.lanes == 16 { "kmovw" } else { "neg" }).count();
        assert_eq!(made, 1, "{listing}");
        let size = 6 * target.lanes as usize;
        agree(&kernel, level, &[&words(1, size)], size * 4, &[3], 1, Compare::Bits);
    }
}

#[test]
fn displacements_of_any_size_agree() {
    for (level, target) in levels() {
        let mut k = Builder::new("far", target);
        let (x, y) = (k.base("x", Access::Read), k.base("y", Access::Write));
        let offset = k.arg("offset");
        let p = k.pointer(x, offset);
        let back = k.pointer(p, offset);
        let v = k.load(back, 2 * (1i64 << 40));
        k.store(y, 0, v);
        let size = target.lanes as usize;
        agree(&k.finish(), level, &[&words(1, size)], size * 4, &[-(1i64 << 40)], 1, Compare::Bits);
    }
}
