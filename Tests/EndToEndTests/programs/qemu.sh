#!/bin/bash
# QEMU's block layer with native asynchronous I/O: completions are announced by an eventfd and then
# read straight from the ring behind the handle. Images made under the library equal those made
# bare; a block server is killed and everything it acknowledged is there.
. "$(dirname "$0")/helpers/common.bash"

need qemu-img qemu-io qemu-nbd cmp
images=$scratch/images
mkdir -p "$images"
log=$scratch/nbd.log
socket=$scratch/nbd
touch "$log"

# What to say of an image so that it is used with O_DIRECT and native asynchronous I/O.
native() {
	echo "driver=$1,file.driver=file,file.filename=$2,file.aio=native,cache.direct=on"
}

# An image with data, zeros and holes, aligned and not.
make_source() {
	local n commands=()
	qemu-img create -q -f qcow2 "$images/source.qcow2" 48M
	for ((n = 0; n < 60; n++)); do
		commands+=(-c "write -q -P $((n + 1)) $((n * 7919 * 97 % 49000000)) $((n * 5021 % 90000 + 1))")
	done
	commands+=(-c 'write -q -z 8M 1M' -c 'write -q -P 201 20M 9M' -c 'write -q -P 0 30M 1M')
	qemu-io -f qcow2 "$images/source.qcow2" "${commands[@]}"
	qemu-img convert -f qcow2 -O raw "$images/source.qcow2" "$images/reference.raw"
}

same_as_reference() {
	qemu-img compare -q -f "$1" -F raw "$2" "$images/reference.raw" || fail "$2 differs"
}

convert() {
	local format=$1 target=$2
	shift 2
	qemu-img create -q -f "$format" "$target" 48M
	under qemu-img convert -n "$@" --target-image-opts "$(native "$format" "$target")" ||
		fail "qemu-img convert to $target"
	same_as_reference "$format" "$target"
}

conversions() {
	local raw=$images/copy.raw qcow=$images/copy.qcow2
	convert raw "$raw" --image-opts "$(native qcow2 "$images/source.qcow2")"
	# Sixteen requests in flight, written out of order.
	convert qcow2 "$qcow" -m 16 -W --image-opts "$(native raw "$raw")"
	under qemu-img check -q --image-opts "$(native qcow2 "$qcow")" || fail "qemu-img check"
	# Reads through the page cache, writes past it.
	convert raw "$images/again.raw" -m 4 -S 64k -f qcow2 "$qcow"
	under qemu-img compare -q --image-opts "$(native raw "$raw")" "$(native qcow2 "$qcow")" ||
		fail "qemu-img compare under the library"
	cmp "$raw" "$images/reference.raw" || fail "the raw copy differs"
}

# Requests side by side, in vectors, unaligned, beyond the end; each read checks what it reads.
session() {
	local n commands=() image=$images/session-$1.raw
	qemu-img create -q -f raw "$image" 16M
	shift
	for ((n = 0; n < 48; n++)); do
		commands+=(-c "aio_write -q -P $((n + 1)) $((n * 256))k $((n % 7 * 16 + 4))k")
	done
	commands+=(-c aio_flush)
	for ((n = 0; n < 48; n++)); do
		commands+=(-c "aio_read -q -P $((n + 1)) $((n * 256))k $((n % 7 * 16 + 4))k")
	done
	commands+=(-c aio_flush -c 'writev -q -P 77 13M 4k 512 12k 64k' -c 'read -q -P 77 13M 80k'
		-c 'write -q -P 88 14680577 777' -c 'readv -q -P 88 14680577 700 77' -c flush
		-c 'write -q -f -P 99 15M 128k' -c 'write -q -z 15M 64k' -c 'read -q -P 0 15M 64k'
		-c 'discard -q 12M 64k' -c 'truncate 17M' -c length -c 'read -q -P 0 16M 1M'
		-c 'read -q 17M 4k' -c 'write -q 20M 4k' -c 'read -q -P 1 0 4k' -c 'read -P 2 0 4k' -c map)
	"$@" qemu-io -f raw --aio native -n "$image" "${commands[@]}" 2>&1 |
		sed -e '/ops;/d' -e '/^read .* bytes at/d'
}

