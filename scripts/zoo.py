"""The format of tests/zoo (see its README.md): filling weights and inputs, and judging outputs."""
import json
import os
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "zoo"
MASK = (1 << 64) - 1


def cache_folder():
    """Where filled models are kept: they are too large for a repository."""
    default = pathlib.Path.home() / ".cache" / "brolga"
    folder = pathlib.Path(os.environ.get("BROLGA_CACHE", default)) / "zoo"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fill(key, shape, std):
    """The deterministic f32 array of that key, shape and standard deviation."""
    start = 0xCBF29CE484222325
    for byte in key.encode():
        start = (start ^ byte) * 0x100000001B3 & MASK
    count = int(np.prod(shape, dtype=np.int64))
    out = np.empty(count, np.float32)
    block = 1 << 20
    for first in range(0, count, block):
        part = out[first : first + block]
        z = np.arange(len(part), dtype=np.uint64) + np.uint64((start + first + 0x9E3779B97F4A7C15) & MASK)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        unit = ((z ^ z >> np.uint64(31)) >> np.uint64(11)).astype(np.float64) / 2.0**53
        part[:] = (2.0 * unit - 1.0) * np.sqrt(3.0) * std
    return out.reshape(shape)


def hydrate(path):
    """The model of a weightless file, with its weights."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.doc_string.startswith("fill "):
            _, key, std = tensor.doc_string.split(" ")
            tensor.CopyFrom(numpy_helper.from_array(fill(key, tuple(tensor.dims), float(std)), tensor.name))
    return model


class Case:
    """One model of the zoo."""

    def __init__(self, name, folder=FOLDER):
        self.name, self.folder = name, pathlib.Path(folder)
        self.meta = json.loads((self.folder / f"{name}.json").read_text())
        self.recorded = np.load(self.folder / f"{name}.npz")

    def model(self, cache):
        """The path of the filled model, made on first use and again when the weightless file is newer."""
        source, path = self.folder / f"{self.name}.onnx", pathlib.Path(cache) / f"{self.name}.onnx"
        if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
            # Renamed into place, so that an interrupted run leaves no half-written model.
            with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
                part.write(hydrate(source).SerializeToString())
            os.replace(part.name, path)
        return path

    def inputs(self):
        """What to feed the model, by name."""
        return {
            i["name"]: self.recorded["in:" + i["name"]] if i.get("stored") else fill(i["fill"][0], i["shape"], i["fill"][1])
            for i in self.meta["inputs"]
        }

    def compare(self, got):
        """(passed, reason) for outputs by name."""
        for o in self.meta["outputs"]:
            if o["name"] not in got:
                return False, f"output {o['name']} missing, got {sorted(got)}"
            if str(got[o["name"]].dtype) != o["dtype"]:
                return False, f"output {o['name']} is {got[o['name']].dtype}, expected {o['dtype']}"
        integers = any(o["dtype"].startswith("int") for o in self.meta["outputs"])
        if integers and any(i.get("stored") for i in self.meta["inputs"]):
            return self.compare_detections(got)
        worst = 0.0
        for output, spread in zip(self.meta["outputs"], self.meta["ort_opt_vs_plain"], strict=True):
            error, tolerance, reason = self.compare_tensor(output, spread, got[output["name"]])
            if reason or not error <= tolerance:  # a NaN fails
                return False, f"output {output['name']}: " + (reason or f"error {error:.2e} over {tolerance:.1e}")
            worst = max(worst, error)
        return True, f"error {worst:.2e}"

    def compare_tensor(self, output, spread, y):
        """(error, tolerance, reason) of one output; a reason means failure whatever the error."""
        want = self.recorded[output["name"]].reshape(-1)
        if list(y.shape) != output["shape"]:
            return 0, 0, f"shape {list(y.shape)}, expected {output['shape']}"
        y = y.reshape(-1)[:: output["step"]]
        if y.dtype.kind in "iub":
            return 0, 0, None if np.array_equal(y, want) else "values differ"
        if not want.size:
            return 0, 0, None
        scale = np.float64(output["max_abs"])
        if "column_max" in output:
            scale = np.array(output["column_max"])[np.arange(want.size) * output["step"] % output["shape"][-1]]
        error = np.max(np.abs(y.astype(np.float64) - want) / np.maximum(scale, 1e-30))
        return float(error), max(1e-4, 10 * spread), None

    def compare_detections(self, got):
        """Detectors: nearly all recorded detections need a partner of the same label, place and score."""
        roles = {}
        for o in self.meta["outputs"]:
            rank, last = len(o["shape"]), o["shape"][-1]
            if o["dtype"].startswith("int"):
                roles.setdefault("labels", o["name"])
            elif rank == 2 and last == 4:
                roles.setdefault("boxes", o["name"])
            elif rank == 1:
                roles.setdefault("scores", o["name"])
        want = {role: self.recorded[name] for role, name in roles.items()}
        have = {role: got[name] for role, name in roles.items()}
        n, m = len(want["scores"]), len(have["scores"])
        if abs(n - m) > 0.05 * max(n, 1):
            return False, f"{m} detections, recorded {n}"
        partner = overlap(want["boxes"].reshape(-1, 4), have["boxes"].reshape(-1, 4)) >= 0.9
        partner &= want["labels"][:, None] == have["labels"]
        partner &= np.abs(want["scores"][:, None] - have["scores"]) <= 0.01
        share = partner.any(1).mean() if n else 1.0
        if share < 0.95:
            return False, f"{share:.1%} of detections matched"
        for o in self.meta["outputs"]:
            if "mask_bits" in o:
                count, h, w = o["mask_bits"]
                bits = np.unpackbits(self.recorded["mask_bits"], count=count * h * w).reshape(count, h, w) > 0
                masks = got[o["name"]][:, 0] > 0.5
                good = np.mean([any(mask_overlap(b, masks[j]) >= 0.9 for j in np.flatnonzero(p)) for b, p in zip(bits, partner)])
                if good < 0.9:
                    return False, f"{good:.0%} of masks agree"
        return True, f"{share:.1%} of detections matched"


def overlap(a, b):
    """Intersection over union of every box of `a` with every box of `b`."""
    size = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    common = np.clip(size, 0, None).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return common / np.maximum(area(a)[:, None] + area(b) - common, 1e-9)


def mask_overlap(a, b):
    """Intersection over union of two boolean masks."""
    return (a & b).sum() / max((a | b).sum(), 1)


def names(folder=FOLDER):
    """Every model of a folder."""
    return sorted(path.stem for path in pathlib.Path(folder).glob("*.json"))
