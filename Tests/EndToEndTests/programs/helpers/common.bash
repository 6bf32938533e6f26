# Shared by the end-to-end scripts:  programs/NAME.sh MODE SCRATCH
#
# MODE is bare, observe, auto or force; SCRATCH an existing directory. A script
# exits 0 when all is well, 77 with the reason on its last line when it cannot
# run here, and anything else when the program or its data came to harm.
set -euo pipefail

mode=${1:?mode: bare, observe, auto or force}
scratch=$(realpath "${2:?scratch directory}")
programs=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
helpers=$programs/helpers
repository=$(cd "$programs/../../.." && pwd)
built=${IOTRAP_LIBRARY:-$repository/build/lib/libiotrap-preload.so}
library=$scratch/libiotrap-preload.so
stats=$scratch/stats
# Debian's own: another Python may lie where the servers' user cannot reach.
python=/usr/bin/python3
problems=$scratch/problems.log

case $mode in
bare | observe | auto | force) ;;
*) echo "unknown mode '$mode'" >&2; exit 2 ;;
esac

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

need() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "$command is not installed"
	done
}

# A server refuses to run as root, and its user cannot see a library below a
# private directory: hence another user and a copy of the library.
account=
as_account=()
# What to put before a command so that it runs under the library. Background
# commands use "${prefix[@]}" itself: $! is then the program, not a subshell.
prefix=()
under_library=()
if [ "$(id -u)" = 0 ]; then
	chmod 711 "$scratch"
fi
mkdir -p "$stats"
chmod 700 "$stats"
if [ "$mode" != bare ]; then
	[ -e "$built" ] || fail "$built does not exist; run make first"
	cp "$built" "$library"
	chmod 755 "$library"
	under_library=(env "LD_PRELOAD=$library" "IOTRAP_MODE=$mode" "IOTRAP_STATS=keep"
		"IOTRAP_STATS_DIR=$stats" "IOTRAP_LOG=$problems")
	prefix=("${under_library[@]}")
fi

# Chooses the user that servers run as: use_account NAME..., the first that exists.
use_account() {
	local name
	[ "$(id -u)" = 0 ] || return 0
	for name in "$@" nobody; do
		if getent passwd "$name" >/dev/null; then
			account=$name
			break
		fi
	done
	as_account=(setpriv "--reuid=$account" "--regid=$(id -g "$account")" --clear-groups --)
	prefix=("${as_account[@]}" "${under_library[@]}")
	touch "$problems"
	chown "$account" "$stats" "$problems"
	"${as_account[@]}" test -w "$stats" || fail "user $account cannot reach $scratch"
}

# Makes a directory that belongs to the chosen user.
own_directory() {
	mkdir -p "$@"
	[ -z "$account" ] || chown "$account" "$@"
}

# Runs a command as the chosen user, without the library.
plainly() {
	"${as_account[@]}" "$@"
}

# Runs a command as the chosen user, under the library unless the mode is bare.
under() {
	"${prefix[@]}" "$@"
}

# Starts a server under the library in a session of its own: start_server LOG COMMAND...
# Its process is noted in $server and killed when the script ends.
server=
start_server() {
	local log=$1
	shift
	setsid "${prefix[@]}" "$@" >>"$log" 2>&1 </dev/null &
	server=$!
}

# Waits until a command succeeds; fails when the server has gone. The bound is
# far beyond any normal start, so that only a hang reaches it.
wait_until() {
	local what=$1 tries=0
	shift
	until "$@" >/dev/null 2>&1; do
		kill -0 "$server" 2>/dev/null || fail "server ended before: $what"
		tries=$((tries + 1))
		[ "$tries" -lt 1200 ] || fail "gave up after 120 s: $what"
		sleep 0.1
	done
}

# Kills a server as a crash would: no warning, no clean-up. Its children, which may have made
# sessions of their own, notice the death of their parent and leave; those that stay are killed.
crash_server() {
	local tries=0 child children
	children=$(pgrep -P "$server" || true)
	kill -9 "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	for child in $children; do
		while kill -0 "$child" 2>/dev/null; do
			tries=$((tries + 1))
			[ "$tries" -le 100 ] || kill -9 "$child" 2>/dev/null || true
			[ "$tries" -lt 600 ] || fail "processes of the crashed server do not go away"
			sleep 0.05
		done
	done
	server=
}

