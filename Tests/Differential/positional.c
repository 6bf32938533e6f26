/* differential: pread, pwrite and their vectored forms on every kind of descriptor; direct */
#include "kinds.h"

static char *buffer;

static const size_t lengths[] = {0, 1, 511, 512, PAGE, PAGE + 512, 2 * PAGE, 64 * KIB, 1 * MIB};
static const off_t offsets[] = {0, 1, 512, PAGE, KIND_BYTES - 100, KIND_BYTES, 64 * KIB};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void observe_read(const char *label, long long result)
{
	if (result > 0)
		observe_bytes(label, buffer, (size_t)result);
}

static void reads(const char *name, int fd)
{
	for (size_t at = 0; at < COUNT(offsets); at++) {
		for (size_t length = 0; length < COUNT(lengths); length++) {
			memset(buffer, 0x55, lengths[length]);
			observe_read(name, CALL_AS(pread(fd, buffer, lengths[length], offsets[at]),
						   "%s pread %zu at %lld", name, lengths[length],
						   (long long)offsets[at]));
		}
	}
	memset(buffer, 0x55, PAGE);
	observe_read(name, CALL_AS(pread64(fd, buffer, PAGE, 0), "%s pread64", name));
}

static void vectored_reads(const char *name, int fd)
{
	struct iovec three[] = {{buffer, PAGE}, {buffer + 2 * PAGE, 0}, {buffer + PAGE, 2 * PAGE}};
	struct iovec odd[] = {{buffer + 1, 100}, {buffer + 300, 13}, {buffer + 400, PAGE}};

	memset(buffer, 0x55, 3 * PAGE);
	observe_read(name, CALL_AS(preadv(fd, three, 3, 0), "%s preadv three", name));
	memset(buffer, 0x55, 3 * PAGE);
	observe_read(name, CALL_AS(preadv(fd, three, 3, PAGE), "%s preadv three at a page", name));
	memset(buffer, 0x55, 3 * PAGE);
	CALL_AS(preadv(fd, odd, 3, 7), "%s preadv odd", name);
	observe_bytes(name, buffer, 2 * PAGE);
	memset(buffer, 0x55, 3 * PAGE);
	CALL_AS(preadv2(fd, three, 3, 0, 0), "%s preadv2", name);
	observe_bytes(name, buffer, 3 * PAGE);
	CALL_AS(preadv64(fd, three, 3, 2 * PAGE), "%s preadv64", name);
	CALL_AS(preadv64v2(fd, three, 3, 2 * PAGE, 0), "%s preadv64v2", name);
	CALL_AS(preadv(fd, three, 0, 0), "%s preadv none", name);
}

static void writes(const char *name, int fd)
{
	static const struct {
		size_t bytes;
		off_t offset;
	} cases[] = {
		{0, 0},
		{1, 0},
		{512, 512},
		{PAGE, PAGE},
		{PAGE, 1},
		{100, KIND_BYTES - 50},
		{PAGE, 3 * PAGE},
		{2 * PAGE, 5 * PAGE},
		{64 * KIB, 0},
		{1 * MIB, 0},
		/* Within one block: of a longer one the kernel may write a part before EINVAL. */
		{1 * MIB, 512 * KIB},
		{PAGE - 1, 0},
	};

	for (size_t index = 0; index < COUNT(cases); index++) {
		pattern_fill(buffer, cases[index].bytes, 20 + index, 0);
		CALL_AS(pwrite(fd, buffer, cases[index].bytes, cases[index].offset),
			"%s pwrite %zu at %lld", name, cases[index].bytes,
			(long long)cases[index].offset);
	}
	kind_observe(name, fd);
	pattern_fill(buffer, PAGE, 50, 0);
	CALL_AS(pwrite64(fd, buffer, PAGE, PAGE), "%s pwrite64", name);
}

static void vectored_writes(const char *name, int fd)
{
	struct iovec three[] = {{buffer, PAGE}, {buffer + 2 * PAGE, 0}, {buffer + PAGE, 2 * PAGE}};
	struct iovec odd[] = {{buffer + 1, 100}, {buffer + 300, 13}, {buffer + 400, PAGE}};

	pattern_fill(buffer, 4 * PAGE, 60, 0);
	CALL_AS(pwritev(fd, three, 3, 0), "%s pwritev three", name);
	CALL_AS(pwritev(fd, three, 3, 2 * PAGE), "%s pwritev three, extending", name);
	CALL_AS(pwritev(fd, odd, 3, 7), "%s pwritev odd", name);
	CALL_AS(pwritev2(fd, three, 3, PAGE, 0), "%s pwritev2", name);
	CALL_AS(pwritev64(fd, three, 3, 4 * PAGE), "%s pwritev64", name);
	CALL_AS(pwritev64v2(fd, three, 2, 4 * PAGE, 0), "%s pwritev64v2", name);
	CALL_AS(pwritev(fd, three, 0, 0), "%s pwritev none", name);
	kind_observe(name, fd);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	buffer = pages(1 * MIB);
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int fd;

		if (kinds[index].open == kind_process_memory)
			continue; /* its content is this process: only streams.c looks at it */
		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		kind_observe(name, fd);
		reads(name, fd);
		vectored_reads(name, fd);
		kind_observe(name, fd);
		writes(name, fd);
		vectored_writes(name, fd);
		kind_close(fd);
	}
	return 0;
}
