"""Inserts rows into a new SQLite database, one commit a row: sqlite_commits.py FILE MILLISECONDS"""

import sqlite3
import sys
import time


def main():
    path, milliseconds = sys.argv[1], int(sys.argv[2])
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table rows(id integer primary key, text)")
    text = "x" * 100
    rows = 0
    start = time.monotonic()
    end = start + milliseconds / 1000
    while time.monotonic() < end:
        for _ in range(20):
            database.execute("insert into rows(text) values(?)", (text,))
        rows += 20
    seconds = time.monotonic() - start
    database.close()
    print("operations_per_second", rows / seconds)
    print("rows", rows)


main()
