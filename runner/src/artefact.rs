//! A compiled model inside an executable, and the executable's `main`.
#![allow(unsafe_code)]

use crate::arrays::tensors;
use crate::exit::{ExitCode, Failure};
use crate::options::RunArgs;
use crate::run::{Dim, PortInfo, Runnable, execute};
use crate::steady::time_runs;
use brolga_runtime::{
    Functions, Instance, KernelFn, LibraryFn, Pool, Program, RunOptions, StaticBytes, Tables, Tensor, Value,
};
use clap::Parser;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// Begins every artefact: the format's name and version.
pub const ARTEFACT_MAGIC: u64 = u64::from_le_bytes(*b"brolga02");

/// The parts of one program, as the linker left them.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ProgramParts {
    tables: *const u8,
    tables_len: u64,
    functions: *const KernelFn,
    functions_len: u64,
    weights: *const u8,
    weights_len: u64,
}

/// What the object file of an executable holds under the symbol `brolga_artefact`: the programs of a model, one for each binding
/// of its symbolic dimensions. Every field is eight bytes.
#[repr(C)]
pub struct Artefact {
    magic: u64,
    programs: *const ProgramParts,
    programs_len: u64,
    run_library: Option<LibraryFn>,
}

// SAFETY: an artefact is constant data.
unsafe impl Sync for Artefact {}

impl ProgramParts {
    /// # Safety
    /// The pointers and lengths are those of constant data that belongs together.
    unsafe fn program(&self, run_library: Option<LibraryFn>) -> Result<Program, Failure> {
        // SAFETY: the caller's.
        let (tables, functions, weights) = unsafe {
            (
                slice(self.tables, self.tables_len),
                slice(self.functions, self.functions_len),
                slice(self.weights, self.weights_len),
            )
        };
        let damaged = |error: brolga_runtime::StoreError| Failure::bug(format!("damaged artefact: {error}"));
        let tables = Tables::from_bytes(tables).map_err(damaged)?;
        let functions = Functions { entries: functions.to_vec(), run_library, owner: Arc::new(()) };
        tables.into_program(functions, Arc::new(StaticBytes(weights))).map_err(damaged)
    }
}

/// # Safety
/// `start` begins `len` constant elements, or `len` is 0.
unsafe fn slice<T>(start: *const T, len: u64) -> &'static [T] {
    if len == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(start, len as usize) }
}

impl Artefact {
    /// The programs.
    ///
    /// # Safety
    /// The artefact was written by the compiler and lies in constant memory.
    unsafe fn programs(&self) -> Result<Vec<Program>, Failure> {
        if self.magic != ARTEFACT_MAGIC {
            return Err(Failure::bug("the executable was linked with a runner of another version"));
        }
        // SAFETY: the caller's.
        unsafe { slice(self.programs, self.programs_len).iter().map(|parts| parts.program(self.run_library)).collect() }
    }
}

/// What the help of an executable ends with.
pub const EXAMPLES: &str = "Examples:
  MODEL --image photo.jpg --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --labels names.txt
  MODEL --inputs in.npz --outputs out.npz
  MODEL --input data=x.npy --threads 1
  MODEL --inputs in.npz --outputs out.npz --repeat 100";

/// Runs the compiled model. Inputs come from files, from pictures, or are random.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Options {
    #[command(flatten)]
    run: RunArgs,
}

/// A program as something to run. Specialisations of one model differ in the shapes they take.
struct Compiled(Vec<Instance>);

impl Compiled {
    fn first(&self) -> Option<&Program> {
        self.0.first().map(|instance| &**instance.program())
    }

    /// The specialisation for these inputs; the first one, which then says what it takes, where there is none.
    fn instance(&self, inputs: &[Tensor]) -> Result<&Instance, Failure> {
        let takes = |instance: &&Instance| {
            let ports = &instance.program().inputs;
            ports.len() == inputs.len() && ports.iter().zip(inputs).all(|(port, input)| port.shape == input.shape())
        };
        let instance = self.0.iter().find(takes).or(self.0.first());
        instance.ok_or_else(|| Failure::bug("the executable holds no program"))
    }
}

