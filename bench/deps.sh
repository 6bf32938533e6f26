#!/bin/bash
# Installs the Debian packages that a make target needs and that are missing.
#
#   bash bench/deps.sh SET...     SET: build, test, demo, bench
#
# Silent when nothing is missing. One line for each group of packages that is
# installed. No service is started, neither now nor at the next boot. Without
# root it says what to install and exits 1.
set -euo pipefail

group_build="liburing-dev libaio-dev libzstd-dev make gcc libc6-dev binutils"
# libfuse 2 as well: file systems served through it treat asynchronous requests differently.
group_storage="fio fuse3 libfuse3-dev libfuse-dev pkg-config xfsprogs e2fsprogs util-linux-extra"
group_postgresql="postgresql postgresql-contrib"
group_sqlite="sqlite3"
group_mariadb="mariadb-server mariadb-client"
group_redis="redis-server redis-tools"
group_rocksdb="rocksdb-tools librocksdb-dev"
group_tools="g++ python3 procps util-linux git tar gzip"
group_async="qemu-utils qemu-block-extra tgt sysbench stress-ng openmpi-bin python3-mpi4py"
group_library="pkg-config man-db libssl-dev"
# The test beds nfs.sh, loops.sh and gluster.sh; links.sh needs none of it.
group_pools="nfs-ganesha nfs-ganesha-vfs rpcbind qemu-system-common qemu-block-extra iproute2"
group_pools+=" glusterfs-client glusterfs-common xfsprogs util-linux"

groups_of() {
	case $1 in
	build) echo build ;;
	demo) echo build storage postgresql sqlite tools ;;
	bench) echo build library storage postgresql sqlite tools pools ;;
	test) echo build storage postgresql sqlite mariadb redis rocksdb tools async library ;;
	*)
		echo "deps.sh: unknown set '$1'; the sets are build, test, demo, bench" >&2
		exit 2
		;;
	esac
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints the packages of a group that are not there.
missing_of() {
	local package list="group_$1"
	for package in ${!list}; do
		installed "$package" || echo "$package"
	done
}

policy=/usr/sbin/policy-rc.d
policy_is_ours=no
output=

# Package scripts ask policy-rc.d whether they may start a service.
forbid_services() {
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		policy_is_ours=yes
	elif "$policy" deps start >/dev/null 2>&1; then
		echo "deps.sh: $policy lets packages start services; stopping those afterwards" >&2
	fi
}

cleanup() {
	[ "$policy_is_ours" = yes ] && rm -f "$policy"
	[ -n "$output" ] && rm -f "$output"
	return 0
}

# Runs a command quietly; shows what it printed when it fails.
quietly() {
	if ! "$@" >"$output" 2>&1; then
		cat "$output" >&2
		echo "deps.sh: failed: $*" >&2
		exit 1
	fi
}

# A package that was not here before must not bring a server at the next boot.
disable_services() {
	local unit
	command -v systemctl >/dev/null || return 0
	for unit in "$@"; do
		systemctl disable --now "$unit" >/dev/null 2>&1 || true
	done
}

# Puts the names of the missing packages into `missing`, by group.
find_missing() {
	local name list set seen=" "
	missing=()
	missing_groups=()
	for set in "$@"; do
		for name in $(groups_of "$set"); do
			[[ $seen == *" $name "* ]] && continue
			seen+="$name "
			list=$(missing_of "$name" | xargs)
			[ -z "$list" ] && continue
			missing_groups+=("$name")
			missing+=("$list")
		done
	done
}

install_missing() {
	local index name units
	output=$(mktemp)
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	forbid_services
	export DEBIAN_FRONTEND=noninteractive
	quietly apt-get -qq update
	for index in "${!missing[@]}"; do
		name=${missing_groups[$index]}
		echo "installing for $name: ${missing[$index]}"
		# shellcheck disable=SC2086 # a list of package names
		quietly apt-get -qq -y --no-install-recommends install ${missing[$index]}
		case $name in
		postgresql) units="postgresql" ;;
		mariadb) units="mariadb" ;;
		redis) units="redis-server" ;;
		async) units="tgt" ;;
		pools) units="rpcbind.socket rpcbind nfs-ganesha" ;;
		*) units="" ;;
		esac
		[ -z "$units" ] || disable_services "$units"
	done
}

[ $# -gt 0 ] || { echo "usage: deps.sh build|test|demo|bench ..." >&2; exit 2; }
for set in "$@"; do
	groups_of "$set" >/dev/null
done
find_missing "$@"
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "Packages are missing. As root: apt-get install ${missing[*]}" >&2
	exit 1
fi
install_missing
