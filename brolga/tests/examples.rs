//! The examples that need nothing but the command and a C compiler.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
#[cfg(unix)]
fn a_c_program_links_the_models_object() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/c");
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new("sh");
    build.arg(example.join("build.sh")).arg(folder.path()).env("BROLGA", env!("CARGO_BIN_EXE_brolga"));
    let done = build.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let digit = |picture: &Path| Command::new(folder.path().join("digit")).arg(picture).output().unwrap();
    let done = digit(&example.join("seven.pgm"));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.starts_with("7 ("), "{}: {said}", done.status);
    assert_eq!(digit(&example.join("main.c")).status.code(), Some(2));
}
