//! Generates the message types from `onnx.proto`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=onnx.proto");
    let files = protox::compile(["onnx.proto"], ["."])?;
    let mut config = prost_build::Config::new();
    // `Bytes` slices the input, so the elements of weights are not copied.
    config.bytes(["."]);
    // Large and rare: boxed, an attribute that is one number stays small.
    for field in ["t", "g", "tp", "sparse_tensor"] {
        config.boxed(format!(".onnx.AttributeProto.{field}"));
    }
    config.compile_fds(files)?;
    Ok(())
}
