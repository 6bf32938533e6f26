/* differential: vectors of 0 to over IOV_MAX elements, NULL and overflowing ones; direct */
#include "observe.h"

#include <limits.h>

static char *buffer;
static struct iovec many[IOV_MAX + 2];

enum way { WAY_READ, WAY_WRITE, WAY_PREAD, WAY_PWRITE, WAY_PREAD2, WAY_PWRITE2, WAY_COUNT };

static const char *const way_names[] = {"readv",   "writev",  "preadv",
					"pwritev", "preadv2", "pwritev2"};

static ssize_t go(enum way way, int fd, const struct iovec *elements, int count)
{
	switch (way) {
	case WAY_READ:
		return readv(fd, elements, count);
	case WAY_WRITE:
		return writev(fd, elements, count);
	case WAY_PREAD:
		return preadv(fd, elements, count, PAGE);
	case WAY_PWRITE:
		return pwritev(fd, elements, count, PAGE);
	case WAY_PREAD2:
		return preadv2(fd, elements, count, PAGE, 0);
	default:
		return pwritev2(fd, elements, count, PAGE, 0);
	}
}

static void counts(enum way way, int fd, const char *name, size_t each)
{
	static const int sizes[] = {-1,  0,           1,       2,           7,       8,      9,
				    100, IOV_MAX - 1, IOV_MAX, IOV_MAX + 1, INT_MAX, INT_MIN};

	for (int index = 0; index < IOV_MAX + 2; index++)
		many[index] = (struct iovec){buffer + (size_t)index * each, each};
	for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
		long long result;

		lseek(fd, 0, SEEK_SET);
		pattern_fill(buffer, 64 * KIB, index, 0);
		result = CALL_AS(go(way, fd, many, sizes[index]), "%s %s %d of %zu", name,
				 way_names[way], sizes[index], each);
		observe_offset("  ", fd);
		if (result > 0 && way % 2 == 0)
			observe_bytes("  ", buffer, (size_t)result);
	}
}

static void odd_elements(enum way way, int fd, const char *name)
{
	struct iovec sets[][3] = {
		{{buffer, 0}, {buffer, 0}, {buffer, 0}},
		{{NULL, 0}, {NULL, 0}, {NULL, 0}},
		{{NULL, 0}, {buffer, PAGE}, {NULL, 0}},
		{{(void *)8, 0}, {buffer, PAGE}, {(void *)-1L, 0}},
		{{buffer, PAGE}, {NULL, PAGE}, {buffer, PAGE}},
		{{buffer, PAGE}, {buffer, (size_t)-1}, {buffer, PAGE}},
		{{buffer, (size_t)SSIZE_MAX + 1}, {buffer, PAGE}, {buffer, PAGE}},
		{{buffer, PAGE}, {buffer, PAGE}, {buffer, (size_t)1 << 63}},
		{{buffer, PAGE}, {(void *)(1UL << 63), PAGE}, {buffer, PAGE}},
		{{buffer, PAGE}, {buffer, PAGE}, {(void *)(1UL << 63), 0}},
	};

	for (size_t index = 0; index < sizeof(sets) / sizeof(sets[0]); index++) {
		long long result;

		lseek(fd, 0, SEEK_SET);
		pattern_fill(buffer, PAGE, index, 0);
		result = CALL_AS(go(way, fd, sets[index], 3), "%s %s odd set %zu", name,
				 way_names[way], index);
		observe_offset("  ", fd);
		if (result > 0 && way % 2 == 0)
			observe_bytes("  ", buffer, PAGE);
	}
	CALL_AS(go(way, fd, OPAQUE((struct iovec *)NULL), 1), "%s %s no vector", name,
		way_names[way]);
	CALL_AS(go(way, fd, OPAQUE((struct iovec *)NULL), 0), "%s %s no vector of 0", name,
		way_names[way]);
	CALL_AS(go(way, fd, OPAQUE((struct iovec *)8), 2), "%s %s bad vector", name,
		way_names[way]);
	CALL_AS(go(way, fd, OPAQUE((struct iovec *)8), 0), "%s %s bad vector of 0", name,
		way_names[way]);
	/* The array itself ends at a page that cannot be read. */
	CALL_AS(go(way, fd, OPAQUE((struct iovec *)(buffer + 4 * MIB + PAGE - 16)), 2),
		"%s %s vector cut off", name, way_names[way]);
}

static void on_file(const char *name, int flags)
{
	for (enum way way = 0; way < WAY_COUNT; way++) {
		int fd;

		make_file("vectors", 5 * MIB, 3);
		fd = open("vectors", O_RDWR | flags);
		NEED(fd >= 0);
		counts(way, fd, name, 512);
		counts(way, fd, name, PAGE);
		if (!(flags & O_DIRECT))
			counts(way, fd, name, 3);
		odd_elements(way, fd, name);
		close(fd);
		observe_file("vectors");
	}
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(4 * MIB + PAGE);
	on_file("buffered", 0);
	on_file("append", O_APPEND);
	on_file("direct", O_DIRECT);
	unlink("vectors");
	return 0;
}
