/* differential: mapping, locking and resizing, by symbol and by number; direct */
#include "kinds.h"

#include <sys/file.h>

/* The result without the address: where a mapping lies is no observation. */
static void mapped(const char *name, void *at, int error)
{
	observe_result(name, at == MAP_FAILED ? -1 : 0, error);
	if (at == MAP_FAILED)
		return;
	CALL_AS(msync(at, PAGE, MS_SYNC), "%s msync", name);
	CALL_AS(munmap(at, PAGE), "%s munmap", name);
}

/* Calls are made in one place each, so that errno is that of the call alone. */
#define MAP(name, way, expression)                                                                 \
	do {                                                                                       \
		char label_[256];                                                                  \
		void *at_;                                                                         \
                                                                                                   \
		snprintf(label_, sizeof(label_), "%s %s", name, way);                              \
		errno = ERRNO_MARK;                                                                \
		at_ = (void *)(expression);                                                        \
		mapped(label_, at_, errno);                                                        \
	} while (0)

static void mappings(const char *name, int fd)
{
	const int both = PROT_READ | PROT_WRITE;

	MAP(name, "mmap shared", mmap(NULL, PAGE, both, MAP_SHARED, fd, 0));
	MAP(name, "mmap private", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	MAP(name, "mmap64", mmap64(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	MAP(name, "mmap validated", mmap(NULL, PAGE, both, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	MAP(name, "mmap anonymous with it",
	    mmap(NULL, PAGE, both, MAP_PRIVATE | MAP_ANONYMOUS, fd, 0));
	MAP(name, "mmap of nothing", mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0));
	MAP(name, "mmap at an odd offset", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 10));
	MAP(name, "mmap at -1", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)-1));
	MAP(name, "mmap without a kind", mmap(NULL, PAGE, PROT_READ, 0, fd, 0));
	MAP(name, "mmap far too long", mmap(NULL, SIZE_MAX / 2, PROT_READ, MAP_SHARED, fd, 0));
	MAP(name, "mmap at an odd address",
	    mmap((void *)8, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
	MAP(name, "number mmap", syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0L));
	MAP(name, "number mmap at 10",
	    syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 10L));
}

static void lock_calls(const char *name, int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};

	CALL_AS(flock(fd, LOCK_EX), "%s flock", name);
	CALL_AS(flock(fd, LOCK_SH | LOCK_NB), "%s flock shared", name);
	CALL_AS(flock(fd, LOCK_UN), "%s flock off", name);
	CALL_AS(flock(fd, 77), "%s flock unknown", name);
	CALL_AS(syscall(SYS_flock, fd, LOCK_EX), "%s number flock", name);
	CALL_AS(syscall(SYS_flock, fd, LOCK_UN), "%s number flock off", name);
	CALL_AS(lockf(fd, F_LOCK, 100), "%s lockf", name);
	CALL_AS(lockf(fd, F_TEST, 100), "%s lockf test", name);
	CALL_AS(lockf64(fd, F_TLOCK, 200), "%s lockf64", name);
	CALL_AS(lockf(fd, F_ULOCK, 0), "%s lockf off", name);
	CALL_AS(lockf(fd, 99, 0), "%s lockf unknown", name);
	CALL_AS(lockf(fd, F_LOCK, INT64_MIN), "%s lockf backwards", name);
	CALL_AS(fcntl(fd, F_SETLK, &lock), "%s F_SETLK", name);
	CALL_AS(fcntl(fd, F_SETLKW, &lock), "%s F_SETLKW", name);
	CALL_AS(fcntl(fd, F_GETLK, &lock), "%s F_GETLK finds %d", name, lock.l_type);
	lock.l_type = F_UNLCK;
	CALL_AS(fcntl64(fd, F_SETLK, &lock), "%s fcntl64 F_SETLK off", name);
	CALL_AS(fcntl(fd, F_SETLK, OPAQUE((void *)8)), "%s F_SETLK nowhere", name);
	lock.l_type = F_RDLCK;
	CALL_AS(fcntl(fd, F_OFD_SETLK, &lock), "%s F_OFD_SETLK", name);
	CALL_AS(fcntl(fd, F_OFD_SETLKW, &lock), "%s F_OFD_SETLKW", name);
	CALL_AS(syscall(SYS_fcntl, fd, F_OFD_SETLK, &lock), "%s number fcntl", name);
	lock.l_pid = 1;
	CALL_AS(fcntl(fd, F_OFD_SETLK, &lock), "%s F_OFD_SETLK with an owner", name);
}

