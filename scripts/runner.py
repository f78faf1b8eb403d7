"""Runs models through a command given as a template, one .npz of inputs in, one .npz of outputs out."""
import argparse
import pathlib
import shlex
import subprocess
import sys
import time

import numpy as np

DEFAULT = "target/release/brolga run {model} --inputs {inputs} --outputs {outputs} --threads {threads}"


def parser(description):
    """The options that every suite of this kind has."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--run", default=DEFAULT, help="command with {model} {inputs} {outputs} {threads} (default: %(default)s)")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--timeout", type=float, default=300, help="seconds per model")
    return p


def run(args, name, model, inputs, scratch):
    """Outputs by name; raises RuntimeError with the command's own words when it fails."""
    feed, result = (pathlib.Path(scratch, f"{name}.{kind}.npz") for kind in ("in", "out"))
    np.savez(feed, **inputs)
    result.unlink(missing_ok=True)
    words = [w.format(model=model, inputs=feed, outputs=result, threads=args.threads) for w in shlex.split(args.run)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer in {args.timeout:g} s") from error
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[0][:200]
        raise RuntimeError(f"exit {done.returncode}: {said}")
    if not result.exists():
        raise RuntimeError("wrote no outputs")
    with np.load(result) as outputs:
        return dict(outputs)


def suite(names, check):
    """Calls `check(name)` -> (passed, reason) for each name, prints a line each, and gives the results by name."""
    results = {}
    for name in names:
        start = time.perf_counter()
        try:
            passed, reason = check(name)
        except Exception as error:  # a broken case is a failed case; the rest still run
            passed, reason = False, str(error) or type(error).__name__
        seconds = time.perf_counter() - start
        results[name] = {"ok": bool(passed), "why": reason, "seconds": round(seconds, 2)}
        print(f"{'ok  ' if passed else 'FAIL'} {name:24} {seconds:7.2f} s  {reason}", flush=True)
    good = sum(r["ok"] for r in results.values())
    print(f"{good} passed, {len(results) - good} failed")
    return results


def finish(results, expected):
    """Ends the process: 0 if all passed and as many ran as should have."""
    if len(results) != expected:
        sys.exit(f"{len(results)} cases ran, expected {expected}")
    sys.exit(0 if all(r["ok"] for r in results.values()) else 1)
