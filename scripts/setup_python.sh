#!/usr/bin/env bash
# Makes, once, a Python environment with the pinned packages of requirements.txt in the cache folder
# (${BROLGA_CACHE:-$HOME/.cache/brolga}) and prints the path of its interpreter. Needs python3 (3.11 or newer, with venv).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${BROLGA_CACHE:-$HOME/.cache/brolga}
base=$(command -v python3) || { echo "setup_python.sh: python3 not found" >&2; exit 1; }
key=$({ cat "$here/requirements.txt"; "$base" --version; } | sha256sum | cut -c1-12)
venv=$cache/python-$key

if [ ! -e "$venv/ready" ]; then
    mkdir -p "$cache"
    # Two suites that start together must not both install.
    exec 9>"$cache/python.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ ! -e "$venv/ready" ]; then
        echo "setup_python.sh: installing Python packages into $venv" >&2
        rm -rf "$venv"
        "$base" -m venv "$venv" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2
        touch "$venv/ready"
    fi
fi
echo "$venv/bin/python"
