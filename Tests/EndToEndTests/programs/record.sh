#!/bin/bash
# PostgreSQL under pgbench and SQLite: recorded, replayed, and what they moved compared.
. "$(dirname "$0")/helpers/common.bash"

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || skip "postgresql is not installed"
need sqlite3 "$python"
[ "$mode" != bare ] || skip "nothing is recorded without the library"
use_account postgres
mkdir -p "$scratch/iotrap/bin" "$scratch/iotrap/lib"
cp "$repository/build/bin/iotrap" "$scratch/iotrap/bin"
cp "$built" "$scratch/iotrap/lib"
chmod -R a+rX "$scratch/iotrap"
iotrap=$scratch/iotrap/bin/iotrap
own_directory "$scratch/place" "$scratch/socket"
cd "$scratch/place"
export PGHOST=$scratch/socket PGUSER=postgres PGDATABASE=postgres
export IOTRAP_STATS=off

# Replays a trace twice and compares the bytes with those that its events moved.
replay_and_compare() {
	local trace=$1 number
	plainly "$iotrap" trace export "$trace" --to csv -o "$trace.csv" >"$scratch/export.log"
	for number in 1 2; do
		plainly "$iotrap" replay "$trace" --on "target-$trace" --engine sync \
			--json "$trace-$number.json" >"$scratch/replay.log"
	done
	plainly "$iotrap" compare "$trace-1.json" "$trace-2.json" >"$scratch/compare.log"
	"$python" - "$trace.csv" "$trace-1.json" <<-'END'
		import csv, json, sys

		moved = {"read": 0, "write": 0}
		with open(sys.argv[1], newline="") as events:
		    for event in csv.DictReader(events):
		        if event["operation"] in moved and event["result"]:
		            moved[event["operation"]] += max(0, int(event["result"]))
		(run,) = json.load(open(sys.argv[2]))["runs"]
		assert run["errors"] == 0 and not run["partial"], run
		for operation, replayed in (("read", run["bytes_read"]), ("write", run["bytes_written"])):
		    print(f"{sys.argv[1]}: {operation}: recorded {moved[operation]}, replayed {replayed}")
		    assert moved[operation] == replayed > 0
	END
}

record_sqlite() {
	{
		echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=50;'
		echo 'CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT, b BLOB); CREATE INDEX i ON t(v);'
		for ((n = 1; n <= 300; n++)); do
			echo "INSERT INTO t VALUES($n, 'row ' || ($n * 7919 % 1009), zeroblob($n * 9));"
		done
		echo 'SELECT count(*), sum(length(b)) FROM t; PRAGMA wal_checkpoint(TRUNCATE);'
	} >"$scratch/statements.sql"
	plainly sqlite3 bare.db <"$scratch/statements.sql" >"$scratch/bare.out"
	plainly "$iotrap" record -o sqlite.trace --mode "$mode" --filter 'recorded.db*' -- \
		sqlite3 recorded.db <"$scratch/statements.sql" >"$scratch/recorded.out" 2>"$scratch/record.log"
	cmp "$scratch/bare.out" "$scratch/recorded.out" || fail "SQLite answers differently"
	grep ' 0 dropped' "$scratch/record.log" || fail "events were dropped"
	[ "$(plainly sqlite3 recorded.db 'PRAGMA integrity_check')" = ok ] || fail "integrity_check"
	replay_and_compare sqlite.trace
}

record_postgresql() {
	plainly "$bin/initdb" -D data -A trust -U postgres --no-locale -E UTF8 \
		>"$scratch/initdb.log" 2>&1 || fail "initdb"
	setsid "${as_account[@]}" "$iotrap" record -o pgbench.trace --mode "$mode" \
		--filter "$scratch/place/data/*" -- "$bin/postgres" -D data -k "$scratch/socket" \
		-c listen_addresses= -c shared_buffers=8MB >"$scratch/server.log" 2>&1 &
	server=$!
	wait_until "connection to PostgreSQL" plainly "$bin/pg_isready" -q
	plainly "$bin/pgbench" -q -i -s 2 >"$scratch/pgbench.log" 2>&1 || fail "pgbench -i"
	plainly "$bin/pgbench" -n -c 4 -j 2 -t 250 >>"$scratch/pgbench.log" 2>&1 || fail "pgbench"
	plainly "$bin/pg_ctl" -D data -m fast stop >"$scratch/stop.log" || fail "pg_ctl stop"
	await_server
	grep ' 0 dropped' "$scratch/server.log" || fail "events were dropped"
	[ ! -e pgbench.trace.parts ] || fail "the recording is not finished"
	replay_and_compare pgbench.trace
}

record_sqlite
record_postgresql
