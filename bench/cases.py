"""The cases that need no server: calls, processes, memory, size, and the slow file system."""

import fnmatch
import os
import subprocess

from async_cases import ASYNC
from databases import DATABASES
from measuring import LIBRARY, NO_HARM, PLAIN, PROGRAMS, SLOWFS, Case, Failure, Figure, test_bed
from record_cases import RECORD


class BlockIO(Case):
    """pread or pwrite of one size on one file of the disk."""

    rounds = (15, 7)

    def __init__(self, name, operation, cache, size, threads, modes=("auto",)):
        self.name = name
        self.modes = modes
        self.figures = (Figure(name, NO_HARM),)
        self.arguments = (operation, cache, size, threads)
        self.mebibytes = 16 if operation == "pwrite" else 64
        self.path = None

    def setup(self, bench):
        self.path = bench.file(bench.folder, f"blocks{self.mebibytes}", self.mebibytes)

    def measure(self, bench, mode):
        return bench.program(
            mode, "block_io", self.path, *self.arguments, 50, bench.milliseconds(250)
        )


class SlowCase(Case):
    """A case on a mount of slowfs whose files lie in memory."""

    options = ()
    rounds = (7, 5)

    def setup(self, bench):
        self.mount = os.path.join(bench.memory, "slow")
        test_bed(SLOWFS, "up", self.mount, *self.options)

    def teardown(self, bench):
        test_bed(SLOWFS, "down", self.mount)


class SlowRead(SlowCase):
    """16 MiB O_DIRECT reads by one thread, 1 ms a request."""

    def __init__(self, name, target, modes=("auto",), options=()):
        self.name = name
        self.modes = modes
        self.figures = (Figure(name, target),)
        self.options = ("--read-delay-us=1000", *options)

    def setup(self, bench):
        super().setup(bench)
        self.path = bench.file(self.mount, "blocks64", 64)

    def measure(self, bench, mode):
        # What auto needs to learn that splitting pays is not part of the figure.
        return bench.program(
            mode, "block_io", self.path, "pread", "direct", 16 << 20, 1,
            bench.milliseconds(1000), bench.milliseconds(700),
        )


class SlowCommit(SlowCase):
    """Commits of 16 threads where one flush of a file at a time takes 5 ms."""

    options = ("--flush-delay-us=5000",)

    def __init__(self, name, sync, descriptors, threads, target, modes=("auto",)):
        self.name = name
        self.modes = modes
        self.figures = (Figure(name, target),)
        self.arguments = (sync, descriptors, threads)

    def measure(self, bench, mode):
        path = os.path.join(self.mount, "log")
        return bench.program(
            mode, "group_commit", path, *self.arguments,
            bench.milliseconds(1000), bench.milliseconds(700),
        )


class FastCommit(Case):
    """The same where a flush is quick: nothing to gain, so nothing may be lost."""

    rounds = (15, 7)

    def __init__(self, name, where, sync, descriptors, threads):
        self.name = name
        self.figures = (Figure(name, NO_HARM),)
        self.where = where
        self.arguments = (sync, descriptors, threads)

    def measure(self, bench, mode):
        folder = bench.folder if self.where == "disk" else bench.memory
        return bench.program(
            mode, "group_commit", os.path.join(folder, "log"), *self.arguments, 100,
            bench.milliseconds(300),
        )


class CallCost(Case):
    """Nanoseconds of a call that passes through."""

    rounds = (15, 7)
    modes = ("auto", "observe")

    def __init__(self, call):
        self.name = f"cost-{call}"
        self.call = call
        self.figures = (Figure(self.name, 10, "added", "ns", "nanoseconds_per_call"),)

    def measure(self, bench, mode):
        path = bench.file(bench.folder, "blocks64", 64)
        return bench.program(mode, "call_cost", path, self.call, bench.milliseconds(150))


class Execve(Case):
    """Milliseconds from vfork to the end of a program that does nothing."""

    name = "execve"
    rounds = (15, 7)
    figures = (Figure(name, 0.5, "added", "ms", "milliseconds_per_start"),)

    def measure(self, bench, mode):
        return bench.program(mode, "exec_loop", os.path.join(PROGRAMS, "trivial"), 200)


