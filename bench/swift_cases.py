"""The cases of the Swift library: each against something that does the same without it."""

import json
import os
import shutil
import subprocess

from measuring import PLAIN, PROGRAMS, ROOT, SLOWFS, Case, Failure, Figure, test_bed

LIBRARYBENCH = os.path.join(ROOT, ".build", "command", "release", "librarybench")
EXAMPLES = os.path.join(ROOT, ".build", "examples", "release")
SWIFT_MODE = "swift"
SLOW_OPTIONS = ("--read-delay-us=1000", "--write-delay-us=1000", "--flush-delay-us=1000")


def drop_caches():
    """Also forgets directories and inodes: all that a cold start has to read."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as out:
        out.write("3")


class SwiftCase(Case):
    """Runs the programs as they are: nothing is preloaded into either side."""

    modes = (SWIFT_MODE,)
    rounds = (7, 5)

    def swift(self, bench, *arguments):
        return bench.run(PLAIN, LIBRARYBENCH, *arguments)


class RandomDirect(SwiftCase):
    """4K random O_DIRECT reads, 32 in flight, against fio's io_uring engine."""

    rounds = (9, 7)

    def __init__(self, name, form, target):
        self.name = name
        self.form = form
        self.figures = (Figure(name, target),)

    def setup(self, bench):
        self.path = bench.file(bench.folder, "blocks1024", 1024)

    def measure(self, bench, mode):
        milliseconds = bench.milliseconds(2500)
        if mode == SWIFT_MODE:
            return self.swift(bench, "random", self.form, self.path, 32, milliseconds)
        said, _ = bench.execute(
            PLAIN, "fio", "--name=a", f"--filename={self.path}", "--ioengine=io_uring", "--direct=1",
            "--rw=randread", "--bs=4k", "--iodepth=32", "--time_based", "--norandommap",
            f"--runtime={milliseconds}ms", "--output-format=json",
        )
        return {"operations_per_second": json.loads(said)["jobs"][0]["read"]["iops"]}


class Allocations(RandomDirect):
    """Calls of malloc an operation, while reads are in flight."""

    rounds = (3, 1)

    def __init__(self, name, form, target):
        super().__init__(name, form, target)
        self.figures = (
            Figure(name, target, "total", "an operation", "allocations_per_operation"),
        )

    def measure(self, bench, mode):
        if mode == PLAIN:
            return {}
        counter = os.path.join(PROGRAMS, "count_malloc.so")
        command = [LIBRARYBENCH, "random", self.form, self.path, 32, bench.milliseconds(800)]
        return bench.run(PLAIN, "env", f"LD_PRELOAD={counter}", *command)


class AddedLatency(SwiftCase):
    """What a task adds to a bare ring, one read at a time."""

    def __init__(self, kind, target):
        self.name = f"swift-latency-{kind}"
        self.kind = kind
        self.figures = (
            Figure(self.name, target, "added", "us", "median_nanoseconds", scale=0.001),
        )

    def setup(self, bench):
        self.path = bench.file(bench.folder, "blocks64", 64)

    def measure(self, bench, mode):
        form = "task" if mode == SWIFT_MODE else "ring"
        return self.swift(
            bench, "latency", form, self.kind, self.path, bench.milliseconds(1500))


class SmallFiles(SwiftCase):
    """100,000 files of 4 KiB, none of them in memory, in the order of their names."""

    rounds = (5, 5)
    count = 100_000
    references = ("foundation", "bare")

    def __init__(self):
        self.name = "swift-small-files"
        self.figures = (
            Figure(self.name, 1.0),
            Figure(f"{self.name}:cpu", 0.5, "share", "us", "cpu_microseconds"),
            # A ring without any library, which is what the half can be held against.
            Figure(f"{self.name}:cpu", None, "share", "us", "cpu_microseconds", base="bare"),
            Figure(f"{self.name}:foundation", 5.0, base="foundation"),
        )

    def setup(self, bench):
        root = os.path.join(bench.folder, "small")
        self.list = os.path.join(bench.folder, "small-files")
        count = self.count // (10 if bench.quick else 1)
        content = os.urandom(4096)
        with open(self.list, "w") as names:
            for number in range(count):
                folder = os.path.join(root, f"{number // 1000:03d}")
                if number % 1000 == 0:
                    os.makedirs(folder)
                path = os.path.join(folder, f"{number % 1000:03d}")
                with open(path, "wb") as out:
                    out.write(content)
                names.write(path + "\n")

    def measure(self, bench, mode):
        drop_caches()
        if mode == PLAIN:
            return bench.program(PLAIN, "small_files", self.list, 64)
        if mode == "bare":
            return bench.program(PLAIN, "bare_files", self.list, 64)
        form = "tasks" if mode == SWIFT_MODE else "foundation"
        return self.swift(bench, "small", form, self.list, 64, 2)

    def teardown(self, bench):
        shutil.rmtree(os.path.join(bench.folder, "small"), ignore_errors=True)


