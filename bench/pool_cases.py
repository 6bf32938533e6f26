"""The cases of mount pools: one path plain against several under iotrap, unless said.

A variant is "plain", "auto" (the library without a pool), or "pool", with options of the pool
behind commas; "links" is plain, with a program's worth of requests on every path at once.
"""

import bisect
import json
import os
import shutil
import threading
import time

from measuring import PLAIN, PROGRAMS, Case, Failure, Figure
from pool_beds import NFS, Links, Loops

POOL = "pool"
ALONE = "auto"
LINKS = "links"
MEBIBYTE = 1 << 20
DEPTH = 32
RATE = 100  # MiB/s of a link, unless said
# What the links do when requests are on all of them, whatever the job.
SUM_OF_LINKS = ("--ioengine=libaio", "--rw=read", "--bs=1m", "--iodepth=8")


class PoolCase(Case):
    """One thing measured on a bed whose paths lead to the same files."""

    modes = (POOL,)
    rounds = (5, 3)
    bed_type = Links
    bed_options = ("--rate", str(RATE))
    mebibytes = 256
    files = ("f",)
    pool_options = ""
    share_min = 0.02  # of what was moved: each path of a pool carries more

    def setup(self, bench):
        self.bed = bench.bed(self.bed_type, *self.bed_options)
        bench.use_pool(self.bed.paths(), self.pool_options)
        # Again for each case: others have written to them.
        for name in self.files if self.bed_type is Links else ():
            bench.program(PLAIN, "pool_io", "fill", self.bed.behind(name), self.mebibytes)

    def path(self, link=0, name="f"):
        return self.bed.file(link, name)

    def everywhere(self, name="f"):
        return [self.path(link, name) for link in range(self.bed.count)]

    def measure(self, bench, mode):
        if mode not in self.modes and mode not in [figure.base for figure in self.figures]:
            return {}
        self.bed.check_mounted()
        before = self.bed.moved()
        found = self.run(bench, mode)
        self.check_moved(mode, [b - a for a, b in zip(before, self.bed.moved())])
        return found

    def run(self, bench, mode):
        raise NotImplementedError

    def check_moved(self, mode, moved):
        """That the paths were used as the row says; else its figure would mean something else."""
        total = max(sum(moved), 1)
        shares = [bytes_ / total for bytes_ in moved]
        said = " ".join(f"{share:.2f}" for share in shares)
        if mode in (PLAIN, ALONE) and shares[0] < 0.98:
            raise Failure(f"{mode} used other paths than the first: shares {said}")
        if mode not in (PLAIN, ALONE) and min(shares) < self.share_min:
            raise Failure(f"{mode} left a path out: shares {said}")


class Rate(PoolCase):
    """MiB/s of one fio job."""

    ramp_ms = 500
    run_ms = 1500

    def __init__(self, name, engine, operation, block, target, *extra, base=PLAIN, bed=None,
                 options="", share_min=None, unit="MiB/s", kind="ratio"):
        self.name = name
        self.job = (f"--ioengine={engine}", f"--rw={operation}", f"--bs={block}", *extra)
        self.figures = (Figure(name, target, kind, unit, unit, base=base),)
        self.references = () if base == PLAIN else (base,)
        self.pool_options = options
        if bed:
            self.bed_type, *self.bed_options = bed
        if share_min is not None:
            self.share_min = share_min

    def fio(self, bench, mode, *options):
        files = self.everywhere() if mode == LINKS else [self.path()]
        job = SUM_OF_LINKS if mode == LINKS else self.job
        jobs = [
            word for path in files for word in (f"--name={path}", f"--filename={path}")
        ]
        out, _ = bench.execute(
            mode, "fio", "--output-format=json", f"--size={self.mebibytes}m", "--direct=1",
            "--invalidate=0", f"--iodepth={DEPTH}", *job, *options, *jobs,
        )
        found = json.loads(out[out.index("{\n"):])["jobs"]
        for job in found:
            if job["error"]:
                raise Failure(f"fio ({mode}) ended with error {job['error']}")
        return found

    def run(self, bench, mode):
        jobs = self.fio(
            bench, mode, "--time_based", f"--ramp_time={self.ramp_ms}ms",
            f"--runtime={bench.milliseconds(self.run_ms)}ms",
        )
        sides = [job[side] for job in jobs for side in ("read", "write")]
        return {
            "MiB/s": sum(side["bw_bytes"] for side in sides) / MEBIBYTE,
            "/s": sum(side["iops"] for side in sides),
            "ms": max(p99(side) for side in sides) / 1e6,
        }


