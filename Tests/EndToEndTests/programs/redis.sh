#!/bin/bash
# Redis: an append-only file synced at every command, forks that save, kill -9, reload.
. "$(dirname "$0")/helpers/common.bash"

need redis-server redis-cli redis-benchmark
use_account redis
data=$scratch/data
log=$scratch/redis.log
socket=$scratch/socket/s
own_directory "$data" "$scratch/socket"
touch "$log"

cli() {
	under redis-cli -s "$socket" "$@"
}

# Ready only once the append-only file has been loaded.
answers() {
	[ "$(cli PING 2>/dev/null)" = PONG ]
}

start() {
	start_server "$log" redis-server --port 0 --unixsocket "$socket" --dir "$data" \
		--appendonly yes --appendfsync always --save '' --enable-debug-command local \
		--aof-use-rdb-preamble yes
	wait_until "answer from Redis" answers
}

field() {
	cli INFO persistence | tr -d '\r' | awk -F: -v name="$1" '$1 == name { print $2 }'
}

saved() {
	[ "$(field rdb_bgsave_in_progress)" = 0 ] && [ "$(field aof_rewrite_in_progress)" = 0 ] &&
		[ "$(field aof_rewrite_scheduled)" = 0 ]
}

start
under redis-benchmark -s "$socket" -q -t set,lpush -n 2000 -r 1000 -d 300 -c 8 -P 4 \
	>"$scratch/benchmark.log" || fail "redis-benchmark"
cli BGREWRITEAOF >/dev/null
wait_until "rewrite of the append-only file" saved
[ "$(field aof_last_bgrewrite_status)" = ok ] || fail "BGREWRITEAOF"
cli BGSAVE >/dev/null
wait_until "background save" saved
[ "$(field rdb_last_bgsave_status)" = ok ] || fail "BGSAVE"
cli SAVE >/dev/null
under redis-check-rdb "$data/dump.rdb" >"$scratch/check.log" || fail "redis-check-rdb"
[ "$(field aof_last_write_status)" = ok ] || fail "the append-only file has write errors"
size=$(cli DBSIZE)
digest=$(cli DEBUG DIGEST)

# One counted command after the other; each answer is an acknowledged increment. The client
# would go on asking after the crash.
for ((n = 0; n < 100000; n++)); do
	echo 'INCR counter'
done >"$scratch/commands"
"${prefix[@]}" redis-cli -s "$socket" <"$scratch/commands" >"$scratch/answers" 2>/dev/null &
client=$!
sleep 1
crash_server
kill -9 "$client" 2>/dev/null || true
wait "$client" 2>/dev/null || true
acknowledged=$(grep -cE '^[0-9]+$' "$scratch/answers" || true)
[ "$acknowledged" -gt 0 ] || fail "no increment was acknowledged before the crash"
start
found=$(cli GET counter)
echo "crash: $acknowledged increments acknowledged, the counter is $found"
[ "$found" -ge "$acknowledged" ] || fail "acknowledged increments are lost"
cli DEL counter >/dev/null
[ "$(cli DBSIZE)" = "$size" ] || fail "the number of keys changed"
[ "$(cli DEBUG DIGEST)" = "$digest" ] || fail "the content changed"
cli SHUTDOWN NOSAVE >/dev/null 2>&1 || true
await_server
under redis-check-aof "$data"/appendonlydir/*.manifest >>"$scratch/check.log" ||
	fail "redis-check-aof"
expect_traffic technique.group-sync.calls
