#!/bin/bash
# Mounts and unmounts block devices in memory, much faster than any disk.
#
#   devices.sh up zram DIR [MIB]    ext4 on a compressed block device: a request is served inside
#                                   its submission
#   devices.sh up loop DIR [MIB]    XFS on a loop device over a file in memory: a request is served
#                                   by a kernel worker
#   devices.sh down DIR             unmount, free the device, remove what `up` made
#
# Needs root. Ends with an error, never with a plain folder that looks like the mount, when
# something does not work.
set -eu

fail() {
	echo "devices.sh: $*" >&2
	exit 1
}

is_mounted() {
	mountpoint -q "$mount" &&
		[ "$(findmnt -n -o SOURCE --mountpoint "$mount")" = "$(cat "$state/device")" ]
}

# A device of our own: those that exist may be in use.
add_zram() {
	local number
	[ -r /sys/class/zram-control/hot_add ] || fail "no zram here"
	number=$(cat /sys/class/zram-control/hot_add) || fail "cannot add a zram device"
	echo "/dev/zram$number" >"$state/device"
	echo "$1M" >"/sys/block/zram$number/disksize"
	mkfs.ext4 -q -E nodiscard "/dev/zram$number"
}

add_loop() {
	truncate -s "$1M" "$state/image"
	losetup --find --show "$state/image" >"$state/device" || fail "no loop device is free"
	mkfs.xfs -q -f "$(cat "$state/device")"
}

up() {
	local kind=$1 mebibytes=${3:-512} reason
	case $kind in
	zram | loop) ;;
	*) fail "unknown kind '$kind'; valid: zram, loop" ;;
	esac
	! mountpoint -q "$mount" 2>/dev/null || fail "$mount is a mount already"
	[ ! -e "$state" ] || fail "$state is there already"
	mkdir -p -m 0555 "$mount"
	[ -z "$(ls -A "$mount")" ] || fail "$mount is not empty"
	mkdir "$state"
	# Whatever ends this before it is done must not leave a device behind.
	trap 'status=$?; trap - EXIT; cat "$state/log" >&2; down || true; exit "$status"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	: >"$state/log"
	"add_$kind" "$mebibytes" 2>>"$state/log"
	mount "$(cat "$state/device")" "$mount" 2>>"$state/log"
	is_mounted || fail "$mount did not get mounted"
	trap - EXIT INT TERM
	echo "$kind: $(cat "$state/device") of $mebibytes MiB on $mount"
}

down() {
	local device=
	[ -s "$state/device" ] && device=$(cat "$state/device")
	if mountpoint -q "$mount" 2>/dev/null; then
		is_mounted || fail "$mount is a mount, but not of ours"
		for _ in $(seq 50); do
			umount "$mount" 2>/dev/null && break
			sleep 0.1
		done
		! mountpoint -q "$mount" || fail "$mount is busy"
	fi
	case $device in
	/dev/zram*) echo "${device#/dev/zram}" >/sys/class/zram-control/hot_remove ;;
	/dev/loop*) losetup --detach "$device" ;;
	esac
	rm -rf "$state"
	[ ! -d "$mount" ] || rmdir "$mount"
}

[ $# -ge 2 ] || fail "usage: devices.sh up zram|loop DIR [MIB], devices.sh down DIR"
action=$1
[ "$action" = down ] && folder=$2 || folder=${3:?devices.sh: no folder is named}
mkdir -p "$(dirname "$folder")"
mount=$(cd "$(dirname "$folder")" && pwd)/$(basename "$folder")
state=$mount.device
case $action in
up) up "$2" "$mount" "${4:-512}" ;;
down) down ;;
*) fail "unknown action '$action'; valid: up, down" ;;
esac
