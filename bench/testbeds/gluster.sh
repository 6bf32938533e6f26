#!/bin/bash
# Several mounts of one folder by GlusterFS, each with a volume inside its own process: a latency
# for every read, write and sync, and a bounded number of them at once.
#
#   gluster.sh up DIR [options]    mounts DIR/0, DIR/1, ...
#     --links N                     how many (default 4)
#     --latency-us US               of each read, write and sync (default 1000)
#     --threads N                   requests that a mount serves at once (default 2)
#   gluster.sh down DIR            unmounts, stops, removes all that `up` made
#
# DIR.gluster/brick is the folder itself; fill it through a mount, which notes things about its
# files there. Needs root and glusterfs-client. Ends with an error, never with a plain folder that
# looks like a mount, when mounting does not work.
set -eu

fail() {
	echo "gluster.sh: $*" >&2
	exit 1
}

is_mounted() {
	[ "$(findmnt -n -o FSTYPE --mountpoint "$1")" = fuse.glusterfs ]
}

write_volume() {
	cat >"$state/volume" <<-END
		volume folder
		  type storage/posix
		  option directory $state/brick
		end-volume
		volume delay
		  type debug/delay-gen
		  option delay-duration $1
		  option delay-percentage 100
		  option enable READ,WRITE,FSYNC
		  subvolumes folder
		end-volume
		volume threads
		  type performance/io-threads
		  option thread-count $2
		  subvolumes delay
		end-volume
	END
}

mount_link() {
	local tries
	mkdir -m 0555 "$folder/$1"
	# No cache answers for another mount's changes, nor for the reads.
	glusterfs --volfile="$state/volume" --log-file="$state/$1.log" \
		--pid-file="$state/$1.pid" --fopen-keep-cache=off --attribute-timeout=0 \
		--entry-timeout=0 "$folder/$1"
	for ((tries = 0; tries < 100; tries++)); do
		# It is of use once it answers.
		if is_mounted "$folder/$1" && stat "$folder/$1/." >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	cat "$state/$1.log" >&2
	fail "$folder/$1 did not get mounted"
}

up() {
	local links=4 latency=1000 threads=2 link
	while [ $# -gt 0 ]; do
		[[ $# -ge 2 && $2 =~ ^[0-9]+$ ]] || fail "$1 needs a number"
		case $1 in
		--links) links=$2 ;;
		--latency-us) latency=$2 ;;
		--threads) threads=$2 ;;
		*) fail "unknown option '$1'; they stand at the top of gluster.sh" ;;
		esac
		shift 2
	done
	[ "$(id -u)" = 0 ] || fail "mounting needs root"
	command -v glusterfs >/dev/null || fail "no glusterfs here; package glusterfs-client"
	[ ! -e "$state" ] || fail "$state is there already; 'down' removes it"
	[ ! -e "$folder" ] || [ -z "$(ls -A "$folder")" ] || fail "$folder is not empty"
	mkdir "$state"
	# Whatever ends this before it is done must leave nothing behind.
	trap 'status=$?; trap - EXIT; down || true; exit "$status"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -m 1777 "$state/brick"
	write_volume "$latency" "$threads"
	mkdir -p -m 0555 "$folder"
	for ((link = 0; link < links; link++)); do
		mount_link $link
	done
	trap - EXIT INT TERM
	echo "gluster: $links mounts of one folder, $latency us and $threads at once, on $folder"
}

# A link's process ends by itself when it is unmounted.
unmount_link() {
	local link=$1 pid='' tries
	pid=$(cat "$state/$link.pid" 2>/dev/null) || true
	if is_mounted "$folder/$link"; then
		for ((tries = 0; tries < 50; tries++)); do
			umount "$folder/$link" 2>/dev/null && break
			sleep 0.1
		done
		! is_mounted "$folder/$link" || fail "$folder/$link is busy"
	fi
	for ((tries = 0; tries < 100; tries++)); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = glusterfs ] || break
		[ $tries != 50 ] || kill "$pid"
		sleep 0.1
	done
	rmdir "$folder/$link"
}

down() {
	local link
	[ -d "$state" ] || return 0
	for link in "$folder"/[0-9]*; do
		[ ! -d "$link" ] || unmount_link "$(basename "$link")"
	done
	rm -rf "$state"
	[ ! -d "$folder" ] || rmdir "$folder"
}

[ $# -ge 2 ] || fail "usage: gluster.sh up|down DIR ..."
action=$1
mkdir -p "$(dirname "$2")"
folder=$(cd "$(dirname "$2")" && pwd -P)/$(basename "$2")
state=$folder.gluster
shift 2
case $action in
up) up "$@" ;;
down) down ;;
*) fail "unknown action '$action'; valid: up, down" ;;
esac
