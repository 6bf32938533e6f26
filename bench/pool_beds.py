"""The test beds of the pool cases: several paths to the same files, and what went over each."""

import os
import socket
import subprocess

from measuring import ROOT, Failure, test_bed

TESTBEDS = os.path.join(ROOT, "bench", "testbeds")


def mounts():
    """Mount points and their types, of the kernel's table: a dead mount would not answer."""
    with open("/proc/self/mountinfo") as table:
        lines = [line.split() for line in table]
    return {
        fields[4].replace("\\040", " "): fields[fields.index("-") + 1] for fields in lines
    }


class Bed:
    """Several paths to the same files, put up by a script."""

    script = ""
    type = ""
    count = 4

    def __init__(self, folder, *options):
        self.folder = os.path.join(folder, "paths")
        self.options = options

    def up(self):
        test_bed("bash", os.path.join(TESTBEDS, self.script), "up", self.folder, *self.options)

    def down(self):
        test_bed("bash", os.path.join(TESTBEDS, self.script), "down", self.folder)

    def paths(self):
        return [os.path.join(self.folder, str(i)) for i in range(self.count)]

    def file(self, path, name):
        return os.path.join(self.folder, str(path), name)

    def mount_points(self):
        return self.paths()

    def check_mounted(self):
        """A plain folder in place of a mount would be measured as a very fast one."""
        table = mounts()
        for point in self.mount_points():
            if table.get(point) != self.type:
                raise Failure(f"{point} is not mounted: {table.get(point, 'a plain folder')}")

    def moved(self):
        """Bytes that each path has carried so far, as its other end counts them."""
        raise NotImplementedError


class Links(Bed):
    """Links of a set rate over a folder in memory."""

    script = "links.sh"
    type = "fuse.linkfs"

    def __init__(self, folder, *options):
        super().__init__(folder, *options)
        if "--links" in options:
            self.count = int(options[options.index("--links") + 1])

    def behind(self, name):
        """Another way to a file: past the links."""
        return os.path.join(self.folder + ".links", "backing", name)

    def ask(self, link, *words):
        """Tells the server of a link, without a process in between: the moment counts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(os.path.join(self.folder + ".links", f"{link}.control"))
            connection.send(" ".join(words).encode())
            reply = connection.recv(4096).rstrip(b"\0").decode()
        if reply.startswith("error"):
            raise Failure(f"link {link}: {reply.strip()}")
        return dict(line.split("=", 1) for line in reply.splitlines() if "=" in line)

    def set_all(self, *words):
        for link in range(self.count):
            self.ask(link, *words)

    def moved(self):
        shown = [self.ask(link, "show") for link in range(self.count)]
        return [int(show["read-bytes"]) + int(show["write-bytes"]) for show in shown]


class NFS(Bed):
    """Clients of one NFSv3 server, a network each, in user space. One file."""

    script = "nfs.sh"
    type = "fuse"

    def mount_points(self):
        return [self.file(path, "f") for path in range(self.count)]

    def behind(self, name):
        return os.path.join(self.folder + ".nfs", "backing", name)

    def moved(self):
        """Both directions of the server's end of each network."""
        backing = os.readlink(os.path.join(self.folder + ".nfs", "backing"))
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{os.path.basename(backing)}", "cat", "/proc/net/dev"],
            capture_output=True, text=True, check=True,
        )
        rows = dict(line.strip().split(":", 1) for line in done.stdout.splitlines() if ":" in line)
        fields = [rows[f"s{path}"].split() for path in range(self.count)]
        return [int(field[0]) + int(field[8]) for field in fields]


class Loops(Bed):
    """Mounts of one image through loop devices: the kernel's block layer, for reads. One file."""

    script = "loops.sh"
    type = "xfs"

    def moved(self):
        """Sectors that each device has read."""
        with open(os.path.join(self.folder + ".loops", "devices")) as devices:
            names = [os.path.basename(line.strip()) for line in devices]
        found = []
        for name in names:
            with open(f"/sys/block/{name}/stat") as stat:
                found.append(int(stat.read().split()[2]) * 512)
        return found