class Carried(Rate):
    """MiB/s that the other end of the paths counts in the middle of a job.

    A mount that takes twelve requests at a time makes a program without the library wait in
    io_submit, and see its requests end in bursts of up to 32 MiB, which no job of a few seconds
    counts rightly.
    """

    before_s = 2

    def run(self, bench, mode):
        length = bench.milliseconds(self.run_ms) / 1000
        ended = threading.Event()
        found = []

        def count():
            for pause in (self.before_s, length):
                if ended.wait(pause):
                    return
                found.append((time.monotonic(), sum(self.bed.moved())))

        thread = threading.Thread(target=count)
        thread.start()
        try:
            self.fio(bench, mode, "--time_based", f"--runtime={self.before_s + length + 1}s")
        finally:
            ended.set()
            thread.join()
        if len(found) < 2:
            raise Failure(f"fio ({mode}) ended before it was measured")
        (start, before), (end, after) = found
        return {"MiB/s": (after - before) / (end - start) / MEBIBYTE}


def p99(side):
    return side["clat_ns"].get("percentile", {}).get("99.000000", 0)


class Calls(Rate):
    """MiB/s of one thread that reads or writes 16 MiB a call, counted from call to call."""

    bytes = 16 << 20

    def __init__(self, name, operation, target, **more):
        super().__init__(name, "", "", "", target, **more)
        self.operation = operation

    def run(self, bench, mode):
        if mode == LINKS:
            return super().run(bench, mode)
        found = bench.program(
            mode, "block_io", self.path(), self.operation, "direct", self.bytes, 1, self.ramp_ms,
            bench.milliseconds(self.run_ms),
        )
        return {"MiB/s": found["operations_per_second"] * self.bytes / MEBIBYTE}


class Timed(PoolCase):
    """pool_io, maybe while something happens to a link; what counts lies between two moments."""

    before_s = 1.5

    def stream(self, bench, mode, milliseconds, happen, *words):
        """Runs pool_io and, in time, what happens; returns what was moved until when."""
        arguments = [*words[:-1], milliseconds, words[-1]]
        files = self.everywhere() if mode == LINKS else [self.path()]
        failures = []

        def act():
            try:
                happen()
            except (Failure, OSError) as problem:
                failures.append(problem)

        thread = threading.Thread(target=act)
        thread.start()
        out, _ = bench.execute(
            mode, os.path.join(PROGRAMS, "pool_io"), "stream", *arguments, *files)
        thread.join()
        if failures:
            raise failures[0]
        samples = [line.split()[1:] for line in out.splitlines() if line.startswith("at ")]
        return Moved([(float(at), int(moved)) for at, moved in samples])


class Stream(Timed):
    """MiB/s of one stream: for POSIX AIO, whose last requests fio does not wait for."""

    ramp_s = 0.5
    run_ms = 1500

    def __init__(self, name, engine, operation, bytes_, target, base=PLAIN, bed=None,
                 share_min=0.02):
        self.name = name
        self.words = (engine, operation, bytes_)
        self.figures = (Figure(name, target, unit="MiB/s", value="rate", base=base),)
        self.references = () if base == PLAIN else (base,)
        self.share_min = share_min
        if bed:
            self.bed_type, *self.bed_options = bed

    def run(self, bench, mode):
        words = ("libaio", *self.words[1:]) if mode == LINKS else self.words
        length = bench.milliseconds(self.run_ms) + 1000 * self.ramp_s
        moved = self.stream(bench, mode, int(length), lambda: None, *words,
                            8 if mode == LINKS else DEPTH, "-")
        return {"rate": moved.rate(moved.times[0] + self.ramp_s, moved.times[-1])}


class Moved:
    """How much was moved until when."""

    def __init__(self, samples):
        self.times = [at for at, _ in samples]
        self.bytes = [moved for _, moved in samples]

    def until(self, moment):
        after = bisect.bisect_left(self.times, moment)
        if not 0 < after < len(self.times):
            raise Failure(f"nothing was measured {moment - self.times[0]:.1f} s after the start")
        part = (moment - self.times[after - 1]) / (self.times[after] - self.times[after - 1])
        return self.bytes[after - 1] + part * (self.bytes[after] - self.bytes[after - 1])

    def rate(self, start, end):
        """MiB/s between two moments."""
        return (self.until(end) - self.until(start)) / (end - start) / MEBIBYTE


