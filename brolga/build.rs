//! Builds the runner's static library, which a release of the `brolga` command carries and links into every executable it
//! makes. A debug build carries none, to be quick: it builds the library from the workspace when it first needs it.

#[path = "src/aot/runner_library.rs"]
mod runner_library;

use runner_library::Effort;
use std::env;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let carried = out.join("libbrolga_runner.a");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/aot/runner_library.rs");
    if env::var("PROFILE")? == "debug" || !workspace.join("runner/Cargo.toml").exists() {
        std::fs::write(&carried, [])?;
        return Ok(());
    }
    for path in ["runner/src", "runner/Cargo.toml", "runtime/src", "runtime/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let (host, target) = (env::var("HOST")?, env::var("TARGET")?);
    let triple = (host != target).then_some(target.as_str());
    let built = runner_library::build(&env::var("CARGO")?, &workspace, &out.join("runner"), triple, Effort::Full)?;
    let built = built.ok_or("the runner's static library could not be built")?;
    std::fs::copy(built, &carried)?;
    Ok(())
}
