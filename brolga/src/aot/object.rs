//! The object file of an executable: what `brolga_runner::Artefact` reads, under the symbol `brolga_artefact`.

use super::AotError;
use brolga_compiler::codegen::{Code, Level, ObjectCode, Visibility, Word};
use brolga_runner::ARTEFACT_MAGIC;
use std::collections::HashMap;
use target_lexicon::Triple;

/// Weights begin on a page, so that they are mapped and never copied.
const PAGE: u64 = 4096;

/// One program in parts.
pub struct ProgramParts<'a> {
    /// Its tables in their stored form.
    pub tables: Vec<u8>,
    /// Its functions in order.
    pub codes: &'a [Code],
    /// Its packed weights.
    pub weights: &'a [u8],
    /// Whether it has library calls.
    pub calls_library: bool,
}

/// Makes the object file. Specialisations share the code and the weights that are the same.
pub fn executable_object(level: Level, triple: Triple, programs: &[ProgramParts<'_>]) -> Result<Vec<u8>, AotError> {
    let mut object = ObjectCode::new(level, triple, "brolga")?;
    let mut functions = HashMap::new();
    let mut weights = HashMap::new();
    let mut parts = Vec::new();
    for (number, program) in programs.iter().enumerate() {
        let tables_len = program.tables.len() as u64;
        let tables = object.data(&format!("brolga_tables{number}"), program.tables.clone(), 8, Visibility::Local)?;
        let mut entries = Vec::with_capacity(program.codes.len());
        for code in program.codes {
            let key = (&code.bytes[..], code.alignment);
            let function = match functions.get(&key) {
                Some(function) => *function,
                None => {
                    let name = format!("brolga_kernel{}", functions.len());
                    let function = object.function(&name, code, Visibility::Local)?;
                    functions.insert(key, function);
                    function
                }
            };
            entries.push(Word::Function(function));
        }
        let packed = match weights.get(program.weights) {
            Some(data) => *data,
            None => {
                let name = format!("brolga_weights{}", weights.len());
                let data = object.data(&name, program.weights.to_vec(), PAGE, Visibility::Local)?;
                weights.insert(program.weights, data);
                data
            }
        };
        let table = object.words(&format!("brolga_functions{number}"), &entries, Visibility::Local)?;
        parts.extend([Word::Data(tables), Word::Number(tables_len)]);
        parts.extend([Word::Data(table), Word::Number(entries.len() as u64)]);
        parts.extend([Word::Data(packed), Word::Number(program.weights.len() as u64)]);
    }
    let parts = object.words("brolga_programs", &parts, Visibility::Local)?;
    // Without this reference the linker leaves the library out.
    let needed = programs.iter().any(|program| program.calls_library);
    let library = if needed { Word::Function(object.import("brolga_library")?) } else { Word::Number(0) };
    let artefact = [Word::Number(ARTEFACT_MAGIC), Word::Data(parts), Word::Number(programs.len() as u64), library];
    object.words("brolga_artefact", &artefact, Visibility::Global)?;
    Ok(object.finish()?)
}
