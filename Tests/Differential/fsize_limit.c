/* differential: RLIMIT_FSIZE with its signal, by default, ignored and handled; direct */
#include "observe.h"

#include <sys/syscall.h>

#define LIMIT (1 * MIB)

static char *buffer;
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	signals += number == SIGXFSZ;
}

#define LIMITED(expression)                                                                        \
	do {                                                                                       \
		signals = 0;                                                                       \
		CALL(expression);                                                                  \
		observe("  signals %d", (int)signals);                                             \
		observe_offset("  ", fd);                                                          \
	} while (0)

static void calls(const char *path, int flags)
{
	struct iovec two[2] = {{buffer, 256 * KIB}, {buffer + 256 * KIB, 256 * KIB}};
	int fd = open(path, O_RDWR | flags);

	NEED(fd >= 0);
	LIMITED(pwrite(fd, buffer, PAGE, 0));
	LIMITED(pwrite(fd, buffer, 512 * KIB, LIMIT - 512 * KIB));
	LIMITED(pwrite(fd, buffer, 512 * KIB, LIMIT - 256 * KIB));
	LIMITED(pwrite(fd, buffer, PAGE, LIMIT - 512));
	LIMITED(pwrite(fd, buffer, PAGE, LIMIT));
	LIMITED(pwrite(fd, buffer, 1 * MIB, LIMIT + PAGE));
	LIMITED(pwrite(fd, buffer, 0, LIMIT));
	LIMITED(pwritev(fd, two, 2, LIMIT - 384 * KIB));
	LIMITED(pwritev(fd, two, 2, LIMIT));
	LIMITED(pwritev2(fd, two, 2, LIMIT - 128 * KIB, 0));
	LIMITED(lseek(fd, LIMIT - 64 * KIB, SEEK_SET));
	LIMITED(write(fd, buffer, 512 * KIB));
	LIMITED(write(fd, buffer, 512 * KIB));
	LIMITED(lseek(fd, LIMIT - PAGE, SEEK_SET));
	LIMITED(writev(fd, two, 2));
	LIMITED(writev(fd, two, 2));
	LIMITED(ftruncate(fd, LIMIT));
	LIMITED(ftruncate(fd, LIMIT + 1));
	LIMITED(fallocate(fd, 0, 0, LIMIT));
	LIMITED(fallocate(fd, 0, 0, LIMIT + PAGE));
	LIMITED(posix_fallocate(fd, 0, LIMIT + PAGE));
	LIMITED(syscall(SYS_pwrite64, fd, buffer, 512 * KIB, (off_t)(LIMIT - 256 * KIB)));
	LIMITED(fsync(fd));
	LIMITED(pread(fd, buffer + 1 * MIB, 512 * KIB, LIMIT - 256 * KIB));
	close(fd);
}

/* What was there behind the limit before the limit came is still guarded by it. */
static void on_file(const char *name, int flags, size_t size)
{
	struct rlimit limit = {LIMIT, RLIM_INFINITY};
	struct rlimit free = {RLIM_INFINITY, RLIM_INFINITY};

	observe("== %s, %zu bytes", name, size);
	make_file("limited", size, 1);
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	calls("limited", flags);
	NEED(setrlimit(RLIMIT_FSIZE, &free) == 0);
	observe_file("limited");
	unlink("limited");
}

static void killed(const char *name, int flags, size_t bytes, off_t offset)
{
	struct rlimit limit = {LIMIT, LIMIT};
	pid_t child;
	int fd;

	make_file("limited", 512 * KIB, 1);
	fd = open("limited", O_RDWR | flags);
	child = fork();
	if (child == 0) {
		NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		CALL_AS(pwrite(fd, buffer, bytes, offset), "%s %zu at %lld", name, bytes,
			(long long)offset);
		_exit(5);
	}
	observe_child(name, child);
	close(fd);
	observe_file("limited");
	unlink("limited");
}

/* The smallest limits, with the report kept in memory for the time. */
static void tiny(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};
	struct rlimit free = {RLIM_INFINITY, RLIM_INFINITY};
	int fd = open("limited", O_CREAT | O_RDWR | O_DIRECT, 0644);

	observe_hold();
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	LIMITED(pwrite(fd, buffer, PAGE, 0));
	LIMITED(pwrite(fd, buffer, 1 * MIB, 0));
	LIMITED(pread(fd, buffer + 1 * MIB, 1 * MIB, 0));
	LIMITED(fdatasync(fd));
	NEED(setrlimit(RLIMIT_FSIZE, &free) == 0);
	observe_release();
	close(fd);
	observe_file("limited");
	unlink("limited");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(2 * MIB);
	pattern_fill(buffer, 2 * MIB, 5, 0);
	for (int handled = 0; handled < 2; handled++) {
		handle_signal(SIGXFSZ, handled ? count_signal : SIG_IGN, 0);
		on_file("buffered", 0, 0);
		on_file("buffered", 0, 2 * MIB);
		on_file("direct", O_DIRECT, 0);
		on_file("direct", O_DIRECT, 2 * MIB);
		on_file("append", O_APPEND, 512 * KIB);
		on_file("direct append", O_DIRECT | O_APPEND, 512 * KIB);
		tiny(0);
		tiny(512);
		tiny(PAGE);
	}
	handle_signal(SIGXFSZ, SIG_DFL, 0);
	killed("buffered over", 0, PAGE, LIMIT);
	killed("buffered across", 0, 1 * MIB, LIMIT - 512 * KIB);
	killed("direct over", O_DIRECT, PAGE, LIMIT);
	killed("direct across", O_DIRECT, 1 * MIB, LIMIT - 512 * KIB);
	killed("direct below", O_DIRECT, 1 * MIB, 0);
	return 0;
}
