//! Builds the runner's static library with cargo. Shared by the build script and, in debug builds, the linking code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much effort goes into the library. The build script asks for one, the linking code for the other.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Soon there.
    Quick,
    /// Small and fast: what a release carries.
    Full,
}

/// Builds the library of a workspace in a target folder of its own, because it aborts on panic and carries `main`.
/// `Ok(None)` when cargo ran and failed.
pub(crate) fn build(
    cargo: &str,
    workspace: &Path,
    target_folder: &Path,
    triple: Option<&str>,
    effort: Effort,
) -> io::Result<Option<PathBuf>> {
    // The cache is enough when the outer build uses the workspace's own lock file; another project's may differ.
    for offline in [true, false] {
        let mut command = Command::new(cargo);
        command.current_dir(workspace).args(["rustc", "--quiet", "--package", "brolga-runner", "--lib", "--release"]);
        command.args(["--locked", "--crate-type", "staticlib", "--features", "executable", "--target-dir"]);
        command.arg(target_folder).args(offline.then_some("--offline"));
        command.args(triple.iter().flat_map(|triple| ["--target", triple]));
        set_profile(&mut command, effort);
        if command.status()?.success() {
            let folder = target_folder.join(triple.unwrap_or_default());
            return Ok(Some(folder.join("release/libbrolga_runner.a")));
        }
    }
    Ok(None)
}

/// The profile is this build's own; flags and wrappers are meant for the outer build.
fn set_profile(command: &mut Command, effort: Effort) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PROFILE_") || text.starts_with("CARGO_FEATURE_") || text.starts_with("CARGO_CFG_") {
            command.env_remove(&name);
        }
    }
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    if effort == Effort::Full {
        // Decoders, archives, options: their size counts in every executable, their speed does not. And nothing unwinds.
        for package in ["\"*\"", "brolga-runner"] {
            command.args(["--config", &format!("profile.release.package.{package}.opt-level=\"s\"")]);
        }
        command.env("RUSTFLAGS", "-Cforce-unwind-tables=no");
    }
    let (level, lto, units) = match effort {
        Effort::Quick => ("1", "off", "16"),
        // Kernels are generated: only library calls and the decoding of pictures are as fast as this makes them.
        Effort::Full => ("3", "fat", "1"),
    };
    for (name, value) in [
        ("PANIC", "abort"),
        ("DEBUG", "false"),
        ("STRIP", "symbols"),
        ("INCREMENTAL", "false"),
        ("OPT_LEVEL", level),
        ("LTO", lto),
        ("CODEGEN_UNITS", units),
    ] {
        command.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
}
