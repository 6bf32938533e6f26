"""The replayer against fio: requests a second on the same file, and bytes of the same requests.

    bench/run.sh --replay [--quick]
"""

import argparse
import json
import os
import random
import subprocess
import sys

from measuring import COMMAND, Bench, Failure, median, median_interval
from trace_file import READ, write_trace

DEPTH = 32
BLOCK = 4096
MEBIBYTES = 512
GOAL = 0.95
# The replayer and fio on the same processor: what one request costs decides.
ONE_CORE = ("taskset", "-c", "0")


def replay(bench, trace, target, engine, *options):
    """One run of a trace as fast as it goes; what it measured."""
    out = os.path.join(bench.folder, "replay.json")
    bench.execute(
        "plain", *ONE_CORE, COMMAND, "replay", trace, "--on", target, "--engine", engine,
        "--pace", "asap", "--json", out, *options,
    )
    with open(out) as source:
        (run,) = json.load(source)["runs"]
    return run


def fio(bench, path, engine, *options):
    out, _ = bench.execute(
        "plain", *ONE_CORE, "fio", "--name=bench", "--output-format=json", f"--filename={path}",
        f"--ioengine={engine}", f"--iodepth={DEPTH}", "--direct=1", "--invalidate=0",
        "--thread", *options,
    )
    (job,) = json.loads(out[out.index("{\n"):])["jobs"]
    if job["error"]:
        raise Failure(f"fio ended with error {job['error']}")
    return job


def random_reads(count):
    source = random.Random(1)
    blocks = (MEBIBYTES << 20) // BLOCK
    return [(READ, source.randrange(blocks) * BLOCK, BLOCK) for _ in range(count)]


def compare_speed(bench, ours, theirs):
    """Interleaved pairs of the same number of reads; one ratio a pair."""
    count = 30000 if bench.quick else 100000
    trace = os.path.join(bench.folder, "reads.iotrace")
    target = os.path.join(bench.folder, "target")
    write_trace(trace, "file", MEBIBYTES << 20, random_reads(count), DEPTH)
    path = os.path.join(target, "file")
    replay(bench, trace, target, ours)
    ratios = []
    for number in range(7 if bench.quick else 15):
        sides = {}
        for side in ("replay", "fio") if number % 2 == 0 else ("fio", "replay"):
            if side == "replay":
                sides[side] = replay(bench, trace, target, ours)["requests_per_second"]
            else:
                job = fio(
                    bench, path, theirs, "--rw=randread", "--bs=4k", "--norandommap",
                    f"--size={MEBIBYTES}m", f"--number_ios={count}",
                )
                sides[side] = job["read"]["iops"]
        ratios.append(sides["replay"] / sides["fio"])
    low, high = median_interval(ratios)
    word = "met" if median(ratios) >= GOAL else "short"
    if (low >= GOAL) != (high >= GOAL) and high - low > 0.05 * GOAL:
        word = f"noisy ({word})"
    print(
        f"replay {ours} / fio {theirs}: {median(ratios):.3f} "
        f"[{min(ratios):.3f}..{max(ratios):.3f}] of {len(ratios)} pairs, goal >= {GOAL}: {word}"
    )


def compare_bytes(bench):
    """fio replaying an exported log must move the same bytes of each operation."""
    trace = os.path.join(bench.folder, "mixed.iotrace")
    target = os.path.join(bench.folder, "mixed")
    log = os.path.join(bench.folder, "iolog")
    bench.execute(
        "plain", COMMAND, "generate", "hana-mixed", "--seconds", "2", "--scale", "0.001", "-o",
        trace,
    )
    bench.execute("plain", COMMAND, "trace", "export", trace, "--to", "iolog3", "-o", log)
    run = replay(bench, trace, target, "libaio")
    # Names in a log are relative to where fio runs. At the end of a log it does not count what is
    # still in flight: one request at a time.
    out, _ = bench.execute(
        "plain", "env", "-C", target, "fio", "--name=log", f"--read_iolog={log}",
        "--ioengine=psync", "--iodepth=1", "--replay_no_stall=1", "--output-format=json",
    )
    (job,) = json.loads(out[out.index("{\n"):])["jobs"]
    for name, ours in (("read", run["bytes_read"]), ("write", run["bytes_written"])):
        theirs = job[name]["io_bytes"]
        word = "equal" if ours == theirs else "DIFFERENT"
        print(f"bytes of {name}: replay {ours}, fio with the exported log {theirs}: {word}")


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh --replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pairs")
    options = parser.parse_args()
    bench = Bench(options.quick)
    try:
        compare_bytes(bench)
        for ours, theirs in (("uring", "io_uring"), ("libaio", "libaio")):
            compare_speed(bench, ours, theirs)
    except (Failure, subprocess.CalledProcessError) as problem:
        print(f"bench/run.sh: {problem}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
