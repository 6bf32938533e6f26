/* differential: programs that close every descriptor, by every means, and then go on; direct */
#include "observe.h"

#include <linux/close_range.h>

static char *buffer;
static char *report; /* shared with the parent: a child without descriptors has no other way */

static int work(const char *moment)
{
	int fd = (int)CALL_AS(open("work", O_RDWR | O_DIRECT), "%s open", moment);

	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", moment);
	observe_bytes(moment, buffer, 1 * MIB);
	pattern_fill(buffer, 1 * MIB, 6, 0);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s pwrite", moment);
	CALL_AS(fsync(fd), "%s fsync", moment);
	CALL_AS(fdatasync(fd), "%s fdatasync", moment);
	return fd;
}

static void by_range(void)
{
	CALL(close_range(3, ~0U, 0));
}

static void by_range_from_zero(void)
{
	CALL(close_range(0, ~0U, 0));
}

static void by_range_number(void)
{
	CALL(syscall(SYS_close_range, 3u, ~0u, 0u));
}

static void by_closefrom(void)
{
	closefrom(3);
}

static void by_closefrom_zero(void)
{
	closefrom(0);
}

static void by_closefrom_negative(void)
{
	closefrom(-5);
}

static void by_loop(void)
{
	long closed = 0;
	long limit = sysconf(_SC_OPEN_MAX);

	for (int fd = 0; fd < limit; fd++)
		closed += close(fd) == 0;
	observe("loop closed %ld", closed);
}

static void by_loop_downwards(void)
{
	long closed = 0;

	for (int fd = (int)sysconf(_SC_OPEN_MAX) - 1; fd >= 0; fd--)
		closed += syscall(SYS_close, fd) == 0;
	observe("loop closed %ld", closed);
}

static void by_unshare(void)
{
	CALL(close_range(3, ~0U, CLOSE_RANGE_UNSHARE));
}

static void by_halves(void)
{
	CALL(close_range(0, 4, 0));
	CALL(close_range(5, 1000, 0));
	CALL(close_range(1001, ~0U, 0));
}

static void by_duplicating(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 3; fd < 1024; fd++) {
		if (fd != null)
			NEED(dup2(null, fd) == fd);
	}
	observe("all numbers below 1024 are the null device");
	CALL(fsync(500));
	CALL(pread(1023, buffer, PAGE, 0));
	by_closefrom();
}

static const struct {
	const char *name;
	void (*close_all)(void);
} ways[] = {
	{"close_range", by_range},
	{"close_range from 0", by_range_from_zero},
	{"close_range by number", by_range_number},
	{"closefrom", by_closefrom},
	{"closefrom 0", by_closefrom_zero},
	{"closefrom negative", by_closefrom_negative},
	{"loop", by_loop},
	{"loop downwards", by_loop_downwards},
	{"unshare", by_unshare},
	{"halves", by_halves},
	{"duplicating", by_duplicating},
};

static void child(int way, int work_before)
{
	int first;

	observe_hold();
	if (work_before)
		work("before");
	ways[way].close_all();
	CALL(fcntl(3, F_GETFD));
	CALL(pread(3, buffer, 1 * MIB, 0));
	CALL(fsync(4));
	first = work("after");
	CALL(open("/dev/null", O_RDWR));
	CALL(dup(first));
	ways[way].close_all();
	work("once more");
	NEED(observe_held_bytes < 64 * KIB);
	memcpy(report, observe_held, observe_held_bytes);
	_exit(0);
}

static void *work_in_thread(void *argument)
{
	work(argument);
	return NULL;
}

/* The other threads' rings are as little the caller's to close as its own. */
static void child_with_threads(int way)
{
	pthread_t thread;

	observe_hold();
	work("before");
	NEED(pthread_create(&thread, NULL, work_in_thread, "thread before") == 0);
	NEED(pthread_join(thread, NULL) == 0);
	ways[way].close_all();
	NEED(pthread_create(&thread, NULL, work_in_thread, "thread after") == 0);
	NEED(pthread_join(thread, NULL) == 0);
	work("after");
	NEED(observe_held_bytes < 64 * KIB);
	memcpy(report, observe_held, observe_held_bytes);
	_exit(0);
}

static void one(int way, int kind)
{
	pid_t pid;

	memset(report, 0, 64 * KIB);
	make_file("work", 1 * MIB, 5);
	observe("== %s, %s", ways[way].name,
		kind == 2   ? "with threads"
		: kind == 1 ? "after work"
			    : "at once");
	pid = fork();
	if (pid == 0) {
		if (kind == 2)
			child_with_threads(way);
		child(way, kind);
	}
	observe_child("child", pid);
	observe_emit(report, strlen(report));
	observe_file("work");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(1 * MIB);
	report = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(report != MAP_FAILED);
	for (int way = 0; way < (int)(sizeof(ways) / sizeof(ways[0])); way++) {
		for (int kind = 0; kind < 3; kind++)
			one(way, kind);
	}
	work("parent");
	unlink("work");
	return 0;
}
