# The session that shell.sh runs twice. Everything printed and every file must be reproducible.
exec 2>&1

# Runs one step and notes its exit status.
step() {
	local status=0
	echo "\$ $*"
	"$@" || status=$?
	[ "$status" = 0 ] || echo "exit status $status"
}

pipeline() {
	local status=0
	echo "| $1"
	bash -c "$1" || status=$?
	[ "$status" = 0 ] || echo "exit status $status"
}

# Files
step "$PYTHON" -c 'open("data", "wb").write(bytes(i * i % 251 for i in range(3000000)))'
step dd if=data of=synced bs=64k conv=fsync status=none
step dd if=data of=direct bs=1M count=2 oflag=direct iflag=fullblock status=none
step dd if=direct of=copied bs=512k iflag=direct oflag=direct,dsync status=none
step dd if=data of=patched bs=1 count=5 seek=100 conv=notrunc,fdatasync status=none
step dd if=data of=appended oflag=append conv=notrunc bs=100k status=none
step dd if=data of=appended oflag=append conv=notrunc bs=100k status=none
step cp data copy
step cp --sparse=always --reflink=never data sparse
step cmp data copy
step cmp data synced
step cmp direct copied
step truncate -s 1234567 copy
step fallocate -l 100000 allocated
step head -c 100001 data >head
step tail -c 77777 data >tail
step split -b 400k data part.
pipeline 'cat part.* | cmp - data'
step sha256sum data copy sparse head tail patched appended
step install -m 640 head installed
step ln head hard
step ln -s head soft
step mv hard moved
step rm tail
step sync -d data
step sync copy
step cat missing
step cat .
step rmdir data

# Pipelines and redirections
pipeline 'yes | head -n 3; echo "${PIPESTATUS[@]}"'
pipeline 'seq 1 200000 | sort -R --random-source=data -S 1M -T . | sort -n -S 1M -T . | sha256sum'
pipeline 'seq 1 50000 | tee >(wc -l >counted) >(tail -n 1 >last) | md5sum
until [ -s counted ] && [ -s last ]; do sleep 0.05; done; cat counted last'
pipeline 'exec 7<>both; echo one >&7; echo two >&7; exec 7>&-; cat both'
pipeline 'exec 3<data; read -r -N 10 -u 3 x
head -c 5 <&3 | od -An -tx1; exec 3<&-; echo closed >&3'
pipeline 'while read -r line; do echo "[$line]"; done < <(printf "a\nb\nc")'
pipeline 'cat <<<"here" - <&-'
pipeline 'echo out >&-; echo after'
pipeline 'set -o noclobber; echo x >data'
pipeline 'echo appended >>log; echo more >>log; cat log'
pipeline 'coproc cat; echo through >&"${COPROC[1]}"; read -r x <&"${COPROC[0]}"; echo "$x"'
pipeline 'find . -name "part.*" -print0 | xargs -0 -n 1 -P 4 sha1sum | sort'
pipeline 'ulimit -f 64; "$PYTHON" -c "
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try: open(\"limited\", \"wb\").write(bytes(1 << 20))
except OSError as error: print(error.strerror)"; stat -c %s limited'
pipeline 'ulimit -n 12; cat data | sha1sum'
pipeline 'timeout 0.2 tail -f data >/dev/null; echo $?'
pipeline 'mkfifo pipe; (cat data >pipe &) ; md5sum <pipe; rm pipe'
pipeline 'gzip -nk9 data; zcat data.gz | cmp - data; gzip -t data.gz'
pipeline 'cat /proc/self/comm; head -n 1 /proc/self/status; echo x >/dev/full'
pipeline 'setsid --fork --wait sh -c "echo detached; exit 3"'

# Archives
step mkdir -p tree/a/b tree/c
step cp data tree/a/one
step cp head tree/a/b/two
step ln -s ../a tree/c/link
step tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf tree.tar tree
step tar -tf tree.tar
step mkdir unpacked
step tar -xf tree.tar -C unpacked
step diff -r tree unpacked/tree
pipeline 'tar --sort=name --mtime=@0 --owner=0 --group=0 -cz tree | tar -tz | sha256sum'

# git
step git -c init.defaultBranch=main init -q repository
step git -C repository config user.name tester
step git -C repository config user.email tester@example.org
step git -C repository config core.fsync all
step git -C repository config pack.threads 1
step cp -r tree repository/
step git -C repository add .
step git -C repository commit -q -m first
step cp patched repository/tree/c/three
step git -C repository add .
step git -C repository commit -q -m second
step git -C repository gc -q
step git -C repository fsck --strict
step git -C repository log --format=%H%n%s
step git clone -q repository clone
step git -C clone status --short
step git -C clone show --stat --format=%s
# Indexes hold times and inode numbers, logs hold the host's identity.
step rm -rf repository/.git/index clone/.git repository/.git/logs

# Python
step "$PYTHON" "$HELPERS/python_processes.py"

# A compiler
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' >hello.c
step "$COMPILER" -O1 -o hello hello.c
step ./hello
step "$COMPILER" -c -o object.o missing.c
step rm -f hello
exit 0
