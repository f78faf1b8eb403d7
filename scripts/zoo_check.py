#!/usr/bin/env python3
"""Runs the models of tests/zoo, or of another folder of that format, through a command and judges the outputs.

usage: python scripts/zoo_check.py [--dir DIR] [--run 'COMMAND {model} {inputs} {outputs} {threads}'] [NAME ...]
"""
import json
import tempfile

import runner
import zoo


def main():
    p = runner.parser(__doc__.splitlines()[0])
    p.add_argument("--dir", default=zoo.FOLDER, help="folder of NAME.onnx, NAME.json, NAME.npz")
    p.add_argument("--cache", default=None, help="folder for filled models")
    p.add_argument("--json", help="also write the results to this file")
    p.add_argument("names", nargs="*", help="models; all of the folder if none")
    args = p.parse_args()
    names = args.names or zoo.names(args.dir)
    cache = args.cache or zoo.cache_folder()
    with tempfile.TemporaryDirectory() as scratch:

        def check(name):
            case = zoo.Case(name, args.dir)
            return case.compare(runner.run(args, name, case.model(cache), case.inputs(), scratch))

        results = runner.suite(names, check)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
    runner.finish(results, max(len(set(names)), 1))


if __name__ == "__main__":
    main()
