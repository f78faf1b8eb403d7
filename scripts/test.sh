#!/usr/bin/env bash
# Runs every test: the larger suites through the command, `cargo test` over the workspace, and the examples that are projects of
# their own. Needs Rust, a C compiler and python3 (3.11 or newer, with venv). Pinned Python packages, trained models, and what
# runs code for aarch64, go to a cache folder once.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(scripts/setup_python.sh)
if tools=$(scripts/setup_aarch64.sh); then
    while IFS= read -r tool; do export "${tool?}"; done <<<"$tools"
elif [ -n "${BROLGA_REQUIRE_AARCH64:-}" ]; then
    exit 1
else
    echo "test.sh: SKIPPED: code for aarch64 is not run" >&2
fi
# The profile of the tests: generated code is the same in any, and one profile is built instead of two.
cargo build --locked -p brolga -p brolga-example-faces
run='target/debug/brolga run {model} --inputs {inputs} --outputs {outputs} --threads {threads}'
"$python" scripts/conformance.py --brolga target/debug/brolga
"$python" scripts/zoo_check.py --run "$run"
"$python" scripts/real_models.py --brolga target/debug/brolga
"$python" scripts/random_graphs.py --brolga target/debug/brolga --count 200 --executables 3 --single-nodes 590
BROLGA_LARGE_TESTS=1 cargo test --locked --workspace
# Projects of their own that share the folder, and with it what they have in common.
export CARGO_TARGET_DIR=target
cargo test --config scripts/snapshot.toml --manifest-path examples/snapshot/Cargo.toml
cargo test --manifest-path examples/embed/Cargo.toml
