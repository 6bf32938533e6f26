#!/bin/bash
# RocksDB: db_bench with direct I/O and syncing threads, then acknowledged writes and kill -9.
. "$(dirname "$0")/helpers/common.bash"

need db_bench ldb
database=$scratch/database
bench_options=("--db=$scratch/bench" --num=3000 --value_size=500 --threads=4
	--write_buffer_size=262144 --target_file_size_base=262144 --max_bytes_for_level_base=1048576
	--use_direct_reads=1 --use_direct_io_for_flush_and_compaction=1 --cache_size=65536
	--verify_checksum=1 --compression_type=none --seed=4711 --statistics=0)

content() {
	"$@" ldb "--db=$scratch/bench" --value_hex --key_hex scan | sha256sum
}

under db_bench "${bench_options[@]}" --benchmarks=fillsync,overwrite,compact \
	>"$scratch/bench.log" 2>&1 || fail "db_bench writes"
under db_bench "${bench_options[@]}" --use_existing_db=1 \
	--benchmarks=readrandom,multireadrandom,readseq,verifychecksum \
	>>"$scratch/bench.log" 2>&1 || fail "db_bench reads"
under ldb "--db=$scratch/bench" checkconsistency >>"$scratch/bench.log" 2>&1 ||
	fail "checkconsistency"
for table in "$scratch"/bench/*.sst; do
	under sst_dump "--file=$table" --command=verify >>"$scratch/bench.log" 2>&1 ||
		fail "sst_dump: $table"
done
[ "$(content under)" = "$(content env)" ] || fail "bare and preloaded scans differ"

compiler=$(command -v clang || command -v cc) || skip "no C compiler for the crash test"
[ -e /usr/include/rocksdb/c.h ] || skip "librocksdb-dev is not installed"
"$compiler" -O1 -Wall -Werror -o "$scratch/commits" "$helpers/rocksdb_commits.c" -lrocksdb ||
	fail "the crash program does not compile"
"${prefix[@]}" "$scratch/commits" "$database" write >"$scratch/acknowledged" &
process=$!
until [ -s "$scratch/acknowledged" ]; do
	kill -0 "$process" 2>/dev/null || fail "the commit loop ended by itself"
	sleep 0.05
done
sleep 1
kill -9 "$process"
wait "$process" 2>/dev/null || true
acknowledged=$(tail -n 1 "$scratch/acknowledged")
under "$scratch/commits" "$database" check "$acknowledged" || fail "acknowledged keys are lost"
echo "crash: $acknowledged keys acknowledged, all of them found"
expect_traffic technique.ring.calls technique.group-sync.calls
