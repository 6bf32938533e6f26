"""The cases of the C library: reads through its queues, against fio's io_uring engine."""

import json

from measuring import PLAIN, Case, Figure

C_MODE = "c"


class DirectReads(Case):
    """4K random O_DIRECT reads of one file by one thread, so many in flight."""

    modes = (C_MODE,)
    rounds = (11, 7)

    def __init__(self, name, target, depth=32, how="ring", fio_options=()):
        self.name = name
        self.depth = depth
        self.how = how
        self.fio_options = fio_options
        self.figures = (Figure(name, target),)

    def setup(self, bench):
        self.path = bench.file(bench.folder, "blocks512", 512)

    def measure(self, bench, mode):
        milliseconds = bench.milliseconds(2500)
        if mode == C_MODE:
            return bench.program(
                PLAIN, "library_io", self.path, "direct", 4096, self.depth, 300, milliseconds,
                self.how)
        said, _ = bench.execute(
            PLAIN, "fio", "--name=reads", f"--filename={self.path}", "--ioengine=io_uring",
            "--direct=1", "--invalidate=0", "--thread", "--rw=randread", "--bs=4k",
            f"--iodepth={self.depth}", "--norandommap", "--time_based", "--ramp_time=300ms",
            f"--runtime={milliseconds}ms", "--output-format=json", *self.fio_options)
        (job,) = json.loads(said[said.index("{\n"):])["jobs"]
        return {"operations_per_second": job["read"]["iops"]}


CASES = [
    DirectReads("c-direct-32", 0.98),
    DirectReads(
        "c-direct-32-registered", 0.98, how="slots",
        fio_options=("--registerfiles=1", "--fixedbufs=1")),
    DirectReads("c-direct-1", 0.98, depth=1),
]
