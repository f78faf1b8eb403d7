//! A model compiled ahead of time: its code, tables and packed weights, ready to be written to a file.

use super::{AotError, Container, ProgramParts, c_name, write_executable, write_freestanding};
use crate::{Error, Level, Model};
use brolga_compiler::codegen::Freestanding;
use brolga_compiler::compile::Compiled;
use brolga_compiler::ir::Bindings;
use brolga_runtime::{Block, Call, Tables, default_threads};
use std::path::Path;
use target_lexicon::{Architecture, Triple};

/// A compiled model. To put one into a Rust program, `build.rs` makes a static library of it:
///
/// ```no_run
/// use brolga::aot::{CompiledModel, Container, level_for, parse_triple};
/// use brolga::{Model, Options};
/// let target = parse_triple(&std::env::var("TARGET")?)?;
/// let options = Options { level: level_for(&target), dims: [("batch".to_owned(), 1)].into(), ..Options::default() };
/// let model = Model::open("model.onnx", options)?;
/// CompiledModel::new(&model)?.write(Container::StaticLibrary, target, "libmodel.a")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CompiledModel {
    compiled: Compiled,
    weights: Block,
}

impl CompiledModel {
    /// Compiles a model for its level; every symbolic dimension has its value from the model's options. A model whose sizes only a
    /// run can tell is refused: [`Bundle::write`](super::Bundle::write) makes an executable of it.
    pub fn new(model: &Model) -> Result<CompiledModel, Error> {
        let compiled = model.compile(&Bindings::new())?;
        let weights = compiled.weights.pack_in_memory(&compiled.graph, default_threads().get())?;
        Ok(CompiledModel { compiled, weights })
    }

    /// Writes an object file or a static library, and its C header beside it, for a platform of the level's architecture. The
    /// name of the file, without `lib`, begins every symbol.
    pub fn write(&self, container: Container, triple: Triple, output: impl AsRef<Path>) -> Result<(), AotError> {
        let (compiled, output) = (&self.compiled, output.as_ref());
        let name = c_name(output);
        let program = Freestanding {
            name: &name,
            inputs: &compiled.inputs,
            outputs: &compiled.outputs,
            steps: &compiled.steps,
            memory: compiled.memory,
            codes: &compiled.codes,
            weights: &self.weights,
        };
        write_freestanding(compiled.level, triple, &program, container, output)
    }

    /// Writes an executable for this platform. Several programs, which differ in their symbolic dimensions alone, become one
    /// executable that takes the inputs of each.
    pub fn write_executable(programs: &[CompiledModel], output: impl AsRef<Path>) -> Result<(), AotError> {
        let Some(first) = programs.first() else { return Err(AotError::Nothing) };
        let parts = programs.iter().map(CompiledModel::parts).collect::<Result<Vec<_>, AotError>>()?;
        write_executable(first.compiled.level, &parts, output.as_ref())
    }

    fn parts(&self) -> Result<ProgramParts<'_>, AotError> {
        let CompiledModel { compiled, weights } = self;
        let tables = Tables {
            inputs: compiled.inputs.clone(),
            outputs: compiled.outputs.clone(),
            level: compiled.level,
            steps: compiled.steps.clone(),
            memory: compiled.memory,
            functions: u32::try_from(compiled.codes.len()).unwrap_or(u32::MAX),
            weights_bytes: weights.len() as u64,
            code_bytes: compiled.code_bytes(),
        };
        let is_library = |call: &Call| matches!(call, Call::Library { .. });
        let calls_library = tables.steps.iter().flat_map(|step| &step.calls).any(is_library);
        Ok(ProgramParts { tables: tables.to_bytes()?, codes: &compiled.codes, weights, calls_library })
    }
}

/// A platform by its name, such as `aarch64-unknown-linux-gnu`.
pub fn parse_triple(name: &str) -> Result<Triple, AotError> {
    name.parse().map_err(|error| AotError::UnknownTarget { name: name.into(), detail: format!("{error}") })
}

/// The CPU level to compile for on a platform: this machine's best for its own, the plainest for another; none when no code
/// can be made for it.
pub fn level_for(triple: &Triple) -> Option<Level> {
    let plain = match triple.architecture {
        Architecture::X86_64 => Level::X86_64,
        Architecture::Aarch64(_) => Level::Aarch64,
        _ => return None,
    };
    let own = Level::host().filter(|level| level.is_x86() == plain.is_x86() && *triple == Triple::host());
    Some(own.unwrap_or(plain))
}
