#!/usr/bin/env python3
"""Compares Brolga with onnxruntime, and with itself, on random graphs.

usage: python scripts/random_graphs.py --brolga target/debug/brolga [--count 200] [--seed 0] [--keep DIR] [--executables N]
       [--single-nodes 0]

Graphs are small and valid: shapes are solved while a graph grows, operands of functions with a domain are brought into it, and
weights are scaled so that values stay near one. onnxruntime's results, all its optimisations off, are written beside each graph
in ONNX's test format, and `brolga test-suite` runs them: every CPU level of the machine, one thread and two, with and
without the passes, and through the evaluator. Some graphs are compiled to executables as well, whose outputs must be those
of `brolga run`, bit for bit; so are some single nodes whose executables carry the compiler. --single-nodes adds models of one node each, with every attribute their operators have, symbolic
extents, and classifiers that end in maps; those whose results are known to differ from onnxruntime's, and why, are in
`random_nodes.py`. Prints how many ran; ends with 1 when any differs.
"""
import argparse
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import random_nodes
from node_kinds import Nodes

OPSET = 18
MAX_ELEMENTS = 4096


class Grower:
    """A graph that grows node by node; `values` maps the name of each f32 value to its shape."""

    def __init__(self, seed):
        self.pick = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.nodes, self.weights, self.values, self.inputs = [], [], {}, []
        for i in range(self.pick.choice([1, 1, 2])):
            shape = self.pick.choice([self.image(), self.image(), self.matrix(), self.sequence()])
            self.inputs.append((f"x{i}", shape))
            self.values[f"x{i}"] = shape

    def image(self):
        channels = self.pick.choice([1, 3, 4, 8, 16, 17, 20, 32])
        return [self.pick.choice([1, 1, 2]), channels, self.pick.randint(1, 12), self.pick.randint(1, 12)]

    def matrix(self):
        return [self.pick.randint(1, 6), self.pick.randint(1, 40)]

    def sequence(self):
        return [self.pick.randint(1, 3), self.pick.randint(1, 9), self.pick.randint(1, 33)]

    def any(self, rank=None, least=0):
        names = [n for n, s in self.values.items() if (rank is None or len(s) == rank) and len(s) >= least]
        if not names:
            return None
        # Late values are read more often, so that graphs get deep.
        return names[min(len(names) - 1, int(len(names) * self.pick.random() ** 0.5))]

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, *shape, scale=1.0, low=None):
        data = self.numbers.standard_normal(shape) * scale
        if low is not None:
            data = np.abs(data) + low
        return self.weight(data.astype(np.float32))

    def ints(self, values):
        return self.weight(np.array(values, np.int64))

    def node(self, op, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        if any(d < 0 for d in shape) or np.prod(shape, dtype=np.int64) > MAX_ELEMENTS:
            return None
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        if shape is not None:
            self.values[name] = list(shape)
        return name

    # One method per kind of node; each adds one or more nodes, or gives up and adds none.

    def unary(self):
        x = self.any()
        ops = ["Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Erf", "Softplus", "HardSwish", "HardSigmoid", "Mish", "Sin", "Cos",
               "Elu", "LeakyRelu", "Selu", "Celu", "Softsign", "Identity"]
        self.node(self.pick.choice(ops), [x], self.values[x])

    def domain(self):
        x = self.any()
        # Where its sigmoid is small, onnxruntime's is far from it: 5 % at 1e-6, which a logarithm would show.
        bounded = self.node("Tanh", [x], self.values[x])
        bounded = bounded and self.node("Sigmoid", [bounded], self.values[x])
        if bounded:
            self.node(self.pick.choice(["Sqrt", "Log", "Exp", "Reciprocal"]), [bounded], self.values[x])

    def clip(self):
        x = self.any()
        low = self.pick.choice([-1.0, 0.0])
        bounds = [self.weight(np.array(v, np.float32)) for v in (low, low + self.pick.choice([1.0, 6.0]))]
        self.node("Clip", [x, *bounds], self.values[x])

    def binary(self):
        x = self.any()
        shape = self.values[x]
        same = [n for n, s in self.values.items() if s == shape]
        small = [1 if self.pick.random() < 0.5 else d for d in shape][self.pick.randint(0, len(shape)):]
        other = self.pick.choice(same) if self.pick.random() < 0.5 else self.floats(*small)
        operands = [x, other] if self.pick.random() < 0.7 else [other, x]
        self.node(self.pick.choice(["Add", "Sub", "Mul", "Max", "Min"]), operands, shape)

    def divide(self):
        x = self.any()
        self.node("Div", [x, self.floats(*self.values[x][-1:], low=0.5)], self.values[x])

    def steps(self):
        # On an input only: a result that is off by a rounding may fall on the other side of a step.
        x = self.pick.choice(self.inputs)[0]
        self.node(self.pick.choice(["Floor", "Ceil", "Round", "Sign"]), [x], self.values[x])

    def choose(self):
        x = self.pick.choice(self.inputs)[0]
        shape = self.values[x]
        name = f"c{len(self.nodes)}"
        op = self.pick.choice(["Greater", "Less", "GreaterOrEqual"])
        zero = self.weight(np.array(0.25, np.float32))
        self.nodes.append(helper.make_node(op, [x, zero], [name], name=name))
        self.node("Where", [name, x, self.floats(*shape[-1:])], shape)

    def convolution(self):
        x = self.any(rank=4)
        if not x:
            return
        n, c, h, w = self.values[x]
        group = self.pick.choice([1, 1, 1, c] + ([2] if c % 2 == 0 else []))
        out = self.pick.choice([1, 3, 8, 16, 17, 24]) * group if group != c or c == 1 else c
        kernel = [self.pick.choice([1, 1, 2, 3, 5]) for _ in "hw"]
        stride, dilation = [self.pick.choice([1, 1, 2, 3]) for _ in "hw"], [self.pick.choice([1, 1, 2]) for _ in "hw"]
        pads = [self.pick.randint(0, k // 2) for k in kernel * 2]
        size = [(d + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i, d in enumerate((h, w))]
        if min(size) < 1:
            return
        weight = self.floats(out, c // group, *kernel, scale=(c // group * kernel[0] * kernel[1]) ** -0.5)
        operands = [x, weight] + ([self.floats(out)] if self.pick.random() < 0.6 else [])
        made = self.node("Conv", operands, [n, out, *size], group=group, kernel_shape=kernel, strides=stride,
                         dilations=dilation, pads=pads)
        if made and self.pick.random() < 0.4:
            norm = [self.floats(out, low=0.5), self.floats(out), self.floats(out), self.floats(out, low=0.5)]
            made = self.node("BatchNormalization", [made, *norm], [n, out, *size])
        if made and self.pick.random() < 0.4:
            made = self.node("Relu", [made], [n, out, *size])

    def transposed(self):
        x = self.any(rank=4)
        if not x:
            return
        n, c, h, w = self.values[x]
        out, kernel, stride = self.pick.choice([1, 3, 8, 17]), self.pick.choice([1, 2, 3]), self.pick.choice([1, 2])
        weight = self.floats(c, out, kernel, kernel, scale=c ** -0.5)
        size = [(d - 1) * stride + kernel for d in (h, w)]
        self.node("ConvTranspose", [x, weight], [n, out, *size], kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def pool(self):
        x = self.any(rank=4)
        if not x:
            return
        n, c, h, w = self.values[x]
        kernel, stride = self.pick.choice([1, 2, 3]), self.pick.choice([1, 2])
        pad = self.pick.randint(0, kernel // 2)
        size = [(d + 2 * pad - kernel) // stride + 1 for d in (h, w)]
        if min(size) < 1:
            return
        op = self.pick.choice(["MaxPool", "AveragePool"])
        extra = {"count_include_pad": self.pick.choice([0, 1])} if op == "AveragePool" else {}
        self.node(op, [x], [n, c, *size], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, **extra)

    def whole(self):
        x = self.any(rank=4)
        if x:
            self.node(self.pick.choice(["GlobalAveragePool", "GlobalMaxPool"]), [x], self.values[x][:2] + [1, 1])

    def normalise(self):
        x = self.any(least=3)
        if not x:
            return
        shape = self.values[x]
        if self.pick.random() < 0.5 and int(np.prod(shape[2:])) > 1:
            self.node("InstanceNormalization", [x, self.floats(shape[1]), self.floats(shape[1])], shape)
        elif shape[-1] > 1:
            self.node("LayerNormalization", [x, self.floats(shape[-1]), self.floats(shape[-1])], shape, axis=-1)

    def softmax(self):
        x = self.any(least=1)
        if x:
            axis = self.pick.randrange(len(self.values[x]))
            self.node(self.pick.choice(["Softmax", "LogSoftmax"]), [x], self.values[x], axis=axis)

    def product(self):
        x = self.any(least=2)
        if not x:
            return
        *lead, k = self.values[x]
        n = self.pick.choice([1, 2, 5, 16, 17, 33])
        made = self.node("MatMul", [x, self.floats(k, n, scale=k ** -0.5)], [*lead, n])
        if made and self.pick.random() < 0.5:
            self.node("Add", [made, self.floats(n)], [*lead, n])

    def gemm(self):
        x = self.any(rank=2)
        if x:
            m, k = self.values[x]
            n = self.pick.choice([1, 4, 10, 17])
            self.node("Gemm", [x, self.floats(n, k, scale=k ** -0.5), self.floats(n)], [m, n], transB=1)

    def reduction(self):
        x = self.any(least=2)
        if not x:
            return
        shape = self.values[x]
        axes = sorted(self.pick.sample(range(len(shape)), self.pick.randint(1, len(shape) - 1)))
        keep = self.pick.choice([0, 1])
        out = [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]
        op = self.pick.choice(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"])
        self.node(op, [x, self.ints(axes)], out, keepdims=keep)

    def join(self):
        x = self.any(least=1)
        if not x:
            return
        shape, axis = self.values[x], self.pick.randrange(len(self.values[x]))
        fits = [n for n, s in self.values.items() if len(s) == len(shape) and s[:axis] + s[axis + 1:] == shape[:axis] + shape[axis + 1:]]
        parts = [x] + [self.pick.choice(fits) for _ in range(self.pick.randint(1, 2))]
        out = list(shape)
        out[axis] = sum(self.values[p][axis] for p in parts)
        self.node("Concat", parts, out, axis=axis)

    def cut(self):
        x = self.any(least=1)
        if not x:
            return
        shape, axis = self.values[x], self.pick.randrange(len(self.values[x]))
        if shape[axis] < 2:
            return
        begin = self.pick.randrange(shape[axis] - 1)
        end, step = self.pick.randint(begin + 1, shape[axis]), self.pick.choice([1, 1, 2])
        out = list(shape)
        out[axis] = (end - begin + step - 1) // step
        self.node("Slice", [x, self.ints([begin]), self.ints([end]), self.ints([axis]), self.ints([step])], out)

    def frame(self):
        x = self.any(least=2)
        if not x:
            return
        shape = self.values[x]
        mode = self.pick.choice(["constant", "edge", "reflect"])
        before, after = ([self.pick.randint(0, min(2, d - 1)) for d in shape] for _ in range(2))
        out = [d + b + a for d, b, a in zip(shape, before, after)]
        self.node("Pad", [x, self.ints(before + after)], out, mode=mode)

    def shape(self):
        x = self.any(least=1)
        if not x:
            return
        shape = self.values[x]
        if self.pick.random() < 0.5:
            order = self.pick.sample(range(len(shape)), len(shape))
            self.node("Transpose", [x], [shape[i] for i in order], perm=order)
        elif len(shape) > 1:
            at = self.pick.randrange(len(shape) - 1)
            out = shape[:at] + [shape[at] * shape[at + 1]] + shape[at + 2:]
            self.node("Reshape", [x, self.ints(out)], out)

    def gather(self):
        x = self.any(least=1)
        if not x:
            return
        shape, axis = self.values[x], self.pick.randrange(len(self.values[x]))
        rows = [self.pick.randrange(-shape[axis], shape[axis]) for _ in range(self.pick.randint(1, 5))]
        self.node("Gather", [x, self.ints(rows)], shape[:axis] + [len(rows)] + shape[axis + 1:], axis=axis)

    def resize(self):
        x = self.any(rank=4)
        if not x:
            return
        n, c, h, w = self.values[x]
        mode, times = self.pick.choice(["nearest", "linear"]), self.pick.choice([2, 3])
        how = "asymmetric" if mode == "nearest" else self.pick.choice(["half_pixel", "align_corners", "asymmetric"])
        extra = {"nearest_mode": "floor"} if mode == "nearest" else {}
        out = [n, c, h * times, w * times]
        self.node("Resize", [x, "", "", self.ints(out)], out, mode=mode, coordinate_transformation_mode=how, **extra)

    def sample(self):
        x = self.any(rank=4)
        if not x:
            return
        n, c, _, _ = self.values[x]
        places = [self.pick.randint(1, 9), self.pick.randint(1, 9)]
        grid = self.weight(self.numbers.uniform(-1.3, 1.3, (n, *places, 2)).astype(np.float32))
        self.node("GridSample", [x, grid], [n, c, *places], mode=self.pick.choice(["bilinear", "bilinear", "bicubic"]),
                  padding_mode=self.pick.choice(["zeros", "border", "reflection"]), align_corners=self.pick.randint(0, 1))

    def pick_rows(self):
        x = self.any(least=2)
        if not x or 0 in self.values[x]:
            return
        shape, count = self.values[x], self.pick.randint(1, 5)
        rows = self.numbers.permutation(shape[0])[:count]
        index = self.weight(rows.reshape(-1, *[1] * (len(shape) - 1)).astype(np.int64))
        wide = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node("Expand", [index, self.ints([len(rows), *shape[1:]])], [wide], name=wide))
        picked = self.node("GatherElements", [x, wide], [len(rows), *shape[1:]], axis=0)
        if picked and self.pick.random() < 0.5:
            self.node("ScatterElements", [x, wide, picked], shape, axis=0)

    def blocks(self):
        x = self.any(rank=4)
        if x and self.values[x][1] % 4 == 0:
            n, c, h, w = self.values[x]
            self.node("DepthToSpace", [x], [n, c // 4, h * 2, w * 2], blocksize=2, mode=self.pick.choice(["DCR", "CRD"]))

    KINDS = [unary, unary, domain, clip, binary, binary, binary, divide, steps, choose, convolution, convolution, convolution,
             convolution, transposed, pool, pool, whole, normalise, softmax, product, product, gemm, reduction, join, join, cut,
             frame, shape, shape, gather, resize, sample, pick_rows, blocks]

    def grow(self):
        while len(self.nodes) < self.pick.randint(1, 14):
            before = len(self.nodes)
            self.pick.choice(self.KINDS)(self)
            if len(self.nodes) == before and self.pick.random() < 0.05:
                break
        if not self.nodes:
            self.unary()
        read = {name for node in self.nodes for name in node.input}
        ends = [n for n in self.values if n not in read and not n.startswith("x")]
        outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, self.values[n]) for n in ends]
        inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs]
        graph = helper.make_graph(self.nodes, "random", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def reference(model):
    """The model in onnxruntime, as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def write_node(folder, nodes, number):
    """Writes a model of one node with onnxruntime's results; its name and what explains a difference, or none of both."""
    case = nodes.draw(number)
    feeds = case.feeds()
    try:
        results = reference(case.model(nodes.pick)).run(case.results, feeds)
    except Exception:  # Whatever onnxruntime refuses: its bindings raise a type for each code.
        return None
    outputs = [random_nodes.port(value, name) for name, value in zip(case.results, results)]
    name = f"node_{number:05d}_{case.op}"
    data = folder / "nodes" / name / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(case.model(nodes.pick, outputs), data.parent / "model.onnx")
    for i, (feed, array) in enumerate(feeds.items()):
        (data / f"input_{i}.pb").write_bytes(random_nodes.tensor(array, feed).SerializeToString())
    for i, (result, value) in enumerate(zip(case.results, results)):
        (data / f"output_{i}.pb").write_bytes(random_nodes.proto(value, result).SerializeToString())
    np.savez(data.parent / "inputs.npz", **feeds)
    if random_nodes.one_apart(case):
        np.savez(data / "outputs.npz", **dict(zip(case.results, results)))
        return name, random_nodes.ONE_APART[case.op]
    return name, random_nodes.explanation(case)


def further_than_one(brolga, case, *options):
    """Whether a result is further than one, or in floats than a thousandth, from onnxruntime's."""
    data, got = case / "test_data_set_0", case / "got.npz"
    command = [brolga, "run", case / "model.onnx", "--inputs", case / "inputs.npz", "--outputs", got, *options]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(data / "outputs.npz") as wanted, np.load(got) as given:
        bounds = {name: 1e-3 if wanted[name].dtype.kind == "f" else 1 for name in wanted}
        apart = {name: np.abs(given[name].astype(float) - wanted[name].astype(float)).max(initial=0) for name in bounds}
        shapes = all(given[name].shape == wanted[name].shape for name in bounds)
    far = {name: apart[name] for name in bounds if not (shapes and apart[name] <= bounds[name])}
    if far:
        print(f"{' '.join(options)}: {case.name}: apart by {far}")
    return bool(far)


def maps_as_arrays(brolga, folder, nodes):
    """Classifiers whose labels and maps `brolga run` writes other than onnxruntime gives them."""
    bad = 0
    for number in range(4):
        case = nodes.classifier()
        feeds, model, paths = case.feeds(), folder / "classifier.onnx", [folder / "in.npz", folder / "out.npz"]
        labels, maps = reference(case.model(nodes.pick)).run(case.results, feeds)
        outputs = [random_nodes.port(value, name) for name, value in zip(case.results, (labels, maps))]
        onnx.save(case.model(nodes.pick, outputs), model)
        np.savez(paths[0], **feeds)
        subprocess.run([brolga, "run", model, "--inputs", paths[0], "--outputs", paths[1]], check=True, capture_output=True)
        label, result = case.results
        with np.load(paths[1]) as got:
            same = got[f"{result}.keys"].tolist() == list(maps[0])
            same &= np.allclose(got[f"{result}.values"], [list(row.values()) for row in maps], rtol=1e-4, atol=1e-6)
            same &= random_nodes.explanation(case) is not None or got[label].tolist() == labels.tolist()
        if not same:
            print(f"classifier {number}: labels or maps differ")
            bad += 1
    return bad


def need_the_compiler(brolga, cases):
    """Those of the cases whose sizes only a run can tell, and whose inputs are arrays of numbers."""
    for case in cases:
        with np.load(case / "inputs.npz", allow_pickle=True) as feeds:
            numbers = all(feeds[name].dtype.kind in "fiub" for name in feeds)
            shapes = {name: feeds[name].shape for name in feeds}
        check = [brolga, "check", case / "model.onnx", "--json"]
        for value in onnx.load(case / "model.onnx").graph.input:
            extents = zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()))
            check += [f"--dim={dim.dim_param}={extent}" for dim, extent in extents if dim.dim_param]
        if numbers and json.loads(subprocess.run(check, capture_output=True, check=True).stdout)["needs_compiler"]:
            yield case


def single_nodes(brolga, folder, count, seed, programs):
    """Differences of so many models of one node each, and of so many executables that carry the compiler."""
    nodes, written, number = Nodes(seed), {}, 0
    while len(written) < count:
        written.update(filter(None, [write_node(folder, nodes, number)]))
        number += 1
    ways, bad = [["--threads", "2"], ["--cpu", "x86-64"], ["--evaluator"]], 0
    rounded = [name for name, why in written.items() if why in random_nodes.ONE_APART.values()]
    for way in ways:
        failed, ran = suite(brolga, folder, *way, known=written)
        assert ran == count, f"{ran} nodes ran of {count}"
        bad += failed
        if way != ["--evaluator"]:
            bad += sum(further_than_one(brolga, folder / "nodes" / name, *way) for name in rounded)
    refused = number - count
    bad += maps_as_arrays(brolga, folder, nodes)
    cases = list(itertools.islice(need_the_compiler(brolga, sorted((folder / "nodes").iterdir())), programs))
    bad += executables(brolga, cases)
    print(f"{count} single nodes, {len(ways)} ways each, {refused} more refused by onnxruntime, {len(cases)} executables that "
          f"carry the compiler: {bad} differences")
    return bad


def write_case(folder, seed):
    """Writes a graph with onnxruntime's results; tells whether it is fit for comparison."""
    grower = Grower(seed)
    model = grower.grow()
    if not model.graph.output:
        return False
    try:
        session = reference(model)
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        return False
    feeds = {name: grower.numbers.standard_normal(shape).astype(np.float32) for name, shape in grower.inputs}
    results = session.run(None, feeds)
    if not all(np.isfinite(r).all() and (r.size == 0 or np.abs(r).max() < 1e3) for r in results):
        return False
    case = folder / "random" / f"random_{seed:05d}"
    data = case / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(model, case / "model.onnx")
    for i, (name, array) in enumerate(feeds.items()):
        (data / f"input_{i}.pb").write_bytes(numpy_helper.from_array(array, name).SerializeToString())
    for i, (output, array) in enumerate(zip(session.get_outputs(), results)):
        (data / f"output_{i}.pb").write_bytes(numpy_helper.from_array(array, output.name).SerializeToString())
    np.savez(case / "inputs.npz", **feeds)
    return True


def levels(brolga):
    """CPU levels that this machine runs."""
    named = ["x86-64", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni", "aarch64"]
    probe = pathlib.Path(__file__).parent.parent / "examples/digits/lenet5.onnx"
    runs = lambda level: subprocess.run([brolga, "run", probe, "--cpu", level], capture_output=True).returncode == 0
    return [level for level in named if runs(level)]


def suite(brolga, folder, *options, known={}):
    """Failures of one way of running every case, and the number that ran. Cases with an explanation may differ."""
    out = subprocess.run([brolga, "test-suite", folder, "--json", *options], capture_output=True, text=True)
    if out.returncode not in (0, 1):
        sys.exit(f"brolga test-suite {' '.join(options)}: {out.stderr}")
    report = json.loads(out.stdout)
    expected = lambda case: case["verdict"] == "fail" and known.get(case["name"])
    bad = [c for c in report["cases"] if c["verdict"] != "pass" and not expected(c)]
    for case in bad:
        print(f"{' '.join(options) or 'plain'}: {case['name']}: {case['verdict']}: {case.get('reason', '')}")
    return len(bad), len(report["cases"])


def executables(brolga, cases):
    """Executables of these cases whose outputs are not those of `brolga run`."""
    bad = 0
    for case in cases:
        program, outputs = case / "program", [case / "run.npz", case / "exe.npz"]
        subprocess.run([brolga, "compile", case / "model.onnx", "-o", program], check=True, capture_output=True)
        common = ["--inputs", case / "inputs.npz", "--outputs"]
        subprocess.run([brolga, "run", case / "model.onnx", *common, outputs[0]], check=True, capture_output=True)
        subprocess.run([program, *common, outputs[1]], check=True, capture_output=True)
        a, b = (np.load(path) for path in outputs)
        if sorted(a) != sorted(b) or any(a[name].tobytes() != b[name].tobytes() for name in a):
            print(f"executable: {case.name}: outputs differ")
            bad += 1
        program.unlink()
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brolga", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executables", type=int, default=5)
    parser.add_argument("--single-nodes", type=int, default=0, metavar="COUNT")
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or pathlib.Path(scratch)
        made, seed = 0, args.seed
        while made < args.count:
            made += write_case(folder, seed)
            seed += 1
        ways = [["--cpu", level, "--threads", n] for level in levels(args.brolga) for n in ("1", "2")]
        ways += [["--skip-passes"], ["--evaluator"]]
        bad = 0
        for way in ways:
            failed, ran = suite(args.brolga, folder, *way)
            assert ran == made, f"{ran} cases ran of {made}"
            bad += failed
        bad += executables(args.brolga, sorted((folder / "random").iterdir())[: args.executables])
        print(f"{made} graphs, {len(ways)} ways each, {args.executables} executables: {bad} differences")
        if args.single_nodes:
            bad += single_nodes(args.brolga, folder / "single", args.single_nodes, args.seed, args.executables)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
