//! Arrays in `.npy` files. Only plain numbers, booleans and texts of a fixed width: nothing is ever unpickled.

use brolga_runtime::{DType, Strings, Tensor, TensorError, Value, element_count};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::PathBuf;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The header is a short dictionary; a longer one is no array of numbers.
const MAX_HEADER: usize = 1 << 16;

/// Why an array could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// File.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// Not an array, or one of a kind that is not accepted.
    #[error("{path}: {detail}")]
    Format {
        /// File.
        path: PathBuf,
        /// What is wrong and what is accepted.
        detail: String,
    },
}

/// What can go wrong below the level of a file.
#[derive(Debug)]
pub(crate) enum Wrong {
    Io(std::io::Error),
    Format(String),
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Wrong::Format("the file ends early".into()),
            // What a decoder says about damaged data.
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => Wrong::Format(error.to_string()),
            _ => Wrong::Io(error),
        }
    }
}

impl From<TensorError> for Wrong {
    fn from(error: TensorError) -> Self {
        Wrong::Format(error.to_string())
    }
}

impl Wrong {
    pub(crate) fn at(self, path: &std::path::Path) -> ArrayError {
        match self {
            Wrong::Io(error) => ArrayError::Io { path: path.into(), error },
            Wrong::Format(detail) => ArrayError::Format { path: path.into(), detail },
        }
    }
}

fn format<T>(detail: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Format(detail.into()))
}

/// What the header of an array says.
struct Header {
    dtype: DType,
    /// Bytes of an element.
    size: usize,
    big_endian: bool,
    column_major: bool,
    shape: Vec<usize>,
}

/// Reads the array in a `.npy` file: a tensor of numbers or of texts.
pub fn read_npy(path: &std::path::Path) -> Result<Value, ArrayError> {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        read_array(&mut file, bytes)
    };
    read().map_err(|wrong: Wrong| wrong.at(path))
}

/// Writes a tensor as a `.npy` file.
pub fn write_npy(path: &std::path::Path, tensor: &Tensor) -> Result<(), ArrayError> {
    let write = || -> Result<(), Wrong> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        write_array(&mut file, tensor)?;
        Ok(file.flush()?)
    };
    write().map_err(|wrong| wrong.at(path))
}

/// Reads an array from `bytes` bytes: never allocates more than that.
pub(crate) fn read_array(from: &mut impl Read, bytes: u64) -> Result<Value, Wrong> {
    let mut start = [0; 8];
    from.read_exact(&mut start)?;
    if start[..6] != *MAGIC {
        return format("not an .npy array");
    }
    let (header_len, prefix) = match start[6] {
        1 => {
            let mut len = [0; 2];
            from.read_exact(&mut len)?;
            (usize::from(u16::from_le_bytes(len)), 10)
        }
        2 | 3 => {
            let mut len = [0; 4];
            from.read_exact(&mut len)?;
            (u32::from_le_bytes(len) as usize, 12)
        }
        version => return format(format!("an .npy array of version {version}; accepted are 1, 2 and 3")),
    };
    if header_len > MAX_HEADER {
        return format(format!("an .npy header of {header_len} bytes"));
    }
    let mut header = vec![0; header_len];
    from.read_exact(&mut header)?;
    let header = parse_header(&header)?;
    let needed =
        element_count(&header.shape).and_then(|n| n.checked_mul(header.size)).and_then(|n| u64::try_from(n).ok());
    let given = bytes.saturating_sub(prefix + header_len as u64);
    if needed != Some(given) {
        return format(format!("{given} bytes of elements, {}{:?} needs another number", header.dtype, header.shape));
    }
    if header.dtype == DType::String {
        return read_texts(from, &header);
    }
    let mut tensor = Tensor::zeros(header.dtype, &header.shape)?;
    from.read_exact(tensor.bytes_mut())?;
    if header.big_endian {
        tensor.bytes_mut().chunks_exact_mut(header.dtype.bytes()).for_each(<[u8]>::reverse);
    }
    if header.dtype == DType::Bool {
        tensor.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    if header.column_major && header.shape.len() > 1 {
        tensor = row_major(&tensor)?;
    }
    Ok(tensor.into())
}

/// Reads texts of a fixed width, four bytes for each character, filled up with zeros.
fn read_texts(from: &mut impl Read, header: &Header) -> Result<Value, Wrong> {
    if header.column_major && header.shape.len() > 1 {
        return format("texts in the order of columns; accepted is the order of rows");
    }
    let count = element_count(&header.shape).unwrap_or(0);
    // No characters are no bytes, of which there may be any number.
    if header.size == 0 && count > MAX_HEADER {
        return format(format!("{count} empty texts; at most {MAX_HEADER} are read"));
    }
    let mut texts = Vec::new();
    let mut element = vec![0; header.size];
    for _ in 0..count {
        from.read_exact(&mut element)?;
        let (chars, _) = element.as_chunks::<4>();
        let number = |c: &[u8; 4]| if header.big_endian { u32::from_be_bytes(*c) } else { u32::from_le_bytes(*c) };
        let text: Option<String> = chars.iter().map(|c| char::from_u32(number(c))).collect();
        let Some(text) = text else { return format("a text with what is no character") };
        texts.push(text.trim_end_matches('\0').to_owned());
    }
    match Strings::new(&header.shape, texts) {
        Some(strings) => Ok(strings.into()),
        None => format("texts that do not fit their shape"),
    }
}

/// The tensor whose elements `from` holds with the first index running fastest.
fn row_major(from: &Tensor) -> Result<Tensor, Wrong> {
    let (shape, size) = (from.shape(), from.dtype().bytes());
    let mut to = Tensor::zeros(from.dtype(), shape)?;
    let mut index = vec![0; shape.len()];
    for element in to.bytes_mut().chunks_exact_mut(size) {
        let at = index.iter().zip(shape).rev().fold(0, |at, (i, extent)| at * extent + i) * size;
        element.copy_from_slice(&from.bytes()[at..at + size]);
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *extent {
                break;
            }
            *i = 0;
        }
    }
    Ok(to)
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse_header(bytes: &[u8]) -> Result<Header, Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return format("the .npy header is no text") };
    let value = |key: &str| -> Result<&str, Wrong> {
        let found = text.find(&format!("'{key}'")).map(|at| &text[at + key.len() + 2..]);
        let value = found.and_then(|rest| rest.trim_start().strip_prefix(':'));
        value.map(str::trim_start).ok_or_else(|| Wrong::Format(format!("the .npy header has no '{key}'")))
    };
    let descr = value("descr")?;
    let Some((descr, _)) = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) else {
        return format("an array of records; accepted are numbers and booleans");
    };
    let (dtype, size, big_endian) = parse_type(descr)?;
    let order = value("fortran_order")?;
    let column_major = order.starts_with("True");
    if !column_major && !order.starts_with("False") {
        return format("'fortran_order' is neither True nor False");
    }
    let list = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let Some((list, _)) = list else { return format("the .npy header has no shape") };
    let extents = list.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    match extents.map(str::parse).collect() {
        Ok(shape) => Ok(Header { dtype, size, big_endian, column_major, shape }),
        Err(_) => format(format!("the .npy shape ({list}) is not a list of extents")),
    }
}

