"""How a figure is measured: variants of a program in interleaved pairs, and what they say."""

import math
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = os.path.join(ROOT, "build", "bench")
# Another build can be measured with the same programs: the folder that holds its lib and bin.
BUILD = os.environ.get("IOTRAP_BENCH_BUILD", os.path.join(ROOT, "build"))
LIBRARY = os.path.join(BUILD, "lib", "libiotrap-preload.so")
COMMAND = os.path.join(BUILD, "bin", "iotrap")
SLOWFS = os.path.join(ROOT, "bench", "testbeds", "slowfs.sh")
DEVICES = os.path.join(ROOT, "bench", "testbeds", "devices.sh")
PLAIN = "plain"
NO_HARM = 0.97


class Failure(Exception):
    """A case that could not be measured, with the reason to print."""


@dataclass
class Figure:
    """One line of the table: which number of a sample counts, and what it must reach.

    kind "ratio": iotrap / plain must be at least the target; "share": the same, at most; "added":
    iotrap - plain must be at most the target; "total": the value itself must be at most the
    target. No target: the figure is for information. Another base than plain is one of the
    case's references. What two plain runs differ by is not held against the library
    where the target is that of plain itself: the slack.
    """

    name: str
    target: float | None
    kind: str = "ratio"
    unit: str = "/s"
    value: str = "operations_per_second"
    scale: float = 1.0
    base: str = PLAIN
    slack: float = 0.0


@dataclass
class Row:
    """The measured pairs of one figure in one mode; plain is what its base is."""

    figure: Figure
    mode: str
    plain: list = field(default_factory=list)
    iotrap: list = field(default_factory=list)

    def compared(self):
        """What is held against the target, one value a pair."""
        if self.figure.kind in ("ratio", "share"):
            return [b / a for a, b in zip(self.plain, self.iotrap)]
        if self.figure.kind == "added":
            return [b - a for a, b in zip(self.plain, self.iotrap)]
        return list(self.iotrap)

    def ratios(self):
        """Free of absolute times: what a stored run is compared by."""
        if self.figure.kind == "total":
            return [value / self.figure.target for value in self.iotrap]
        return [b / a for a, b in zip(self.plain, self.iotrap)]

    def meets(self, value):
        if self.figure.kind == "ratio":
            return value >= self.figure.target - self.figure.slack
        return value <= self.figure.target

    def verdict(self):
        """met or short by the median; noisy when a wide range leaves the target inside."""
        if self.figure.target is None:
            return "-"
        values = self.compared()
        word = "met" if self.meets(median(values)) else "short"
        low, high = median_interval(values)
        undecided = self.meets(low) != self.meets(high)
        if undecided and high - low > 0.05 * abs(self.figure.target):
            return f"noisy ({word})"
        return word


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def median_interval(values):
    """The order statistics that hold the true median with at least 90 % probability."""
    ordered = sorted(values)
    count = len(ordered)
    rank, outside = 0, 2 / 2**count
    while rank < count // 2 and outside + 2 * math.comb(count, rank + 1) / 2**count <= 0.1:
        rank += 1
        outside += 2 * math.comb(count, rank) / 2**count
    return ordered[rank], ordered[count - 1 - rank]


def test_bed(script, *arguments):
    """Puts up or takes down a test bed, to the end: Ctrl-C takes effect afterwards."""
    stops = []
    handlers = {
        number: signal.signal(number, lambda number, frame: stops.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        done = subprocess.run(
            [script, *arguments], capture_output=True, text=True, check=False,
            start_new_session=True,
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if stops:
        signal.raise_signal(stops[0])
    if done.returncode != 0:
        raise Failure(done.stderr.strip())


class Bench:
    """The folder, the environment and the length of one run of the benchmarks."""

    def __init__(self, quick):
        self.quick = quick
        # A real disk, and open to the user that PostgreSQL runs as.
        self.folder = tempfile.mkdtemp(prefix="iotrap-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.memory = tempfile.mkdtemp(prefix="iotrap-bench-", dir="/dev/shm")
        self.log = os.path.join(self.folder, "library.log")
        open(self.log, "w").close()
        os.chmod(self.log, 0o666)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.memory, ignore_errors=True)

    def milliseconds(self, full):
        """The length of a run: noise shrinks more from many pairs than from long ones."""
        return int(full * (0.6 if self.quick else 1))

    def environment(self, mode):
        """A clean environment; with the library preloaded unless the mode is plain."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("IOTRAP_", "LD_"))}
        if mode != PLAIN:
            # "auto+sync-scope=file": a mode, and settings to go with it
            name, _, settings = mode.partition("+")
            env.update(LD_PRELOAD=LIBRARY, IOTRAP_MODE=name, IOTRAP_LOG=self.log)
            if settings:
                env["IOTRAP_SET"] = settings
        return env

    def execute(self, mode, *command):
        """Runs a program; returns what it printed and the processor seconds that it took."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            list(map(str, command)), env=self.environment(mode), capture_output=True, text=True,
            check=False,
        )
        # The loader reports a library it cannot preload and goes on without it.
        if done.returncode != 0 or "ld.so" in done.stderr:
            said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            reason = said[0][:200] if said else f"ended with {done.returncode}"
            raise Failure(f"{os.path.basename(command[0])} ({mode}): {reason}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return done.stdout, used

    def run(self, mode, *command):
        """Runs a program and returns its "name value" lines as numbers."""
        pairs = (line.split() for line in self.execute(mode, *command)[0].splitlines())
        return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2}

    def program(self, mode, name, *arguments):
        return self.run(mode, os.path.join(PROGRAMS, name), *arguments)

    def file(self, folder, name, mebibytes):
        """A file of random bytes, on the disk, of which the page cache holds all."""
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            with open(path, "wb") as out:
                for _ in range(mebibytes):
                    out.write(os.urandom(1 << 20))
                out.flush()
                os.fsync(out.fileno())
        return path


class Case:
    """One thing measured in several modes; subclasses say how."""

    name = ""
    modes = ("auto",)
    references = ()  # what a figure may be compared with beside plain, measured without iotrap
    figures = ()
    rounds = (9, 5)  # in a full run, in a quick one

    def setup(self, bench):
        """Prepares files and servers; runs once before the first round."""

    def measure(self, bench, mode):
        """One run of one variant: a dictionary of numbers."""
        raise NotImplementedError

    def teardown(self, bench):
        """Undoes setup, also after a failure."""

    def before_round(self, bench, number, rounds):
        """For cases that change sides half-way."""


def run_case(bench, case):
    """All pairs of one case, the order turned round every time; returns its rows."""
    rows = [Row(figure, mode) for mode in case.modes for figure in case.figures]
    variants = [PLAIN, *case.references, *case.modes]
    rounds = case.rounds[1 if bench.quick else 0]
    try:
        case.setup(bench)
        for number in range(rounds):
            case.before_round(bench, number, rounds)
            order = variants if number % 2 == 0 else variants[::-1]
            sample = {mode: case.measure(bench, mode) for mode in order}
            for row in rows:
                figure = row.figure
                row.plain.append(sample[figure.base].get(figure.value, 0.0) * figure.scale)
                row.iotrap.append(sample[row.mode][figure.value] * figure.scale)
    finally:
        case.teardown(bench)
    return rows
