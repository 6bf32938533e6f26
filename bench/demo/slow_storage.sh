# Storage where the library pays: every request takes 1 ms, a flush of a file 5 ms.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh

# Mounts a slow file system on $work/NAME: slow_mount NAME OPTION... Says why when it cannot.
slow_mount() {
	local name=$1 reason
	shift
	[ -r "$bench/testbeds/slowfs.sh" ] || { not_run "no slowfs in this copy"; return 1; }
	mounts+=("$work/$name")
	mkdir -p "$work/backing-$name"
	if ! bash "$bench/testbeds/slowfs.sh" up "$work/$name" --backing "$work/backing-$name" "$@" \
		>"$work/slowfs.log" 2>&1; then
		reason=$(tail -n 1 "$work/slowfs.log")
		not_run "FUSE cannot be used here: ${reason#slowfs.sh: }"
		return 1
	fi
}

slow_unmount() {
	bash "$bench/testbeds/slowfs.sh" down "$work/$1" >"$work/slowfs.log" 2>&1 ||
		broken "cannot unmount $work/$1: $(tail -n 1 "$work/slowfs.log")"
	rm -rf "$work/backing-$1"
}

large_read_measure() {
	fio_run "$1" MB/s "--filename=$work/slow-reads/file" --name=demo --ioengine=psync \
		--rw=read --bs=16m --size=256m --direct=1 --time_based --runtime=2
}

demo_large_reads() {
	begin 7-slow-reads "fio psync, 16M reads, 1 ms a request" MB/s
	slow_mount slow-reads --read-delay-us=1000 || return 0
	progress "slow storage: a file of 256 MiB with a checksum in every block"
	fio "--filename=$work/backing-slow-reads/file" --name=demo --rw=write --bs=16m \
		--size=256m --verify=crc32c --verify_state_save=0 --do_verify=0 >"$work/fio.log" 2>&1 ||
		broken "fio cannot write the file"
	pairs 3 large_read_measure
	"${trapped[@]}" fio "--filename=$work/slow-reads/file" --name=demo --ioengine=psync \
		--rw=read --bs=16m --size=256m --direct=1 --verify=crc32c --verify_state_save=0 --verify_fatal=1 \
		>"$work/fio.log" 2>&1 || check_failed "blocks read under the library do not verify"
	check_ok
	slow_unmount slow-reads
}

# Sixteen threads, one file, a sync after every write of 4 KiB; every block written many times.
commit_job=(--name=demo --ioengine=psync --thread --numjobs=16 --bs=4k --size=16k
	--offset_increment=16k --verify=crc32c --verify_state_save=0)

commits_measure() {
	fio_run "$1" writes/s "--filename=$work/slow-commits/$1" "${commit_job[@]}" --rw=write \
		--do_verify=0 --fdatasync=1 --time_based --runtime=3
}

demo_commits() {
	begin 8-slow-commits "fio, 16 threads commit, 5 ms a flush" commits/s
	# A FUSE file system may flush by descriptor, so syncs of several descriptors are not joined
	# there unless asked; slowfs flushes the file, and each of fio's threads opens it anew.
	export IOTRAP_SET=sync-scope=file
	echo "with $IOTRAP_SET" >"$row/note"
	slow_mount slow-commits --flush-delay-us=5000 || return 0
	pairs 3 commits_measure
	fio "--filename=$work/slow-commits/iotrap" "${commit_job[@]}" --rw=read --verify_fatal=1 \
		>"$work/fio.log" 2>&1 || check_failed "blocks written under the library do not verify"
	check_ok
	unset IOTRAP_SET
	slow_unmount slow-commits
}

demo_slow_storage() {
	demo_large_reads
	demo_commits
}
