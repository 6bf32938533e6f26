#!/bin/bash
# Daemons that close every descriptor, each in the way some real one does, and go on with I/O.
. "$(dirname "$0")/helpers/common.bash"

need "$python" setsid start-stop-daemon

for way in loop closerange close_range closefrom; do
	for moment in before after; do
		result=$scratch/$way-$moment
		under "$python" "$helpers/daemon.py" "$way" "$moment" "$result" ||
			fail "$way, $moment: the daemon did not start"
		tries=0
		until [ -e "$result.done" ]; do
			tries=$((tries + 1))
			[ "$tries" -lt 600 ] || fail "$way, $moment: no sign of the daemon after 60 s"
			sleep 0.1
		done
		[ "$(cat "$result.done")" = ok ] ||
			fail "$way $moment: $(cat "$result.done")"
	done
done

# The ways of the system's own tools, which close everything and change session.
under setsid --fork dd if=/dev/zero "of=$scratch/detached" bs=64k count=16 oflag=direct,dsync \
	status=none
under start-stop-daemon --start --background --make-pidfile --pidfile "$scratch/pid" \
	--startas /bin/dd -- if=/dev/zero "of=$scratch/started" bs=64k count=16 conv=fsync \
	status=none || fail "start-stop-daemon"
for file in detached started; do
	tries=0
	until [ "$(stat -c %s "$scratch/$file" 2>/dev/null)" = 1048576 ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || fail "$file was not written within 60 s"
		sleep 0.1
	done
done
echo "daemons: 8 in Python, 2 of the system's tools"
expect_traffic technique.ring.calls technique.group-sync.calls
