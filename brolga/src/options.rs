//! Every knob of loading and compiling, with its default.

use brolga_compiler::ir::Bindings;
use brolga_compiler::pass::PassOptions;
use brolga_proto::Limits;
use brolga_runtime::Level;

/// How to load and compile a model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// CPU level of the code; the best of this machine when absent.
    pub level: Option<Level>,
    /// Threads that compile and run; what affinity and quota allow when absent.
    pub threads: Option<usize>,
    /// Values of symbolic dimensions, fixed for the life of the model.
    pub dims: Bindings,
    /// Whether convolutions multiply what their definition names, instead of by minimal filtering where that is faster; results
    /// then differ from those of the definition by rounding alone, as they do with any order of summation.
    pub exact: bool,
    /// Bounds on the file.
    pub limits: Limits,
    /// Passes: what to record, skip, and where to stop.
    pub passes: PassOptions,
}

impl Options {
    /// What the frontend is to know.
    pub(crate) fn import(&self) -> brolga_frontend::Options {
        brolga_frontend::Options { dims: self.dims.clone(), ..brolga_frontend::Options::default() }
    }
    /// Number of threads in force.
    pub fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(|| brolga_runtime::default_threads().get()).max(1)
    }
}
