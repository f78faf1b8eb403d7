//! Executables that carry the compiler: a copy of a program, with a model and the files it refers to behind it.
//!
//! A model whose sizes only a run can tell cannot be one compiled program: its code is made while it runs. So its executable is the
//! `brolga` command itself, which looks for a model behind its own code before it does anything else. Weights are used where they
//! lie in the mapped file, as those of a model file are.

mod slot;
#[cfg(test)]
mod tests;

use super::AotError;
use crate::{Error, Level, Model, Options};
use brolga_compiler::ir::Bindings;
use brolga_proto::{Bytes, decode_with_files, file_bytes};
use serde::{Deserialize, Serialize};
use slot::Slot;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Every part begins on a page, so that no part shares one with another.
const PAGE: u64 = 4096;

/// Bytes of the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Part {
    offset: u64,
    len: u64,
}

impl Part {
    /// The bytes, where the file has them.
    fn of(self, file: &Bytes) -> Option<Bytes> {
        let (begin, len) = (usize::try_from(self.offset).ok()?, usize::try_from(self.len).ok()?);
        let end = begin.checked_add(len).filter(|end| *end <= file.len())?;
        Some(file.slice(begin..end))
    }
}

/// What is carried, and how it was asked to be compiled.
#[derive(Serialize, Deserialize)]
struct Contents {
    model: Part,
    /// By the location that tensors name.
    files: BTreeMap<String, Part>,
    dims: Bindings,
    level: Option<Level>,
    exact: bool,
}

/// A model that a program carries in its own file.
///
/// ```no_run
/// use brolga::Options;
/// use brolga::aot::Bundle;
/// # use std::path::Path;
/// // `brolga compile detector.onnx -o detector`, for which a program of one's own needs the command.
/// let engine = Path::new("/usr/local/bin/brolga");
/// Bundle::write(engine, Path::new("detector.onnx"), &Options::default(), Path::new("detector"))?;
/// # Ok::<(), brolga::aot::AotError>(())
/// ```
pub struct Bundle {
    model: Bytes,
    files: Vec<(String, Bytes)>,
    dims: Bindings,
    level: Option<Level>,
    exact: bool,
}

impl Bundle {
    /// The model that this program carries, if it carries one. It costs nothing when there is none. A program that begins by
    /// asking, as the command does, can be the `engine` of [`Bundle::write`].
    pub fn carried() -> Result<Option<Bundle>, AotError> {
        let slot = Slot::own();
        if slot.is_empty() {
            return Ok(None);
        }
        let path = own_path()?;
        // What runs, even where its path names another file by now.
        let running = Path::new("/proc/self/exe");
        let file = file_bytes(if running.exists() { running } else { &path })?;
        Bundle::read(&file, slot).map(Some).map_err(|detail| AotError::Damaged { path, detail })
    }

    /// An error is the reason, in words.
    fn read(file: &Bytes, slot: Slot) -> Result<Bundle, String> {
        let part = |part: Part| part.of(file).ok_or("its end is missing");
        let table = part(Part { offset: slot.offset, len: slot.len })?;
        if checksum(&table) != slot.checksum {
            return Err("the table of what it carries is not what was written".into());
        }
        let contents: Contents = serde_json::from_slice(&table).map_err(|error| error.to_string())?;
        let Contents { model, files, dims, level, exact } = contents;
        let files = files.into_iter().map(|(name, at)| Ok((name, part(at)?))).collect::<Result<_, &str>>()?;
        Ok(Bundle { model: part(model)?, files, dims, level, exact })
    }

    /// Values of symbolic dimensions that were given when it was made.
    pub fn dims(&self) -> &Bindings {
        &self.dims
    }

