//! ONNX to Graph IR: one file per operator family.
