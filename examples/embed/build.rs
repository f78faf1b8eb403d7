//! Compiles the model into a static library and has it linked into the program.

use brolga::aot::{CompiledModel, Container, level_for, parse_triple};
use brolga::{Model, Options};
use std::env;
use std::error::Error;
use std::path::Path;

const MODEL: &str = "../digits/lenet5.onnx";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={MODEL}");
    let out = env::var("OUT_DIR")?;
    let target = parse_triple(&env::var("TARGET")?)?;
    // On this machine's own platform that is its best CPU level. A program that goes elsewhere names one: `Level::X86_64`.
    let level = level_for(&target);
    let model = Model::open(MODEL, Options { level, dims: [("batch".to_owned(), 1)].into(), ..Options::default() })?;
    CompiledModel::new(&model)?.write(Container::StaticLibrary, target, Path::new(&out).join("libdigits.a"))?;
    println!("cargo::rustc-link-search=native={out}");
    println!("cargo::rustc-link-lib=static=digits");
    Ok(())
}