    /// The CPU level that was given when it was made.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// Loads the model as [`Model::load_with`] does a file: for the CPU level that was given when it was made, if one was and
    /// these options name none, and with the dimensions that were given then.
    pub fn load(&self, options: Options) -> Result<Model, Error> {
        let start = Instant::now();
        let mut dims = self.dims.clone();
        for (name, value) in options.dims {
            let fixed = *dims.entry(name.clone()).or_insert(value);
            if fixed != value {
                return Err(Error::Usage(format!(
                    "dimension `{name}` was given the value {fixed} when this was compiled"
                )));
            }
        }
        let level = options.level.or(self.level);
        let files = self.files.iter().cloned().collect();
        let loaded = decode_with_files(self.model.clone(), files, &options.limits)?;
        Model::build(&Arc::new(loaded), Options { level, dims, exact: self.exact || options.exact, ..options }, start)
    }

    /// Writes a copy of the program `engine`, which is the `brolga` command or another program that asks [`Bundle::carried`],
    /// with the model and all files it refers to. Of the options, the CPU level, the dimensions and `exact` are kept with it. The same
    /// files give the same bytes.
    pub fn write(engine: &Path, model: &Path, options: &Options, output: &Path) -> Result<(), AotError> {
        let refused = |why| AotError::NoEngine { path: engine.to_owned(), why };
        if cfg!(target_vendor = "apple") {
            return Err(refused("this system runs signed programs only, and a signature covers no model behind them"));
        }
        let program = file_bytes(engine)?;
        let (at, before) = Slot::find(&program).ok_or_else(|| refused("it is no `brolga` command of this version"))?;
        if !before.is_empty() {
            return Err(refused("it carries one already"));
        }
        let external = brolga_proto::load(model, &options.limits)?.external_files()?;
        let model = file_bytes(model)?;

        let failed = |error| AotError::Io { path: output.to_owned(), error };
        write_program(output, |out| {
            let mut out = Parts { out, at: 0 };
            // What its place has to say is known after the last part, and written over it then.
            out.append(&program)?;
            let mut contents = Contents {
                model: out.append(&model)?,
                files: BTreeMap::new(),
                dims: options.dims.clone(),
                level: options.level,
                exact: options.exact,
            };
            for (name, bytes) in &external {
                contents.files.insert(name.clone(), out.append(bytes)?);
            }
            let table = serde_json::to_vec(&contents)?;
            let Part { offset, len } = out.append(&table)?;
            Ok((at as u64, Slot { offset, len, checksum: checksum(&table) }.to_bytes()))
        })
        .map_err(failed)
    }
}

/// Parts one after the other.
struct Parts<'a> {
    out: &'a mut dyn Write,
    at: u64,
}

impl Parts<'_> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<Part> {
        let offset = self.at.next_multiple_of(PAGE);
        io::copy(&mut io::repeat(0).take(offset - self.at), self.out)?;
        self.out.write_all(bytes)?;
        let len = bytes.len() as u64;
        self.at = offset + len;
        Ok(Part { offset, len })
    }
}

/// Makes an executable file. `write` fills it, and gives the bytes that are to be written over others, and where. What was there
/// before stays until all is written; it may be a program that is running.
fn write_program<const N: usize>(
    output: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<(u64, [u8; N])>,
) -> io::Result<()> {
    if std::fs::symlink_metadata(output).is_ok_and(|about| !about.is_file() && !about.is_symlink()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and no file that could be replaced"));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".brolga");
    if let Some(permissions) = executable() {
        builder.permissions(permissions);
    }
    let mut file = builder.tempfile_in(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let (at, bytes) = write(&mut out)?;
    out.seek(SeekFrom::Start(at))?;
    out.write_all(&bytes)?;
    out.flush()?;
    drop(out);
    file.persist(output)?;
    Ok(())
}

/// What everyone may do whom the user's mask does not forbid it.
#[cfg(unix)]
fn executable() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o777))
}

#[cfg(not(unix))]
fn executable() -> Option<Permissions> {
    None
}

/// The path of this program's file, which makes it the `engine` of [`Bundle::write`].
pub fn own_path() -> Result<PathBuf, AotError> {
    std::env::current_exe().map_err(|error| AotError::Io { path: "this program's own file".into(), error })
}

/// FNV-1a, in 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
