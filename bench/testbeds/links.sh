#!/bin/bash
# Several mounts of one folder, each over a link of its own with a limited rate, latency, stalls
# and errors (see linkfs.c). Needs root and a C compiler, no package.
#
#   links.sh up DIR [options]             mounts DIR/0, DIR/1, ...
#     --links N                           how many (default 4)
#     --rate MIB[,MIB...]                 MiB/s of each link; the last stands for the rest too
#     --latency-us US[,US...]             added to every request, in the same way
#     --shared MIB                        a bottleneck behind all links
#     --backing DIR                       the folder, which is kept; default: one in memory
#     --volatile                          as volatile=on, below
#     --background N                      asynchronous requests under way on a link (512)
#   links.sh set DIR LINK setting=value...   LINK is a number or "all"; from now on:
#     rate=MIB  latency-us=US  iops=N     0: no limit
#     shared=MIB                          of the bottleneck behind all links
#     stall=on|off                        requests wait until the stall ends, then go on
#     fail-read=EIO  fail-write=EIO@10  fail-sync=off   each request, each tenth, none fails
#     volatile=on|off                     writes stay in the memory of the link's server until a
#                                         sync comes through that link; other links do not see
#                                         them before, and kill loses them
#   links.sh show DIR LINK                settings and counters, a line each
#   links.sh kill DIR LINK                kills the server of a link: its mount stays, dead
#   links.sh restart DIR LINK             mounts a dead link again, with the settings it had
#   links.sh down DIR                     unmounts, removes all that `up` made
#
# DIR.links/backing is the folder itself. Ends with an error, never with a plain folder that
# looks like a mount, when mounting does not work.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
memory=/dev/shm

fail() {
	echo "links.sh: $*" >&2
	exit 1
}

# Asks the kernel's table, never the mount: a stalled or dead one would not answer.
type_at() {
	at=${1// /\\040} awk '$5 == ENVIRON["at"] {
		for (i = 7; i < NF; i++) if ($i == "-") type = $(i + 1) }
		END { print type }' /proc/self/mountinfo
}

# The process of a link, if it is there and no other has got its number.
process_of() {
	local pid
	pid=$(cat "$state/$1.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = linkfs ] &&
		! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null && echo "$pid"
}

await_end() {
	local tries
	for ((tries = 0; tries < 200; tries++)); do
		process_of "$1" >/dev/null || return 0
		sleep 0.02
	done
	return 1
}

check_link() {
	[ -d "$state" ] || fail "$folder has no links; 'up' makes them"
	[ "$1" = all ] || [ -f "$state/$1.settings" ] ||
		fail "no link '$1'; valid: all, 0 to $(($(cat "$state/links") - 1))"
}

# All numbers of links, or the one that is given.
links_of() {
	if [ "$1" = all ]; then seq 0 $(($(cat "$state/links") - 1)); else echo "$1"; fi
}

# The value for a link of a list "a,b,c", whose last stands for all that follow.
value_for() {
	local values
	IFS=, read -r -a values <<<"$2"
	echo "${values[$1]:-${values[-1]}}"
}

start_link() {
	local link=$1 settings tries
	mapfile -t settings <"$state/$link.settings"
	"$state/linkfs" serve "$(readlink -f "$state/backing")" "$folder/$link" \
		"$state/$link.control" "$state/shared" "${settings[@]}" \
		>"$state/$link.log" 2>&1 </dev/null &
	echo $! >"$state/$link.pid"
	for ((tries = 0; tries < 200; tries++)); do
		if [ "$(type_at "$folder/$link")" = fuse.linkfs ] &&
			"$state/linkfs" control "$state/$link.control" show >/dev/null 2>&1; then
			return 0
		fi
		kill -0 $! 2>/dev/null || break
		sleep 0.02
	done
	cat "$state/$link.log" >&2
	fail "$folder/$link did not get mounted"
}

# Replaces a setting in the file that a restart reads, or adds it.
remember() {
	local name=${2%%=*}
	{
		grep -v "^$name=" "$state/$1.settings" || true
		echo "$2"
	} >"$state/$1.settings.new"
	mv "$state/$1.settings.new" "$state/$1.settings"
}

prepare_backing() {
	if [ -n "$1" ]; then
		ln -s "$(cd "$1" && pwd)" "$state/backing"
	elif [ "$(stat -f -c %T $memory 2>/dev/null)" = tmpfs ]; then
		mktemp -d "$memory/links.XXXXXX" >"$state/memory"
		ln -s "$(cat "$state/memory")" "$state/backing"
	else
		mkdir "$state/backing"
	fi
	[ -n "$1" ] || chmod 1777 "$state/backing/."
}

up() {
	local links=4 rate=0 latency=0 shared=0 backing='' holds=off background=512
	local link binary
	while [ $# -gt 0 ]; do
		case $1 in
		--volatile)
			holds=on
			shift
			continue
			;;
		--links | --rate | --latency-us | --shared | --backing | --background)
			[ $# -ge 2 ] || fail "$1 needs a value"
			;;
		esac
		case $1 in
		--links) links=$2 ;;
		--rate) rate=$2 ;;
		--latency-us) latency=$2 ;;
		--shared) shared=$2 ;;
		--backing) backing=$2 ;;
		--background) background=$2 ;;
		*) fail "unknown option '$1'; they stand at the top of links.sh" ;;
		esac
		shift 2
	done
	[[ $links =~ ^[1-9][0-9]?$ ]] || fail "--links takes 1 to 99"
	[ "$(id -u)" = 0 ] || fail "mounting needs root"
	[ -e /dev/fuse ] || fail "no /dev/fuse here"
	[ -z "$backing" ] || [ -d "$backing" ] || fail "$backing is no folder"
	[ ! -e "$state" ] || fail "$state is there already; 'down' removes it"
	[ -z "$(type_at "$folder")" ] || fail "$folder is a mount already"
	[ ! -e "$folder" ] || [ -z "$(ls -A "$folder" 2>/dev/null)" ] || fail "$folder is not empty"
	binary=${LINKFS:-$here/../../build/bench/linkfs}
	[ -n "${LINKFS:-}" ] || make -s -C "$here/.." linkfs || fail "cannot build linkfs"
	mkdir "$state"
	# Whatever ends this before it is done must leave nothing behind.
	trap 'status=$?; trap - EXIT; down || true; exit "$status"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	# A build of another version may replace the program while this one runs.
	cp "$binary" "$state/linkfs"
	echo "$links" >"$state/links"
	prepare_backing "$backing"
	mkdir -p -m 0555 "$folder"
	for ((link = 0; link < links; link++)); do
		# Read-only underneath: a program that outlives the mount gets errors.
		mkdir -m 0555 "$folder/$link"
		printf '%s\n' "rate=$(value_for $link "$rate")" \
			"latency-us=$(value_for $link "$latency")" "shared=$shared" \
			"volatile=$holds" "background=$background" >"$state/$link.settings"
		start_link $link
	done
	trap - EXIT INT TERM
	echo "links: $(readlink -f "$state/backing") on $folder/0 to $folder/$((links - 1))"
}

