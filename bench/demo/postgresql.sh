# PostgreSQL with pgbench: two clusters with the same content, one plain, one under the library.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh

postgresql_seconds=3

# psql of a side: pg_query SIDE SQL
pg_query() {
	"${as_account[@]}" "$pg_bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$pg/$1" -U postgres -c "$2" \
		postgres
}

pg_start() {
	local side=$1 tries=0
	local -n prefix=$2
	own_directory "$pg/$side"
	start_server "$work/postgresql-$side.log" "${as_account[@]}" "${prefix[@]}" \
		"$pg_bin/postgres" -D "$pg/data-$side" -k "$pg/$side" -h ''
	until "${as_account[@]}" "$pg_bin/pg_isready" -q -h "$pg/$side"; do
		kill -0 "$server" 2>/dev/null || broken "PostgreSQL ($side) did not start"
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || broken "PostgreSQL ($side) does not answer"
		sleep 0.1
	done
}

pg_create() {
	"${as_account[@]}" "$pg_bin/initdb" -D "$pg/data-plain" -k -A trust -U postgres \
		--no-locale -E UTF8 >"$work/initdb.log" 2>&1 || broken "initdb failed"
	cat >>"$pg/data-plain/postgresql.conf" <<-END
		shared_buffers = 64MB
		max_wal_size = 512MB
		autovacuum = off
	END
	pg_start plain plain
	"${as_account[@]}" "$pg_bin/pgbench" -q -i -s 10 -h "$pg/plain" -U postgres postgres \
		>"$work/pgbench.log" 2>&1 || broken "pgbench -i failed"
	pg_query plain "CREATE EXTENSION amcheck; CHECKPOINT" || broken "amcheck is missing"
	kill -INT "$server"
	await_server "$server"
	cp -a "$pg/data-plain" "$pg/data-iotrap"
}

# One client, fixed seed: both clusters must end with the same rows.
pg_same_rows() {
	local side sums_plain sums
	for side in plain iotrap; do
		"${as_account[@]}" "$pg_bin/pgbench" -n -c 1 -t 1500 --random-seed=4711 -h "$pg/$side" \
			-U postgres postgres >>"$work/pgbench.log" 2>&1 || broken "pgbench ($side) failed"
		sums=$(pg_query "$side" "
			SELECT sum(aid::bigint * abalance), sum(abalance), count(*) FROM pgbench_accounts;
			SELECT sum(tid * tbalance), count(*) FROM pgbench_tellers;
			SELECT sum(bid * bbalance), count(*) FROM pgbench_branches;
			SELECT sum(aid::bigint * delta), count(*) FROM pgbench_history")
		[ -n "$sums" ] || broken "no sums from the $side cluster"
		sums_plain=${sums_plain-$sums}
	done
	[ "$sums" = "$sums_plain" ] || check_failed "the same script left other rows"
}

pg_measure() {
	local output
	output=$("${as_account[@]}" "$pg_bin/pgbench" -n -c 8 -j 2 -T "$postgresql_seconds" \
		-h "$pg/$1" -U postgres postgres 2>&1) || broken "pgbench ($1) failed: $output"
	rate=$(sed -n 's/^tps = \([0-9]*\)\..*/\1/p' <<<"$output")
}

# Balances add up, every index finds every row, every page has its checksum.
pg_check() {
	local server_plain=$1 server_iotrap=$2 balanced
	balanced=$(pg_query iotrap "SELECT
		(SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
		AND (SELECT sum(tbalance) FROM pgbench_tellers)
		= (SELECT sum(bbalance) FROM pgbench_branches)
		AND (SELECT sum(bbalance) FROM pgbench_branches)
		= (SELECT sum(delta) FROM pgbench_history)")
	[ "$balanced" = t ] || check_failed "balances do not add up"
	"${as_account[@]}" "$pg_bin/pg_amcheck" --heapallindexed -j 2 -h "$pg/iotrap" -U postgres \
		postgres >>"$work/pgbench.log" 2>&1 || check_failed "pg_amcheck"
	kill -INT "$server_plain" "$server_iotrap"
	await_server "$server_plain"
	await_server "$server_iotrap"
	"${as_account[@]}" "$pg_bin/pg_checksums" --check -D "$pg/data-iotrap" \
		>>"$work/pgbench.log" 2>&1 || check_failed "pg_checksums"
}

demo_postgresql() {
	local server_plain server_iotrap
	begin 1-postgresql "PostgreSQL, pgbench, 8 clients" tps
	pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
	[ -n "$pg_bin" ] || broken "PostgreSQL is not installed"
	pg=$work/pg
	own_directory "$pg" "$stats"
	: >"$work/problems.log"
	[ -z "$account" ] || chown "$account" "$work/problems.log"
	progress "PostgreSQL: new cluster, pgbench scale 10, and a copy of it"
	pg_create
	pg_start plain plain
	server_plain=$server
	pg_start iotrap trapped
	server_iotrap=$server
	progress "PostgreSQL: the same 1500 transactions on both"
	pg_same_rows
	pairs 5 pg_measure
	progress "PostgreSQL: balances, pg_amcheck --heapallindexed, pg_checksums"
	pg_check "$server_plain" "$server_iotrap"
	check_ok
	rm -rf "$pg"
}
