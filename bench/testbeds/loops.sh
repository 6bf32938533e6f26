#!/bin/bash
# Several mounts of one XFS image, each through a loop device with a limited rate: the kernel's
# own block layer, and no process that serves it. For reads.
#
#   loops.sh up DIR [options]       mounts DIR/0, DIR/1, ... read-only; each holds the same file f
#     --links N                      how many (default 4)
#     --rate MIB[,MIB...]            MiB/s of each; the last stands for the rest too (default 100)
#     --size MIB                     of the file (default 256)
#   loops.sh set DIR LINK rate=MIB  from now on; LINK is a number or "all"; 0: no limit
#   loops.sh down DIR               unmounts, frees the devices, removes all that `up` made
#
# DIR/raw/0/f, DIR/raw/1/f, ... lead to loop devices over one other image, limited in the
# same way, for O_DIRECT reads and writes. A file system is never mounted for writing here:
# two mounts of one image that write destroy it.
#
# Limited is what uses O_DIRECT, by throttling of version 1 of the blkio control group. Needs
# root, xfsprogs and util-linux. Ends with an error, never with a plain folder that looks like a
# mount, when something does not work.
set -eu
memory=/dev/shm
throttle=/sys/fs/cgroup/blkio

fail() {
	echo "loops.sh: $*" >&2
	exit 1
}

# The value for a link of a list "a,b,c", whose last stands for all that follow.
value_for() {
	local values
	IFS=, read -r -a values <<<"$2"
	echo "${values[$1]:-${values[-1]}}"
}

# Writes a limit into the root group, which every process is in, of this kernel's devices.
limit() {
	local device=$1 bytes=$(($2 << 20)) number kind
	number=$(cat "/sys/block/${device#/dev/}/dev")
	for kind in read write; do
		echo "$number $bytes" >"$throttle/blkio.throttle.${kind}_bps_device"
	done
}

# A device of its own over an image; notes it before it is used.
attach() {
	local list=$1 image=$2 device
	shift 2
	device=$(losetup --direct-io=on --find --show "$@" "$image") || fail "no loop device is free"
	echo "$device" >>"$state/$list"
}

fill_image() {
	truncate -s $(($1 + 200))M "$2/image"
	mkfs.xfs -q -f "$2/image"
	mkdir "$state/fill"
	mount -o loop "$2/image" "$state/fill"
	dd if=/dev/urandom of="$state/fill/f" bs=1M count="$1" status=none
	umount "$state/fill"
	rmdir "$state/fill"
	truncate -s "$1M" "$2/raw"
	dd if=/dev/urandom of="$2/raw" bs=1M count="$1" conv=notrunc status=none
}

mount_link() {
	local link=$1 rate=$2 device
	attach devices "$images/image" --read-only
	attach raw "$images/raw"
	device=$(tail -n 1 "$state/devices")
	limit "$device" "$rate"
	limit "$(tail -n 1 "$state/raw")" "$rate"
	mkdir -m 0555 "$folder/$link"
	mount -t xfs -o ro,norecovery,nouuid "$device" "$folder/$link"
	[ "$(findmnt -n -o SOURCE --mountpoint "$folder/$link")" = "$device" ] ||
		fail "$folder/$link did not get mounted"
	mkdir -p "$folder/raw/$link"
	ln -s "$(tail -n 1 "$state/raw")" "$folder/raw/$link/f"
}

up() {
	local links=4 rate=100 size=256 link
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || fail "$1 needs a value"
		case $1 in
		--links) links=$2 ;;
		--rate) rate=$2 ;;
		--size) size=$2 ;;
		*) fail "unknown option '$1'; they stand at the top of loops.sh" ;;
		esac
		shift 2
	done
	[[ $links$size =~ ^[0-9]+$ ]] || fail "--links and --size take numbers"
	[[ $rate =~ ^[0-9]+(,[0-9]+)*$ ]] || fail "--rate takes MiB/s, or a list of them"
	[ "$(id -u)" = 0 ] || fail "loop devices need root"
	[ -w $throttle/blkio.throttle.read_bps_device ] || fail "no throttling by $throttle here"
	[ ! -e "$state" ] || fail "$state is there already; 'down' removes it"
	[ ! -e "$folder" ] || [ -z "$(ls -A "$folder")" ] || fail "$folder is not empty"
	mkdir "$state"
	# Whatever ends this before it is done must leave nothing behind.
	trap 'status=$?; trap - EXIT; down || true; exit "$status"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	images=$(mktemp -d $memory/loops.XXXXXX)
	echo "$images" >"$state/images"
	fill_image "$size" "$images"
	mkdir -p -m 0755 "$folder"
	for ((link = 0; link < links; link++)); do
		mount_link $link "$(value_for $link "$rate")"
	done
	trap - EXIT INT TERM
	echo "loops: $links mounts of one image of $size MiB, at $rate MiB/s, on $folder"
}

set_links() {
	local chosen=$1 rate=${2#rate=} link device
	[ "${2:-}" = "rate=$rate" ] && [[ $rate =~ ^[0-9]+$ ]] || fail "set what? valid: rate=MIB"
	[ -s "$state/devices" ] || fail "$folder has no links; 'up' makes them"
	link=0
	while read -r device; do
		if [ "$chosen" = all ] || [ "$chosen" = $link ]; then
			limit "$device" "$rate"
			limit "$(sed -n $((link + 1))p "$state/raw")" "$rate"
		fi
		link=$((link + 1))
	done <"$state/devices"
}

free_devices() {
	local device
	[ -s "$1" ] || return 0
	while read -r device; do
		# The next user of the device must not find a limit.
		limit "$device" 0
		losetup -d "$device"
	done <"$1"
}

# The kernel lets go of a ring's files a moment after its process has ended.
unmount() {
	local try
	for try in {1..100}; do
		mountpoint -q "$1" || return 0
		umount "$1" 2>/dev/null || sleep 0.05
	done
	! mountpoint -q "$1" || fail "$1 is busy"
}

down() {
	local link
	[ -d "$state" ] || return 0
	unmount "$state/fill"
	for link in "$folder"/[0-9]*; do
		unmount "$link"
		[ ! -d "$link" ] || rmdir "$link"
	done
	free_devices "$state/devices"
	free_devices "$state/raw"
	[ ! -s "$state/images" ] || rm -rf "$(cat "$state/images")"
	rm -rf "$folder/raw" "$state"
	[ ! -d "$folder" ] || rmdir "$folder"
}

[ $# -ge 2 ] || fail "usage: loops.sh up|set|down DIR ..."
action=$1
mkdir -p "$(dirname "$2")"
folder=$(cd "$(dirname "$2")" && pwd -P)/$(basename "$2")
state=$folder.loops
images=
shift 2
case $action in
up) up "$@" ;;
set) set_links "$@" ;;
down) down ;;
*) fail "unknown action '$action'; valid: up, set, down" ;;
esac
