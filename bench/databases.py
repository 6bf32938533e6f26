"""The cases with real databases: PostgreSQL under pgbench, and SQLite."""

import glob
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
import sys

from measuring import COMMAND, PLAIN, ROOT, Case, Failure, Figure

POSTGRES_SETTINGS = """
listen_addresses = ''
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
logging_collector = off
"""


class PostgreSQL(Case):
    """pgbench, scale 10, 8 clients, on two twin clusters that both stay up.

    The clusters are copies of one, and change sides half-way, so that what one of them has by
    chance does not count.
    """

    name = "pgbench"
    rounds = (10, 6)  # even: as many on the one side as on the other
    figures = (Figure(name, 0.97, unit="tps", value="tps"),)

    def __init__(self):
        self.user = {}
        self.folders = []
        self.sides = {}

    def command(self, *arguments, mode=PLAIN, env=None):
        """Runs a program of PostgreSQL as its user, under iotrap unless plain."""
        program = os.path.join(self.programs, arguments[0])
        line = [program, *arguments[1:]]
        if mode != PLAIN:
            line = [COMMAND, "run", "--mode", mode, "--", *line]
        done = subprocess.run(
            line, env=env, capture_output=True, text=True, check=False, cwd="/", **self.user
        )
        if done.returncode != 0:
            raise Failure(f"{arguments[0]} ({mode}): {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def setup(self, bench):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Failure("PostgreSQL is not installed")
        self.programs = found[-1]
        base = os.path.join(bench.folder, "postgres")
        os.mkdir(base)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(base, owner.pw_uid, owner.pw_gid)
            self.user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.folders = [os.path.join(base, "a"), os.path.join(base, "b")]
        self.base = base
        self.bench = bench
        first = self.folders[0]
        self.command("initdb", "-D", first, "-A", "trust", "-U", "postgres", "--no-sync")
        with open(os.path.join(first, "postgresql.conf"), "a") as settings:
            settings.write(POSTGRES_SETTINGS)
        self.start(first, PLAIN)
        self.command("pgbench", "-h", base, "-U", "postgres", "-p", self.port(first),
                     "-i", "-q", "-s", "10", "postgres")
        self.stop(first)
        subprocess.run(["cp", "-a", first, self.folders[1]], check=True)
        self.take_sides((PLAIN, *self.modes))

    def port(self, folder):
        """The number in the name of the socket; nothing listens on the network."""
        return str(5432 + self.folders.index(folder))

    def start(self, folder, mode):
        env = self.bench.environment(PLAIN)
        env["IOTRAP_LOG"] = self.bench.log
        self.command(
            "pg_ctl", "start", "-w", "-D", folder, "-l", folder + ".log",
            "-o", f"-k {self.base} -p {self.port(folder)}", mode=mode, env=env,
        )
        with open(os.path.join(folder, "postmaster.pid")) as lines:
            process = lines.readline().strip()
        with open(f"/proc/{process}/maps") as maps:
            loaded = "libiotrap-preload.so" in maps.read()
        if loaded != (mode != PLAIN):
            word = "with" if loaded else "without"
            raise Failure(f"the server of mode {mode} runs {word} iotrap")

    def stop(self, folder):
        self.command("pg_ctl", "stop", "-w", "-m", "fast", "-D", folder)

    def take_sides(self, modes):
        self.sides = {}
        for folder, mode in zip(self.folders, modes):
            self.start(folder, mode)
            self.sides[mode] = folder

    def before_round(self, bench, number, rounds):
        if number == rounds // 2:
            for folder in self.folders:
                self.stop(folder)
            self.take_sides((*self.modes, PLAIN))

    def measure(self, bench, mode):
        seconds = "2" if bench.quick else "3"
        out = self.command(
            "pgbench", "-h", self.base, "-U", "postgres", "-p", self.port(self.sides[mode]),
            "-c", "8", "-j", "2", "-T", seconds, "postgres",
        )
        found = re.search(r"^tps = ([0-9.]+)", out, re.MULTILINE)
        if not found:
            raise Failure("pgbench printed no tps")
        return {"tps": float(found.group(1))}

    def teardown(self, bench):
        for folder in self.folders:
            if os.path.exists(os.path.join(folder, "postmaster.pid")):
                self.command("pg_ctl", "stop", "-w", "-m", "immediate", "-D", folder)
            shutil.rmtree(folder, ignore_errors=True)


class SQLite(Case):
    """One row a transaction, write-ahead log, a flush at every commit."""

    name = "sqlite-wal"
    rounds = (15, 7)
    modes = ("auto",)
    figures = (Figure(name, 0.97, unit="/s"),)

    def measure(self, bench, mode):
        path = os.path.join(bench.folder, "rows.db")
        for name in glob.glob(path + "*"):
            os.unlink(name)
        found = bench.run(
            mode, sys.executable, os.path.join(ROOT, "bench", "sqlite_commits.py"), path,
            bench.milliseconds(600),
        )
        with sqlite3.connect(path) as database:
            if database.execute("pragma integrity_check").fetchone() != ("ok",):
                raise Failure(f"integrity_check fails after a run in mode {mode}")
            (rows,) = database.execute("select count(*) from rows").fetchone()
        database.close()
        if rows != found["rows"]:
            raise Failure(f"{found['rows']:.0f} rows committed, {rows} found ({mode})")
        return found


DATABASES = [PostgreSQL(), SQLite()]
