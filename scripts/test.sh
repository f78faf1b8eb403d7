#!/usr/bin/env bash
# Runs every test: the larger suites through the command, then `cargo test` over the workspace.
# Needs Rust, a C compiler and python3 (3.11 or newer, with venv); pinned Python packages go to a cache folder once.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(scripts/setup_python.sh)
# The profile of the tests: generated code is the same in any, and one profile is built instead of two.
cargo build --locked -p brolga
run='target/debug/brolga run {model} --inputs {inputs} --outputs {outputs} --threads {threads}'
"$python" scripts/conformance_light.py --run "$run"
"$python" scripts/zoo_check.py --run "$run"
BROLGA_LARGE_TESTS=1 cargo test --locked --workspace