/* What one process holds another is refused, whichever call took it. */
static void locked_out(const char *name, int fd, int by_flock)
{
	pid_t child;

	CALL_AS(by_flock ? flock(fd, LOCK_EX) : lockf(fd, F_LOCK, 0), "%s held", name);
	child = fork();
	if (child == 0) {
		int own = open(KIND_FILE, O_RDWR);

		CALL_AS(flock(own, LOCK_EX | LOCK_NB), "%s child flock", name);
		CALL_AS(lockf(own, F_TLOCK, 0), "%s child lockf", name);
		CALL_AS(lockf(own, F_TEST, 0), "%s child lockf test", name);
		_exit(0);
	}
	observe_child(name, child);
	CALL_AS(by_flock ? flock(fd, LOCK_UN) : lockf(fd, F_ULOCK, 0), "%s given up", name);
}

static void sizes(void)
{
	static const off_t lengths[] = {70000, 0, 123456, -1, INT64_MAX, INT64_MIN};
	int fd = kind_regular();

	for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
		long long length = lengths[index];

		CALL_AS(truncate(KIND_FILE, length), "truncate to %lld", length);
		CALL_AS(truncate64(KIND_FILE, length), "truncate64 to %lld", length);
		CALL_AS(syscall(SYS_truncate, KIND_FILE, length), "number, to %lld", length);
		/* XFS makes it that long, and nobody could read it to its end. */
		if (length == INT64_MAX)
			NEED(truncate(KIND_FILE, 1000) == 0);
		kind_observe("truncated", fd);
	}
	CALL(truncate("missing", 0));
	CALL(truncate(".", 0));
	CALL(truncate(OPAQUE((char *)NULL), 0));
	CALL(syscall(SYS_truncate, OPAQUE((char *)8), 0L));
	CALL(syscall(SYS_ftruncate, fd, 5000L));
	CALL(syscall(SYS_fallocate, fd, 0, 0L, 90000L));
	CALL(posix_fallocate(fd, 0, 91000));
	CALL(syscall(SYS_syncfs, fd));
	CALL(syncfs(fd));
	CALL(syncfs(-1));
	CALL(syscall(SYS_syncfs, -1));
	kind_observe("resized", fd);
	kind_close(fd);
}

/* What is written through a mapping and through the descriptor is one file. */
static void mapped_and_written(int fd)
{
	char *block = pages(1 * MIB);
	char *at;

	NEED(ftruncate(fd, 1 * MIB) == 0);
	at = mmap(NULL, 1 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(at != MAP_FAILED);
	pattern_fill(at, 1 * MIB, 11, 0);
	CALL(msync(at, 1 * MIB, MS_SYNC));
	CALL(pread(fd, block, 1 * MIB, 0));
	observe_bytes("read what was mapped", block, 1 * MIB);
	pattern_fill(block, 1 * MIB, 12, 0);
	CALL(pwrite(fd, block, 1 * MIB, 0));
	observe_bytes("mapped what was written", at, 1 * MIB);
	CALL(munmap(at, 1 * MIB));
	kind_observe("mapped and written", fd);
}

int main(int count, char **arguments)
{
	int fd;

	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;

		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		mappings(name, fd);
		lock_calls(name, fd);
		kind_close(fd);
	}
	fd = kind_regular();
	locked_out("flock", fd, 1);
	locked_out("lockf", fd, 0);
	mapped_and_written(fd);
	kind_close(fd);
	fd = kind_direct();
	mapped_and_written(fd);
	kind_close(fd);
	sizes();
	return 0;
}
