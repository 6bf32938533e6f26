# fio: writes with a checksum in every block, read back and verified in the same run.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh

# Runs fio and leaves its rate in $rate: fio_run SIDE UNIT ARGUMENTS...
# A verification error is a failed data check, anything else that fails breaks the demonstration.
fio_run() {
	local side=$1 unit=$2 status=0 output=$work/fio.json
	local -n prefix=$([ "$side" = plain ] && echo plain || echo trapped)
	shift 2
	"${prefix[@]}" fio --output-format=json --group_reporting "$@" >"$output" \
		2>"$work/fio.log" || status=$?
	if grep -q 'verify:' "$work/fio.log" "$output"; then
		check_failed "fio verify ($side)"
	elif [ "$status" != 0 ]; then
		broken "fio ($side) ended with status $status"
	fi
	rate=$("$python" "$bench/demo/fio_rate.py" "$unit" <"$output")
}

fio_measure() {
	fio_run "$1" MB/s "--filename=$work/fio/$1" "${fio_job[@]}" --name=demo \
		--verify=crc32c --verify_state_save=0 --verify_fatal=1 --do_verify=1
}

# The blocks written under the library once more, read without it.
fio_check() {
	fio "--filename=$work/fio/iotrap" "${fio_job[@]}" --name=demo --verify=crc32c \
		--verify_state_save=0 \
		--verify_fatal=1 --verify_only >"$work/fio.log" 2>&1 ||
		check_failed "blocks written under the library do not verify without it"
	check_ok
	rm -f "$work/fio/"*
}

# One row: fio_row ID LABEL JOB-OPTION...
fio_row() {
	begin "$1" "$2" MB/s
	shift 2
	fio_job=("$@")
	pairs 3 fio_measure
	fio_check
}

demo_fio() {
	mkdir -p "$work/fio"
	fio_row 3-fio-direct-4k "fio psync, 4K random, O_DIRECT" \
		--ioengine=psync --rw=randwrite --bs=4k --size=24m --direct=1
	fio_row 4-fio-direct-4m "fio pvsync, 4M sequential, O_DIRECT" \
		--ioengine=pvsync --rw=write --bs=4m --size=256m --direct=1
	fio_row 5-fio-buffered "fio psync, 64K random, buffered, fsync" \
		--ioengine=psync --rw=randwrite --bs=64k --size=128m --fdatasync=64
	fio_row 6-fio-sync "fio sync, 64K sequential, buffered" \
		--ioengine=sync --rw=write --bs=64k --size=192m --end_fsync=1
}