set_links() {
	local chosen=$1 link word
	shift
	[ $# -gt 0 ] || fail "nothing to set"
	for link in $(links_of "$chosen"); do
		"$state/linkfs" control "$state/$link.control" "$@" || fail "link $link: not set"
		for word in "$@"; do
			remember "$link" "$word"
		done
	done
}

kill_link() {
	local link pid
	for link in $(links_of "$1"); do
		pid=$(process_of "$link") || fail "link $link does not run"
		kill -9 "$pid"
		await_end "$link" || fail "link $link does not end"
	done
}

restart_link() {
	local link
	for link in $(links_of "$1"); do
		! process_of "$link" >/dev/null || fail "link $link runs; 'kill' ends it"
		# Programs may hold files of the dead mount: it goes when they let go.
		while [ "$(type_at "$folder/$link")" = fuse.linkfs ]; do
			umount -l -i -c "$folder/$link"
		done
		start_link "$link"
	done
}

unmount_link() {
	local link=$1 tries
	if process_of "$link" >/dev/null; then
		"$state/linkfs" control "$state/$link.control" stall=off >/dev/null 2>&1 || true
		for ((tries = 0; tries < 100; tries++)); do
			[ "$(type_at "$folder/$link")" = fuse.linkfs ] || break
			umount -i -c "$folder/$link" 2>/dev/null || sleep 0.05
		done
		[ "$(type_at "$folder/$link")" != fuse.linkfs ] || fail "$folder/$link is busy"
		await_end "$link" || kill -9 "$(process_of "$link")"
	fi
	while [ "$(type_at "$folder/$link")" = fuse.linkfs ]; do
		umount -l -i -c "$folder/$link"
	done
	[ ! -d "$folder/$link" ] || rmdir "$folder/$link"
}

down() {
	local link
	[ -d "$state" ] || return 0
	for link in $(links_of all); do
		unmount_link "$link"
	done
	[ ! -s "$state/memory" ] || rm -rf "$(cat "$state/memory")"
	rm -rf "$state"
	[ ! -d "$folder" ] || rmdir "$folder"
}

[ $# -ge 2 ] || fail "usage: links.sh up|set|show|kill|restart|down DIR ..."
action=$1
mkdir -p "$(dirname "$2")"
folder=$(cd "$(dirname "$2")" && pwd -P)/$(basename "$2")
state=$folder.links
shift 2
case $action in
up) up "$@" ;;
down) down ;;
set | show | kill | restart)
	[ $# -ge 1 ] || fail "$action needs a link: a number, or all"
	check_link "$1"
	case $action in
	set) set_links "$@" ;;
	show)
		for link in $(links_of "$1"); do
			"$state/linkfs" control "$state/$link.control" show
		done
		;;
	kill) kill_link "$1" ;;
	restart) restart_link "$1" ;;
	esac
	;;
*) fail "unknown action '$action'; valid: up, set, show, kill, restart, down" ;;
esac
