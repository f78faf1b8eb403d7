#!/usr/bin/env python3
"""Times single nodes that are heavy, beside onnxruntime, and prints a markdown table.

usage: python scripts/heavy_nodes.py --brolga target/release/brolga [--threads 1,2] [--rounds N] [NAME ...]

Sampling (GridSample, DeformConv, RoiAlign), recurrent cells, and resizes of one and three dimensions, with seeded operands. Each round
measures both engines once, one after the other; a cell is the median over rounds, the ratio the median of the rounds' ratios.
Names choose the nodes whose title holds one of them.

Needs onnx, onnxruntime and numpy.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

NUMBERS = np.random.default_rng(0)


def floats(*shape, scale=1.0):
    return (NUMBERS.standard_normal(shape) * scale).astype(np.float32)


class Node:
    """A node with operands that are inputs (`feeds`) or constants (`weights`), in the order of `operands`."""

    def __init__(self, title, op, opset, operands, weights=(), results=1, **attributes):
        self.title = title
        names = [name if value is not None else "" for name, value in operands.items()]
        self.feeds = {name: value for name, value in operands.items() if value is not None and name not in weights}
        constants = [numpy_helper.from_array(operands[name], name) for name in weights]
        inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                  for name, value in self.feeds.items()]
        outputs = [helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, None) for i in range(results)]
        node = helper.make_node(op, names, [value.name for value in outputs], **attributes)
        graph = helper.make_graph([node], title, inputs, outputs, constants)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def grid_sample(image, places, mode="linear", padding="zeros"):
    grid = NUMBERS.uniform(-1.2, 1.2, (image[0], *places, len(places))).astype(np.float32)
    title = f"GridSample {mode} {padding} {'x'.join(map(str, image))} at {'x'.join(map(str, places))}"
    return Node(title, "GridSample", 20, {"x": floats(*image), "grid": grid}, mode=mode, padding_mode=padding)


def deform(channels, outputs, extent, moved=1):
    at = lambda many: floats(1, many * moved * 9, extent, extent)
    operands = {"x": floats(1, channels, extent, extent), "w": floats(outputs, channels, 3, 3), "offset": at(2), "bias": None,
                "mask": at(1)}
    title = f"DeformConv {channels} to {outputs} channels, {extent}x{extent}, {moved} offset groups"
    return Node(title, "DeformConv", 19, operands, ["w"], pads=[1] * 4, kernel_shape=[3, 3], offset_group=moved)


def roi_align(channels, extent, regions, cells):
    begin = NUMBERS.uniform(0, 2 * extent, (regions, 2))
    corners = np.concatenate([begin, begin + NUMBERS.uniform(0, 2 * extent, (regions, 2))], 1).astype(np.float32)
    operands = {"x": floats(1, channels, extent, extent), "corners": corners, "images": np.zeros(regions, np.int64)}
    title = f"RoiAlign {channels}x{extent}x{extent}, {regions} regions of {cells}x{cells}"
    return Node(title, "RoiAlign", 16, operands, output_height=cells, output_width=cells, sampling_ratio=2, spatial_scale=0.25)


def recurrent(op, steps, batch, size, hidden, directions=2):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    operands = {"x": floats(steps, batch, size), "w": floats(directions, gates * hidden, size, scale=0.1),
                "r": floats(directions, gates * hidden, hidden, scale=0.1), "b": floats(directions, 2 * gates * hidden)}
    direction = "bidirectional" if directions == 2 else "forward"
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    title = f"{op} {direction}, {steps} steps, batch {batch}, {size} to {hidden}"
    return Node(title, op, 14, operands, ["w", "r", "b"], hidden_size=hidden, direction=direction, **extra)


def resize(shape, scales):
    operands = {"x": floats(*shape), "roi": None, "scales": np.array(scales, np.float32)}
    return Node(f"Resize linear {'x'.join(map(str, shape))} by {scales[-1]}", "Resize", 18, operands, ["scales"], mode="linear")


def nodes():
    return [
        grid_sample((1, 64, 64, 64), (64, 64)), grid_sample((1, 32, 128, 128), (128, 128), padding="border"),
        grid_sample((1, 16, 128, 128), (128, 128), padding="reflection"), grid_sample((1, 3, 512, 512), (512, 512)),
        grid_sample((1, 16, 64, 64), (64, 64), mode="cubic"), grid_sample((8, 32, 50, 50), (300, 4)),
        grid_sample((1, 4, 24, 24, 24), (24, 24, 24)), deform(64, 64, 28), deform(128, 128, 56), deform(64, 64, 56, 8),
        roi_align(256, 56, 100, 7), roi_align(256, 56, 100, 14), recurrent("LSTM", 50, 1, 128, 128),
        recurrent("LSTM", 50, 8, 128, 128), recurrent("LSTM", 20, 16, 64, 100), recurrent("GRU", 96, 1, 128, 128),
        recurrent("GRU", 50, 8, 128, 128), recurrent("RNN", 100, 4, 128, 128), resize((1, 64, 500), [1, 1, 3]),
        resize((1, 16, 16, 16, 16), [1, 1, 2, 2, 2]),
    ]


def peer(path, feeds, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < 0.4:
        at = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - at)
    return 1e3 * statistics.median(times)


def own(brolga, path, inputs, threads):
    command = [brolga, "bench", path, "--inputs", inputs, "--threads", str(threads), "--seconds", "0.4", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brolga", required=True)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    print("| node | threads | Brolga ms | onnxruntime ms | ratio |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path, inputs = pathlib.Path(folder) / "node.onnx", pathlib.Path(folder) / "inputs.npz"
        for node in nodes():
            if args.names and not any(name in node.title for name in args.names):
                continue
            onnx.save(node.model, path)
            np.savez(inputs, **node.feeds)
            for threads in map(int, args.threads.split(",")):
                rounds = [(own(args.brolga, path, inputs, threads), peer(path, node.feeds, threads)) for _ in range(args.rounds)]
                a, b, ratio = (statistics.median(x) for x in zip(*((a, b, a / b) for a, b in rounds)))
                print(f"| {node.title} | {threads} | {a:.3f} | {b:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