impl Runnable for Compiled {
    fn inputs(&self) -> Vec<PortInfo> {
        let Some(first) = self.first() else { return Vec::new() };
        let dim = |port: usize, axis: usize| {
            let extent = |instance: &Instance| {
                instance.program().inputs.get(port).and_then(|port| port.shape.get(axis)).copied().unwrap_or(0)
            };
            let extents: Vec<usize> = self.0.iter().map(extent).collect();
            match extents.first() {
                Some(one) if extents.iter().all(|extent| extent == one) => Dim::Known(*one),
                _ => {
                    let extents: Vec<String> = extents.iter().map(usize::to_string).collect();
                    Dim::Symbol(extents.join("|"))
                }
            }
        };
        let info = |(index, port): (usize, &brolga_runtime::Port)| PortInfo {
            name: port.name.clone(),
            dtype: port.dtype,
            dims: Some((0..port.shape.len()).map(|axis| dim(index, axis)).collect()),
        };
        first.inputs.iter().enumerate().map(info).collect()
    }

    fn outputs(&self) -> Vec<String> {
        self.first().map(|first| first.outputs.iter().map(|port| port.name.clone()).collect()).unwrap_or_default()
    }

    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let inputs = tensors(inputs)?;
        let outputs = self.instance(&inputs)?.run_tensors(&inputs, RunOptions::default())?;
        Ok(outputs.into_iter().map(Value::Tensor).collect())
    }

    fn time(&self, inputs: &[Value], runs: usize) -> Result<Vec<Duration>, Failure> {
        let inputs = tensors(inputs.to_vec())?;
        Ok(time_runs(self.instance(&inputs)?, &inputs, runs)?)
    }
}

/// `main` of an executable: reads the options, runs the model, and gives the exit code.
///
/// # Safety
/// The artefact was written by the compiler and lies in constant memory.
pub unsafe fn artefact_main(artefact: &'static Artefact, arguments: Vec<OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("error: this is a fault of Brolga: {info}");
        std::process::exit(ExitCode::Bug.code());
    }));
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Help and version are no errors; a text that cannot be printed has no reader.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
        }
    };
    // SAFETY: the caller's.
    let result = unsafe { artefact.programs() }.and_then(|programs| {
        let pool = Pool::shared(options.run.threads);
        let make = |program| Ok(Instance::new(Arc::new(program), Arc::clone(&pool))?);
        let compiled = Compiled(programs.into_iter().map(make).collect::<Result<Vec<_>, Failure>>()?);
        execute(&compiled, &options.run, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
    });
    match result {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code
        }
    }
}

/// The entry of an executable, for the static library that executables link.
#[cfg(feature = "executable")]
mod entry {
    use super::{Artefact, artefact_main};
    use brolga_runtime::library::{LibraryError, Routine};
    use brolga_runtime::{TensorView, TensorViewMut};
    use std::ffi::{CStr, OsString, c_char, c_int};

    // The function in it is Rust's own, but it is made and called in this library: to the object it is an address.
    #[allow(improper_ctypes)]
    unsafe extern "C" {
        #[allow(non_upper_case_globals)]
        static brolga_artefact: Artefact;
    }

    /// The [`brolga_runtime::LibraryFn`] that the objects of models with library calls refer to.
    // SAFETY: the name is the project's own, and nothing else defines it.
    #[unsafe(no_mangle)]
    fn brolga_library(
        routine: &Routine,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), LibraryError> {
        routine.run(inputs, outputs)
    }

    // SAFETY: `main` is the executable's only one; the C start-up code calls it with its arguments.
    #[unsafe(no_mangle)]
    extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
        let argument = |i: usize| {
            // SAFETY: C's start-up code gives `count` strings that end with a zero byte.
            let text = unsafe { CStr::from_ptr(*arguments.add(i)) };
            os_string(text)
        };
        let arguments = (0..usize::try_from(count).unwrap_or(0)).map(argument).collect();
        // SAFETY: the compiler's object file defines the symbol as an artefact in constant memory.
        unsafe { artefact_main(&brolga_artefact, arguments) }.code()
    }

    #[cfg(unix)]
    fn os_string(text: &CStr) -> OsString {
        use std::os::unix::ffi::OsStrExt;
        std::ffi::OsStr::from_bytes(text.to_bytes()).into()
    }

    #[cfg(not(unix))]
    fn os_string(text: &CStr) -> OsString {
        text.to_string_lossy().into_owned().into()
    }
}