# The last of the sessions has contexts of the library's own: their ring is read directly as well.
sessions() {
	local side
	session bare env >"$scratch/bare.transcript" || true
	grep -q 'Pattern verification failed at offset 0' "$scratch/bare.transcript" ||
		fail "the session did not come to its end"
	[ "$(grep -c 'Pattern verification failed' "$scratch/bare.transcript")" = 1 ] ||
		fail "the bare session reads wrong data"
	session under env "${prefix[@]}" >"$scratch/under.transcript" || true
	session own env "${prefix[@]}" env IOTRAP_SET=aio-context=own >"$scratch/own.transcript" || true
	for side in under own; do
		diff "$scratch/bare.transcript" "$scratch/$side.transcript" || fail "session $side differs"
		cmp "$images/session-bare.raw" "$images/session-$side.raw" || fail "image $side differs"
	done
}

benchmarks() {
	local side image options
	for side in bare under; do
		image=$images/bench-$side.raw
		options=(-q -f raw -t none -i native -d 32)
		[ $side = under ] && options=("${prefix[@]}" qemu-img bench "${options[@]}") ||
			options=(qemu-img bench "${options[@]}")
		qemu-img create -q -f raw "$image" 16M
		"${options[@]}" -w -c 2000 -s 4k -S 8k --pattern=90 --flush-interval=100 "$image" &&
			"${options[@]}" -w -c 200 -s 68k -o 512 -S 80k --pattern=17 "$image" &&
			"${options[@]}" -c 3000 -s 4k "$image" &&
			"${options[@]}" -c 64 -d 4 -s 1M "$image" || fail "qemu-img bench, $side"
	done
	cmp "$images/bench-bare.raw" "$images/bench-under.raw" || fail "the bench images differ"
}

serve() {
	rm -f "$socket"
	start_server "$log" qemu-nbd -k "$socket" -t -e 8 -f raw --aio=native --cache=none \
		"$images/served.raw"
	wait_until "the socket of qemu-nbd" test -S "$socket"
}

# Three clients at once, each with a part of its own; then writes until the server is killed.
server() {
	local url="nbd+unix:///?socket=$socket" client clients=() n acknowledged
	qemu-img create -q -f raw "$images/served.raw" 64M
	serve
	for client in 0 1 2; do
		for ((n = 0; n < 60; n++)); do
			echo "aio_write -q -P $((n + 1)) $((client * 20480 + n * 300))k $((n % 5 * 60 + 4))k"
		done >"$scratch/client-$client"
		echo aio_flush >>"$scratch/client-$client"
		qemu-io -f raw "$url" <"$scratch/client-$client" >"$scratch/client-$client.out" 2>&1 &
		clients+=($!)
	done
	for client in "${clients[@]}"; do
		wait "$client" || fail "a client of qemu-nbd failed"
	done
	for client in 0 1 2; do
		sed 's/aio_write/read/; /aio_flush/d' "$scratch/client-$client"
	done >"$scratch/check"
	check_served "$url"
	for ((n = 0; n < 100000; n++)); do
		echo "write -P $((n % 251 + 1)) $((62914560 + n % 1024 * 4096)) 4k"
	done >"$scratch/commands"
	qemu-io -f raw "$url" <"$scratch/commands" >"$scratch/answers" 2>&1 &
	client=$!
	until grep -q wrote "$scratch/answers" || ! kill -0 "$client" 2>/dev/null; do sleep 0.05; done
	sleep 0.3
	crash_server
	wait "$client" || true
	acknowledged=$(grep -c 'wrote 4096/4096' "$scratch/answers" || true)
	[ "$acknowledged" -gt 0 ] || fail "no write was acknowledged before the crash"
	[ "$acknowledged" -lt 100000 ] || fail "the client was ready before the crash"
	last_writes "$acknowledged" >>"$scratch/check"
	check_served "$images/served.raw"
	echo "crash: $acknowledged writes acknowledged, all of them found"
}

# Reads that check the newest acknowledged write of each block but the one in flight.
last_writes() {
	local n first=$(($1 > 1023 ? $1 - 1023 : 0))
	for ((n = first; n < $1; n++)); do
		echo "read -q -P $((n % 251 + 1)) $((62914560 + n % 1024 * 4096)) 4k"
	done
}

check_served() {
	qemu-io -r -f raw "$1" <"$scratch/check" >"$scratch/check.out" 2>&1 ||
		fail "reading back from $1"
	if grep -vE '^(qemu-io> )*$' "$scratch/check.out"; then
		fail "$1 holds other data than was written"
	fi
}

make_source
conversions
sessions
benchmarks
server
expect_traffic
expect_async libaio async.libaio.route.kernel reason.eventfd async.libaio.route.service
