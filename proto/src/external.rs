//! Tensors whose elements are in files beside the model.
//!
//! A location is a relative path. It is checked twice: as text (no root, no `..`), and after following links, when it must be
//! inside the model's directory or inside the directory of the file that the model's path really names. The second
//! directory is what makes a download cache work, where the model and its data are links into one folder of blobs. A model from
//! memory may come with its files instead.

use crate::error::ProtoError;
use crate::map::file_bytes;
use crate::messages::TensorProto;
use crate::tensor::{TensorData, clean_bools, describe, invalid};
use bytes::Bytes;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the data is.
#[derive(Debug)]
pub(crate) enum External {
    /// In files, by location; there may be none.
    Given(HashMap<String, Bytes>),
    /// Below these directories; the files opened so far are kept.
    Beside { roots: Vec<PathBuf>, files: Mutex<HashMap<PathBuf, Bytes>> },
}

/// The entries of `external_data`.
struct Place<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl External {
    /// No file: external tensors are an error.
    pub(crate) fn none() -> External {
        External::Given(HashMap::new())
    }

    /// Data in these files and no others.
    pub(crate) fn given(files: HashMap<String, Bytes>) -> External {
        External::Given(files)
    }

    /// Data beside the model at `path`.
    pub(crate) fn beside(path: &Path) -> Result<External, ProtoError> {
        let real = |p: &Path| p.canonicalize().map_err(|source| ProtoError::Io { path: p.to_path_buf(), source });
        let named = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => real(parent)?,
            _ => real(Path::new("."))?,
        };
        let file = real(path)?;
        let blobs = file.parent().filter(|parent| *parent != named).map(Path::to_path_buf);
        let roots = std::iter::once(named).chain(blobs).collect();
        Ok(External::Beside { roots, files: Mutex::default() })
    }

    /// The elements of an external tensor.
    pub(crate) fn tensor(&self, tensor: &TensorProto) -> Result<TensorData, ProtoError> {
        let (dtype, dims, want) = describe(tensor)?;
        let place = place(tensor)?;
        let file = self.open(tensor, place.location)?;
        if let Some(length) = place.length.filter(|n| *n != want as u64) {
            let message = format!("has {length} bytes of external data where its shape {dims:?} needs {want}");
            return Err(invalid(tensor, message));
        }
        let range = usize::try_from(place.offset)
            .ok()
            .and_then(|begin| Some(begin..begin.checked_add(want)?))
            .filter(|range| range.end <= file.len());
        let Some(range) = range else {
            let (offset, size) = (place.offset, file.len());
            let message = format!("wants {want} bytes at {offset} of {:?}, which has {size}", place.location);
            return Err(invalid(tensor, message));
        };
        Ok(TensorData { dtype, dims, bytes: clean_bools(dtype, file.slice(range)) })
    }

    /// The location that an external tensor names, and the file that is there.
    pub(crate) fn file<'a>(&self, tensor: &'a TensorProto) -> Result<(&'a str, Bytes), ProtoError> {
        let location = place(tensor)?.location;
        Ok((location, self.open(tensor, location)?))
    }

    fn open(&self, tensor: &TensorProto, location: &str) -> Result<Bytes, ProtoError> {
        check_text(tensor, location)?;
        match self {
            External::Beside { roots, files } => open_below(roots, files, tensor, location),
            External::Given(files) => match files.get(location) {
                Some(bytes) => Ok(bytes.clone()),
                None if files.is_empty() => {
                    Err(invalid(tensor, "is in another file, but the model was not read from a path"))
                }
                None => Err(invalid(tensor, format!("is in {location:?}, a file that the model did not come with"))),
            },
        }
    }
}

/// The file at a location below one of these directories: opened once.
fn open_below(
    roots: &[PathBuf],
    files: &Mutex<HashMap<PathBuf, Bytes>>,
    tensor: &TensorProto,
    location: &str,
) -> Result<Bytes, ProtoError> {
    let candidates: Vec<PathBuf> = roots.iter().map(|root| root.join(location)).collect();
    let found = candidates.iter().find_map(|path| path.canonicalize().ok());
    let Some(real) = found else {
        let path = roots.first().map_or_else(|| location.into(), |root| root.join(location));
        let source = path.canonicalize().err().unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
        return Err(ProtoError::Io { path, source });
    };
    if !roots.iter().any(|root| real.starts_with(root)) {
        return Err(invalid(tensor, format!("names {location:?}, a link to outside the model's directory")));
    }
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = files.get(&real) {
        return Ok(bytes.clone());
    }
    let bytes = match file_bytes(&real) {
        Err(ProtoError::NotAFile { .. }) => {
            return Err(invalid(tensor, format!("names {location:?}, which is not a regular file")));
        }
        other => other?,
    };
    files.insert(real, bytes.clone());
    Ok(bytes)
}

fn place(tensor: &TensorProto) -> Result<Place<'_>, ProtoError> {
    let (mut location, mut offset, mut length, mut checksum) = (None, None, None, None);
    for entry in &tensor.external_data {
        let slot = match entry.key.as_str() {
            "location" => &mut location,
            "offset" => &mut offset,
            "length" => &mut length,
            // A digest of the whole file that writers rarely give; the sizes are what is checked.
            "checksum" => &mut checksum,
            key => {
                let message =
                    format!("has external_data key {key:?}; location, offset, length and checksum are accepted");
                return Err(invalid(tensor, message));
            }
        };
        if slot.replace(entry.value.as_str()).is_some() {
            return Err(invalid(tensor, format!("gives external_data {:?} twice", entry.key)));
        }
    }
    let number = |key: &str, text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(n) if !text.starts_with('+') => Ok(Some(n)),
            _ => Err(invalid(tensor, format!("has external_data {key} {text:?}, which is not a size in bytes"))),
        },
    };
    let location = location.ok_or_else(|| invalid(tensor, "is in another file, but names none"))?;
    Ok(Place { location, offset: number("offset", offset)?.unwrap_or(0), length: number("length", length)? })
}

/// Refuses every location that is not plainly a file below the model's directory, whatever the file system says.
fn check_text(tensor: &TensorProto, location: &str) -> Result<(), ProtoError> {
    let drive = location.as_bytes().get(1) == Some(&b':');
    let odd = location.len() > 4096 || location.contains(['\\', '\0']) || location.ends_with('/') || drive;
    let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let named = Path::new(location).file_name().is_some();
    if odd || !inside || !named {
        let shown: String = location.chars().take(200).collect();
        let message = format!("names external file {shown:?}; a relative path below the model's directory is accepted");
        return Err(invalid(tensor, message));
    }
    Ok(())
}
