//! Message types generated from `onnx.proto`.
#![allow(missing_docs, clippy::all, unused_qualifications)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
