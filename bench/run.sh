#!/bin/bash
# Measures the figures of the library in interleaved pairs; see bench/README.md.
#
#   bench/run.sh [--quick] [--list] [--record] [--compare] [--mode MODE]... [case name or pattern...]
#   bench/run.sh --replay [--quick] [part...]
#   bench/run.sh --library [--quick] [--list] [case name or pattern...]
#   bench/run.sh --pools [--quick] [--list] [case name or pattern...]
#
# Ends with 0 even where a figure falls short: a benchmark reports, it does not judge.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

bash "$here/deps.sh" bench
make -s -C "$here"
# Debian's own interpreter, with its SQLite: not whatever comes first in the PATH.
cases=pairs.py
if [ "${1:-}" = --pools ]; then
	cases=pools.py
	shift
elif [ "${1:-}" = --library ]; then
	cases=library.py
	shift
	case " $* " in *" --list "*) ;; *) make -s -C "$here/.." bench-programs ;; esac
elif [ "${1:-}" = --replay ]; then
	cases=replay.py
	shift
fi
exec /usr/bin/python3 -B "$here/$cases" "$@"
