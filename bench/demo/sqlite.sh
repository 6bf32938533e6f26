# SQLite: write-ahead log, one commit a row, the command-line program on the same statements.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh

sqlite_rows=3000

sqlite_measure() {
	local side=$1 started ended
	local -n prefix=$([ "$side" = plain ] && echo plain || echo trapped)
	rm -f "$work/sqlite/$side.db"*
	started=$(date +%s%N)
	"${prefix[@]}" sqlite3 "$work/sqlite/$side.db" <"$work/sqlite/rows.sql" >/dev/null ||
		broken "sqlite3 ($side) failed"
	ended=$(date +%s%N)
	rate=$((sqlite_rows * 1000000000 / (ended - started)))
}

demo_sqlite() {
	local result side
	begin 2-sqlite "SQLite, WAL, one commit a row" commits/s
	mkdir -p "$work/sqlite"
	{
		echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;'
		echo 'CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t(v);'
		seq 1 "$sqlite_rows" | awk '{
			printf "INSERT INTO t VALUES(%d, \"row %d\");\n", $1, $1 * 7919 % 100003 }'
	} | tr '"' "'" >"$work/sqlite/rows.sql"
	pairs 5 sqlite_measure
	progress "SQLite: integrity_check, and the same content on both sides"
	result=$(sqlite3 "$work/sqlite/iotrap.db" 'PRAGMA integrity_check')
	[ "$result" = ok ] || check_failed "integrity_check: $result"
	for side in plain iotrap; do
		sqlite3 "$work/sqlite/$side.db" .dump >"$work/sqlite/$side.dump"
	done
	cmp -s "$work/sqlite/plain.dump" "$work/sqlite/iotrap.dump" || check_failed "content differs"
	[ "$(sqlite3 "$work/sqlite/iotrap.db" 'SELECT count(*) FROM t')" = "$sqlite_rows" ] ||
		check_failed "rows are missing"
	check_ok
}