/// Element type, bytes of an element, and whether the first of them counts most.
fn parse_type(descr: &str) -> Result<(DType, usize, bool), Wrong> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or(("", descr));
    let width = kind.strip_prefix('U').and_then(|width| width.parse::<usize>().ok());
    if let Some(size) = width.and_then(|width| width.checked_mul(4)) {
        return Ok((DType::String, size, order == ">"));
    }
    let dtype = match kind {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        _ => return format(format!("elements of type '{descr}'; accepted are f2 f4 f8, i1 to i8, u1 to u8, b1 and U")),
    };
    Ok((dtype, dtype.bytes(), order == ">"))
}

/// The type's name in a header. Types that the format does not know are widened, floats to f32.
fn type_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        dtype if dtype.is_narrow_float() => "<f4",
        DType::F32 | DType::BF16 => "<f4",
        DType::F64 => "<f8",
        DType::F16 => "<f2",
        DType::I8 | DType::I4 | DType::I2 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 | DType::U4 | DType::U2 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
        _ => return None,
    })
}

/// Writes a tensor as an array of version 1.
pub(crate) fn write_array(to: &mut impl Write, tensor: &Tensor) -> Result<(), Wrong> {
    let Some(descr) = type_name(tensor.dtype()) else { return format("no tensor of numbers") };
    write_header(to, descr, tensor.shape())?;
    if tensor.dtype() == DType::BF16 || tensor.dtype().is_narrow_float() {
        let Ok(mut wide) = Tensor::zeros(DType::F32, tensor.shape()) else { return format("the array is too large") };
        if brolga_runtime::library::cast(&tensor.view(), &mut wide.view_mut()).is_err() {
            return format("the elements cannot be widened to f32");
        }
        to.write_all(wide.bytes())?;
    } else {
        to.write_all(tensor.bytes())?;
    }
    Ok(())
}

/// Bytes of each text in an array: as many as the longest one needs.
pub(crate) fn text_bytes(texts: &Strings) -> usize {
    texts.elements().iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1) * 4
}

/// Writes texts as an array of version 1.
pub(crate) fn write_texts(to: &mut impl Write, texts: &Strings) -> Result<(), Wrong> {
    let size = text_bytes(texts);
    write_header(to, &format!("<U{}", size / 4), texts.shape())?;
    for text in texts.elements() {
        let mut element: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        element.resize(size, 0);
        to.write_all(&element)?;
    }
    Ok(())
}

fn write_header(to: &mut impl Write, descr: &str, extents: &[usize]) -> Result<(), Wrong> {
    let mut shape = String::new();
    for extent in extents {
        // Writing to a string does not fail.
        let _ = write!(shape, "{extent}, ");
    }
    let shape = if extents.len() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let Ok(len) = u16::try_from(header.len()) else { return format("the shape has too many dimensions") };
    to.write_all(MAGIC)?;
    to.write_all(&[1, 0])?;
    to.write_all(&len.to_le_bytes())?;
    Ok(to.write_all(header.as_bytes())?)
}
