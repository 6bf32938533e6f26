#!/bin/bash
# A shell session (files, pipelines, archives, git, a compiler, Python with many processes), run
# bare and under the library: the transcript and every file left behind must be the same.
. "$(dirname "$0")/helpers/common.bash"

need git tar gzip "$python" sha256sum
compiler=$(command -v clang || command -v cc) || skip "no C compiler"

# Runs the session in a directory of its own: session NAME COMMAND-PREFIX...
session() {
	local name=$1 status=0
	shift
	mkdir -p "$scratch/$name"
	(
		cd "$scratch/$name"
		"$@" env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE HOME="$scratch/$name" \
			LC_ALL=C TZ=UTC PYTHON="$python" COMPILER="$compiler" HELPERS="$helpers" \
			GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' \
			bash "$helpers/shell_session.bash" </dev/null
	) >"$scratch/$name.transcript" 2>&1 || status=$?
	[ "$status" = 0 ] || { cat "$scratch/$name.transcript"; fail "session $name: $status"; }
	(cd "$scratch/$name" && find . -type f -print0 | sort -z | xargs -0 sha256sum) \
		>"$scratch/$name.files"
	(cd "$scratch/$name" && find . -printf '%P %y %m %n %l\n' | sort) >"$scratch/$name.tree"
}

session bare
session under "${prefix[@]}"
echo "session: $(wc -l <"$scratch/bare.transcript") lines, $(wc -l <"$scratch/bare.files") files"
[ "$(wc -l <"$scratch/bare.transcript")" -gt 60 ] || fail "the session was cut short"
for kind in transcript files tree; do
	diff "$scratch/bare.$kind" "$scratch/under.$kind" || fail "$kind differs from the bare run"
done
expect_traffic technique.ring.calls technique.split.calls technique.group-sync.calls
