"""The cases of asynchronous I/O: fio as it is, through libaio and through POSIX AIO.

Each is held against the same job run plain, and some also against fio's own io_uring engine:
what the program would reach if it had been written for io_uring.
"""

import json
import os
import subprocess

from measuring import DEVICES, NO_HARM, PLAIN, SLOWFS, Case, Failure, Figure, test_bed

IO_URING = "io_uring"
DEPTH = 32


def cached_bytes(path):
    """How much of a file the page cache holds."""
    done = subprocess.run(
        ["fincore", "--bytes", "--noheadings", "--output", "RES", path],
        capture_output=True, text=True, check=True,
    )
    return int(done.stdout)


def drop_from_cache(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    if cached_bytes(path):
        raise Failure(f"{cached_bytes(path)} bytes of {path} stay in the page cache")


def take_into_cache(path):
    with open(path, "rb") as source:
        while source.read(1 << 20):
            pass


class FioCase(Case):
    """One fio job: an engine at a depth on one file."""

    rounds = (7, 5)
    mebibytes = 512
    run_ms = 1200
    ramp_ms = 0  # not counted: where auto has to compare first
    options = ("--direct=1", "--rw=randread")

    def __init__(self, name, engine, target, *extra, of_io_uring=None, cpu=False):
        self.name = name
        self.engine = engine
        self.extra = extra
        self.figures = (Figure(name, target),)
        if of_io_uring:
            self.references = (IO_URING,)
            self.figures += (Figure(f"{name}:io_uring", of_io_uring, base=IO_URING),)
        if cpu:
            # Reads a second of processor time: its inverse is what one read costs.
            self.figures += (
                Figure(f"{name}:cpu", 1, unit="/cpu-s", value="per_cpu_second", slack=0.02),
            )
        self.started_cpu = {}

    def setup(self, bench):
        self.path = bench.file(bench.folder, f"blocks{self.mebibytes}", self.mebibytes)

    def prepare(self):
        """Before each run; the path does not matter to O_DIRECT but for its pages."""
        drop_from_cache(self.path)

    def check(self, job):
        """Says so when the run did not measure what it should."""

    def fio(self, bench, mode, *options):
        engine = "io_uring" if mode == IO_URING else self.engine
        out, cpu = bench.execute(
            PLAIN if mode == IO_URING else mode, "fio", "--name=bench", "--output-format=json",
            f"--filename={self.path}", f"--size={self.mebibytes}m", "--bs=4k", "--invalidate=0",
            f"--ioengine={engine}", f"--iodepth={DEPTH}", *self.options, *self.extra, *options,
        )
        # fio may print warnings before its JSON.
        (job,) = json.loads(out[out.index("{\n"):])["jobs"]
        if job["error"]:
            raise Failure(f"fio ({mode}) ended with error {job['error']}")
        return job, cpu

    def cpu_of_start(self, bench, mode):
        """Processor seconds of a run of two requests, which are no part of what a request costs."""
        if mode not in self.started_cpu:
            runs = (self.fio(bench, mode, "--number_ios=2")[1] for _ in range(3))
            self.started_cpu[mode] = min(runs)
        return self.started_cpu[mode]

    def measure(self, bench, mode):
        start = self.cpu_of_start(bench, mode)
        self.prepare()
        job, cpu = self.fio(
            bench, mode, "--time_based", f"--runtime={bench.milliseconds(self.run_ms)}ms",
            *([f"--ramp_time={self.ramp_ms}ms"] if self.ramp_ms else []),
        )
        self.check(job)
        sides = [job["read"], job["write"]]
        count = sum(side["total_ios"] for side in sides)
        if not count:
            raise Failure(f"fio ({mode}) did no request")
        inside = sum(side["slat_ns"]["mean"] * side["slat_ns"]["N"] for side in sides)
        flight = sum(side["lat_ns"]["mean"] * side["lat_ns"]["N"] for side in sides)
        return {
            "operations_per_second": sum(side["iops"] for side in sides),
            "per_cpu_second": count / max(cpu - start, 1e-3),
            "trigger_ratio": inside / flight if flight else 0.0,
            "flight_per_trigger": flight / inside if inside else 0.0,
        }


class Cached(FioCase):
    """Buffered reads of a file that the page cache holds."""

    mebibytes = 256
    options = ("--rw=randread",)

    def prepare(self):
        if cached_bytes(self.path) != self.mebibytes << 20:
            take_into_cache(self.path)


class Cold(FioCase):
    """Buffered reads of blocks that the page cache does not hold, each read once."""

    mebibytes = 1024
    options = ("--rw=randread",)

    def check(self, job):
        # fio comes back to a block only when it has read all of them.
        if job["read"]["io_bytes"] > self.mebibytes << 20:
            raise Failure("the whole file was read: the run was not cold to its end")


class Trigger(Cold):
    """The part of the I/O time that cold buffered reads spend inside io_submit.

    What a request waits while fio submits others is flight time, which makes plain look good at
    depth 32; a request by itself, and batches, show that plain reads inside io_submit. There even
    fio's io_uring engine spends more than a tenth, so the targets are near what it reaches.
    """

    def __init__(self, name, target, *extra, of_io_uring=None):
        super().__init__(name, "libaio", 0, *extra, of_io_uring=of_io_uring)
        self.figures = (Figure(name, target, "total", unit="", value="trigger_ratio"),)
        if of_io_uring:
            self.figures += (
                Figure(f"{name}:io_uring", of_io_uring, unit="", value="flight_per_trigger",
                       base=IO_URING),
            )


class Slow(FioCase):
    """A file on storage where every request takes 1 ms."""

    mebibytes = 64
    ramp_ms = 800

    def __init__(self, name, engine, target, *bed):
        super().__init__(name, engine, target)
        self.bed = bed

    def setup(self, bench):
        self.mount = os.path.join(bench.memory, "slow")
        test_bed(SLOWFS, "up", self.mount, *self.bed)
        # Filled from below: through the mount it would take a while.
        bench.file(self.mount + ".slowfs/backing", "file", self.mebibytes)
        self.path = os.path.join(self.mount, "file")

    def prepare(self):
        if not os.path.ismount(self.mount):
            raise Failure(f"{self.mount} is not mounted any more")

    def teardown(self, bench):
        test_bed(SLOWFS, "down", self.mount)


class Device(FioCase):
    """A file on a fast block device in memory, where little can be won and much be lost."""

    mebibytes = 256

    def __init__(self, name, engine, target, kind, **more):
        super().__init__(name, engine, target, **more)
        self.kind = kind

    def setup(self, bench):
        self.mount = os.path.join(bench.memory, self.kind)
        test_bed(DEVICES, "up", self.kind, self.mount, str(self.mebibytes + 128))
        self.path = bench.file(self.mount, "file", self.mebibytes)

    def teardown(self, bench):
        test_bed(DEVICES, "down", self.mount)


SLOW_32 = ("--read-delay-us=1000", "--concurrency=32")
BATCH = ("--iodepth_batch_submit=16", "--iodepth_batch_complete_min=1",
         "--iodepth_batch_complete_max=32")
ASYNC = [
    FioCase("aio-libaio-direct", "libaio", NO_HARM, of_io_uring=0.97, cpu=True),
    FioCase("aio-libaio-direct-batch", "libaio", NO_HARM, *BATCH, of_io_uring=0.97, cpu=True),
    FioCase("aio-libaio-direct-write", "libaio", NO_HARM, "--rw=randwrite", cpu=True),
    Cold("aio-libaio-cold", "libaio", NO_HARM, of_io_uring=0.95, cpu=True),
    Cached("aio-libaio-cached", "libaio", NO_HARM, cpu=True),
    Trigger("aio-trigger-ratio", 0.1),
    # No comparison: fio's io_uring engine cuts its batches smaller.
    Trigger("aio-trigger-ratio-batch", 0.2, *BATCH),
    Trigger("aio-trigger-ratio-1", 0.4, "--iodepth=1", of_io_uring=0.9),
    Slow("aio-libaio-libfuse2", "libaio", 3, "--libfuse2", "--delay-us=1000"),
    FioCase("aio-posix-direct", "posixaio", NO_HARM, of_io_uring=0.90),
    Cached("aio-posix-cached", "posixaio", 1.5),
    Slow("aio-posix-slow", "posixaio", 12, *SLOW_32),
    Device("aio-libaio-zram", "libaio", NO_HARM, "zram", of_io_uring=0.97, cpu=True),
    Device("aio-posix-zram", "posixaio", NO_HARM, "zram"),
    Device("aio-libaio-loop", "libaio", NO_HARM, "loop", of_io_uring=0.97, cpu=True),
    Device("aio-posix-loop", "posixaio", NO_HARM, "loop"),
]
