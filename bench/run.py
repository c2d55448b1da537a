#!/usr/bin/env python3
"""Measures what a login costs: totpd beside pam_google_authenticator and beside the least that a durable login costs.

usage: bench/run.py [CASE…] [--against FOLDER] [--long] [--turns N] [--build FOLDER] [--out FILE]

Writes one JSON file, and prints it as tables. docs/explanation/benchmarks.md explains the cases, and has one run."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from measure import machine, tables
from measure.bench import Bench
from measure.cases import AGAINST, CASES
from measure.scratch import ROOT, Scratch, enter_namespaces


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} [default: all]")
    parser.add_argument("--build", type=Path, default=ROOT / "target/release", help="folder of the build to measure [target/release]")
    parser.add_argument("--against", type=Path, help="folder of another build: both take turns, and their ratio counts")
    parser.add_argument("--turns", type=int, help="turns of each case [as each case needs]")
    parser.add_argument("--long", action="store_true", help="a million logins in the case `memory` instead of 50,000")
    parser.add_argument("--out", type=Path, help="the JSON file [target/bench/DATE.json]")
    given = parser.parse_args()
    unknown = set(given.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    for folder in filter(None, [given.build, given.against]):
        for file in ["totpd", "libpam_totp.so"]:
            if not (folder / file).exists():
                parser.error(f"{folder} has no {file}. Run: cargo build --release -p totpd -p pam_totp")
    return given


def main():
    given = arguments()
    enter_namespaces()
    # What else runs on the machine disturbs a program of a higher priority less; all that are compared have the same.
    os.nice(-20)
    names = given.cases or (AGAINST if given.against else list(CASES))
    result = {"about": machine.describe(given) | {"asked": {"cases": names, "turns": given.turns, "long": given.long}}, "cases": {}}
    with Scratch() as scratch:
        bench = Bench(scratch, given.build, given.against, given.turns, given.long)
        try:
            for name in names:
                print(f"{name}…", file=sys.stderr)
                started = time.monotonic()
                case = CASES[name](bench)
                case["seconds"] = round(time.monotonic() - started, 1)
                result["cases"][name] = case
                print(tables.case_table(case))
        finally:
            bench.end()
    result["about"]["load_at_end"] = machine.load()
    file = given.out or ROOT / "target/bench" / f"{result['about']['date'].replace(':', '')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
