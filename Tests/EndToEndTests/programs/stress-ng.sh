#!/bin/bash
# stress-ng: POSIX AIO with a signal for each completion, and Linux AIO by system call number. Both
# verify what they read; limits that the kernel or glibc set must look as they do bare.
. "$(dirname "$0")/helpers/common.bash"

need stress-ng

# Runs stress-ng, which must neither fail nor leave anything out: run SIDE OPTION...
run() {
	local side=$1 status=0 command=()
	shift
	[ "$side" = bare ] || command=("${prefix[@]}")
	"${command[@]}" stress-ng --verify --metrics --temp-path "$scratch" --timeout 120 --seed 7 \
		"$@" >"$scratch/output" 2>&1 || status=$?
	if [ "$status" != 0 ] || ! grep -q 'successful run completed' "$scratch/output" ||
		grep -Eq 'fail|untrustworthy|skipped [1-9]|not implemented|ran out of' "$scratch/output"; then
		cat "$scratch/output"
		fail "stress-ng $*, $side: status $status"
	fi
}

# The bogo operations of a stressor in the last run.
operations() {
	awk -v name="$1" '$2 == "metrc:" && $4 == name && $5 ~ /^[0-9]+$/ { print $5; exit }' \
		"$scratch/output"
}

# The same bound on operations must be reached by both sides.
compare() {
	local stressor=$1 bound=$2 side done_by
	shift 2
	for side in bare under; do
		run $side "$@"
		done_by=$(operations "$stressor")
		[ "${done_by:-0}" -ge "$bound" ] ||
			fail "$stressor $*: ${done_by:-no} operations of $bound, $side"
	done
}

for requests in 1 64; do
	compare aio 3000 --aio 2 --aio-ops 3000 --aio-requests $requests
	compare aiol 300 --aiol 2 --aiol-ops 300 --aiol-requests $requests
done
# Together, beside processes that come and go.
compare aio 400 --aio 2 --aio-ops 400 --aiol 2 --aiol-ops 300 --fork 1 --fork-ops 300
# Ended by the clock in the middle of its requests, as an impatient user would.
run under --aio 2 --aiol 2 --timeout 1
expect_traffic
expect_async posix technique.posix-aio.calls
expect_async libaio
