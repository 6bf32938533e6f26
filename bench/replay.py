"""Figures of the trace tools: the replayer against fio (requests a second on the same file, bytes
of the same requests), how well it keeps time, memory for long traces, speed of the generator.

    bench/run.sh --replay [--quick] [speed|bytes|drift|memory|generate]...
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time

from measuring import COMMAND, Bench, Failure, median, median_interval
from trace_file import READ, write_trace

DEPTH = 32
BLOCK = 4096
MEBIBYTES = 512
GOAL = 0.95
GENERATE_GOAL = 5e6  # events a second
MEMORY_GOAL = 256  # MiB
DRIFT_GOAL = 1.0  # ms, p99
# Requests of nothing but cached reads, which take as little as any can.
TINY = (
    "hana-lob", "--scale", "0.001", "--set", "lob.sizes=4K:1", "--set", "lob.open=buffered",
    "--set", "lob.read=100", "--set", "lob.rate=0", "--set", "lob.depth=1-32", "--set",
    "lob.latency=1", "--set", "lob.bandwidth=100G",
)
TINY_EVENTS_A_SECOND = 19515620
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


def generate(bench, path, *arguments):
    """Makes a trace; how many events it has, and a second."""
    started = time.monotonic()
    out, _ = bench.execute("plain", COMMAND, "generate", *arguments, "-o", path, "--force")
    events = int(re.search(r": (\d+) events", out).group(1))
    return events, events / (time.monotonic() - started)


def verdict(is_met):
    return "met" if is_met else "short"


def measure_generator(bench):
    """From start to end of the command, the writing of the file included."""
    path = os.path.join(bench.memory, "load.iotrace")
    seconds = "100" if bench.quick else "300"
    for profile in ("hana-mixed", "postgres-oltp"):
        rates = [
            generate(bench, path, profile, "--seconds", seconds, "--scale", "0.01")[1]
            for _ in range(3 if bench.quick else 7)
        ]
        print(
            f"generate {profile}: {median(rates) / 1e6:.2f} M events/s "
            f"[{min(rates) / 1e6:.2f}..{max(rates) / 1e6:.2f}], "
            f"goal >= {GENERATE_GOAL / 1e6:g}: {verdict(median(rates) >= GENERATE_GOAL)}"
        )
    os.unlink(path)


def resident(bench, *command):
    """Runs a program; its most resident memory in MiB, and the seconds that it took."""
    started = time.monotonic()
    child = subprocess.Popen(
        list(map(str, command)), env=bench.environment("plain"), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failure(f"{command[1]}: {said.strip()[:200]}")
    return usage.ru_maxrss / 1024, time.monotonic() - started


def measure_memory(bench):
    """A trace of 100 million events, read, replayed and (a tenth of it) exported."""
    million = 5 if bench.quick else 100
    trace = os.path.join(bench.folder, "long.iotrace")
    target = os.path.join(bench.folder, "long")
    out = os.path.join(bench.folder, "long.log")
    runs = [
        ("trace info", million, ("trace", "info", trace)),
        ("replay", million, ("replay", trace, "--on", target, "--pace", "asap")),
        ("trace export", max(1, million // 10),
         ("trace", "export", trace, "--to", "iolog3", "-o", out, "--force")),
    ]
    made = 0
    for name, wanted, command in runs:
        if made != wanted:
            seconds = wanted * 1e6 / TINY_EVENTS_A_SECOND
            generate(bench, trace, *TINY, "--seconds", f"{seconds:.4f}")
            made = wanted
        mebibytes, seconds = resident(bench, COMMAND, *command)
        print(
            f"memory of {name}, {wanted} million events: {mebibytes:.1f} MiB ({seconds:.0f} s), "
            f"goal < {MEMORY_GOAL}: {verdict(mebibytes < MEMORY_GOAL)}"
        )
    for path in (trace, out):
        os.unlink(path)


def measure_drift(bench):
    """By how much requests are late at the recorded pace that nothing holds up."""
    trace = os.path.join(bench.folder, "timed.iotrace")
    target = os.path.join(bench.folder, "timed")
    out = os.path.join(bench.folder, "timed.json")
    generate(
        bench, trace, "hana-mixed", "--seconds", "4" if bench.quick else "8", "--scale", "0.002",
        "--set", "savepoint.first=1", "--set", "merge.first=2",
    )
    for engine in ("libaio", "uring"):
        late = []
        for _ in range(1 if bench.quick else 3):
            bench.execute(
                "plain", COMMAND, "replay", trace, "--on", target, "--engine", engine, "--json",
                out,
            )
            with open(out) as source:
                (run,) = json.load(source)["runs"]
            late.append(run["drift_ns"]["p99"] / 1e6)
        print(
            f"drift of replay {engine}, hana-mixed, p99: {median(late):.3f} ms "
            f"[{min(late):.3f}..{max(late):.3f}], goal < {DRIFT_GOAL:g}: "
            f"{verdict(median(late) < DRIFT_GOAL)}"
        )


def measure_speed(bench):
    for ours, theirs in (("uring", "io_uring"), ("libaio", "libaio")):
        compare_speed(bench, ours, theirs)


PARTS = {
    "bytes": compare_bytes, "speed": measure_speed, "generate": measure_generator,
    "drift": measure_drift, "memory": measure_memory,
}


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh --replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("part", nargs="*", help=", ".join(PARTS) + "; default: all")
    options = parser.parse_args()
    for part in options.part:
        if part not in PARTS:
            parser.error(f"no part '{part}'; parts: {', '.join(PARTS)}")
    bench = Bench(options.quick)
    try:
        for part in options.part or PARTS:
            PARTS[part](bench)
    except (Failure, subprocess.CalledProcessError) as problem:
        print(f"bench/run.sh: {problem}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
