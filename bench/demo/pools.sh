# Mount pools: a file over one path, and over four paths to the same storage, 100 MiB/s each.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh and fio.sh

# Opens a row whose side `iotrap` has a pool of the four links: pool_begin ID LABEL
pool_begin() {
	begin "$1" "$2" MB/s
	echo "one path, against four" >"$row/note"
	trapped=("${trapped[@]/%--/--pool}" "demo:$links/0,$links/1,$links/2,$links/3" --)
}

# pool_job OPTION... sets $job; every block of 4K holds a checksum of itself.
pool_job() {
	job=("--filename=$links/0/file" --name=demo --size=256m --direct=1 --verify_interval=4k
		--verify_state_save=0 "$@")
}

pool_measure() {
	fio_run "$1" MB/s "${job[@]}" --time_based --runtime=1500ms
}

# All blocks once, over all paths, compared with their checksums.
pool_check() {
	"${trapped[@]}" fio "${job[@]}" --verify=crc32c --verify_fatal=1 >"$work/fio.log" 2>&1 ||
		check_failed "blocks read over four paths do not verify"
	check_ok
}

pool_row() {
	pool_begin "$1" "$2"
	shift 2
	pool_job "$@"
	pairs 2 pool_measure
	pool_check
}

# Writes and reads back; on the side `iotrap` the server of one link is killed in the middle.
pool_kill_measure() {
	local killer= tries
	if [ "$1" = iotrap ]; then
		(
			# Once it carries writes, which the paths that the program did not open do later.
			for ((tries = 0; tries < 100; tries++)); do
				bash "$bench/testbeds/links.sh" show "$links" 2 | grep -q '^writes=[1-9]' && break
				sleep 0.1
			done
			sleep 0.3
			exec bash "$bench/testbeds/links.sh" kill "$links" 2
		) >"$work/links.log" 2>&1 &
		killer=$!
	fi
	fio_run "$1" MB/s "${job[@]}" --verify=crc32c --verify_fatal=1 --do_verify=1
	[ -n "$killer" ] || return 0
	wait "$killer" || broken "the server of a link is not killed: $(cat "$work/links.log")"
	bash "$bench/testbeds/links.sh" restart "$links" 2 >"$work/links.log" 2>&1 ||
		broken "a link does not come back: $(tail -n 1 "$work/links.log")"
}

demo_pool_kill() {
	pool_begin 9h-pool-kill "fio libaio, verified, a server killed"
	pool_job --ioengine=libaio --iodepth=32 --rw=randwrite --bs=64k
	pairs 1 pool_kill_measure
	# What was written over four paths, read past all of them.
	job[0]=--filename=$links.links/backing/file
	fio "${job[@]}" --verify=crc32c --verify_fatal=1 --verify_only >"$work/fio.log" 2>&1 ||
		check_failed "blocks written over four paths do not verify without them"
	check_ok
	progress "what became of the paths, one of which was killed (iotrap stat):"
	IOTRAP_STATS_DIR=$stats "$work/bin/iotrap" stat last | sed -n '/^MOUNT POOLS/,/^$/p'
}

demo_pools() {
	links=$work/links
	mounts+=("$links")
	if ! bash "$bench/testbeds/links.sh" up "$links" --rate 100 >"$work/links.log" 2>&1; then
		pool_begin 9e-pool "mount pools"
		not_run "no links here: $(tail -n 1 "$work/links.log")"
		return 0
	fi
	progress "mount pools: a file of 256 MiB with checksums, behind four links of 100 MiB/s"
	fio "--filename=$links.links/backing/file" --name=demo --rw=write --bs=1m --size=256m \
		--verify=crc32c --verify_interval=4k --verify_state_save=0 --do_verify=0 \
		>"$work/fio.log" 2>&1 || broken "fio cannot write the file"
	pool_row 9e-pool-libaio "fio libaio, 64K reads, depth 32" \
		--ioengine=libaio --iodepth=32 --rw=read --bs=64k
	pool_row 9f-pool-posix "fio posixaio, 1M reads, depth 32" \
		--ioengine=posixaio --iodepth=32 --rw=read --bs=1m
	pool_row 9g-pool-pread "fio psync, 16M reads, one thread" \
		--ioengine=psync --rw=read --bs=16m
	demo_pool_kill
	bash "$bench/testbeds/links.sh" down "$links" >"$work/links.log" 2>&1 ||
		broken "cannot unmount $links: $(tail -n 1 "$work/links.log")"
}
