#!/usr/bin/env python3
"""Measures `brolga bench` beside onnxruntime and OpenVINO in one interleaved run and prints markdown tables.

usage: python scripts/peers.py [--models resnet50,unet,FILE.onnx] [--threads 1,2] [--rounds N] [--compile | --exe FILE]

Each round measures every engine once, one after the other, so that a slow spell of the machine hits all of them. A cell
is the median over rounds; a ratio is the median over rounds of the ratio within the round, against the faster peer.

A model is a name from tests/zoo (filled into the cache folder) or the path of an ONNX file.
With --exe (one model) or --compile, the executable is measured as well: its first answer, whole process, and, in a process
of its own, its steady speed beside that of `brolga bench` in the same round.
"""
import argparse
import json
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import zoo

try:
    import openvino
except ImportError:
    openvino = None

DEFAULT_MODELS = "resnet50,resnet18,vgg16,mobilenet_v2,efficientnet_b0"


class Onnxruntime:
    """onnxruntime with its defaults, but for the number of threads."""

    name = "onnxruntime"

    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def run(self, inputs):
        self.session.run(None, inputs)


class Openvino:
    """OpenVINO tuned for latency, in f32 as the others."""

    name = "OpenVINO"

    def __init__(self, model, threads):
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
        }
        self.request = openvino.Core().compile_model(str(model), "CPU", settings).create_infer_request()

    def run(self, inputs):
        self.request.infer(inputs, share_inputs=True)


def milliseconds(call):
    """(result, time) of one call."""
    start = time.perf_counter()
    result = call()
    return result, 1e3 * (time.perf_counter() - start)


def measure_peer(engine, model, inputs, threads, seconds):
    """Load, first and median run of a peer in this process, in ms."""
    peer, load = milliseconds(lambda: engine(model, threads))
    first = milliseconds(lambda: peer.run(inputs))[1]
    runs, end = [], time.perf_counter() + seconds
    while len(runs) < 5 or time.perf_counter() < end:
        runs.append(milliseconds(lambda: peer.run(inputs))[1])
    del peer
    time.sleep(0.05)  # let its threads come to rest
    return {"load_ms": load, "first_ms": first, "median_ms": statistics.median(runs)}


def measure_brolga(args, model, feed, threads):
    """The JSON of `brolga bench`."""
    command = [args.brolga, "bench", str(model), "--inputs", str(feed), "--threads", str(threads), "--json"]
    return json.loads(checked(command + shlex.split(args.bench_args)))


def measure_exe(args, exe, feed, threads, scratch, expected_ms):
    """Whole-process time of an executable's first answer, and its median run, in ms; a run takes about `expected_ms`."""
    command = [str(exe), "--inputs", str(feed), "--outputs", str(pathlib.Path(scratch, "exe.npz")), "--threads", str(threads)]
    whole = milliseconds(lambda: checked(command))[1]
    runs = max(5, int(1e3 * args.seconds / expected_ms))
    steady = re.search(r"median_ms ([\d.]+)", checked(command + ["--repeat", str(runs)]))
    return {"whole_ms": whole, "median_ms": float(steady[1])}


def checked(command):
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Subject:
    """A model to measure, with inputs for it."""

    def __init__(self, model, bindings, scratch):
        if model.endswith(".onnx"):
            self.path, self.name = pathlib.Path(model).resolve(), pathlib.Path(model).stem
            self.inputs = random_inputs(self.path, bindings)
        else:
            case = zoo.Case(model)
            self.path, self.name = case.model(zoo.cache_folder()), model
            self.inputs = case.inputs()
        self.feed = pathlib.Path(scratch, f"{self.name}.npz")
        np.savez(self.feed, **self.inputs)
        self.exe = None

    def compile(self, brolga, scratch):
        """Makes the executable, bound to the shapes of the inputs."""
        self.exe = pathlib.Path(scratch, self.name)
        command = [brolga, "compile", str(self.path), "-o", str(self.exe)]
        for value in signature(self.path):
            for name, size in zip(value.shape, self.inputs[value.name].shape, strict=True):
                if isinstance(name, str):
                    command += ["--dim", f"{name}={size}"]
        checked(command)


