//! Object files and static libraries that need no runtime, and their C headers.

use super::AotError;
use brolga_compiler::codegen::{Freestanding, Level, freestanding_object};
use brolga_runtime::{Call, Port};
use std::fmt::Write;
use std::path::Path;
use target_lexicon::Triple;

/// What to put the machine code in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// An object file.
    Object,
    /// A static library with that object file.
    StaticLibrary,
}

/// Writes a program as an object file or a static library, and the header beside it (the same name, ending in `.h`).
pub fn write_freestanding(
    level: Level,
    triple: Triple,
    program: &Freestanding<'_>,
    container: Container,
    output: &Path,
) -> Result<(), AotError> {
    let calls: Vec<String> = program
        .steps
        .iter()
        .filter(|step| step.calls.iter().any(|call| matches!(call, Call::Library { .. })))
        .map(|step| format!("`{}` (node `{}`)", step.kernel, step.node))
        .collect();
    if !calls.is_empty() {
        return Err(AotError::LibraryCalls(calls));
    }
    let object = freestanding_object(level, triple, program)?;
    let bytes = match container {
        Container::Object => object,
        Container::StaticLibrary => archive(program.name, &object),
    };
    let header_path = output.with_extension("h");
    for (path, bytes) in [(output, &bytes[..]), (&header_path, header(level, program).as_bytes())] {
        std::fs::write(path, bytes).map_err(|error| AotError::Io { path: path.into(), error })?;
    }
    Ok(())
}

/// A C identifier for a model in this file.
pub fn c_name(output: &Path) -> String {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = name.strip_prefix("lib").filter(|rest| !rest.is_empty()).map(str::to_string).unwrap_or(name);
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("model_{name}") }
}

/// One line about an input or output. Names come from the model, so whatever could end a comment is left out.
fn port_line(index: usize, port: &Port) -> String {
    let name: String = port.name.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '*' | '\\' | '?')).collect();
    format!(" *   {index}: {name}  {}{:?}\n", port.dtype, port.shape)
}

/// The C header.
pub fn header(level: Level, program: &Freestanding<'_>) -> String {
    let name = program.name;
    let guard = name.to_ascii_uppercase();
    let ports = |ports: &[Port]| ports.iter().enumerate().map(|(i, port)| port_line(i, port)).collect::<String>();
    let (inputs, outputs) = (ports(program.inputs), ports(program.outputs));
    let mut text = format!("#ifndef BROLGA_{guard}_H\n#define BROLGA_{guard}_H\n\n#include <stddef.h>\n\n");
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "/* A compiled model for {level}: it needs {}.\n * Inputs, dense and row-major:\n{inputs} * Outputs:\n{outputs} */\n",
        level.requirement()
    );
    let _ = writeln!(
        text,
        "#define {guard}_INPUTS {}\n#define {guard}_OUTPUTS {}\n",
        program.inputs.len(),
        program.outputs.len()
    );
    let _ = write!(
        text,
        "#ifdef __cplusplus
extern \"C\" {{
#endif

/* What the workers of one run share. `arena` begins at a multiple of 64 and is all zero before its first run. */
struct {name}_context {{
    const void *const *inputs;
    void *const *outputs;
    void *arena;
    /* Called by every worker, equally often; returns when all have called it. Not called when there is one. */
    void (*barrier)(void *);
    void *barrier_argument;
}};

/* One worker's share of a run; every worker of 0..workers must call it. 0, or the number of a check that did not hold. */
int {name}_worker(struct {name}_context *context, size_t worker, size_t workers);

/* A run on this thread. */
int {name}_run(const void *const *inputs, void *const *outputs, void *arena);

/* Bytes of an input, of an output, and of the arena of so many workers. */
size_t {name}_input_size(size_t index);
size_t {name}_output_size(size_t index);
size_t {name}_arena_size(size_t workers);

#ifdef __cplusplus
}}
#endif

#endif
"
    );
    text
}

/// Symbols that the object defines.
const SYMBOLS: [&str; 5] = ["worker", "run", "input_size", "output_size", "arena_size"];

/// An archive with one member and an index of its symbols.
fn archive(name: &str, object: &[u8]) -> Vec<u8> {
    let names: String = SYMBOLS.iter().map(|symbol| format!("{name}_{symbol}\0")).collect();
    let mut index_len = 4 + 4 * SYMBOLS.len() + names.len();
    let padding = index_len % 2;
    index_len += padding;
    let entry = |file: &str, size: usize| format!("{file:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
    let mut bytes = b"!<arch>\n".to_vec();
    bytes.extend(entry("/", index_len).as_bytes());
    let member = (bytes.len() + index_len) as u32;
    bytes.extend((SYMBOLS.len() as u32).to_be_bytes());
    for _ in SYMBOLS {
        bytes.extend(member.to_be_bytes());
    }
    bytes.extend(names.as_bytes());
    bytes.resize(bytes.len() + padding, 0);
    bytes.extend(entry("model.o/", object.len()).as_bytes());
    bytes.extend(object);
    if !object.len().is_multiple_of(2) {
        bytes.push(b'\n');
    }
    bytes
}