class Change(Timed):
    """The rate of one link falls to a quarter, and later rises again."""

    references = (LINKS,)
    after_s = 2.2

    def __init__(self, name, block, target):
        self.name = name
        self.block = block
        self.figures = tuple(
            Figure(f"{name}-{way}", target, unit="MiB/s", value=way, base=LINKS)
            for way in ("falls", "rises")
        )

    def run(self, bench, mode):
        moments = []

        def happen():
            for rate in (RATE // 4, RATE):
                time.sleep(self.before_s if not moments else self.after_s)
                self.bed.ask(1, f"rate={rate}")
                moments.append(time.monotonic())

        self.bed.set_all(f"rate={RATE}")
        length = 1000 * (self.before_s + 2 * self.after_s)
        moved = self.stream(bench, mode, int(length), happen, "libaio", "read", self.block,
                            DEPTH if mode == POOL else 8, "-")
        falls, rises = moments
        return {
            # From one second after the change to two seconds after it.
            "falls": moved.rate(falls + 1, falls + 2), "rises": moved.rate(rises + 1, rises + 2)
        }

    def teardown(self, bench):
        self.bed.set_all(f"rate={RATE}")


class Stall(Timed):
    """One link does not answer for a while; the base is four links that all do."""

    references = (LINKS,)

    def __init__(self, name, operation, block, target):
        self.name = name
        self.words = ("libaio", operation, block)
        self.figures = (Figure(name, target, unit="MiB/s", value="rate", base=LINKS),)

    def run(self, bench, mode):
        stall_s = (4 if bench.quick else 10) if mode == POOL else 1.5
        moments = []

        def happen():
            time.sleep(self.before_s)
            moments.append(time.monotonic())
            if mode == POOL:
                self.bed.ask(1, "stall=on")
                time.sleep(stall_s)
                self.bed.ask(1, "stall=off")
            moments.append(moments[0] + stall_s)

        try:
            moved = self.stream(
                bench, mode, int(1000 * (self.before_s + stall_s + 1)), happen, *self.words,
                DEPTH if mode == POOL else 8, self.bed.behind("f"))
        finally:
            self.bed.ask(1, "stall=off")
            if self.words[1] == "rewrite":
                bench.program(PLAIN, "pool_io", "fill", self.bed.behind("f"), self.mebibytes)
        begin, end = moments
        return {"rate": moved.rate(begin + (1 if mode == POOL else 0), end)}


class Log(PoolCase):
    """Small durable writes while a savepoint floods the pool, with and without protection."""

    name = "log"
    unprotected = "pool,protect=off"
    references = (unprotected,)
    files = ("log", "data0", "data1", "data2", "data3")
    mebibytes = 128
    figures = (
        Figure("log-p99", 0.1, "share", "ms", "p99_ms", base=unprotected),
        Figure("log-flood", 0.8, "ratio", "MiB/s", "flood_mib_per_second", base=unprotected),
        Figure("log-p50", None, "share", "ms", "p50_ms", base=unprotected),
    )

    def run(self, bench, mode):
        return bench.program(
            mode, "pool_io", "log", 1500, bench.milliseconds(4000),
            *(self.path(0, name) for name in self.files),
        )


class Limited(Rate):
    """Links that carry a number of requests a second each."""

    def setup(self, bench):
        super().setup(bench)
        self.bed.set_all("iops=2000")

    def teardown(self, bench):
        self.bed.set_all("iops=0")


class Sliced(Rate):
    """Limits that the kernel keeps in slices of 100 ms: one more of them counts for less."""

    run_ms = 4000


class Hedged(Rate):
    """Reads while one link stops for a moment, again and again."""

    modes = ("pool,hedge=95",)

    def run(self, bench, mode):
        ended = threading.Event()

        def stutter():
            while not ended.wait(0.2):
                self.bed.ask(1, "stall=on")
                ended.wait(0.04)
                self.bed.ask(1, "stall=off")

        thread = threading.Thread(target=stutter)
        thread.start()
        try:
            return super().run(bench, mode)
        finally:
            ended.set()
            thread.join()
            self.bed.ask(1, "stall=off")


class Cached(Rate):
    """Buffered reads of what the page cache of the first path holds."""

    def check_moved(self, mode, moved):
        """Nothing has to be moved at all."""

    def run(self, bench, mode):
        with open(self.path(), "rb") as source:
            while source.read(MEBIBYTE):
                pass
        return super().run(bench, mode)


class Single(Rate):
    """A pool of one path against the library without a pool."""

    def setup(self, bench):
        super().setup(bench)
        bench.use_pool([self.bed.paths()[0]], "")

    def check_moved(self, mode, moved):
        """There is one path only."""


class SingleDisk(Single):
    """The same on the local disk."""

    def setup(self, bench):
        self.folder = os.path.join(bench.folder, "single")
        os.makedirs(self.folder, exist_ok=True)
        bench.program(PLAIN, "pool_io", "fill", self.path(), self.mebibytes)
        bench.use_pool([self.folder], "")

    def path(self, link=0, name="f"):
        return os.path.join(self.folder, name)

    def measure(self, bench, mode):
        return self.run(bench, mode)

    def teardown(self, bench):
        shutil.rmtree(self.folder)


def equal(kind, bed, targets, options="", extra=(), case=Rate):
    """Sequential reads and writes through libaio on paths of one speed."""
    return [
        case(f"{kind}-{operation}-{block}", "libaio", operation, block, target, *extra, bed=bed,
             options=options, share_min=0.15)
        for operation, target in targets for block in ("64k", "1m")
    ]


UNEQUAL = (Links, "--rate", "50,50,100,200")
SHARED = (Links, "--rate", str(RATE), "--shared", str(RATE))
FAST = (Links, "--links", "1")
RANDOM = ("libaio", "randread", "4k")
POOLS = [
    *equal("links", None, (("read", 3.95), ("write", 3.9))),
    Stream("links-posix-read-1m", "posix", "read", MEBIBYTE, 3.9, share_min=0.15),
    Stream("links-posix-write-1m", "posix", "write", MEBIBYTE, 3.9, share_min=0.15),
    Calls("links-pread-16m", "pread", 3.7, share_min=0.15),
    Calls("links-pwrite-16m", "pwrite", 3.7, share_min=0.15),
    Change("change-1m", MEBIBYTE, 0.95),
    Change("change-64k", 65536, 0.95),
    Stall("stall-check-64k", "check", 65536, 0.7),
    Stall("stall-check-1m", "check", MEBIBYTE, 0.7),
    Stall("stall-rewrite-64k", "rewrite", 65536, 0.7),
    Log(),
    Limited("small-pread-16", "psync", "randread", "4k", None, "--thread", "--numjobs=16",
            "--group_reporting", unit="/s"),
    Hedged("hedge-p99", "libaio", "randread", "64k", None, "--iodepth=8", base=POOL, unit="ms",
           kind="share"),
    Cached("cached-coherent", "psync", "randread", "4k", None, "--direct=0", unit="/s",
           options="coherent=yes"),
    Rate("unequal-libaio-1m", "libaio", "read", "1m", 0.95, base=LINKS, bed=UNEQUAL),
    Stream("unequal-posix-1m", "posix", "read", MEBIBYTE, 0.95, base=LINKS, bed=UNEQUAL),
    Calls("unequal-pread-16m", "pread", 0.95, base=LINKS, bed=UNEQUAL),
    Rate("shared-libaio-64k", "libaio", "read", "64k", 0.97, bed=SHARED, share_min=0),
    Rate("shared-libaio-1m", "libaio", "read", "1m", 0.97, bed=SHARED, share_min=0),
    Calls("shared-pread-16m", "pread", 0.97, bed=SHARED, share_min=0),
    *equal("loops", (Loops, "--rate", str(RATE)), (("read", 3.95),), case=Sliced),
    *equal("nfs", (NFS,), (("read", 3.7), ("write", 3.7)), "same=yes", case=Carried),
    Single("one-link-libaio", *RANDOM, 0.97, base=ALONE, bed=FAST, unit="/s"),
    Single("one-link-pread", "psync", "randread", "4k", 0.97, base=ALONE, bed=FAST, unit="/s"),
    SingleDisk("one-disk-libaio", *RANDOM, 0.97, base=ALONE, unit="/s"),
]
