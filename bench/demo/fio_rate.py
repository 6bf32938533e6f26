"""Reads fio's JSON on standard input and prints a whole rate: fio_rate.py MB/s|reads/s|writes/s"""
import json
import sys

text = sys.stdin.read()
# fio may print warnings before its JSON.
jobs = json.loads(text[text.index("{\n"):])["jobs"]
if sys.argv[1] == "MB/s":
    moved = sum(job[way]["io_bytes"] for job in jobs for way in ("read", "write")) / 1e6
    milliseconds = sum(job[way]["runtime"] for job in jobs for way in ("read", "write"))
    print(round(moved * 1000 / max(1, milliseconds)))
else:
    way = sys.argv[1].split("/")[0].rstrip("s")
    print(round(sum(job[way]["iops"] for job in jobs)))
