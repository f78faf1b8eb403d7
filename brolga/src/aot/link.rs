//! Links an object file with the runner into an executable, by the system's C compiler.

use super::AotError;
use std::borrow::Cow;
use std::path::Path;
use std::process::Command;

/// The runner's static library; empty in a debug build, and where the crate was built without the workspace around it.
static CARRIED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libbrolga_runner.a"));

/// Links the object file of an executable.
pub fn link_executable(object: &[u8], output: &Path) -> Result<(), AotError> {
    let runner = runner()?;
    let in_temp = |error| AotError::Io { path: std::env::temp_dir(), error };
    let folder = tempfile::Builder::new().prefix("brolga").tempdir().map_err(in_temp)?;
    let (object_file, archive) = (folder.path().join("model.o"), folder.path().join("libbrolga_runner.a"));
    for (path, bytes) in [(&object_file, object), (&archive, &runner[..])] {
        std::fs::write(path, bytes).map_err(|error| AotError::Io { path: path.clone(), error })?;
    }
    let command = std::env::var("CC").ok().filter(|cc| !cc.trim().is_empty()).unwrap_or_else(|| "cc".into());
    let mut words = command.split_whitespace();
    let mut linker = Command::new(words.next().unwrap_or("cc"));
    linker.args(words).arg("-o").arg(output).arg(&object_file).arg(&archive).args(flags());
    let result = linker.output().map_err(|error| AotError::NoLinker { command: command.clone(), error })?;
    if !result.status.success() {
        let output = String::from_utf8_lossy(&result.stderr).into_owned();
        return Err(AotError::Linker { command, status: result.status, output });
    }
    Ok(())
}

/// The static library to link.
#[cfg(not(debug_assertions))]
fn runner() -> Result<Cow<'static, [u8]>, AotError> {
    if CARRIED.is_empty() { Err(AotError::NoRunner) } else { Ok(Cow::Borrowed(CARRIED)) }
}

/// The static library to link: built in the workspace when nothing is carried.
#[cfg(debug_assertions)]
fn runner() -> Result<Cow<'static, [u8]>, AotError> {
    use super::runner_library::{Effort, build};
    if !CARRIED.is_empty() {
        return Ok(Cow::Borrowed(CARRIED));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !workspace.join("runner/Cargo.toml").exists() {
        return Err(AotError::NoRunner);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let failed = |error| AotError::Io { path: workspace.join("runner"), error };
    let built = build(&cargo, &workspace, &workspace.join("target/runner"), None, Effort::Quick).map_err(failed)?;
    let path = built.ok_or(AotError::NoRunner)?;
    std::fs::read(&path).map(Cow::Owned).map_err(|error| AotError::Io { path, error })
}

/// Position-independent, everything read-only once it is relocated, no relocation in code, nothing that is not used, and only
/// the system's C library to be found at run time.
fn flags() -> &'static [&'static str] {
    if cfg!(target_vendor = "apple") {
        &["-Wl,-dead_strip", "-Wl,-x"]
    } else {
        &[
            "-pie",
            "-s",
            "-static-libgcc",
            "-Wl,--gc-sections",
            "-Wl,-z,relro,-z,now,-z,text,-z,noexecstack",
            "-lpthread",
            "-ldl",
            "-lm",
        ]
    }
}
