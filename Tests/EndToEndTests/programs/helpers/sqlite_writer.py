"""Adds one to a row of a database, a given number of times: sqlite_writer.py DATABASE COUNT"""
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None)
for _ in range(int(sys.argv[2])):
    connection.execute("BEGIN IMMEDIATE")
    (count,) = connection.execute("SELECT n FROM c").fetchone()
    connection.execute("UPDATE c SET n = ?", (count + 1,))
    connection.execute("COMMIT")