def signature(path):
    """The inputs of a model; a symbolic dimension is a name."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).get_inputs()


def random_inputs(path, bindings):
    """Seeded normal f32 inputs; a symbolic dimension is 1 unless bound."""
    rng, inputs = np.random.default_rng(1), {}
    for value in signature(path):
        if value.type != "tensor(float)":
            sys.exit(f"{path}: input {value.name} is {value.type}; only tensor(float) inputs can be made up")
        shape = [d if isinstance(d, int) else bindings.get(d, 1) for d in value.shape]
        inputs[value.name] = rng.standard_normal(shape, np.float32)
    return inputs


def measure(args, subject, threads, scratch):
    """Rounds of measurements by engine."""
    peers = [Onnxruntime] + ([Openvino] if openvino else [])
    rounds = []
    for index in range(args.rounds):
        row = {}
        # Every other round runs backwards, so that no engine always follows the same one.
        for engine in ([None] + peers)[:: 1 if index % 2 == 0 else -1]:
            if engine is None:
                row["brolga"] = measure_brolga(args, subject.path, subject.feed, threads)
                if subject.exe:
                    expected = row["brolga"]["median_ms"]
                    row["executable"] = measure_exe(args, subject.exe, subject.feed, threads, scratch, expected)
            else:
                row[engine.name] = measure_peer(engine, subject.path, subject.inputs, threads, args.seconds)
        rounds.append(row)
    return rounds


def median(rounds, value):
    """Median over rounds of what `value` makes of one."""
    return statistics.median(value(row) for row in rounds)


def report(results):
    """The markdown tables."""
    lines = ["| model | threads | Brolga ms | onnxruntime ms | OpenVINO ms | Brolga / faster peer |", "| --- | --- | --- | --- | --- | --- |"]
    for r in results:
        rounds = r["rounds"]
        speed = lambda engine: f"{median(rounds, lambda row: row[engine]['median_ms']):.2f}" if engine in rounds[0] else "-"
        best = lambda row: min(v["median_ms"] for k, v in row.items() if k in (Onnxruntime.name, Openvino.name))
        ratio = median(rounds, lambda row: row["brolga"]["median_ms"] / best(row))
        cells = [r["model"], r["threads"], speed("brolga"), speed(Onnxruntime.name), speed(Openvino.name), f"{ratio:.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| model | threads | Brolga load ms | onnxruntime load ms | ratio | Brolga first / median | executable, whole process ms | / onnxruntime load + first | executable median ms | / Brolga median |", "| --- |" + " --- |" * 9]
    for r in results:
        rounds = r["rounds"]
        ours, theirs = (lambda row: row["brolga"]), (lambda row: row[Onnxruntime.name])
        cells = [
            r["model"],
            r["threads"],
            f"{median(rounds, lambda row: ours(row)['load_ms']):.1f}",
            f"{median(rounds, lambda row: theirs(row)['load_ms']):.1f}",
            f"{median(rounds, lambda row: ours(row)['load_ms'] / theirs(row)['load_ms']):.2f}",
            f"{median(rounds, lambda row: ours(row)['first_ms'] / ours(row)['median_ms']):.2f}",
        ] + ["-"] * 4
        if "executable" in rounds[0]:
            whole = lambda row: row["executable"]["whole_ms"]
            cells[6] = f"{median(rounds, whole):.1f}"
            cells[7] = f"{median(rounds, lambda row: whole(row) / (theirs(row)['load_ms'] + theirs(row)['first_ms'])):.2f}"
            steady = lambda row: row["executable"]["median_ms"]
            cells[8] = f"{median(rounds, steady):.2f}"
            cells[9] = f"{median(rounds, lambda row: steady(row) / ours(row)['median_ms']):.3f}"
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def options():
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--models", default=DEFAULT_MODELS, help="names from tests/zoo or .onnx files, by comma (default: %(default)s)")
    p.add_argument("--threads", default="1", help="numbers of threads, by comma (default: 1)")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=1.0, help="a peer's measuring time in a round (default: 1)")
    p.add_argument("--dim", action="append", default=[], metavar="NAME=N", help="a symbolic dimension of a .onnx file")
    p.add_argument("--brolga", default=str(zoo.ROOT / "target" / "release" / "brolga"), help="the command to measure")
    p.add_argument("--bench-args", default="", help="more arguments for `brolga bench`")
    p.add_argument("--exe", help="the one model's compiled executable, to measure too")
    p.add_argument("--compile", action="store_true", help="compile an executable of each model and measure it too")
    p.add_argument("--json", help="also write every measurement to this file")
    args = p.parse_args()
    if args.rounds < 1:
        p.error("--rounds must be at least 1")
    if args.exe and "," in args.models:
        p.error("--exe goes with one model")
    return args


def main():
    args = options()
    bindings = {name: int(size) for name, size in (d.split("=") for d in args.dim)}
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for model in args.models.split(","):
            subject = Subject(model, bindings, scratch)
            if args.compile:
                subject.compile(args.brolga, scratch)
            elif args.exe:
                subject.exe = pathlib.Path(args.exe).resolve()
            for threads in map(int, args.threads.split(",")):
                print(f"{subject.name}, {threads} threads", file=sys.stderr)
                results.append({"model": subject.name, "threads": threads, "rounds": measure(args, subject, threads, scratch)})
    versions = [f"onnxruntime {onnxruntime.__version__}"]
    if openvino:
        versions.append("OpenVINO " + openvino.__version__.split("-")[0])
    print(f"Beside {' and '.join(versions)}, {args.rounds} rounds.\n\n{report(results)}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
