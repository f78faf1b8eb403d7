#!/bin/sh
# Compiles the digits model to an object file and links it into a C program: build.sh [FOLDER], `build` if not given.
# BROLGA names the command and CC the C compiler where they are not `brolga` and `cc`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-build}
mkdir -p "$out"
"${BROLGA:-brolga}" compile "$here/../digits/lenet5.onnx" -o "$out/digits.o" --emit obj --dim batch=1
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -I "$out" -o "$out/digit" "$here/main.c" "$out/digits.o"
