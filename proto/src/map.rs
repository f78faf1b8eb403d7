//! Files as bytes: mapped when large, read when small.
#![allow(unsafe_code)]

use crate::error::ProtoError;
use bytes::Bytes;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Files below this size are read: a page table entry per file costs more, and the number of maps is limited.
const MAP_FROM: u64 = 64 * 1024;

/// The content of a regular file. Anything else (directory, pipe, device) is an error, and is not opened. A large file stays
/// mapped as long as any part of its bytes is in use.
pub fn file_bytes(path: &Path) -> Result<Bytes, ProtoError> {
    let io = |source| ProtoError::Io { path: path.to_path_buf(), source };
    let not_a_file = || ProtoError::NotAFile { path: path.to_path_buf() };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(not_a_file());
    }
    let mut file = File::open(path).map_err(io)?;
    // Asked again of the open file: the path may name another one by now.
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(not_a_file());
    }
    if metadata.len() < MAP_FROM {
        let mut bytes = Vec::new();
        (&mut file).take(MAP_FROM).read_to_end(&mut bytes).map_err(io)?;
        return Ok(Bytes::from(bytes));
    }
    // SAFETY: the map is private and read-only, and nothing here keeps a typed reference whose validity depends on the
    // bytes. A file that another process shortens while it is mapped faults on access, as with every program that maps its
    // input; sizes are checked against the open file.
    let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }.map_err(io)?;
    Ok(Bytes::from_owner(map))
}