class SlowCase(SwiftCase):
    """On a mount where each read, write and flush takes 1 ms."""

    def setup(self, bench):
        self.mount = os.path.join(bench.memory, "slow")
        test_bed(SLOWFS, "up", self.mount, *SLOW_OPTIONS)

    def teardown(self, bench):
        test_bed(SLOWFS, "down", self.mount)


class WriteAheadLog(SlowCase):
    """Commits of 32 writers, against 32 threads that write and flush for themselves."""

    name = "swift-wal-32"
    figures = (Figure(name, 8.0),)

    def measure(self, bench, mode):
        milliseconds = bench.milliseconds(1500)
        if mode == PLAIN:
            path = os.path.join(self.mount, "blocks")
            return bench.program(
                PLAIN, "group_commit", path, "fdatasync", "shared", 32, 200, milliseconds)
        path = os.path.join(self.mount, "log")
        if os.path.exists(path):
            os.unlink(path)
        return bench.run(
            PLAIN, os.path.join(EXAMPLES, "wal"), "measure", path, 32, milliseconds)


class Restore(SlowCase):
    """Unpacks 2000 files of 1 to 32 KiB, against tar."""

    name = "swift-restore"
    figures = (Figure(name, 10.0, "ratio", "/s", "files_per_second"),)
    rounds = (5, 5)
    count = 2000

    def setup(self, bench):
        super().setup(bench)
        tree = os.path.join(bench.folder, "tree")
        for number in range(self.count):
            folder = os.path.join(tree, f"{number // 100:02d}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"file{number}"), "wb") as out:
                out.write(os.urandom(1024 * (1 + number % 32)))
        self.archive = os.path.join(bench.folder, "tree.tar")
        subprocess.run(["tar", "-cf", self.archive, "-C", bench.folder, "tree"], check=True)

    def measure(self, bench, mode):
        target = os.path.join(self.mount, "out")
        os.mkdir(target)
        if mode == PLAIN:
            command = ["tar", "-xf", self.archive, "-C", target]
        else:
            command = [os.path.join(EXAMPLES, "restore"), self.archive, target]
        script = 'start=$(date +%s%N); "$@" >&2; end=$(date +%s%N); echo ns $((end - start))'
        sample = bench.run(PLAIN, "bash", "-ec", script, "bash", *command)
        made = sum(len(files) for _, _, files in os.walk(target))
        if made != self.count:
            raise Failure(f"{mode}: {made} files of {self.count}")
        shutil.rmtree(target)
        return {"files_per_second": self.count * 1e9 / sample["ns"]}


class Checksum(SwiftCase):
    """SHA-256 of a tree that is not in memory, against sha256sum."""

    name = "swift-checksum"
    figures = (Figure(name, 1.0, "ratio", "/s", "trees_per_second"),)
    rounds = (5, 5)

    def setup(self, bench):
        self.tree = os.path.join(bench.folder, "sums")
        for number in range(4000):
            folder = os.path.join(self.tree, f"{number // 100:02d}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{number:04d}"), "wb") as out:
                out.write(os.urandom(1024 * (1 + number % 64)))

    def measure(self, bench, mode):
        drop_caches()
        if mode == PLAIN:
            tool = f"find {self.tree} -type f -print0 | sort -z | xargs -0 sha256sum"
        else:
            tool = f"{os.path.join(EXAMPLES, 'checksum')} {self.tree}"
        script = f"start=$(date +%s%N); {tool} | md5sum; end=$(date +%s%N); echo ns $((end - start))"
        said, _ = bench.execute(PLAIN, "bash", "-ec", script)
        lines = said.splitlines()
        sums = self.__dict__.setdefault("sums", lines[0])
        if lines[0] != sums:
            raise Failure(f"{mode}: other sums than before")
        return {"trees_per_second": 1e9 / float(lines[1].split()[1])}

    def teardown(self, bench):
        shutil.rmtree(self.tree, ignore_errors=True)


SWIFT = [
    RandomDirect("swift-direct-32", "queue", 0.95),
    RandomDirect("swift-direct-32-tasks", "tasks", None),
    Allocations("swift-allocations", "queue", 0.01),
    Allocations("swift-allocations-tasks", "tasks", 0.01),
    AddedLatency("direct", 3.0),
    AddedLatency("cached", 3.0),
    SmallFiles(),
    WriteAheadLog(),
    Restore(),
    Checksum(),
]