class Resident(Case):
    """Resident memory that the library adds."""

    name = "resident"
    modes = ("auto", "force")
    rounds = (5, 5)
    threads = 16
    figures = (
        Figure("resident-rest", 1024, "added", "KiB", "rest_kib"),
        Figure("resident-rest-17-threads", 1024, "added", "KiB", "threads_rest_kib"),
        Figure("resident-per-thread", 256, "added", "KiB", "thread_kib"),
    )

    def measure(self, bench, mode):
        path = bench.file(bench.folder, "blocks64", 64)
        found = bench.program(mode, "resident", path, self.threads)
        found["thread_kib"] = (found["threads_kib"] - found["rest_kib"]) / self.threads
        return found


class LibrarySize(Case):
    """The size of the file, as built and without debug information."""

    name = "library-size"
    modes = ("-",)
    rounds = (1, 1)
    figures = (
        Figure("library-size-stripped", 400, "total", "KB", "stripped"),
        Figure("library-size-as-built", 400, "total", "KB", "built"),
    )

    def measure(self, bench, mode):
        if mode == PLAIN:
            return {}
        stripped = os.path.join(bench.folder, "stripped.so")
        subprocess.run(["strip", "-o", stripped, LIBRARY], check=True)
        return {
            "stripped": os.path.getsize(stripped) / 1000,
            "built": os.path.getsize(LIBRARY) / 1000,
        }


BOTH = ("auto", "observe")
CASES = [
    LibrarySize(),
    BlockIO("cached-pread-1", "pread", "cached", 4096, 1, BOTH),
    BlockIO("cached-pread-8", "pread", "cached", 4096, 8, BOTH),
    BlockIO("cached-pwrite-1", "pwrite", "cached", 4096, 1, BOTH),
    BlockIO("cached-pwrite-8", "pwrite", "cached", 4096, 8, BOTH),
    BlockIO("direct-pread-1", "pread", "direct", 4096, 1),
    BlockIO("direct-pread-16", "pread", "direct", 4096, 16),
    BlockIO("direct-pread-64", "pread", "direct", 4096, 64),
    BlockIO("direct-pread-16M", "pread", "direct", 16 << 20, 1),
    BlockIO("direct-pwrite-1M", "pwrite", "direct", 1 << 20, 1),
    *(CallCost(call) for call in (
        "pread-zero", "pread-cached", "read-zero", "write-null", "fcntl-bad", "close-bad",
        "open-bad")),
    Execve(),
    Resident(),
    SlowRead("slow-pread-16M", 4, ("auto", "force")),
    SlowRead("slow-pread-16M-kernel-parallel", NO_HARM, options=("--parallel-direct",)),
    SlowRead("slow-pread-16M-no-async", NO_HARM, options=("--no-async-direct",)),
    SlowCommit("slow-commit-16", "fdatasync", "shared", 16, 6),
    # On FUSE, syncs of several descriptors are joined only when told that they may be.
    SlowCommit("slow-commit-16-own", "fsync", "own", 16, NO_HARM),
    SlowCommit("slow-commit-16-own-joined", "fsync", "own", 16, 6, ("auto+sync-scope=file",)),
    SlowCommit("slow-commit-1", "fdatasync", "shared", 1, NO_HARM),
    FastCommit("disk-commit-1", "disk", "fdatasync", "shared", 1),
    FastCommit("disk-commit-8", "disk", "fdatasync", "shared", 8),
    FastCommit("disk-commit-32", "disk", "fdatasync", "shared", 32),
    FastCommit("disk-commit-8-own-fsync", "disk", "fsync", "own", 8),
    FastCommit("memory-commit-1", "memory", "fdatasync", "shared", 1),
    FastCommit("memory-commit-8", "memory", "fdatasync", "shared", 8),
    FastCommit("memory-commit-32", "memory", "fdatasync", "shared", 32),
    *DATABASES,
    *ASYNC,
    *RECORD,
]


def chosen(patterns, cases=None):
    """The cases whose name matches one of the patterns; all without patterns."""
    cases = CASES if cases is None else cases
    if not patterns:
        return cases
    found = [c for c in cases if any(fnmatch.fnmatch(c.name, p) for p in patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(c.name, pattern) for c in cases):
            names = ", ".join(c.name for c in cases)
            raise Failure(f"no case matches '{pattern}'; there are: {names}")
    return found
