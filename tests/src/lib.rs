//! Snapshots, conformance, differential tests, hostile files, the model zoo.

pub mod zoo;
