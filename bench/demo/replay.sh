# A generated load of SAP HANA, replayed through one path to a storage and through four of them.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of common.sh

# The log, a savepoint, pages and a merge at once, in sizes for a laptop: 550 MiB of requests.
replay_profile=(hana-mixed --seconds 3 --scale 0.002 --set savepoint.first=1 --set merge.first=1)

# Replays with every read checked, and all files at the end; the rate is that of the requests.
replay_measure() {
	local status=0 out=$work/replay/$1-$(wc -l <"$row/$1").json
	local options=()
	[ "$1" = plain ] || options=(--pool "demo:$links/0,$links/1,$links/2,$links/3")
	env IOTRAP_STATS=keep "IOTRAP_STATS_DIR=$stats" "IOTRAP_LOG=$work/problems.log" \
		"$work/bin/iotrap" replay "$work/replay/load.trace" --on "$links/0/replay" \
		--engine libaio --pace asap --verify --json "$out" "${options[@]}" \
		>"$work/replay/$1.txt" 2>"$work/replay.log" || status=$?
	if [ "$status" = 1 ]; then
		check_failed "blocks or requests are wrong ($1): $(grep -m 1 -A 1 -E 'verified|FAILED' \
			"$work/replay/$1.txt" | tr '\n' ' ')"
	elif [ "$status" != 0 ]; then
		broken "iotrap replay ($1) ended with status $status: $(tail -n 1 "$work/replay.log")"
	fi
	rate=$("$python" -c 'import json, sys
print(round(json.load(open(sys.argv[1]))["runs"][0]["bytes"] / 1e6
      / json.load(open(sys.argv[1]))["runs"][0]["elapsed_seconds"]))' "$out")
}

# All runs of a side in one file, which stays: replay_join SIDE
replay_join() {
	"$python" - "$built/demo/replay-$1.json" "$work/replay/$1"-*.json <<-'EOP'
		import json
		import sys

		results = [json.load(open(name)) for name in sys.argv[2:]]
		results[0]["runs"] = [run for result in results for run in result["runs"]]
		with open(sys.argv[1], "w") as out:
		    json.dump(results[0], out, indent=2)
	EOP
}

demo_replay() {
	links=$work/replay-links
	mounts+=("$links")
	mkdir -p "$work/replay" "$built/demo"
	begin 9i-replay "HANA mixed, generated, replayed" MB/s
	echo "one path, against four; all reads checked" >"$row/note"
	if ! bash "$bench/testbeds/links.sh" up "$links" --rate 100 >"$work/links.log" 2>&1; then
		not_run "no links here: $(tail -n 1 "$work/links.log")"
		return 0
	fi
	progress "iotrap generate ${replay_profile[*]}"
	"$work/bin/iotrap" generate "${replay_profile[@]}" -o "$work/replay/load.trace" ||
		broken "the load cannot be generated"
	pairs 3 replay_measure
	check_ok
	replay_join plain
	replay_join iotrap
	progress "the last replay over four paths:"
	sed -n '/^CLASS/,$p' "$work/replay/iotrap.txt"
	progress "iotrap compare: one path (A), and four (B)"
	(cd "$built/.." && "$work/bin/iotrap" compare build/demo/replay-plain.json \
		build/demo/replay-iotrap.json) || broken "the results cannot be compared"
	echo "JSON: $(realpath --relative-to=. "$built/demo")/replay-{plain,iotrap}.json"
	bash "$bench/testbeds/links.sh" down "$links" >"$work/links.log" 2>&1 ||
		broken "cannot unmount $links: $(tail -n 1 "$work/links.log")"
}
