"""Runs the benchmark cases, prints one table, and keeps or compares the ratios; see README.md."""

import argparse
import json
import os
import platform
import signal
import sys
import time

from cases import CASES, chosen
from measuring import LIBRARY, PLAIN, ROOT, Bench, Failure, median, run_case

RESULTS = os.path.join(ROOT, "build", "bench", "results.json")
BASELINE = os.path.join(ROOT, "bench", "baseline.json")
HEADER = ("case", "mode", "plain", "iotrap", "median [min..max]", "target", "verdict")


def amount(value, unit):
    """A number short enough for the table, with its unit."""
    if unit in ("/s", "tps", "/cpu-s"):
        for limit, suffix in ((1e6, "M"), (1e3, "k")):
            if value >= limit:
                return f"{value / limit:.2f}{suffix} {unit}"
        return f"{value:.1f} {unit}"
    return f"{value:.3f} {unit}".rstrip() if unit in ("ms", "") else f"{value:.1f} {unit}"


def cells(row):
    figure = row.figure
    values = row.compared()
    low, middle, high = min(values), median(values), max(values)
    # Some cases have nothing to say about plain.
    plain = amount(median(row.plain), figure.unit) if any(row.plain) else "-"
    if figure.kind in ("ratio", "share"):
        text = f"{middle:.3f} [{low:.3f}..{high:.3f}]"
        sign = ">=" if figure.kind == "ratio" else "<="
        target = "-" if figure.target is None else f"{sign} {figure.target:g}"
        if figure.base != PLAIN:
            target += f" of {figure.base}"
    else:
        digits = 3 if figure.unit in ("ms", "") else 1
        sign = "+" if figure.kind == "added" else ""
        text = f"{middle:{sign}.{digits}f} [{low:.{digits}f}..{high:.{digits}f}] {figure.unit}"
        text = text.rstrip()
        target = "-"
        if figure.target is not None:
            target = f"<= {figure.target:g} {figure.unit}".rstrip()
    iotrap = amount(median(row.iotrap), figure.unit)
    return (figure.name, row.mode, plain, iotrap, text, target, row.verdict())


def print_table(rows):
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def print_short(rows, failures):
    """Names what does not reach its target, last, so that nobody has to look for it."""
    by_word = {}
    for row in rows:
        by_word.setdefault(row.verdict(), []).append(f"{row.figure.name} ({row.mode})")
    for word, meaning in (
        ("short", "short of the target"),
        ("noisy (short)", "too noisy to say, median short"),
        ("noisy (met)", "too noisy to say, median met"),
    ):
        if word in by_word:
            print(f"{meaning}: {', '.join(by_word[word])}")
    for name, reason in failures:
        print(f"not measured: {name}: {reason}")
    if rows and not failures and set(by_word) <= {"met", "-"}:
        print("every figure meets its target")


def as_json(rows, quick):
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "quick": quick,
        "figures": {
            f"{row.figure.name}/{row.mode}": {
                "ratio": median(row.ratios()),
                "ratio_min": min(row.ratios()),
                "ratio_max": max(row.ratios()),
                "pairs": len(row.iotrap),
                "kind": row.figure.kind,
                "target": row.figure.target,
                "unit": row.figure.unit,
                "plain": median(row.plain),
                "iotrap": median(row.iotrap),
                "compared": row.compared(),
                "verdict": row.verdict(),
            }
            for row in rows
        },
    }


def write_json(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as out:
        json.dump(content, out, indent=1, sort_keys=True)
        out.write("\n")
    os.replace(path + ".new", path)


def record(results):
    """Keeps ratios only: absolute times mean nothing on another machine."""
    kept = ("ratio", "ratio_min", "ratio_max", "pairs")
    figures = {
        name: {key: figure[key] for key in kept} for name, figure in results["figures"].items()
    }
    write_json(BASELINE, {"quick": results["quick"], "figures": figures})
    print(f"recorded {len(figures)} ratios in {os.path.relpath(BASELINE, ROOT)}")


def compare(results):
    """Names the ratios that left the range of the recorded run, and the other way round."""
    if not os.path.exists(BASELINE):
        print("nothing to compare with: no ratios are recorded (--record)")
        return
    with open(BASELINE) as source:
        old = json.load(source)["figures"]
    moved = 0
    compared = sorted(set(old) & set(results["figures"]))
    for name in compared:
        was, now = old[name], results["figures"][name]
        outside_old = not was["ratio_min"] <= now["ratio"] <= was["ratio_max"]
        outside_new = not now["ratio_min"] <= was["ratio"] <= now["ratio_max"]
        if outside_old and outside_new:
            moved += 1
            print(
                f"moved: {name}: ratio {was['ratio']:.3f} "
                f"[{was['ratio_min']:.3f}..{was['ratio_max']:.3f}] -> {now['ratio']:.3f} "
                f"[{now['ratio_min']:.3f}..{now['ratio_max']:.3f}]"
            )
    print(f"compared {len(compared)} ratios with the recorded run: {moved} moved")


def run_all(bench, cases):
    rows, failures = [], []
    for number, case in enumerate(cases):
        started = time.monotonic()
        print(f"[{number + 1}/{len(cases)}] {case.name} ...", end="", file=sys.stderr, flush=True)
        try:
            found = run_case(bench, case)
        except (Failure, OSError) as problem:
            failures.append((case.name, str(problem)))
            print(f" not measured: {problem}", file=sys.stderr)
            continue
        rows += found
        said = ", ".join(
            f"{row.mode}{row.figure.name.removeprefix(case.name)} {cells(row)[4]} {row.verdict()}"
            for row in found
        )
        print(f" {time.monotonic() - started:.0f} s: {said}", file=sys.stderr)
    with open(bench.log) as log:
        for line in sorted({line.strip() for line in log})[:20]:
            print(f"the library logged: {line}")
    return rows, failures


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter pairs, 8 minutes")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--record", action="store_true", help="store the ratios of this run")
    parser.add_argument("--compare", action="store_true", help="compare with the stored ratios")
    parser.add_argument("--mode", action="append", metavar="MODE[+KEY=VALUE,...]",
                        help="measure in this mode, not the usual ones; may be repeated")
    parser.add_argument("case", nargs="*", help="names of cases, may hold * and ?")
    options = parser.parse_args()
    if options.list:
        print("\n".join(case.name for case in CASES))
        return 0
    if options.record and (options.case or options.mode):
        parser.error("--record stores a run of all cases in their usual modes")
    try:
        cases = chosen(options.case)
    except Failure as problem:
        print(f"bench/run.sh: {problem}", file=sys.stderr)
        return 2
    for case in cases if options.mode else ():
        case.modes = tuple(options.mode)
    if not os.path.exists(LIBRARY):
        print(f"bench/run.sh: {LIBRARY} is missing: run make first", file=sys.stderr)
        return 1
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
    results = as_json(rows, options.quick)
    write_json(RESULTS, results)
    if options.compare:
        compare(results)
    if options.record:
        record(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
