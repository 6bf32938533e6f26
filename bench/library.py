"""Measures the C and the Swift library, prints one table, and keeps the results; see README.md."""

import argparse
import importlib.util
import os
import signal
import sys

from cases import chosen
from measuring import ROOT, Bench, Failure
from pairs import as_json, print_short, print_table, run_all, write_json
from swift_cases import SWIFT

RESULTS = os.path.join(ROOT, "build", "bench", "library.json")


def all_cases():
    if importlib.util.find_spec("c_cases") is None:
        return SWIFT
    return [*importlib.import_module("c_cases").CASES, *SWIFT]


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh --library", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pairs")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("case", nargs="*", help="names of cases, may hold * and ?")
    options = parser.parse_args()
    if options.list:
        print("\n".join(case.name for case in all_cases()))
        return 0
    try:
        cases = chosen(options.case, all_cases())
    except Failure as problem:
        print(f"bench/run.sh: {problem}", file=sys.stderr)
        return 2
    # Unmounts and stops servers also when told to end.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bench = Bench(options.quick)
    try:
        rows, failures = run_all(bench, cases)
    finally:
        bench.close()
    print_table(rows)
    print()
    print_short(rows, failures)
    write_json(RESULTS, as_json(rows, options.quick))
    return 0


if __name__ == "__main__":
    sys.exit(main())
