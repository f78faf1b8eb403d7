//! Named arrays in `.npz` archives.

use crate::npy::{ArrayError, Wrong, read_array, text_bytes, write_array, write_texts};
use brolga_runtime::{Tensor, Value};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// More arrays than any model has inputs.
const MAX_ARRAYS: usize = 1 << 16;
/// Deflate cannot make more than this many bytes out of one.
const MAX_RATIO: u64 = 1032;

impl From<ZipError> for Wrong {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => error.into(),
            error => Wrong::Format(format!("not an .npz archive: {error}")),
        }
    }
}

/// Reads the arrays of an archive in their order, all of them of numbers.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>, ArrayError> {
    let tensor = |(name, value): (String, Value)| match value {
        Value::Tensor(tensor) => Ok((name, tensor)),
        _ => Err(Wrong::Format(format!("array `{name}`: texts; accepted are numbers and booleans")).at(path)),
    };
    read_npz_values(path)?.into_iter().map(tensor).collect()
}

/// Reads the arrays of an archive in their order, tensors of numbers or of texts.
pub fn read_npz_values(path: &Path) -> Result<Vec<(String, Value)>, ArrayError> {
    read(path).map_err(|wrong| wrong.at(path))
}

fn read(path: &Path) -> Result<Vec<(String, Value)>, Wrong> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    if archive.len() > MAX_ARRAYS {
        return Err(Wrong::Format(format!("{} arrays; at most {MAX_ARRAYS} are read", archive.len())));
    }
    let mut arrays = Vec::new();
    let mut names = HashSet::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let file = entry.name()?.into_owned();
        let name = file.strip_suffix(".npy").unwrap_or(&file).to_string();
        let within = |wrong: Wrong| match wrong {
            Wrong::Format(detail) => Wrong::Format(format!("array `{name}`: {detail}")),
            wrong => wrong,
        };
        if !names.insert(name.clone()) {
            return Err(within(Wrong::Format("is there twice".into())));
        }
        if entry.size() > entry.compressed_size().saturating_mul(MAX_RATIO).saturating_add(1 << 10) {
            return Err(within(Wrong::Format("says that it is larger than its bytes can be".into())));
        }
        let bytes = entry.size();
        let array = read_array(&mut entry, bytes).map_err(within)?;
        // Reading to the end makes the archive's checksum count.
        let rest = std::io::copy(&mut entry, &mut std::io::sink()).map_err(|error| within(error.into()))?;
        if rest > 0 {
            return Err(within(Wrong::Format(format!("{rest} bytes are left over"))));
        }
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Writes tensors of numbers and of texts, stored, in this order; the same arrays give the same bytes.
pub fn write_npz(path: &Path, arrays: &[(String, Value)]) -> Result<(), ArrayError> {
    let write = || -> Result<(), Wrong> {
        let mut archive = ZipWriter::new(BufWriter::new(File::create(path)?));
        for (name, array) in arrays {
            let bytes = match array {
                Value::Tensor(tensor) => tensor.bytes().len(),
                Value::Strings(texts) => text_bytes(texts).saturating_mul(texts.elements().len()),
                _ => return Err(Wrong::Format(format!("`{name}` is no array"))),
            };
            // Sizes of four bytes end at 4 GiB.
            let large = bytes as u64 > (u64::from(u32::MAX) - (1 << 17)) / 2;
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
            archive.start_file(format!("{name}.npy"), options.last_modified_time(zip::DateTime::default()))?;
            match array {
                Value::Tensor(tensor) => write_array(&mut archive, tensor)?,
                Value::Strings(texts) => write_texts(&mut archive, texts)?,
                _ => {}
            }
        }
        Ok(archive.finish()?.flush()?)
    };
    write().map_err(|wrong| wrong.at(path))
}
