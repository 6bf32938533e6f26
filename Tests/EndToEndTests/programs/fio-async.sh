#!/bin/bash
# fio with libaio and posixaio: written and verified, by whichever side did not write it; all the
# ways in which fio batches, reaps and shares contexts among threads.
. "$(dirname "$0")/helpers/common.bash"

need fio
files=$scratch/files
mkdir -p "$files"
engines=(libaio posixaio)

# Prints a job file with one job for each block size, each with a file of its own:
# jobs_of ENGINE DIRECT [SETTING]...
jobs_of() {
	local engine=$1 direct=$2 size
	shift 2
	printf '%s\n' '[global]' "directory=$files" "ioengine=$engine" "direct=$direct" verify=crc32c \
		verify_fatal=1 verify_state_save=0 group_reporting=0 randseed=4711 iodepth=32 "$@"
	for size in 512:384k 4k:2m 64k:4m 1m:12m; do
		printf '[%s]\nbs=%s\nsize=%s\n' "${size%:*}" "${size%:*}" "${size#*:}"
	done
}

run() {
	local name=$1
	shift
	local status=0
	"$@" >"$scratch/output" 2>&1 || status=$?
	if [ "$status" != 0 ] ||
		grep -Eq 'err=[[:space:]]*[1-9]|verify: bad' "$scratch/output"; then
		tail -n 30 "$scratch/output"
		fail "fio $name: exit status $status"
	fi
}

# Written under the library, read back there and bare, then the other way round.
both_sides() {
	local engine=$1 direct=$2 name=$1-$2
	jobs_of "$engine" "$direct" fsync=24 >"$scratch/$name.fio"
	run "$name" under fio --rw=randwrite --do_verify=1 "$scratch/$name.fio"
	run "$name-read-bare" fio --rw=randwrite --verify_only "$scratch/$name.fio"
	run "$name-bare" fio --rw=write --randseed=99 --do_verify=0 "$scratch/$name.fio"
	run "$name-read" under fio --rw=write --randseed=99 --verify_only --thread "$scratch/$name.fio"
	rm -f "$files"/*
}

# Sizes mixed in one context, reads among the writes, blocks verified soon after they were
# written; two jobs of every kind, as processes and as threads of one process.
mixed() {
	local engine=$1 direct=$2 name=mixed-$1-$2
	printf '%s\n' '[global]' "directory=$files" "ioengine=$engine" "direct=$direct" iodepth=32 \
		rw=randrw size=8m numjobs=2 bssplit=512/30:4k/40:64k/20:1m/10 verify=crc32c \
		verify_fatal=1 verify_state_save=0 do_verify=1 \
		'[soon]' verify_backlog=16 verify_backlog_batch=8 fdatasync=16 \
		'[later]' randseed=13 >"$scratch/$name.fio"
	run "$name" under fio "$scratch/$name.fio"
	run "$name-threads" under fio --thread "$scratch/$name.fio"
	rm -f "$files"/*
}

# How requests are batched and reaped decides which calls fio makes and how it waits in them.
batches() {
	local engine=$1 name shape
	for shape in "batch:--iodepth_batch=8 --iodepth_batch_complete_min=8" \
		"range:--iodepth_batch=16 --iodepth_batch_complete_min=2 --iodepth_batch_complete_max=12" \
		"low:--iodepth_low=4 --iodepth_batch_complete_min=4 --fdatasync=40" \
		"poll:--iodepth_batch=4 --iodepth_batch_complete_min=0" \
		"one:--iodepth=1 --number_ios=400"; do
		name=$engine-${shape%%:*}
		# shellcheck disable=SC2086 # a list of options
		run "$name" under fio "--name=$name" "--directory=$files" "--ioengine=$engine" --direct=1 \
			--rw=randwrite --bs=4k --size=3m --iodepth=32 --thread --numjobs=2 --verify=crc32c \
			--verify_fatal=1 --verify_state_save=0 --do_verify=1 ${shape#*:}
		rm -f "$files"/*
	done
}

# Completions read straight from the ring behind the handle, as fio itself does it.
userspace_reap() {
	local direct=$1 name=reap-$1
	jobs_of libaio "$direct" userspace_reap=1 iodepth_batch_complete_min=0 iodepth_batch=8 \
		fsync=50 >"$scratch/$name.fio"
	run "$name" under fio --rw=randwrite --do_verify=1 --thread "$scratch/$name.fio"
	run "$name-read" under fio --rw=randwrite --verify_only "$scratch/$name.fio"
	rm -f "$files"/*
}

# The library's own contexts, as when the machine's limit on contexts is used up.
own_contexts() {
	local direct=$1 name=own-$1
	jobs_of libaio "$direct" fsync=24 >"$scratch/$name.fio"
	run "$name" under env IOTRAP_SET=aio-context=own fio --rw=randwrite --do_verify=1 --thread \
		"$scratch/$name.fio"
	run "$name-read" fio --rw=randwrite --verify_only "$scratch/$name.fio"
	rm -f "$files"/*
}

for direct in 0 1; do
	for engine in "${engines[@]}"; do
		both_sides "$engine" "$direct"
		mixed "$engine" "$direct"
	done
	userspace_reap "$direct"
	own_contexts "$direct"
done
for engine in "${engines[@]}"; do
	batches "$engine"
done
expect_traffic
expect_async libaio technique.libaio.calls async.libaio.route.ring async.libaio.reaped
expect_async posix technique.posix-aio.calls async.posix.route.service async.posix.reaped
