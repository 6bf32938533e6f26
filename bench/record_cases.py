"""The cases of recording: what iotrap record costs the program that is recorded.

The program runs under `iotrap record` in the mode of the column; its own figures count, not the
time that the trace takes to be finished afterwards.
"""

import os

from async_cases import FioCase
from measuring import COMMAND, NO_HARM, PLAIN, PROGRAMS, Case, Failure, Figure


class Recorded:
    """A case whose program is recorded in all modes but plain."""

    def record(self, bench, mode, *command):
        if mode == PLAIN:
            return bench.execute(PLAIN, *command)
        trace = os.path.join(bench.folder, "recorded.trace")
        return bench.execute(
            PLAIN, COMMAND, "record", "-o", trace, "--force", "--mode", mode, "--", *command
        )

    def numbers(self, bench, mode, *command):
        pairs = (line.split() for line in self.record(bench, mode, *command)[0].splitlines())
        return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2}


class RecordedFio(Recorded, FioCase):
    """Random 4K reads of fio with O_DIRECT at depth 32."""

    rounds = (9, 5)
    modes = ("observe", "auto")

    def fio(self, bench, mode, *options):
        # The base class runs its program in a mode; here that is the recorder's.
        return super().fio(Through(self, bench), mode, *options)


class Through:
    """Stands for a bench, and has programs recorded."""

    def __init__(self, case, bench):
        self.case = case
        self.bench = bench

    def execute(self, mode, *command):
        return self.case.record(self.bench, mode, *command)


class RecordedThreads(Recorded, Case):
    """The same by 32 threads that call pread."""

    rounds = (15, 7)
    modes = ("observe", "auto")

    def __init__(self, name, operation, cache, threads, target):
        self.name = name
        self.figures = (Figure(name, target),)
        self.arguments = (operation, cache, 4096, threads)

    def measure(self, bench, mode):
        path = bench.file(bench.folder, "blocks64", 64)
        program = os.path.join(PROGRAMS, "block_io")
        return self.numbers(
            bench, mode, program, path, *self.arguments, 50, bench.milliseconds(400)
        )


class RecordedCall(Recorded, Case):
    """Nanoseconds that a record adds to a call, the clock's included."""

    rounds = (15, 7)
    modes = ("observe", "auto")

    def __init__(self, call, target=100):
        self.name = f"record-cost-{call}"
        self.call = call
        self.figures = (Figure(self.name, target, "added", "ns", "nanoseconds_per_call"),)

    def measure(self, bench, mode):
        path = bench.file(bench.folder, "blocks64", 64)
        program = os.path.join(PROGRAMS, "call_cost")
        found = self.numbers(bench, mode, program, path, self.call, bench.milliseconds(150))
        if "nanoseconds_per_call" not in found:
            raise Failure(f"call_cost ({mode}) printed no figure")
        return found


RECORD = [
    RecordedFio("record-libaio-direct", "libaio", NO_HARM),
    RecordedFio("record-psync-direct", "psync", NO_HARM, "--numjobs=32", "--thread",
                "--group_reporting"),
    RecordedThreads("record-pread-direct-32", "pread", "direct", 32, NO_HARM),
    RecordedCall("pread-cached"),
    RecordedCall("read-end"),
    RecordedCall("read-next"),
    RecordedCall("read-shared", None),
]
