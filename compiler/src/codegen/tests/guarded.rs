//! Buffers against pages that cannot be touched, so that an access one byte outside ends the test.

use std::ptr::null_mut;

const PAGE: usize = 4096;

/// The side of the buffer that lies against an unmapped page.
#[derive(Clone, Copy)]
pub enum Edge {
    /// Its first byte.
    Front,
    /// Its last byte.
    Back,
}

/// A copy of some bytes between guard pages.
pub struct Guarded {
    map: *mut u8,
    mapped: usize,
    start: usize,
    len: usize,
}

impl Guarded {
    pub fn new(bytes: &[u8], edge: Edge) -> Self {
        let room = bytes.len().max(1).next_multiple_of(PAGE);
        let mapped = room + 2 * PAGE;
        let (start, flags) = match edge {
            Edge::Front => (PAGE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
            Edge::Back => (PAGE + room - bytes.len(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        };
        // SAFETY: a fresh mapping, made accessible between its first and last page, then filled inside those.
        let map = unsafe {
            let map = libc::mmap(null_mut(), mapped, libc::PROT_NONE, flags, -1, 0).cast::<u8>();
            assert!(map.cast() != libc::MAP_FAILED);
            assert_eq!(libc::mprotect(map.add(PAGE).cast(), room, libc::PROT_READ | libc::PROT_WRITE), 0);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.add(start), bytes.len());
            map
        };
        Guarded { map, mapped, start, len: bytes.len() }
    }

    pub fn pointer(&mut self) -> *mut u8 {
        // SAFETY: `start` is inside the mapping.
        unsafe { self.map.add(self.start) }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` were made accessible and filled.
        unsafe { std::slice::from_raw_parts(self.map.add(self.start), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers to it any more.
        unsafe { libc::munmap(self.map.cast(), self.mapped) };
    }
}
