#!/bin/bash
# Mounts and unmounts slowfs, a pass-through file system with settable slowness (see slowfs.c).
#
#   slowfs.sh up DIR [--libfuse2] [--backing DIR] [options]   mount on DIR; prints what was mounted
#   slowfs.sh down DIR                                        unmount, stop, remove what `up` made
#
# With --libfuse2 the file system is legacyfs (see legacyfs.c), and the options are its own.
#
# Files live in DIR.slowfs/backing unless --backing names a folder, which is then kept. Ends with
# an error, never with a plain folder that looks like the mount, when mounting does not work.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=slowfs

fail() {
	echo "slowfs.sh: $*" >&2
	exit 1
}

is_mounted() {
	mountpoint -q "$1" && [ "$(findmnt -n -o FSTYPE --mountpoint "$1")" = "fuse.$name" ]
}

up() {
	local state=$mount.slowfs backing= binary
	while :; do
		case ${1:-} in
		--libfuse2) name=legacyfs ;;
		--backing)
			backing=$(cd "$2" && pwd)
			shift
			;;
		*) break ;;
		esac
		shift
	done
	binary=$here/../../build/bench/$name
	[ $name != slowfs ] || binary=${SLOWFS:-$binary}
	[ -e /dev/fuse ] || fail "no /dev/fuse here"
	[ -x "$binary" ] || make -s -C "$here/.." "$name" || fail "cannot build $name"
	if mountpoint -q "$mount" 2>/dev/null; then
		fail "$mount is a mount already"
	fi
	# Read-only underneath: a program that outlives the mount gets errors, not a plain folder.
	[ -d "$mount" ] || mkdir -p -m 0555 "$mount"
	mkdir -p "$state"
	[ -z "$(ls -A "$mount")" ] || fail "$mount is not empty"
	if [ -z "$backing" ]; then
		backing=$state/backing
		mkdir -p -m 1777 "$backing"
	fi
	local options=subtype=$name,fsname=$name,default_permissions
	[ "$(id -u)" != 0 ] || options+=,allow_other
	"$binary" "$backing" "$mount" -f -o "$options" "$@" \
		>"$state/log" 2>&1 </dev/null &
	local pid=$!
	echo $pid >"$state/pid"
	echo "$name" >"$state/name"
	for _ in $(seq 100); do
		if is_mounted "$mount"; then
			echo "$name: $backing on $mount ${*:-}"
			return 0
		fi
		kill -0 $pid 2>/dev/null || break
		sleep 0.05
	done
	kill $pid 2>/dev/null || true
	cat "$state/log" >&2
	rm -rf "$state"
	rmdir "$mount" 2>/dev/null || true
	fail "$mount did not get mounted"
}

down() {
	local state=$mount.slowfs pid=
	[ -s "$state/pid" ] && pid=$(cat "$state/pid")
	[ -s "$state/name" ] && name=$(cat "$state/name")
	if mountpoint -q "$mount" 2>/dev/null; then
		is_mounted "$mount" || fail "$mount is a mount, but not of $name"
		for _ in $(seq 50); do
			umount "$mount" 2>/dev/null || fusermount3 -u "$mount" 2>/dev/null || true
			mountpoint -q "$mount" || break
			sleep 0.1
		done
		mountpoint -q "$mount" && fail "$mount is busy"
	fi
	for _ in $(seq 100); do
		[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	rm -rf "$state"
	[ ! -d "$mount" ] || rmdir "$mount"
}

[ $# -ge 2 ] || fail "usage: slowfs.sh up|down DIR [--libfuse2] [--backing DIR] [options]"
action=$1
mkdir -p "$(dirname "$2")"
mount=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
shift 2
case $action in
up) up "$@" ;;
down) down ;;
*) fail "unknown action '$action'; valid: up, down" ;;
esac
