//! ONNX to Graph IR: one file per operator family.
//!
//! [`import`] inlines the model's own functions, sorts the nodes, and gives each to the importer that the registry names for
//! its operator. Differences between opsets end here: the graph knows one meaning per operation. A model that uses what is
//! not supported gives one [`Report`] that lists every such node.

mod attributes;
pub mod conformance;
mod context;
mod domains;
mod error;
mod flatten;
mod import;
mod inspect;
mod kinds;
mod ops;
mod registry;
mod sort;
mod types;

pub use error::{ImportError, Report, UnsupportedNode};
pub use import::{Interface, Options, import, interface, support_report};
pub use inspect::{Inspection, Port, flops, inspect};
pub use registry::{MAX_OPSET, Supported, ops_markdown, supported_ops};
