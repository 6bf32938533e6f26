#!/bin/bash
# Several NFSv3 clients of one server, all in user space, each client over a network of its own
# with a limited rate. A client shows one file, so each mount is a file: DIR/0/f, DIR/1/f, ...
#
#   nfs.sh up DIR [options]         mounts them
#     --links N                      how many (default 4)
#     --rate MBIT[,MBIT...]          Mbit/s of each; the last stands for the rest too (400)
#     --size MIB                     of the file (default 256)
#   nfs.sh set DIR LINK rate=MBIT   from now on; LINK is a number or "all"
#   nfs.sh kill DIR LINK            kills a client: its mount stays, dead
#   nfs.sh restart DIR LINK         mounts a dead one again
#   nfs.sh down DIR                 unmounts, stops, removes all that `up` made
#
# DIR.nfs/backing is the server's folder. The server is nfs-ganesha, a client qemu-storage-daemon
# with libnfs. Needs root and the packages of the group pools in deps.sh. Ends with an error,
# never with a plain file that looks like a mount, when something does not work.
set -eu
memory=/dev/shm

fail() {
	echo "nfs.sh: $*" >&2
	exit 1
}

# Asks the kernel's table: a dead mount would not answer.
is_mounted() {
	at=${1// /\\040} awk '$5 == ENVIRON["at"] { found = 1 } END { exit !found }' \
		/proc/self/mountinfo
}

value_for() {
	local values
	IFS=, read -r -a values <<<"$2"
	echo "${values[$1]:-${values[-1]}}"
}

# Runs a command until it succeeds, for ten seconds.
await() {
	local tries
	for ((tries = 0; tries < 200; tries++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}

# Whether the process whose number a file holds is there, and not another with its number.
runs() {
	local pid
	pid=$(cat "$state/$1.pid" 2>/dev/null) || return 1
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
		! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null
}

ended() {
	! runs "$1" "$2"
}

stop() {
	runs "$1" "$2" || return 0
	kill "$(cat "$state/$1.pid")"
	await ended "$1" "$2" || kill -9 "$(cat "$state/$1.pid")"
	await ended "$1" "$2" || fail "$2 does not end"
}

# Both ends, since reads fill one direction and writes the other.
shape() {
	local action=$1 link=$2 rate=$3
	local queue=(root tbf rate "${rate}mbit" burst 256k latency 50ms)
	tc -n "$server" qdisc "$action" dev "s$link" "${queue[@]}"
	tc -n "$server-$link" qdisc "$action" dev "c$link" "${queue[@]}"
}

add_network() {
	local link=$1 client=$server-$1
	ip netns add "$client"
	ip -n "$server" link add "s$link" type veth peer name "c$link" netns "$client"
	ip -n "$server" address add "10.99.$link.1/24" dev "s$link"
	ip -n "$client" address add "10.99.$link.2/24" dev "c$link"
	ip -n "$server" link set "s$link" up
	ip -n "$client" link set "c$link" up
	shape add "$link" "$2"
}

write_configuration() {
	cat >"$state/ganesha.conf" <<-END
		NFS_CORE_PARAM {
		  Protocols = 3;
		  NFS_Port = 2049;
		  MNT_Port = 20491;
		  Enable_NLM = false;
		  Enable_RQUOTA = false;
		  Enable_UDP = false;
		}
		NFS_KRB5 { Active_krb5 = false; }
		EXPORT {
		  Export_Id = 1;
		  Path = $backing;
		  Pseudo = /files;
		  Access_Type = RW;
		  Squash = No_Root_Squash;
		  SecType = sys;
		  Protocols = 3;
		  Transports = TCP;
		  FSAL { Name = VFS; }
		}
	END
}

listens() {
	nsenter --net="/run/netns/$server" ss -ltn | grep -q ":$1 "
}

# The server sees a folder of its own in place of /run: a port mapper of the machine, if there
# is one, has its socket there.
start_server() {
	write_configuration
	mkdir "$state/run"
	nsenter --net="/run/netns/$server" unshare --mount --propagation private bash -eu -c '
		mount --bind "$1/run" /run
		mkdir -p /run/rpcbind /run/ganesha
		mkdir -p /var/lib/nfs/ganesha
		mount -t tmpfs none /var/lib/nfs/ganesha
		rpcbind -f &
		echo $! >"$1/rpcbind.pid"
		while [ ! -S /run/rpcbind.sock ]; do sleep 0.05; done
		echo $$ >"$1/ganesha.pid"
		exec ganesha.nfsd -F -L "$1/ganesha.log" -f "$1/ganesha.conf" \
			-p /run/ganesha/pid -N NIV_EVENT
	' server "$state" >"$state/server.log" 2>&1 </dev/null &
	await listens 2049 || {
		cat "$state/server.log" "$state/ganesha.log" >&2
		fail "the server did not start"
	}
}

start_client() {
	local link=$1
	# Its name in the table of processes is cut to 15 letters.
	nsenter --net="/run/netns/$server-$link" qemu-storage-daemon \
		--blockdev "driver=nfs,node-name=n,server.type=inet,server.host=10.99.$link.1,path=$backing/f,cache.direct=on" \
		--export "type=fuse,id=e,node-name=n,mountpoint=$folder/$link/f,writable=on,allow-other=off" \
		>"$state/$link.log" 2>&1 </dev/null &
	echo $! >"$state/$link.pid"
	await is_mounted "$folder/$link/f" || {
		cat "$state/$link.log" >&2
		fail "$folder/$link/f did not get mounted"
	}
}

up() {
	local links=4 rate=400 size=256 link
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || fail "$1 needs a value"
		case $1 in
		--links) links=$2 ;;
		--rate) rate=$2 ;;
		--size) size=$2 ;;
		*) fail "unknown option '$1'; they stand at the top of nfs.sh" ;;
		esac
		shift 2
	done
	[[ $links$size =~ ^[0-9]+$ ]] || fail "--links and --size take numbers"
	[[ $rate =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || fail "--rate takes Mbit/s, or a list of them"
	[ "$(id -u)" = 0 ] || fail "networks and mounts need root"
	for link in ganesha.nfsd rpcbind qemu-storage-daemon ip tc ss; do
		command -v $link >/dev/null || fail "no $link here; deps.sh installs it with bench"
	done
	[ ! -e "$state" ] || fail "$state is there already; 'down' removes it"
	[ ! -e "$folder" ] || [ -z "$(ls -A "$folder")" ] || fail "$folder is not empty"
	mkdir "$state"
	# Whatever ends this before it is done must leave nothing behind.
	trap 'status=$?; trap - EXIT; down || true; exit "$status"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	backing=$(mktemp -d $memory/nfs.XXXXXX)
	ln -s "$backing" "$state/backing"
	server=$(basename "$backing")
	dd if=/dev/urandom of="$backing/f" bs=1M count="$size" status=none
	ip netns add "$server"
	ip -n "$server" link set lo up
	for ((link = 0; link < links; link++)); do
		add_network $link "$(value_for $link "$rate")"
	done
	start_server
	mkdir -p -m 0755 "$folder"
	for ((link = 0; link < links; link++)); do
		mkdir "$folder/$link"
		: >"$folder/$link/f"
		start_client $link
	done
	trap - EXIT INT TERM
	echo "nfs: a file of $size MiB at $rate Mbit/s on $folder/0/f to $folder/$((links - 1))/f"
}

kill_client() {
	runs "$1" qemu-storage-da || fail "client $1 does not run"
	kill -9 "$(cat "$state/$1.pid")"
	await ended "$1" qemu-storage-da || fail "client $1 does not end"
}

restart_client() {
	! runs "$1" qemu-storage-da || fail "client $1 runs; 'kill' ends it"
	while is_mounted "$folder/$1/f"; do
		umount -l -i -c "$folder/$1/f"
	done
	start_client "$1"
}

down() {
	local link network
	[ -d "$state" ] || return 0
	for link in "$folder"/[0-9]*; do
		[ -d "$link" ] || continue
		# It unmounts by itself, and crashes when somebody else does.
		stop "$(basename "$link")" qemu-storage-da
		while is_mounted "$link/f"; do
			umount -l -i -c "$link/f"
		done
		rm -rf "$link"
	done
	stop ganesha ganesha.nfsd
	stop rpcbind rpcbind
	for network in "/run/netns/$server" "/run/netns/$server"-*; do
		[ -z "$server" ] || [ ! -e "$network" ] || ip netns del "$(basename "$network")"
	done
	[ -z "$backing" ] || rm -rf "$backing"
	rm -rf "$state"
	[ ! -d "$folder" ] || rmdir "$folder"
}

# The links that are meant, each checked.
links_of() {
	[ -d "$state" ] || fail "$folder has no links; 'up' makes them"
	if [ "$1" = all ]; then
		ls "$folder"
	else
		[ -d "$folder/$1" ] || fail "no link '$1'; valid: all, $(ls "$folder" | xargs)"
		echo "$1"
	fi
}

[ $# -ge 2 ] || fail "usage: nfs.sh up|set|kill|restart|down DIR ..."
action=$1
mkdir -p "$(dirname "$2")"
folder=$(cd "$(dirname "$2")" && pwd -P)/$(basename "$2")
state=$folder.nfs
backing=$(readlink "$state/backing" || true)
server=${backing##*/}
shift 2
case $action in
up) up "$@" ;;
down) down ;;
set | kill | restart)
	links=$(links_of "${1:?nfs.sh: no link is named}")
	for link in $links; do
		case $action in
		set)
			[[ ${2:-} =~ ^rate=[1-9][0-9]*$ ]] || fail "set what? valid: rate=MBIT"
			shape change "$link" "${2#rate=}"
			;;
		kill) kill_client "$link" ;;
		restart) restart_client "$link" ;;
		esac
	done
	;;
*) fail "unknown action '$action'; valid: up, set, kill, restart, down" ;;
esac
