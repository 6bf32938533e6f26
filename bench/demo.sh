#!/bin/bash
# Runs real programs plain and under iotrap, in interleaved pairs, checks that both leave the same
# data, and prints one table. About four minutes; Ctrl-C cleans up.
#
#   bash bench/demo.sh [postgresql|sqlite|fio|slow_storage|async|pools|replay]...     default: all
#
# Exits 1 when a data check fails or something breaks, never because of a ratio.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=demo/common.sh
. "$here/demo/common.sh"
for part in postgresql sqlite fio slow_storage async pools replay; do
	# shellcheck source=/dev/null
	. "$here/demo/$part.sh"
done

parts=("$@")
[ $# -gt 0 ] || parts=(postgresql sqlite fio slow_storage async pools replay)
for part in "${parts[@]}"; do
	case $part in
	postgresql | sqlite | fio | slow_storage | async | pools | replay) ;;
	*)
		echo "demo.sh: unknown part '$part'; valid: postgresql sqlite fio slow_storage async pools" \
			"replay" >&2
		exit 2
		;;
	esac
done

# A variable of the user's own would change what is compared.
unset LD_PRELOAD "${!IOTRAP_@}" PGHOST PGPORT PGUSER PGDATABASE
export LC_ALL=C

bash "$here/deps.sh" demo
clean_up_at_every_end
prepare_work
for part in "${parts[@]}"; do
	"demo_$part"
done
if [ -s "$work/problems.log" ]; then
	progress "problems that the library noted:"
	sort "$work/problems.log" | uniq -c | sort -rn | head -n 5
fi
"$python" "$here/demo/table.py" "$work/results"
