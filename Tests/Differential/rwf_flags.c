/* differential: every flag of preadv2 and pwritev2, known and unknown; direct */
#include "observe.h"

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif
#define RWF_NOAPPEND_FLAG 0x20
#define RWF_ATOMIC_FLAG 0x40
#define RWF_DONTCACHE_FLAG 0x80

static char *buffer;

static const struct {
	const char *name;
	int flags;
} flags[] = {
	{"none", 0},
	{"HIPRI", RWF_HIPRI},
	{"DSYNC", RWF_DSYNC},
	{"SYNC", RWF_SYNC},
	{"APPEND", RWF_APPEND},
	{"NOAPPEND", RWF_NOAPPEND_FLAG},
	{"ATOMIC", RWF_ATOMIC_FLAG},
	{"DSYNC|SYNC", RWF_DSYNC | RWF_SYNC},
	{"APPEND|DSYNC", RWF_APPEND | RWF_DSYNC},
	{"APPEND|NOAPPEND", RWF_APPEND | RWF_NOAPPEND_FLAG},
	{"bit 20", 1 << 20},
	{"bit 31", INT32_MIN},
	{"all", -1},
};

static void one_size(const char *name, int fd, size_t each)
{
	struct iovec two[2] = {{buffer, each}, {buffer + 1 * MIB, each}};

	for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
		int bits = flags[index].flags;

		memset(buffer, 0x55, 2 * MIB);
		lseek(fd, PAGE, SEEK_SET);
		CALL_AS(preadv2(fd, two, 2, 0, bits), "%s preadv2 2 x %zu %s", name, each,
			flags[index].name);
		observe_bytes("  ", buffer, 2 * MIB);
		CALL_AS(preadv2(fd, two, 2, -1, bits), "%s at the position", name);
		observe_offset("  ", fd);
		CALL_AS(preadv2(fd, two, 0, 0, bits), "%s none", name);
		CALL_AS(preadv2(fd, two, 2, -2, bits), "%s at -2", name);
		pattern_fill(buffer, 2 * MIB, index, 0);
		CALL_AS(pwritev2(fd, two, 2, 0, bits), "%s pwritev2", name);
		CALL_AS(pwritev2(fd, two, 2, -1, bits), "%s at the position", name);
		observe_offset("  ", fd);
		CALL_AS(preadv64v2(fd, two, 1, 0, bits), "%s preadv64v2", name);
		CALL_AS(pwritev64v2(fd, two, 1, 0, bits), "%s pwritev64v2", name);
	}
}

/*
 * NOWAIT of what is in the page cache succeeds; what else it says depends on the moment, so only
 * that it is one of the allowed answers is observed.
 */
static void no_wait(const char *name, int fd, int cached)
{
	struct iovec one = {buffer, 64 * KIB};
	ssize_t result;

	if (cached)
		NEED(pread(fd, buffer, 64 * KIB, 0) == 64 * KIB);
	errno = ERRNO_MARK;
	result = preadv2(fd, &one, 1, 0, RWF_NOWAIT);
	if (cached)
		observe_result("NOWAIT cached", result, errno);
	else
		observe("%s NOWAIT allowed: %d", name,
			result == 64 * KIB || (result == -1 && errno == EAGAIN));
	errno = ERRNO_MARK;
	result = pwritev2(fd, &one, 1, 0, RWF_NOWAIT);
	observe("%s write NOWAIT allowed: %d", name,
		result == 64 * KIB || (result == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));
}

static void on_file(const char *name, int open_flags)
{
	int fd;

	make_file("flags", 4 * MIB, 3);
	fd = open("flags", O_RDWR | open_flags);
	NEED(fd >= 0);
	one_size(name, fd, PAGE);
	one_size(name, fd, 512 * KIB);
	CALL_AS(ftruncate(fd, 4 * MIB), "%s back to size", name);
	no_wait(name, fd, !(open_flags & O_DIRECT));
	close(fd);
	observe_file("flags");
	unlink("flags");
}

static void on_others(void)
{
	struct iovec one = {buffer, 100};
	int both[2];
	int none = open("/dev/null", O_RDWR);

	NEED(pipe2(both, 0) == 0);
	NEED(write(both[1], "waiting", 7) == 7);
	for (size_t index = 0; index < sizeof(flags) / sizeof(flags[0]); index++) {
		CALL_AS(preadv2(none, &one, 1, 0, flags[index].flags), "null %s",
			flags[index].name);
		CALL_AS(pwritev2(none, &one, 1, 0, flags[index].flags), "null %s",
			flags[index].name);
		CALL_AS(preadv2(both[0], &one, 1, 0, flags[index].flags), "pipe %s",
			flags[index].name);
		CALL_AS(preadv2(-1, &one, 1, 0, flags[index].flags), "closed %s",
			flags[index].name);
	}
	CALL(preadv2(both[0], &one, 1, -1, RWF_NOWAIT));
	CALL(preadv2(both[0], &one, 1, -1, RWF_NOWAIT));
	CALL(pwritev2(both[1], &one, 1, -1, RWF_NOWAIT));
	CALL(preadv2(none, &one, 1, 0, RWF_DONTCACHE_FLAG));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(2 * MIB);
	on_file("buffered", 0);
	on_file("append", O_APPEND);
	on_file("direct", O_DIRECT);
	on_file("direct append", O_DIRECT | O_APPEND);
	on_others();
	return 0;
}
