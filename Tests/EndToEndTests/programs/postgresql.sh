#!/bin/bash
# PostgreSQL: load, check the indexes and checksums, crash under load, recover, check again.
. "$(dirname "$0")/helpers/common.bash"

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || skip "postgresql is not installed"
use_account postgres
data=$scratch/data
log=$scratch/postgresql.log
own_directory "$data" "$scratch/socket"
touch "$log"
export PGHOST=$scratch/socket PGUSER=postgres PGDATABASE=postgres
[ ${#PGHOST} -lt 90 ] || fail "the scratch path is too long for a socket"

query() {
	under "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -c "$1"
}

start() {
	start_server "$log" "$bin/postgres" -D "$data" "$@"
	wait_until "connection to PostgreSQL" under "$bin/pg_isready" -q
}

stop() {
	kill -INT "$server"
	await_server
}

# Each pgbench transaction adds the same amount to three tables and notes it in
# a fourth; the accounts index must find every row of its table.
check_data() {
	local sums
	sums=$(query "SELECT (SELECT sum(abalance) FROM pgbench_accounts)
		= (SELECT sum(tbalance) FROM pgbench_tellers)
		AND (SELECT sum(tbalance) FROM pgbench_tellers)
		= (SELECT sum(bbalance) FROM pgbench_branches)
		AND (SELECT sum(bbalance) FROM pgbench_branches)
		= (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
		AND (SELECT count(*) FROM pgbench_accounts) = 200000")
	[ "$sums" = t ] || fail "balances do not add up"
	under "$bin/pg_amcheck" --heapallindexed --jobs=2 || fail "pg_amcheck found damage"
}

# Every row whose INSERT was answered before the crash must be there.
check_acknowledged() {
	local acknowledged found
	acknowledged=$(grep -c . "$scratch/acknowledged" || true)
	[ "$acknowledged" -gt 0 ] || fail "no row was acknowledged before the crash"
	found=$(query "SELECT count(*) FROM acknowledged WHERE n <= $acknowledged")
	echo "crash: $acknowledged rows acknowledged, $found of them found"
	[ "$found" = "$acknowledged" ] || fail "acknowledged rows are lost"
}

under "$bin/initdb" -D "$data" -k -A trust -U postgres --no-locale -E UTF8 \
	>"$scratch/initdb.log" 2>&1 || fail "initdb"
cat >>"$data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$scratch/socket'
shared_buffers = 8MB
max_wal_size = 64MB
min_wal_size = 32MB
END

start
query "CREATE EXTENSION amcheck; CREATE TABLE acknowledged(n int PRIMARY KEY)"
under "$bin/pgbench" -q -i -s 2 >"$scratch/pgbench.log" 2>&1 || fail "pgbench -i"
under "$bin/pgbench" -n -c 4 -j 2 -t 250 >>"$scratch/pgbench.log" 2>&1 || fail "pgbench"
query "CHECKPOINT"
check_data
stop
under "$bin/pg_checksums" --check -D "$data" >"$scratch/checksums.log" || fail "pg_checksums"

# A second life with WAL written through O_DSYNC, ended by kill -9 under load.
start -c wal_sync_method=open_datasync
"${prefix[@]}" "$bin/pgbench" -n -c 4 -j 2 -T 60 >>"$scratch/pgbench.log" 2>&1 &
load=$!
for ((n = 1; n <= 50000; n++)); do
	printf 'INSERT INTO acknowledged VALUES (%d);\n\\echo %d\n' $n $n
done >"$scratch/inserts.sql"
"${prefix[@]}" "$bin/psql" -Xq -v ON_ERROR_STOP=1 -f "$scratch/inserts.sql" \
	>"$scratch/acknowledged" 2>>"$scratch/pgbench.log" &
inserts=$!
sleep 1.5
crash_server
wait "$load" "$inserts" || true
start -c wal_sync_method=fsync
check_acknowledged
check_data
query "CHECKPOINT"
stop
under "$bin/pg_checksums" --check -D "$data" >>"$scratch/checksums.log" ||
	fail "pg_checksums after the crash"
if grep -E 'PANIC|could not (fsync|write|read)' "$log"; then
	fail "PostgreSQL reports I/O errors"
fi
expect_traffic technique.ring.calls technique.group-sync.calls
