"""Commits row after row, and says so after each: sqlite_commits.py DATABASE JOURNAL"""
import os
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=" + sys.argv[2])
connection.execute("PRAGMA synchronous=FULL")
connection.execute("CREATE TABLE t(k INTEGER PRIMARY KEY, v)")
for key in range(1, 1000000):
    connection.execute("INSERT INTO t VALUES(?, ?)", (key, os.urandom(key % 3000)))
    os.write(1, b"%d\n" % key)
