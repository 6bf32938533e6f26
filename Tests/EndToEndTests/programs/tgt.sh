#!/bin/bash
# tgtd, an iSCSI server whose aio store waits for libaio on an eventfd and then asks for the events:
# an image goes to it and back, three clients write at once, and it is killed under load.
. "$(dirname "$0")/helpers/common.bash"

need tgtd tgtadm qemu-img qemu-io cmp
if [[ $(qemu-img info iscsi://127.0.0.1:1/none/0 2>&1) == *'Unknown protocol'* ]]; then
	skip "qemu-block-extra, QEMU's iSCSI client, is not installed"
fi
[ "$(id -u)" = 0 ] || skip "tgtd needs root"
log=$scratch/tgtd.log
disk=$scratch/disk
touch "$log"
export TGT_IPC_SOCKET=$scratch/ipc

admin() {
	tgtadm -C 1 --lld iscsi "$@"
}

serve() {
	local port
	port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	url=iscsi://127.0.0.1:$port/iqn.2000-01.test:disk/1
	start_server "$log" tgtd -f -C 1 --iscsi "portal=127.0.0.1:$port"
	wait_until "answer from tgtd" admin --op show --mode target
	admin --op new --mode target --tid 1 -T iqn.2000-01.test:disk
	admin --op new --mode logicalunit --tid 1 --lun 1 -b "$disk" --bstype aio
	admin --op bind --mode target --tid 1 -I ALL
}

# Reads that check, one a line in a file: check IMAGE FILE
check() {
	qemu-io -r -f raw "$1" <"$2" >"$scratch/check.out" 2>&1 || fail "reading back from $1"
	if grep -vE '^(qemu-io> )*$' "$scratch/check.out"; then
		fail "$1 holds other data than was written"
	fi
}

there_and_back() {
	local size
	"$python" -c 'import random, sys; random.seed(5)
for part in range(20):
    sys.stdout.buffer.write(random.randbytes(700000) + bytes(700000))' >"$scratch/image"
	qemu-img convert -n -f raw -O raw -m 16 -W "$scratch/image" "$url" || fail "to the server"
	qemu-img convert -f raw -O raw -m 8 "$url" "$scratch/back" || fail "from the server"
	size=$(stat -c %s "$scratch/image")
	cmp -n "$size" "$scratch/image" "$scratch/back" || fail "another image came back"
	cmp -n "$size" "$scratch/image" "$disk" || fail "another image lies on the disk"
}

several_clients() {
	local client clients=() n
	for client in 0 1 2; do
		for ((n = 0; n < 100; n++)); do
			echo "aio_write -q -P $((n + client + 1)) $((client * 16384 + n * 160))k" \
				"$((n % 5 * 32 + 4))k"
		done >"$scratch/client-$client"
		echo aio_flush >>"$scratch/client-$client"
		qemu-io -f raw "$url" <"$scratch/client-$client" >"$scratch/client-$client.out" 2>&1 &
		clients+=($!)
	done
	for client in "${clients[@]}"; do
		wait "$client" || fail "a client failed"
	done
	for client in 0 1 2; do
		sed 's/aio_write/read/; /aio_flush/d' "$scratch/client-$client"
	done >"$scratch/check"
	check "$url" "$scratch/check"
}

# One block after the other, so that at most one is unanswered when the server dies.
killed() {
	local n client acknowledged
	for ((n = 0; n < 100000; n++)); do
		echo "write -P $((n % 251 + 1)) $((52428800 + n % 2048 * 4096)) 4k"
	done >"$scratch/commands"
	qemu-io -f raw "$url" <"$scratch/commands" >"$scratch/answers" 2>&1 &
	client=$!
	until grep -q wrote "$scratch/answers" || ! kill -0 "$client" 2>/dev/null; do sleep 0.05; done
	sleep 0.3
	crash_server
	# The client would go on trying to connect.
	kill -9 "$client" 2>/dev/null || true
	wait "$client" 2>/dev/null || true
	acknowledged=$(grep -c 'wrote 4096/4096' "$scratch/answers" || true)
	[ "$acknowledged" -gt 0 ] || fail "no write was acknowledged before the crash"
	for ((n = acknowledged > 1500 ? acknowledged - 1500 : 0; n < acknowledged; n++)); do
		echo "read -q -P $((n % 251 + 1)) $((52428800 + n % 2048 * 4096)) 4k"
	done >"$scratch/last"
	check "$disk" "$scratch/last"
	serve
	check "$url" "$scratch/check"
	check "$url" "$scratch/last"
	echo "crash: $acknowledged writes acknowledged, all of them found"
}

truncate -s 64M "$disk"
serve
there_and_back
several_clients
killed
admin --op unbind --mode target --tid 1 -I ALL
admin --op delete --mode logicalunit --tid 1 --lun 1
admin --op delete --mode target --tid 1
admin --op delete --mode system >/dev/null
await_server
expect_traffic
expect_async libaio async.libaio.route.kernel reason.eventfd async.libaio.reaped
