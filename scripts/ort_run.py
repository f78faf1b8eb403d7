#!/usr/bin/env python3
"""Runs a model under onnxruntime, with the arguments of `brolga run`: a yardstick for the suites themselves.

usage: --run 'python scripts/ort_run.py {model} {inputs} {outputs} {threads}'
"""
import sys

import numpy as np
import onnxruntime


def main():
    model, inputs, outputs, threads = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results = session.run(None, dict(np.load(inputs)))
    np.savez(outputs, **{o.name: y for o, y in zip(session.get_outputs(), results, strict=True)})


if __name__ == "__main__":
    main()
