//! What the run command and a compiled executable share: options, arrays, images, summaries.

mod arrays;
mod artefact;
mod exit;
mod npy;
mod npz;
mod options;
mod picture;
mod random;
mod run;
mod steady;
mod summary;

pub use arrays::{arrays_of, described, tensors};
pub use artefact::{ARTEFACT_MAGIC, Artefact, EXAMPLES, artefact_main};
pub use exit::{ExitCode, Failure};
pub use npy::{ArrayError, read_npy, write_npy};
pub use npz::{read_npz, read_npz_values, write_npz};
pub use options::RunArgs;
pub use picture::{Picture, Pixels, text_art};
pub use random::random_tensor;
pub use run::{Dim, PortInfo, Runnable, execute, time_each};
pub use steady::time_runs;
pub use summary::{Labels, summarise, top_classes};
