//! Memory that kernels read and write: zeroed aligned blocks, with large pages where it pays, and bytes with other owners.
#![allow(unsafe_code)]

use crate::ByteOwner;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::File;
use std::path::Path;
use std::ptr::NonNull;

/// Size of a large page, and from how many bytes on a block asks for them.
const LARGE_PAGE: usize = 2 << 20;
/// Alignment of every block.
const LINE: usize = 64;

/// The memory cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine cannot give {0} bytes of memory")]
pub struct OutOfMemory(
    /// Bytes asked for.
    pub u64,
);

/// Zeroed bytes on a 64-byte boundary; blocks of 2 MB and more begin on a page of that size and ask for large pages.
pub struct Block {
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    Nothing,
    Heap(Layout),
    #[cfg(unix)]
    Map {
        start: NonNull<u8>,
        len: usize,
    },
}

// SAFETY: a block owns its memory alone; shared references only read it.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Result<Self, OutOfMemory> {
        if len == 0 {
            let start = NonNull::<Aligned>::dangling().cast();
            return Ok(Block { start, len, origin: Origin::Nothing });
        }
        #[cfg(unix)]
        if len >= LARGE_PAGE {
            return Self::mapped(len);
        }
        let out = OutOfMemory(len as u64);
        let layout = Layout::from_size_align(len, LINE).map_err(|_| out)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(out)?;
        Ok(Block { start, len, origin: Origin::Heap(layout) })
    }

    /// Fresh pages of the system: zero without being touched.
    #[cfg(unix)]
    fn mapped(len: usize) -> Result<Self, OutOfMemory> {
        let out = OutOfMemory(len as u64);
        let whole = len.checked_add(LARGE_PAGE).filter(|n| isize::try_from(*n).is_ok()).ok_or(out)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the system's choice touches no other memory.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), whole, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(out);
        }
        let origin = NonNull::new(address.cast::<u8>()).ok_or(out)?;
        let skip = origin.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        // SAFETY: the mapping is larger than `len` by as much as `skip` can be.
        let start = unsafe { origin.add(skip) };
        #[cfg(target_os = "linux")]
        // SAFETY: the range is inside the mapping; a refused advice changes nothing.
        unsafe {
            libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE);
        }
        Ok(Block { start, len, origin: Origin::Map { start: origin, len: whole } })
    }

    /// A block with these bytes.
    pub fn copy_of(bytes: &[u8]) -> Result<Self, OutOfMemory> {
        let mut block = Self::zeroed(bytes.len())?;
        block.copy_from_slice(bytes);
        Ok(block)
    }

    /// First byte, for those who share the block among threads under a discipline of their own.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

#[repr(align(64))]
struct Aligned;

impl Drop for Block {
    fn drop(&mut self) {
        match self.origin {
            Origin::Nothing => {}
            // SAFETY: `start` came from `alloc_zeroed` with this layout.
            Origin::Heap(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            #[cfg(unix)]
            // SAFETY: `start` and `len` are those of the mapping made in `mapped`.
            Origin::Map { start, len } => unsafe {
                libc::munmap(start.as_ptr().cast(), len);
            },
        }
    }
}

impl std::ops::Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` begins `len` initialised bytes that live as long as the block.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl std::ops::DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl ByteOwner for Block {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block of {} bytes", self.len)
    }
}

/// A file mapped read-only.
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path`. The file must not be changed or truncated while the map lives.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the caller keeps the file as it is, as the documentation asks.
        Ok(MappedFile(unsafe { memmap2::Mmap::map(&file)? }))
    }
}

impl ByteOwner for MappedFile {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that are part of the executable.
pub struct StaticBytes(
    /// The bytes.
    pub &'static [u8],
);

impl ByteOwner for StaticBytes {
    fn bytes(&self) -> &[u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zero_aligned_and_writable() {
        for len in [0, 1, 63, 64, 4096, LARGE_PAGE - 1, LARGE_PAGE, 3 * LARGE_PAGE + 5] {
            let mut block = Block::zeroed(len).unwrap();
            assert_eq!(block.len(), len);
            let alignment = if len >= LARGE_PAGE { LARGE_PAGE } else { LINE };
            assert!(block.as_ptr().addr().is_multiple_of(alignment), "{len}");
            assert!(block.iter().all(|b| *b == 0), "{len}");
            block.fill(7);
            assert!(block.bytes().iter().all(|b| *b == 7), "{len}");
        }
    }

    #[test]
    fn too_much_memory_is_an_error() {
        assert_eq!(Block::zeroed(usize::MAX).err(), Some(OutOfMemory(u64::MAX)));
        assert!(Block::zeroed(isize::MAX as usize - 4096).is_err());
    }
}
