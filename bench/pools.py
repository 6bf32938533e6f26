"""Measures mount pools, prints one table, and keeps the last results; see README.md."""

import argparse
import os
import signal
import sys

from cases import chosen
from measuring import LIBRARY, PLAIN, ROOT, Bench, Failure, median
from pairs import as_json, print_short, print_table, run_all, write_json
from pool_cases import POOL, POOLS

RESULTS = os.path.join(ROOT, "build", "bench", "pools.json")


class PoolBench(Bench):
    """Also knows the pool, and the bed that is up: cases that follow each other share one."""

    def __init__(self, quick):
        super().__init__(quick)
        self.pool = ""
        self.current = None
        self.loads = []

    def bed(self, kind, *options):
        wanted = (kind, options)
        if self.current and self.current[0] != wanted:
            self.take_down()
        if not self.current:
            bed = kind(self.memory, *options)
            bed.up()
            self.current = (wanted, bed)
        return self.current[1]

    def take_down(self):
        if self.current:
            bed = self.current[1]
            self.current = None
            bed.down()

    def use_pool(self, paths, options):
        self.pool = ",".join([f"bench:{paths[0]}", *paths[1:], *filter(None, [options])])

    def environment(self, mode):
        """"auto": the library alone; "pool", with options behind commas: and the pool."""
        name, _, options = mode.partition(",")
        if name != POOL:
            return super().environment(mode if mode == "auto" else PLAIN)
        env = super().environment("auto")
        env["IOTRAP_MOUNT_POOLS"] = ",".join(filter(None, [self.pool, options]))
        return env

    def execute(self, mode, *command):
        done = super().execute(mode, *command)
        self.loads.append(os.getloadavg()[0])
        return done

    def close(self):
        try:
            self.take_down()
        finally:
            super().close()


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh --pools", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pairs, 7 minutes")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("case", nargs="*", help="names of cases, may hold * and ?")
    options = parser.parse_args()
    if options.list:
        print("\n".join(case.name for case in POOLS))
        return 0
    try:
        cases = chosen(options.case, POOLS)
    except Failure as problem:
        print(f"bench/run.sh: {problem}", file=sys.stderr)
        return 2
    if not os.path.exists(LIBRARY):
        print(f"bench/run.sh: {LIBRARY} is missing: run make first", file=sys.stderr)
        return 1
    # Unmounts and stops servers also when told to end.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bench = PoolBench(options.quick)
    try:
        rows, failures = run_all(bench, cases)
    finally:
        bench.close()
    print_table(rows)
    print()
    print_short(rows, failures)
    if bench.loads:
        print(f"load average of {os.cpu_count()} processors meanwhile: median "
              f"{median(bench.loads):.1f}, highest {max(bench.loads):.1f}")
    results = as_json(rows, options.quick)
    results["load_average"] = median(bench.loads) if bench.loads else None
    write_json(RESULTS, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
