#!/bin/bash
# Open MPI's files: non-blocking requests of MPI programs become POSIX AIO, many at a time. Each
# process checks what it reads; the file must equal that of a bare run.
. "$(dirname "$0")/helpers/common.bash"

need mpirun "$python" cmp
"$python" -c 'import mpi4py' 2>/dev/null || skip "python3-mpi4py is not installed"
# Debian's default, named so that a machine's settings cannot turn to another one.
export OMPI_MCA_io=ompio OMPI_MCA_btl=self,vader OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# The sockets of a job lie below it, and their paths have a limit.
export TMPDIR=$scratch/t
mkdir -p "$TMPDIR"

# Runs the program as so many processes: job NAME PROCESSES [COMMAND-PREFIX]...
job() {
	local name=$1 processes=$2 status=0
	shift 2
	if [ "$processes" = 0 ]; then
		# Without a launcher.
		"$@" "$python" "$helpers/mpi_file.py" "$scratch/$name" >"$scratch/output" 2>&1 || status=$?
	else
		"$@" mpirun -n "$processes" "$python" "$helpers/mpi_file.py" "$scratch/$name" \
			>"$scratch/output" 2>&1 || status=$?
	fi
	if [ "$status" != 0 ] ||
		[ "$(grep -o 'rank [0-9] ok' "$scratch/output" | wc -l)" != $((processes ? processes : 1)) ]; then
		cat "$scratch/output"
		fail "$name: status $status"
	fi
}

for processes in 0 2; do
	job "bare-$processes" $processes env
	job "under-$processes" $processes env "${prefix[@]}"
	cmp "$scratch/bare-$processes" "$scratch/under-$processes" || fail "the files differ"
done
# What is there already is written over in place.
job under-2 2 env "${prefix[@]}"
cmp "$scratch/bare-2" "$scratch/under-2" || fail "the file differs after the second run"
expect_traffic
expect_async posix technique.posix-aio.calls async.posix.reaped