# Waits for a server that was asked to stop.
await_server() {
	local status=0
	wait "$server" || status=$?
	server=
	[ "$status" = 0 ] || fail "server ended with status $status"
}

tail_logs() {
	local log
	for log in "$@"; do
		[ -s "$log" ] || continue
		echo "--- last lines of $(basename "$log")"
		tail -n 25 "$log"
	done
}

# Commands that take down what a script set up, run in order when it ends in any way.
at_end=()

finish() {
	local status=$? command
	trap - EXIT
	[ -z "$server" ] || crash_server
	for command in "${at_end[@]}"; do
		eval "$command" || echo "note: at the end, status $? of: $command"
	done
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		tail_logs "$scratch"/*.log "$scratch"/*/*.log
	fi
	exit "$status"
}
trap finish EXIT

# The sum of one statistic over all processes that ran under the library.
statistic() {
	awk -v name="$1" '$1 == name { print $2 }' "$scratch/sums"
}

expect_positive() {
	local name value
	for name in "$@"; do
		value=$(statistic "$name")
		[ "${value:-0}" -gt 0 ] || fail "mode $mode: statistic $name is ${value:-absent}"
	done
}

# Whether the kernel lets this user make a ring, asked without the library.
rings_work() {
	local status=0
	plainly "$python" - <"$helpers/ring_probe.py" || status=$?
	case $status in
	0) return 0 ;;
	3) return 1 ;;
	*) fail "the probe for io_uring failed" ;;
	esac
}

# Adds up the statistics of all processes so far, for `statistic`.
sum_statistics() {
	"$python" "$repository/bench/demo/segments.py" "$stats" >"$scratch/sums" ||
		fail "the statistics cannot be read"
}

# Checks that asynchronous requests went through the library: expect_async INTERFACE [NAME]...
# INTERFACE is libaio or posix, each NAME as for expect_traffic: what must have happened in force.
# Goes after expect_traffic, which adds up.
expect_async() {
	local interface=$1 async=async.$1 route routes= served=0
	shift
	[ "$mode" != bare ] || return 0
	for route in kernel ring service inline; do
		routes+=" $route $(statistic "$async.route.$route")"
	done
	echo "$interface: $(statistic "$async.submitted") requests in" \
		"$(statistic "$async.submit-calls") calls:$routes; told of" \
		"$(statistic "$async.reaped"), $(statistic "$async.cancelled") cancelled," \
		"$(statistic "$async.errors") errors"
	expect_positive "$async.submit-calls" "$async.submitted"
	for route in ring service inline; do
		served=$((served + $(statistic "$async.route.$route")))
	done
	case $mode in
	observe) [ "$served" = 0 ] || fail "mode observe served $served requests" ;;
	force) ! rings_work || expect_positive "$@" ;;
	esac
}

# Checks through the statistics that the program went through the library:
# expect_traffic [NAME]... where each NAME must be positive in mode force.
expect_traffic() {
	[ "$mode" != bare ] || return 0
	sum_statistics
	echo "traffic: $(statistic segments) processes, $(statistic calls) calls," \
		"$(statistic accelerated) accelerated; ring $(statistic technique.ring.calls)," \
		"split $(statistic technique.split.calls)," \
		"group-sync $(statistic technique.group-sync.calls)"
	[ ! -s "$problems" ] || tail_logs "$problems"
	expect_positive segments calls
	[ "$(statistic "mode.$mode")" = "$(statistic segments)" ] ||
		fail "some processes ran in another mode than $mode"
	case $mode in
	observe)
		[ "$(statistic technique)" = 0 ] || fail "mode observe used a technique"
		;;
	force)
		if rings_work; then
			expect_positive "$@"
		else
			echo "note: io_uring does not work here, so the ring was not checked"
		fi
		;;
	esac
}
