# Shared by the parts of the demonstration: progress, pairs, results, servers, cleaning up.
# shellcheck shell=bash

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built=$bench/../build
python=/usr/bin/python3
work=
stats_root=
servers=()
mounts=()

# One line per step, with the seconds since the start.
progress() {
	printf '[%3d s] %s\n' "$SECONDS" "$*"
}

# Something broke, as opposed to a data check that failed: the demonstration ends.
broken() {
	echo "demo: $*" >&2
	exit 1
}

# A server refuses to run as root, and its user sees neither the repository, when that lies
# below a private directory, nor files of root: hence another user and copies.
account=
as_account=()
prepare_work() {
	work=$(mktemp -d /var/tmp/iotrap-demo.XXXXXX)
	stats_root=$(mktemp -d /dev/shm/iotrap-demo.XXXXXX)
	chmod 711 "$work" "$stats_root"
	mkdir -p "$work/bin" "$work/lib" "$work/results"
	[ -x "$built/bin/iotrap" ] || broken "build/bin/iotrap is missing; run make"
	cp "$built/bin/iotrap" "$work/bin/"
	cp "$built/lib/libiotrap-preload.so" "$work/lib/"
	chmod -R a+rX "$work/bin" "$work/lib"
	[ "$(id -u)" = 0 ] || return 0
	account=nobody
	! getent passwd postgres >/dev/null || account=postgres
	as_account=(setpriv "--reuid=$account" "--regid=$(id -g "$account")" --clear-groups --)
}

own_directory() {
	mkdir -p "$@"
	[ -z "$account" ] || chown "$account" "$@"
}

# Opens a row of the table: begin ID LABEL UNIT. Sets $row, $stats and the two prefixes:
# "${plain[@]}" before a command runs it plain, "${trapped[@]}" runs it under the library.
begin() {
	row=$work/results/$1
	stats=$stats_root/$1
	mkdir -p "$row" "$stats"
	chmod 700 "$stats"
	echo "$2" >"$row/label"
	echo "$3" >"$row/unit"
	echo "$stats" >"$row/stats"
	: >"$row/plain"
	: >"$row/iotrap"
	plain=(env)
	trapped=(env IOTRAP_STATS=keep "IOTRAP_STATS_DIR=$stats" "IOTRAP_LOG=$work/problems.log"
		"$work/bin/iotrap" run --)
}

# The row's data check: check_ok, or check_failed REASON, which wins.
check_ok() {
	[ -e "$row/check" ] || echo ok >"$row/check"
}

check_failed() {
	echo "FAIL: $*" >"$row/check"
	progress "DATA CHECK FAILED: $(cat "$row/label"): $*"
}

# The row cannot be run here: not_run REASON.
not_run() {
	echo "$*" >"$row/not-run"
	progress "$(cat "$row/label"): not run: $*"
}

# Runs a measurement in interleaved pairs: pairs COUNT FUNCTION. FUNCTION is called with `plain`
# or `iotrap` and leaves a rate, more being better, in $rate. Every other pair starts with the
# other side, so that a drift of the machine favours neither.
pairs() {
	local count=$1 measure=$2 pair side sides
	for ((pair = 1; pair <= count; pair++)); do
		sides="plain iotrap"
		[ $((pair % 2)) = 1 ] || sides="iotrap plain"
		for side in $sides; do
			rate=
			"$measure" "$side"
			[ -n "$rate" ] || broken "$(cat "$row/label"): no result of the $side run"
			echo "$rate" >>"$row/$side"
		done
		progress "$(cat "$row/label"): pair $pair of $count," \
			"plain $(tail -n 1 "$row/plain")," \
			"iotrap $(tail -n 1 "$row/iotrap") $(cat "$row/unit")"
	done
}

# Starts a server in a session of its own: start_server LOG COMMAND... Sets $server.
start_server() {
	local log=$1
	shift
	setsid "$@" >>"$log" 2>&1 </dev/null &
	server=$!
	servers+=("$server")
}

# Waits for the end of a server that was asked to stop.
await_server() {
	local status=0
	wait "$1" || status=$?
	[ "$status" = 0 ] || broken "a server ended with status $status; see its log above"
}

stop_servers() {
	local server tries
	for server in "${servers[@]}"; do
		pkill -INT -s "$server" 2>/dev/null || continue
		for ((tries = 0; tries < 50; tries++)); do
			pgrep -s "$server" >/dev/null || break
			sleep 0.1
		done
		pkill -KILL -s "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	done
	servers=()
}

# Runs at every end, also after Ctrl-C: no server, mount or file stays behind.
clean_up() {
	local status=$? mount bed
	trap - EXIT
	trap '' INT TERM HUP
	if [ "$status" != 0 ] && [ "$status" -lt 128 ] && [ -n "$work" ]; then
		tail -n 20 "$work"/*.log "$work"/*/*.log 2>/dev/null >&2 || true
	fi
	stop_servers
	for mount in "${mounts[@]}"; do
		bed=slowfs
		[ ! -d "$mount.links" ] || bed=links
		bash "$bench/testbeds/$bed.sh" down "$mount" >&2 || true
	done
	[ -z "$work" ] || rm -rf "$work" || echo "demo: could not remove $work" >&2
	[ -z "$stats_root" ] || rm -rf "$stats_root"
	exit "$status"
}

clean_up_at_every_end() {
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}
