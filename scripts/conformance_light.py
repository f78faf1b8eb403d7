#!/usr/bin/env python3
"""Runs the nine `light` models that the PyPI package onnx ships through a command and judges the outputs.

usage: python scripts/conformance_light.py [--run 'COMMAND {model} {inputs} {outputs} {threads}'] [NAME ...]

The models are classifiers whose weights come from ConstantOfShape nodes. The package ships the expected output beside
each; the input is the ramp 0, 1/n, 2/n, ... over all n elements, as the package's own test runner makes it.
"""
import pathlib
import tempfile

import numpy as np
import onnx
import runner
from onnx import numpy_helper

FOLDER = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
VERSION = "1.22.0"
COUNT = 9
ABSOLUTE = 1e-7


def relative(name):
    """The package's own relative tolerance."""
    return 2e-3 if name == "densenet121" else 1e-3


def ramp(value):
    """The input for a graph input."""
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def check(args, name, scratch):
    """(passed, reason) for one model."""
    path = FOLDER / f"light_{name}.onnx"
    graph = onnx.load(path).graph
    weights = {t.name for t in graph.initializer}
    inputs = {i.name: ramp(i) for i in graph.input if i.name not in weights}
    got = runner.run(args, name, path, inputs, scratch)
    worst = 0.0
    for k, output in enumerate(graph.output):
        want = onnx.TensorProto.FromString((FOLDER / f"light_{name}_output_{k}.pb").read_bytes())
        want, y = numpy_helper.to_array(want), got.get(output.name)
        if y is None:
            return False, f"output {output.name} missing, got {sorted(got)}"
        if y.shape != want.shape or y.dtype != want.dtype:
            return False, f"output {output.name} is {y.dtype}{list(y.shape)}, expected {want.dtype}{list(want.shape)}"
        # As a share of what is allowed; a NaN fails.
        error = np.max(np.abs(y - want) / (ABSOLUTE + relative(name) * np.abs(want)))
        if not error <= 1:
            return False, f"output {output.name}: {error:.3g} times the tolerance"
        worst = max(worst, float(error))
    return True, f"{worst:.3g} of the tolerance"


def main():
    p = runner.parser(__doc__.splitlines()[0])
    p.add_argument("names", nargs="*", help="models without the light_ prefix; all nine if none")
    args = p.parse_args()
    if onnx.__version__ != VERSION:
        raise SystemExit(f"onnx {onnx.__version__} is installed, this suite is for {VERSION}")
    found = sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("light_*.onnx"))
    with tempfile.TemporaryDirectory() as scratch:
        results = runner.suite(args.names or found, lambda name: check(args, name, scratch))
    runner.finish(results, len(set(args.names)) or COUNT)


if __name__ == "__main__":
    main()
