#!/bin/bash
# sysbench's file test in asynchronous mode (libaio): blocks are checked as they are read, files
# written under the library are read bare and the other way round, and every request is counted.
. "$(dirname "$0")/helpers/common.bash"

need sysbench
files=$scratch/files
mkdir -p "$files"
cd "$files"
also=()
# Blocks are checked where they were read to, and sysbench has one buffer a thread: only with one
# request in flight does the buffer hold what the request read.
checked=(--validate=on --file-async-backlog=1)

# Runs sysbench on the files: run SIDE TEST [OPTION]...
run() {
	local side=$1 mode_of_test=$2 status=0 command=()
	shift 2
	[ "$side" = bare ] || command=("${prefix[@]}" "${also[@]}")
	"${command[@]}" sysbench fileio --file-num=4 --file-total-size=6M --file-io-mode=async \
		--rand-seed=11 --events=1500 --time=0 "--file-test-mode=$mode_of_test" "$@" \
		>"$scratch/output" 2>&1 || status=$?
	if [ "$status" != 0 ] || grep -q FATAL "$scratch/output"; then
		cat "$scratch/output"
		fail "sysbench $mode_of_test $*, $side: status $status"
	fi
}

# Both sides write and both check what the other has written.
validated() {
	local flags=$1 size=$2 options
	options=("${checked[@]}" "--file-extra-flags=$flags" "--file-block-size=$size")
	run under seqwr "${options[@]}" prepare
	run bare rndrd "${options[@]}" --threads=3 run
	run under rndrw "${options[@]}" --file-fsync-mode=fdatasync run
	run bare seqrd "${options[@]}" --threads=2 run
	run bare rndwr "${options[@]}" run
	run under rndrd "${options[@]}" --threads=3 run
	run under seqrewr "${options[@]}" --file-fsync-all=on --events=300 run
	run bare rndrd "${options[@]}" run
	run under rndrd "${options[@]}" cleanup
}

# Threads with a context each and many requests in it.
deep() {
	local flags=$1 side depth
	run bare seqwr "${checked[@]}" prepare
	for depth in 16 128; do
		for side in bare under; do
			run $side rndrw --threads=4 "--file-async-backlog=$depth" "--file-extra-flags=$flags" run
		done
	done
	count "$flags"
	run bare rndrd "${checked[@]}" cleanup
}

# As many requests must be seen as sysbench says that it made.
count() {
	local flags=$1 directory=$scratch/counted-$1 submitted
	mkdir -p -m 700 "$directory"
	also=(env "IOTRAP_STATS_DIR=$directory")
	run under rndrd --threads=4 "--file-extra-flags=$flags" --file-block-size=4096 run
	also=()
	[ "$mode" != bare ] || return 0
	submitted=$("$python" "$repository/bench/demo/segments.py" "$directory" |
		awk '$1 == "async.libaio.submitted" { print $2 }')
	[ "$submitted" = 1500 ] || fail "1500 reads were made, $submitted were seen"
}

validated direct 16384
validated direct 512
validated '' 4096
deep direct
deep ''
expect_traffic
expect_async libaio technique.libaio.calls async.libaio.route.ring async.libaio.reaped
