#!/bin/bash
# Runs the tests: all suites, or the one named.
#
#   Tests/run.sh [style|unit|stats|trace|replay|record|command|library|swiftlibrary|examples|differential|pools|endtoend]
#
# Every suite runs even when one before it failed. Skips are printed with their reasons and counted.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

declare -A targets=(
	[unit]=IOTrapEngineTests
	[stats]=IOTrapStatsTests
	[trace]=IOTraceTests
	[replay]=ReplayTests
	[record]=RecordTests
	[command]=CommandTests
	[library]=LibraryTests
	[swiftlibrary]=IOTrapTests
	[examples]=ExampleTests
	[differential]=DifferentialTests
	[pools]=PoolTests
	[endtoend]=EndToEndTests
	[style]=StyleTests
)
order=(style unit stats trace replay record command library swiftlibrary examples differential pools endtoend)
if [ $# -gt 0 ] && [ -n "$1" ]; then
	if [ -z "${targets[$1]:-}" ]; then
		echo "run.sh: no suite '$1'; suites: ${order[*]}" >&2
		exit 2
	fi
	order=("$1")
fi

echo "building the tests"
swift build --build-tests --scratch-path .build/tests 2>&1 | grep -vE '^\[[0-9]+/[0-9]+\]'
[ "${PIPESTATUS[0]}" = 0 ] || exit 1

case " ${order[*]} " in *" examples "*) make -s examples || exit 1 ;; esac

log=$(mktemp) failures=$(mktemp)
trap 'rm -f "$log" "$failures"' EXIT
passed=0 failed=0 skipped=0
for suite in "${order[@]}"; do
	echo "== $suite"
	swift test --skip-build --disable-xctest --scratch-path .build/tests \
		--filter "^${targets[$suite]}\." >"$log" 2>&1
	status=$?
	grep -E '^SKIP |✘|recorded an issue|error:' "$log"
	if [ $status != 0 ]; then
		# What a failed test printed stands near its mark: show it all.
		tail -n 300 "$log"
		grep -A 3 'recorded an issue' "$log" | cut -c 1-300 | head -n 40 >>"$failures"
	fi
	good=$(grep -E '^✔ Test .* passed after' "$log" | grep -cv '^✔ Test run with')
	bad=$(grep -E '^✘ Test .* failed after' "$log" | grep -cv '^✘ Test run with')
	if [ $status != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
	if [ "$good" = 0 ] && [ "$bad" = 0 ]; then
		echo "run.sh: suite $suite ran no test" >&2
		bad=1
	fi
	skips=$(grep -cE '^SKIP ' "$log")
	echo "   $suite: $good passed, $bad failed, $skips skips"
	passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skips))
done
if [ -s "$failures" ]; then
	echo "== what failed"
	cat "$failures"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
