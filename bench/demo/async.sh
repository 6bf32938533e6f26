# Programs that already ask for asynchronous I/O: libaio and POSIX AIO, 4K requests at depth 32.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh and slow_storage.sh

async_measure() {
	fio_run "$1" reads/s "${async_job[@]}" --time_based --runtime=1 "--ramp_time=$async_ramp"
}

# Writes a file with a checksum in every block: async_file PATH SIZE. Without the library.
async_file() {
	fio "--filename=$1" --name=demo --rw=write --bs=4k "--size=$2" --verify=crc32c \
		--verify_state_save=0 --do_verify=0 --end_fsync=1 >"$work/fio.log" 2>&1 ||
		broken "fio cannot write the file"
}

# Blocks read under the library and compared with their checksums: async_check [OPTION...]
async_check() {
	"${trapped[@]}" fio "${async_job[@]}" --verify=crc32c --verify_state_save=0 --verify_fatal=1 \
		"$@" >"$work/fio.log" 2>&1 || check_failed "blocks read under the library do not verify"
	check_ok
}

# The page cache does not hold the file: io_submit of the kernel then waits for the disk.
demo_libaio_cold() {
	begin 9a-libaio-cold "fio libaio, buffered, cold cache" reads/s
	progress "asynchronous I/O: a file of 512 MiB with a checksum in every block"
	async_file "$work/cold" 512m
	async_job=("--filename=$work/cold" --name=demo --ioengine=libaio --iodepth=32 --rw=randread
		--bs=4k --size=512m --invalidate=1)
	async_ramp=0
	pairs 3 async_measure
	async_check --size=96m
	rm -f "$work/cold"
}

# Writes and reads, verified in the same run, then verified again without the library.
demo_libaio_writes() {
	begin 9b-libaio-writes "fio libaio, O_DIRECT, write and verify" MB/s
	mkdir -p "$work/fio"
	fio_job=(--ioengine=libaio --iodepth=32 --rw=randwrite --bs=4k --size=32m --direct=1)
	pairs 3 fio_measure
	fio_check
}

# A file system served through libfuse 2 runs what io_submit is given one at a time.
demo_libaio_libfuse2() {
	begin 9c-libaio-libfuse2 "fio libaio, libfuse2, 1 ms a request" reads/s
	slow_mount libfuse2 --libfuse2 --delay-us=1000 || return 0
	async_file "$work/backing-libfuse2/file" 16m
	async_job=("--filename=$work/libfuse2/file" --name=demo --ioengine=libaio --iodepth=32
		--rw=randread --bs=4k --size=16m --direct=1)
	async_ramp=500ms
	pairs 2 async_measure
	async_check
	slow_unmount libfuse2
}

# glibc serves the requests of one descriptor one at a time.
demo_posix_slow() {
	begin 9d-posix-slow "fio posixaio, 1 ms a request" reads/s
	slow_mount posix --read-delay-us=1000 --concurrency=32 || return 0
	async_file "$work/backing-posix/file" 16m
	async_job=("--filename=$work/posix/file" --name=demo --ioengine=posixaio --iodepth=32
		--rw=randread --bs=4k --size=16m --direct=1)
	async_ramp=500ms
	pairs 2 async_measure
	async_check
	slow_unmount posix
}

demo_async() {
	demo_libaio_cold
	demo_libaio_writes
	demo_libaio_libfuse2
	demo_posix_slow
}
