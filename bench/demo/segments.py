#!/usr/bin/env python3
"""Adds up the statistics segments in a directory.

    segments.py DIRECTORY [--json]

Prints one "name value" line for each sum, or one JSON object. The layout and the names are read
from iotrap_stats.h, so this is a second reader, independent of the command's own.
"""
import json
import os
import re
import struct
import sys

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../../Sources/CIOTrap/include/iotrap_stats.h")
MAGIC = 0x3153504152544F49
VERSION = 3
HEADER_FORMAT = "<Q14I4Q8s2I256s"
HEADER_FIELDS = (
    "magic version header_bytes block_bytes block_count operation_count technique_count "
    "reason_count bucket_count process_id flags mode ring ring_errno reserved "
    "started_realtime_ns started_ns ended_ns threads_uncounted settings path_count path_bytes program").split()
OPERATION_FIELDS = "calls bytes errors accelerated".split()
TECHNIQUE_FIELDS = "calls bytes requests batches trials engaged dropped errors".split()
ASYNC_INTERFACES = ("libaio", "posix")
ASYNC_FIELDS = (
    "submit-calls submitted submit-ns reap-calls reaped reaped-in-user flight-ns "
    "flight-requests cancelled errors bytes").split()
ASYNC_DEPTHS = 18
MODES = ("off", "observe", "auto", "force")


def enumerators(text, prefix):
    """The names of one enum of the header, lower case, without prefix, in order."""
    names = re.findall(r"^\t%s_([A-Z0-9_]+)\b" % prefix, text, re.MULTILINE)
    return [name.lower().replace("_", "-") for name in names if name != "COUNT"]


with open(HEADER, encoding="utf-8") as source:
    _text = source.read()
OPERATIONS = enumerators(_text, "IOTRAP_OP")
TECHNIQUES = enumerators(_text, "IOTRAP_TECHNIQUE")
REASONS = enumerators(_text, "IOTRAP_REASON")
ASYNC_ROUTES = enumerators(_text, "IOTRAP_ASYNC_ROUTE")


class Refused(Exception):
    """The file is not a segment that this reader understands."""


def read_segment(path):
    """One segment as (header, sums), or Refused."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.calcsize(HEADER_FORMAT)
    if len(data) < size:
        raise Refused("shorter than its header")
    header = dict(zip(HEADER_FIELDS, struct.unpack_from(HEADER_FORMAT, data)))
    if header["magic"] != MAGIC or header["version"] != VERSION:
        raise Refused("magic or version differs")
    counts = (header["operation_count"], header["technique_count"], header["reason_count"])
    if counts != (len(OPERATIONS), len(TECHNIQUES), len(REASONS)):
        raise Refused("counts differ from the header file's: %s" % (counts,))
    header["program"] = header["program"].split(b"\0")[0].decode(errors="replace")
    sums = {}
    for block in range(header["block_count"]):
        offset = header["header_bytes"] + block * header["block_bytes"]
        if offset + header["block_bytes"] > len(data):
            raise Refused("block %d lies beyond the end of the file" % block)
        add_block(data, offset + 8, sums)
    return header, sums


def add_block(data, offset, sums):
    """Adds the counters of the thread block whose counters start at offset."""
    def take(name):
        nonlocal offset
        value = struct.unpack_from("<Q", data, offset)[0]
        offset += 8
        sums[name] = sums.get(name, 0) + value

    for reason in REASONS:
        take("reason." + reason)
    for operation in OPERATIONS:
        for field in OPERATION_FIELDS:
            take("operation.%s.%s" % (operation, field))
    for technique in TECHNIQUES:
        for field in TECHNIQUE_FIELDS:
            take("technique.%s.%s" % (technique, field))
    for interface in ASYNC_INTERFACES:
        for field in ASYNC_FIELDS:
            take("async.%s.%s" % (interface, field))
        for route in ASYNC_ROUTES:
            take("async.%s.route.%s" % (interface, route))
        for depth in range(ASYNC_DEPTHS):
            take("async.%s.depth.%d" % (interface, depth))


def read_directory(path):
    """The sums over all segments of a directory, with a few totals."""
    total = {"segments": 0, "refused": 0, "ring.working": 0, "ring.refused": 0, "ring.errno": 0}
    for mode in MODES:
        total["mode." + mode] = 0
    for name in sorted(os.listdir(path)) if os.path.isdir(path) else []:
        if not name.isdigit():
            continue
        try:
            header, sums = read_segment(os.path.join(path, name))
        except Refused as problem:
            print("segment %s: %s" % (name, problem), file=sys.stderr)
            total["refused"] += 1
            continue
        total["segments"] += 1
        total["mode." + MODES[header["mode"]]] += 1
        total["ring.working"] += header["ring"] == 1
        total["ring.refused"] += header["ring"] == 2
        if header["ring"] == 2:
            total["ring.errno"] = header["ring_errno"]
        for key, value in sums.items():
            total[key] = total.get(key, 0) + value
    total["calls"] = sum(total.get("operation.%s.calls" % name, 0) for name in OPERATIONS)
    total["accelerated"] = sum(
        total.get("operation.%s.accelerated" % name, 0) for name in OPERATIONS)
    total["technique"] = sum(total.get("technique.%s.calls" % name, 0) for name in TECHNIQUES)
    return total


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    total = read_directory(arguments[0])
    if "--json" in arguments:
        print(json.dumps(total))
    else:
        for key, value in total.items():
            print(key, value)


if __name__ == "__main__":
    main(sys.argv[1:])
