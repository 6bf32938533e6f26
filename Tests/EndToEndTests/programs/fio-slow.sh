#!/bin/bash
# fio with libaio and posixaio on storage that takes 1 ms for a request: many requests are really in
# flight, end in another order than they began, and must still land where they belong. Once where
# asynchronous requests run side by side, once where the file system runs them one at a time.
. "$(dirname "$0")/helpers/common.bash"

need fio fusermount3
[ -e /dev/fuse ] || skip "there is no /dev/fuse"
bed=$repository/bench/testbeds/slowfs.sh

run() {
	local name=$1 status=0
	shift
	"$@" >"$scratch/output" 2>&1 || status=$?
	if [ "$status" != 0 ] ||
		grep -Eq 'err=[[:space:]]*[1-9]|verify: bad' "$scratch/output"; then
		tail -n 30 "$scratch/output"
		fail "fio $name: exit status $status"
	fi
}

# Requests of several sizes in one batch, syncs in between, reads of what was just written.
jobs_of() {
	printf '%s\n' '[global]' "directory=$1" direct=1 iodepth=32 rw=randwrite \
		bssplit=512/20:4k/60:64k/20 size=1m verify=crc32c verify_fatal=1 verify_state_save=0 \
		do_verify=1 group_reporting=0 \
		'[libaio]' ioengine=libaio fsync=40 iodepth_batch_complete_min=1 \
		'[libaio-batch]' ioengine=libaio iodepth_batch=8 iodepth_batch_complete_min=4 \
		'[posixaio]' ioengine=posixaio fdatasync=40 \
		'[posixaio-mixed]' ioengine=posixaio rw=randrw verify_backlog=32
}

# Everything that was written is read once more from what lies under the mount.
on_bed() {
	local name=$1 mount=$scratch/m-$1
	shift
	mkdir -p "$scratch/backing-$name"
	at_end+=("bash '$bed' down '$mount' >/dev/null 2>&1")
	bash "$bed" up "$mount" --backing "$scratch/backing-$name" --read-delay-us=1000 \
		--write-delay-us=1000 --flush-delay-us=2000 --concurrency=32 "$@" >"$scratch/bed.log" 2>&1 ||
		{ cat "$scratch/bed.log"; fail "slowfs cannot be mounted"; }
	jobs_of "$mount" >"$scratch/$name.fio"
	run "$name" under fio "$scratch/$name.fio"
	run "$name, threads" under fio --thread --randseed=5 "$scratch/$name.fio"
	(cd "$mount" && sha256sum ./*) >"$scratch/$name.sums"
	bash "$bed" down "$mount"
	(cd "$scratch/backing-$name" && sha256sum -c --quiet "$scratch/$name.sums") ||
		fail "$name: other data arrived below the mount"
}

on_bed parallel
on_bed serial --no-async-direct
expect_traffic
expect_async libaio technique.libaio.calls async.libaio.reaped
expect_async posix technique.posix-aio.calls async.posix.reaped
