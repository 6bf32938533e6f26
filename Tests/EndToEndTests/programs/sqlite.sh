#!/bin/bash
# SQLite: both journals, several writers, kill -9 in the middle of commits.
. "$(dirname "$0")/helpers/common.bash"

need sqlite3 "$python"

check() {
	local result
	result=$(under sqlite3 "$1" 'PRAGMA integrity_check')
	[ "$result" = ok ] || fail "$1: integrity_check: $result"
}

# The same statements through the command, under the library and bare: same content.
same_content() {
	local journal=$1 database=$scratch/$1.db reference=$scratch/$1-bare.db
	{
		echo "PRAGMA journal_mode=$journal; PRAGMA synchronous=FULL; PRAGMA cache_size=50;"
		echo 'CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT, b BLOB); CREATE INDEX i ON t(v);'
		for ((n = 1; n <= 300; n++)); do
			echo "INSERT INTO t VALUES($n, 'row ' || ($n * 7919 % 1009), zeroblob($n * 9));"
		done
		echo 'UPDATE t SET b = zeroblob(5000) WHERE k % 3 = 0; DELETE FROM t WHERE k % 7 = 0;'
		echo 'VACUUM; PRAGMA wal_checkpoint(TRUNCATE);'
	} >"$scratch/$journal.sql"
	under sqlite3 "$database" <"$scratch/$journal.sql" >"$scratch/$journal.out"
	sqlite3 "$reference" <"$scratch/$journal.sql" >"$scratch/$journal-bare.out"
	cmp "$scratch/$journal.out" "$scratch/$journal-bare.out" || fail "$journal: output differs"
	check "$database"
	under sqlite3 "$database" .dump >"$scratch/$journal.dump"
	sqlite3 "$reference" .dump | cmp - "$scratch/$journal.dump" ||
		fail "$journal: content differs from the bare run"
}

# Four processes add one to a row: a lock lost through a stray close() shows as a lost update.
several_writers() {
	local database=$scratch/writers-$1.db total worker workers=()
	sqlite3 "$database" "PRAGMA journal_mode=$1; CREATE TABLE c(n); INSERT INTO c VALUES(0)" \
		>/dev/null
	for worker in 1 2 3 4; do
		"${prefix[@]}" "$python" "$helpers/sqlite_writer.py" "$database" 60 &
		workers+=($!)
	done
	for worker in "${workers[@]}"; do
		wait "$worker" || fail "$1: a writer failed"
	done
	total=$(sqlite3 "$database" 'SELECT n FROM c')
	[ "$total" = 240 ] || fail "$1: $total of 240 updates survived"
	check "$database"
}

killed_in_commits() {
	local journal=$1 database=$scratch/killed-$1.db acknowledged found
	"${prefix[@]}" "$python" "$helpers/sqlite_commits.py" "$database" "$journal" \
		>"$scratch/acknowledged-$journal" &
	local process=$!
	until [ -s "$scratch/acknowledged-$journal" ]; do
		kill -0 "$process" 2>/dev/null || fail "$journal: the commit loop ended by itself"
		sleep 0.05
	done
	sleep 0.7
	kill -9 "$process"
	wait "$process" 2>/dev/null || true
	acknowledged=$(tail -n 1 "$scratch/acknowledged-$journal")
	found=$(under sqlite3 "$database" "SELECT count(*) FROM t WHERE k <= $acknowledged")
	echo "$journal: $acknowledged rows acknowledged, $found of them found"
	[ "$found" = "$acknowledged" ] || fail "$journal: acknowledged rows are lost"
	check "$database"
}

for journal in WAL DELETE; do
	same_content $journal
	several_writers $journal
	killed_in_commits $journal
done
expect_traffic technique.ring.calls technique.group-sync.calls
