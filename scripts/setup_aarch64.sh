#!/usr/bin/env bash
# Finds what the aarch64 tests need, a C compiler for aarch64 and qemu's user-mode emulator, and prints a line of the form
# VARIABLE=PATH for each. What is not installed goes into the cache folder (${BROLGA_CACHE:-$HOME/.cache/brolga}) once: the compiler is the
# pinned package ziglang of PyPI, the emulator the package of a Debian-like system. Fails, in words, where neither can be had.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${BROLGA_CACHE:-$HOME/.cache/brolga}/aarch64
zig_version=0.15.2

fail() {
    echo "setup_aarch64.sh: $1" >&2
    exit 1
}

# Prints the emulator's path if it is installed or already in the cache.
find_qemu() {
    local candidate
    for candidate in qemu-aarch64 qemu-aarch64-static "$cache"/qemu/usr/bin/qemu-aarch64{-static,}; do
        if "$candidate" --version >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

fetch_qemu() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "qemu-aarch64 is not installed, and there is no apt-get"
    echo "setup_aarch64.sh: fetching qemu-user into $cache" >&2
    rm -rf "$cache/qemu" && mkdir -p "$cache/qemu"
    cd "$cache/qemu"
    if [ "$(id -u)" = 0 ]; then apt-get -qq update >&2 || true; fi
    # The package with the statically linked emulator goes by the one name or the other.
    for package in qemu-user-static qemu-user; do
        apt-get -qq -o APT::Sandbox::User=root download "$package" >&2 || continue
        dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb
        if find_qemu >/dev/null; then return; fi
    done
    fail "no package of this system has a qemu-aarch64 that runs"
}

fetch_zig() {
    echo "setup_aarch64.sh: fetching ziglang $zig_version into $cache" >&2
    local python
    python=$("$here/setup_python.sh")
    rm -rf "$cache/zig"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$cache/zig" "ziglang==$zig_version" >&2
    printf '#!/bin/sh\nexport ZIG_GLOBAL_CACHE_DIR="%s" ZIG_LOCAL_CACHE_DIR="%s"\nexec "%s" cc -target aarch64-linux-musl "$@"\n' \
        "$cache/zig-cache" "$cache/zig-cache" "$cache/zig/ziglang/zig" >"$cache/cc"
    chmod +x "$cache/cc"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
if command -v flock >/dev/null; then flock 9; fi
qemu=$(find_qemu) || { (fetch_qemu) && qemu=$(find_qemu); }
if ! cc=$(command -v aarch64-linux-gnu-gcc); then
    cc=$cache/cc
    [ -x "$cc" ] || fetch_zig
fi
printf 'BROLGA_AARCH64_CC=%s\nBROLGA_AARCH64_RUNNER=%s\n' "$cc" "$qemu"
