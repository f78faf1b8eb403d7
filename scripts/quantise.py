#!/usr/bin/env python3
"""Makes quantised forms of a model with onnxruntime's own tools, and compares `brolga` with onnxruntime on them.

    quantise.py MODEL.onnx FOLDER [--brolga PATH] [--time]

Four files are made in FOLDER: `qdq.onnx` (quantize/dequantize pairs, signed activations, weights per channel), `qdq-u8.onnx`
(the same with unsigned activations), `qoperator.onnx` (QLinearConv, QLinearAdd and others), `dynamic.onnx` (ConvInteger,
MatMulInteger). Each is run on the same seeded input by onnxruntime and by brolga. They agree when the largest difference is a
small share of the largest output: quantised values on the edge between two integers may fall to either side, in either engine.
With --time, the least time of a run of MODEL and of each form on one thread is printed, in both engines.

Needs onnx, onnxruntime and numpy.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization import QuantFormat, QuantType

# Largest difference, as a share of the largest output. The dynamic form takes its scales from the numbers of the run.
TOLERANCE = {"qdq": 0.05, "qdq-u8": 0.05, "qoperator": 0.05, "dynamic": 0.1}


class Samples(quantization.CalibrationDataReader):
    """A few seeded inputs."""

    def __init__(self, model, count=4):
        self.samples = iter([inputs(model, seed) for seed in range(count)])

    def get_next(self):
        return next(self.samples, None)


def inputs(model, seed):
    random = numpy.random.default_rng(seed)
    made = {}
    constants = {tensor.name for tensor in model.graph.initializer}
    for port in model.graph.input:
        if port.name not in constants:
            shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
            made[port.name] = random.standard_normal(shape).astype(numpy.float32)
    return made


def make(source, folder):
    """The quantised files by name; those that are there are kept."""
    model = onnx.load(source)
    files = {name: folder / f"{name}.onnx" for name in TOLERANCE}
    static = {
        "qdq": dict(quant_format=QuantFormat.QDQ, activation_type=QuantType.QInt8),
        "qdq-u8": dict(quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8),
        "qoperator": dict(quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8),
    }
    for name, options in static.items():
        if not files[name].exists():
            quantization.quantize_static(
                source, files[name], Samples(model), per_channel=True, weight_type=QuantType.QInt8, **options
            )
    if not files["dynamic"].exists():
        quantization.quantize_dynamic(
            source, files["dynamic"], weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "MatMul", "Gemm"]
        )
    return files


def peer(file):
    """The model in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def compare(brolga, name, file, feeds, folder):
    """Prints a line; whether the two engines agree."""
    session = peer(file)
    wanted = session.run(None, feeds)
    given, got = folder / "inputs.npz", folder / f"{name}.npz"
    numpy.savez(given, **feeds)
    subprocess.run([brolga, "run", file, "--inputs", given, "--outputs", got], check=True, stdout=subprocess.DEVNULL)
    ours = numpy.load(got)
    worst = 0.0
    for port, want in zip(session.get_outputs(), wanted):
        scale = max(float(numpy.abs(want).max()), 1e-30)
        worst = max(worst, float(numpy.abs(ours[port.name] - want).max()) / scale)
    first = (wanted[0].argmax(), ours[session.get_outputs()[0].name].argmax())
    good = worst <= TOLERANCE[name]
    print(f"{name:10}  difference {worst:.5f} of the largest  first {first[0]} {first[1]}  {'ok' if good else 'FAIL'}")
    return good


def times_of(brolga, file, feeds, folder, rounds=3, runs=20):
    """Least milliseconds of a run in brolga, as `brolga bench` measures them, and in onnxruntime, by turns."""
    numpy.savez(folder / "inputs.npz", **feeds)
    command = [brolga, "bench", file, "--inputs", folder / "inputs.npz", "--threads", "1", "--json"]
    session, ours, theirs = peer(file), [], []
    for _ in range(rounds):
        ours.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["min_ms"])
        for _ in range(runs):
            begin = time.perf_counter()
            session.run(None, feeds)
            theirs.append(1e3 * (time.perf_counter() - begin))
    return min(ours), min(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--brolga", default="brolga")
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    files = make(options.model, options.folder)
    feeds = inputs(onnx.load(options.model), 100)
    results = [compare(options.brolga, name, file, feeds, options.folder) for name, file in files.items()]
    if options.time:
        for name, file in {"f32": options.model, **files}.items():
            ours, theirs = times_of(options.brolga, file, feeds, options.folder)
            print(f"{name:10}  {ours:.2f} ms  onnxruntime {theirs:.2f} ms  ratio {ours / theirs:.2f}")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
