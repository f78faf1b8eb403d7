#!/usr/bin/env python3
"""Runs the conformance suite that the PyPI package onnx ships, compiled and evaluated, and checks docs/conformance.md.

usage: python scripts/conformance.py [--brolga FILE] [--write] [--no-evaluator]

Every case is counted and has to pass, and the page must tell what ran; --write writes it.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import onnx

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
DATA = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
VERSION = "1.22.0"
COUNTS = {"node": 1765, "simple": 23, "pytorch-converted": 82, "pytorch-operator": 35, "light": 9}


def run(brolga, *options):
    """The report of one run over the whole suite."""
    done = subprocess.run([brolga, "test-suite", DATA, "--json", *options], stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"brolga test-suite ended with {done.returncode}")
    return json.loads(done.stdout)


def judge(title, report):
    """Prints the four numbers; the number of faults."""
    numbers = {key: report[key] for key in ("pass", "fail", "unsupported", "crash")}
    print(f"{title}: " + ", ".join(f"{number} {key}" for key, number in numbers.items()))
    found = collections.Counter(case["suite"] for case in report["cases"])
    faults = 0
    if found != COUNTS:
        print(f"  {sum(found.values())} cases ran, {dict(found)}; {COUNTS} are expected")
        faults += 1
    for case in report["cases"]:
        if case["verdict"] != "pass":
            print(f"  {case['verdict']} {case['suite']}/{case['name']}: {case['reason']}")
            faults += 1
    return faults


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--brolga", type=pathlib.Path, default=ROOT / "target" / "debug" / "brolga")
    p.add_argument("--write", action="store_true", help="write docs/conformance.md instead of checking it")
    p.add_argument("--no-evaluator", action="store_true", help="leave out the run through the evaluator")
    args = p.parse_args()
    if onnx.__version__ != VERSION:
        raise SystemExit(f"onnx {onnx.__version__} is installed, this suite is {VERSION}")
    with tempfile.TemporaryDirectory() as scratch:
        page = PAGE if args.write else pathlib.Path(scratch) / PAGE.name
        faults = judge("compiled", run(args.brolga, "--write-docs", page))
        if page.read_text() != PAGE.read_text():
            print(f"{PAGE} is out of date: run scripts/conformance.py --write")
            faults += 1
    if not args.no_evaluator:
        faults += judge("evaluator", run(args.brolga, "--evaluator"))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
