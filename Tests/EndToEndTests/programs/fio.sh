#!/bin/bash
# fio: data written by one engine and verified, with and without the page cache; asynchronous
# engines unharmed; threads that sync. What is written under the library is verified bare too.
. "$(dirname "$0")/helpers/common.bash"

need fio
files=$scratch/files
mkdir -p "$files"

# Prints a job file: one job for each engine and block size, each with a file of its own.
jobs_of() {
	local direct=$1 engine size
	cat <<END
[global]
directory=$files
direct=$direct
verify=crc32c
verify_fatal=1
verify_state_save=0
group_reporting=0
randseed=4711
END
	for engine in sync psync pvsync pvsync2; do
		for size in 4k:2m 68k:4352k 2m:16m; do
			printf '[%s-%s-%s]\nioengine=%s\nbs=%s\nsize=%s\n' "$engine" "${size%:*}" \
				"$direct" "$engine" "${size%:*}" "${size#*:}"
		done
	done
}

run() {
	local name=$1
	shift
	"$@" >"$scratch/$name.log" 2>&1 || fail "fio $name: exit status $?"
	! grep -Eq 'err=[[:space:]]*[1-9]|verify: bad' "$scratch/$name.log" || fail "fio $name"
}

synchronous() {
	local direct=$1
	jobs_of "$direct" >"$scratch/jobs-$direct.fio"
	# As processes and random, as threads and sequential, each verified by itself.
	run "processes-$direct" under fio --rw=randwrite --do_verify=1 --fdatasync=32 \
		"$scratch/jobs-$direct.fio"
	# Written under the library, read back without it, and the other way round.
	run "bare-verify-$direct" fio --rw=randwrite --verify_only "$scratch/jobs-$direct.fio"
	run "threads-$direct" under fio --rw=write --thread --do_verify=1 --end_fsync=1 \
		"$scratch/jobs-$direct.fio"
	run "bare-read-$direct" fio --rw=read --thread "$scratch/jobs-$direct.fio"
	run "bare-write-$direct" fio --rw=randwrite --do_verify=0 --randseed=99 \
		"$scratch/jobs-$direct.fio"
	run "verify-$direct" under fio --rw=randwrite --verify_only --randseed=99 --thread \
		"$scratch/jobs-$direct.fio"
	rm -f "$files"/*
}

# Reads and writes mixed, blocks verified soon after they were written; odd sizes buffered.
mixed() {
	run mixed-direct under fio --directory="$files" --name=mixed --ioengine=psync --direct=1 \
		--rw=randrw --size=6m --bsrange=4k-1m --blockalign=4k --verify=crc32c --verify_state_save=0 \
		--verify_backlog=16 --thread --numjobs=2
	run mixed-odd under fio --directory="$files" --name=odd --ioengine=pvsync --rw=randwrite \
		--size=4m --bsrange=512-70000 --bs_unaligned --verify=crc32c --verify_state_save=0 --fsync=50
	rm -f "$files"/*
}

# Eight threads on one file, a sync after each write: what group sync is for.
threads_that_sync() {
	local call
	for call in fsync fdatasync; do
		run "threads-$call" under fio --filename="$files/shared" --name=shared --thread \
			--ioengine=psync --rw=write --bs=4k --size=400k --offset_increment=400k \
			--numjobs=8 --verify=crc32c --verify_state_save=0 --do_verify=1 "--$call=1"
		run "bare-threads-$call" fio --filename="$files/shared" --name=shared --thread \
			--ioengine=psync --rw=read --bs=4k --size=400k --offset_increment=400k \
			--numjobs=8 --verify=crc32c --verify_state_save=0
	done
	rm -f "$files"/*
}

asynchronous() {
	local engine direct
	for engine in libaio posixaio io_uring; do
		for direct in 0 1; do
			if [ "$engine" = io_uring ] && ! rings_work; then
				echo "note: io_uring does not work here, so that engine was not run"
				continue
			fi
			run "$engine-$direct" under fio --directory="$files" --name="$engine-$direct" \
				"--ioengine=$engine" "--direct=$direct" --rw=randwrite --bs=16k --size=4m \
				--iodepth=16 --verify=crc32c --verify_state_save=0 --do_verify=1 --fsync=64
		done
	done
	rm -f "$files"/*
}

synchronous 0
synchronous 1
mixed
threads_that_sync
asynchronous
expect_traffic technique.ring.calls technique.split.calls technique.group-sync.calls
