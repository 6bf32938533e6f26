#!/usr/bin/env python3
"""Prints the table of the demonstration: table.py RESULTS-DIRECTORY

Each row is a directory with the files label, unit, plain, iotrap (one rate a line, in pairs),
check or not-run, and stats, which names the directory of the row's statistics segments. Exits 1
when a data check failed.
"""
import os
import statistics
import sys

import segments

WIDTH = 98
TECHNIQUES = [name for name in segments.TECHNIQUES]


def text(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def colour(code, words):
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return words
    return "\033[%sm%s\033[0m" % (code, words)


def deed(directory):
    """What the library did, in one line, from the statistics."""
    total = segments.read_directory(directory)
    if total["calls"] == 0:
        return "no call seen: the library was not in the program"
    engaged = [name for name in TECHNIQUES if total["technique.%s.calls" % name]]
    parts = ["{:,} calls seen".format(total["calls"]),
             "{:,} accelerated".format(total["accelerated"])]
    if engaged:
        parts.append("by " + ", ".join(engaged))
    reasons = [(total["reason." + name], name) for name in segments.REASONS]
    count, name = max(reasons)
    if count:
        share = 100 * count / sum(number for number, _ in reasons)
        parts.append("passed through: %s (%.0f %%)" % (name, share))
    if total["ring.refused"] and not total["ring.working"]:
        parts.append("io_uring refused: " + os.strerror(total["ring.errno"]))
    return "; ".join(parts)


def number(value):
    return "{:,.0f}".format(value)


def row(folder):
    """The lines of one row, and whether its data is right."""
    label, unit, check = (text(folder, name) for name in ("label", "unit", "check"))
    missing = text(folder, "not-run")
    if missing:
        return ["%-38s  %s" % (label, colour("33", "not run: " + missing))], True
    plain = [float(value) for value in text(folder, "plain").split()]
    trapped = [float(value) for value in text(folder, "iotrap").split()]
    ratios = [b / a if a else float("nan") for a, b in zip(plain, trapped)]
    right = check == "ok"
    lines = ["%-38s  %9s  %9s %-9s  %-16s  %s" % (
        label, number(statistics.median(plain)), number(statistics.median(trapped)), unit,
        "%.2f [%.2f-%.2f]" % (statistics.median(ratios), min(ratios), max(ratios)),
        colour("32", "ok") if right else colour("31;1", "FAIL"))]
    if not right:
        lines.append("    " + colour("31", check or "FAIL: the check did not run"))
    note = text(folder, "note")
    lines.append("    " + (note + ": " if note else "") + deed(text(folder, "stats")))
    return lines, right


def main():
    root = sys.argv[1]
    print()
    print(colour("1", "%-38s  %9s  %9s %-9s  %-16s  %s" % (
        "program", "plain", "iotrap", "", "ratio [range]", "data")))
    print("-" * WIDTH)
    all_right = True
    for name in sorted(os.listdir(root)):
        lines, right = row(os.path.join(root, name))
        all_right = all_right and right
        print("\n".join(lines))
    print("-" * WIDTH)
    print("Medians of interleaved pairs; a ratio over 1 means faster under iotrap (mode auto).")
    print("All data checks ok." if all_right else colour("31;1", "A data check FAILED."))
    sys.exit(0 if all_right else 1)


main()
