#!/bin/bash
# MariaDB: load from several clients, CHECK TABLE, kill -9 under load, recovery, CHECK TABLE again.
# First with libaio, also to recover; after a second crash with its own threads and pread/pwrite.
# Debian's build has liburing as well and prefers it, and it calls that directly, unseen by any
# library: so libaio is asked for. Builds too old to be asked use liburing if it works.
. "$(dirname "$0")/helpers/common.bash"

need mariadbd mariadb mariadb-install-db mariadb-slap
use_account mysql
data=$scratch/data
log=$scratch/mariadb.log
socket=$scratch/socket/s
own_directory "$data" "$scratch/socket" "$scratch/tmp"
touch "$log"
settings=(--no-defaults "--datadir=$data" "--tmpdir=$scratch/tmp")

client() {
	under mariadb --no-defaults -u root -S "$socket" -BN "$@"
}

start() {
	start_server "$log" mariadbd "${settings[@]}" "--socket=$socket" --skip-networking \
		--innodb-buffer-pool-size=8M --innodb-log-file-size=8M --skip-log-bin \
		--innodb-flush-method=O_DIRECT --innodb-flush-log-at-trx-commit=1 "$@"
	wait_until "connection to MariaDB" client -e 'SELECT 1'
}

stop() {
	client -e SHUTDOWN
	await_server
}

check_tables() {
	local table result
	for table in inno aria acknowledged; do
		result=$(client test -e "CHECK TABLE $table EXTENDED" | awk -F'\t' '{ print $3 $4 }')
		[ "$result" = statusOK ] || fail "CHECK TABLE $table: $result"
	done
}

content() {
	client test -e "SELECT count(*), sum(crc32(v)), sum(length(b)) FROM inno"
	client test -e "SELECT count(*), sum(crc32(v)) FROM aria"
}

under mariadb-install-db "${settings[@]}" --auth-root-authentication-method=normal \
	--skip-test-db --innodb-log-file-size=8M >"$scratch/install.log" 2>&1 ||
	fail "mariadb-install-db"

native=(--innodb-use-native-aio=1 --loose-innodb-linux-aio=aio)
start "${native[@]}"
client <<'END'
CREATE DATABASE test; USE test;
CREATE TABLE inno (k INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(60), b BLOB, KEY (v)) ENGINE=InnoDB;
CREATE TABLE aria (k INT PRIMARY KEY, v VARCHAR(60), KEY (v)) ENGINE=Aria TRANSACTIONAL=1;
CREATE TABLE acknowledged (n INT PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO inno SELECT seq, concat('row ', seq * 7919 % 10007),
	repeat(char(65 + seq % 26), seq % 900) FROM seq_1_to_12000;
INSERT INTO aria SELECT seq, concat('row ', seq) FROM seq_1_to_3000;
END
under mariadb-slap --no-defaults -u root -S "$socket" --concurrency=6 --number-of-queries=600 \
	--create-schema=slap --auto-generate-sql --auto-generate-sql-load-type=mixed \
	--auto-generate-sql-add-autoincrement --engine=InnoDB >"$scratch/slap.log" 2>&1 ||
	fail "mariadb-slap"
check_tables
content >"$scratch/content-before"

for ((n = 1; n <= 50000; n++)); do
	printf 'INSERT INTO acknowledged VALUES (%d); SELECT %d;\n' $n $n
done >"$scratch/inserts.sql"
"${prefix[@]}" mariadb --no-defaults -u root -S "$socket" -BN --unbuffered test \
	<"$scratch/inserts.sql" >"$scratch/acknowledged" 2>>"$scratch/client.log" &
inserts=$!
sleep 1.5
crash_server
wait "$inserts" || true
acknowledged=$(grep -c . "$scratch/acknowledged" || true)
[ "$acknowledged" -gt 0 ] || fail "no row was acknowledged before the crash"

start "${native[@]}"
found=$(client test -e "SELECT count(*) FROM acknowledged WHERE n <= $acknowledged")
echo "crash: $acknowledged rows acknowledged, $found of them found"
[ "$found" = "$acknowledged" ] || fail "acknowledged rows are lost"
check_tables
content >"$scratch/content-after"
cmp "$scratch/content-before" "$scratch/content-after" || fail "the content changed"

# Killed when pages of an unfinished transaction have been written: all of it must be undone.
"${prefix[@]}" mariadb --no-defaults -u root -S "$socket" -BN --unbuffered test \
	-e "BEGIN; UPDATE inno SET b = repeat('y', 2000); SELECT 'updated'; SELECT sleep(600)" \
	>"$scratch/unfinished" 2>>"$scratch/client.log" &
unfinished=$!
wait_until "unfinished transaction" grep -q updated "$scratch/unfinished"
crash_server
wait "$unfinished" || true
start --innodb-use-native-aio=0
check_tables
content >"$scratch/content-after"
cmp "$scratch/content-before" "$scratch/content-after" || fail "the transaction was not undone"
client test -e "UPDATE inno SET b = repeat('z', 1200) WHERE k % 5 = 0; ALTER TABLE inno FORCE"
check_tables
stop
if grep -E 'InnoDB: .*(Operating system error|corrupt|checksum mismatch)' "$log"; then
	fail "MariaDB reports I/O errors"
fi
expect_traffic technique.ring.calls technique.group-sync.calls
if grep -q 'InnoDB: Using Linux native AIO' "$log"; then
	expect_async libaio async.libaio.reaped
else
	grep -Eq 'InnoDB: Using (io_uring|liburing)' "$log" || fail "no native AIO was used"
	echo "note: this build of MariaDB cannot be asked to use libaio, so that was not checked"
fi
