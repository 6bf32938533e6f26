/* differential: libaio reads and writes of many sizes at many places of a file; direct */
#include "aio.h"

#include <limits.h>

#define FILE_BYTES (96 * KIB + 700)
#define MEMORY_BYTES (2 * MIB)

static char *memory;

struct place {
	long long offset;
	size_t bytes;
};

static const struct place places[] = {
	{0, 512},
	{0, PAGE},
	{0, 3 * PAGE},
	{0, 64 * KIB},
	{0, 96 * KIB},
	{0, 128 * KIB},
	{0, 2 * MIB},
	{0, 0},
	{1, 0},
	{PAGE, 16 * KIB},
	{96 * KIB - 512, 512},
	{96 * KIB - 512, 1024},
	{96 * KIB, 512},
	{96 * KIB, PAGE},
	{96 * KIB + 512, 512},
	{96 * KIB + 700, PAGE},
	{100 * KIB, PAGE},
	{1 * MIB, PAGE},
	{1LL << 40, PAGE},
	/* What O_DIRECT does not like. */
	{1, 512},
	{512, 100},
	{511, 513},
	{PAGE + 8, PAGE},
	/* What nobody likes. */
	{-1, 512},
	{-PAGE, PAGE},
	{INT64_MIN, 512},
	{INT64_MAX, 512},
	{INT64_MAX - 511, 512},
	{INT64_MAX - 4095, PAGE},
	{0, SSIZE_MAX},
	{0, (size_t)SSIZE_MAX + 1},
	{0, SIZE_MAX},
	{PAGE, (size_t)1 << 40},
};

#define PLACES (sizeof(places) / sizeof(places[0]))

static void reads(const struct aio_way *way, io_context_t context, const char *state, int fd)
{
	struct iocb request;
	char label[160];

	for (size_t index = 0; index < PLACES; index++) {
		const struct place *at = &places[index];
		long result;

		/* A count beyond the buffer would overwrite what lies behind it. */
		if (at->bytes > MEMORY_BYTES && at->bytes <= SSIZE_MAX)
			continue;
		memset(memory, 0xee, MEMORY_BYTES);
		aio_prepare(&request, IO_CMD_PREAD, fd, memory, at->bytes, at->offset);
		snprintf(label, sizeof(label), "%s pread %zu at %lld", state, at->bytes,
			 at->offset);
		result = aio_one(way, context, &request, label);
		if (result > 0)
			observe("  %zu as written, hash of all %016llx",
				pattern_matches(memory, (size_t)result, 4, (uint64_t)at->offset),
				(unsigned long long)hash_bytes(memory, MEMORY_BYTES));
	}
}

static void writes(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	struct iocb request;
	char label[160];

	for (size_t index = 0; index < PLACES; index++) {
		const struct place *at = &places[index];
		int fd;

		if (at->bytes > MEMORY_BYTES && at->bytes <= SSIZE_MAX)
			continue;
		make_file("written", 32 * KIB, 4);
		fd = open("written", O_WRONLY | flags);
		NEED(fd >= 0);
		pattern_fill(memory, MEMORY_BYTES, 9, 0);
		aio_prepare(&request, IO_CMD_PWRITE, fd, memory, at->bytes, at->offset);
		snprintf(label, sizeof(label), "%s pwrite %zu at %lld", state, at->bytes,
			 at->offset);
		aio_one(way, context, &request, label);
		if (at->offset < 2 * MIB)
			observe_file("written");
		observe_offset("  ", fd);
		close(fd);
		unlink("written");
	}
}

/* Memory that lies wrong for O_DIRECT, at every step up to a sector. */
static void alignment(const struct aio_way *way, io_context_t context, const char *state, int fd)
{
	struct iocb request;
	char label[160];

	for (size_t shift = 1; shift <= 512; shift *= 2) {
		aio_prepare(&request, IO_CMD_PREAD, fd, memory + shift, PAGE, PAGE);
		snprintf(label, sizeof(label), "%s memory off by %zu", state, shift);
		if (aio_one(way, context, &request, label) > 0)
			observe_bytes("  ", memory + shift, PAGE);
	}
}

/* Vectors with empty, odd and many elements. */
static void vectors(const struct aio_way *way, io_context_t context, const char *state, int fd)
{
	struct iovec elements[1100];
	static const size_t counts[] = {0, 1, 2, 8, 9, 64, 1024, 1025, (size_t)1 << 32, SIZE_MAX};
	struct iocb request;
	char label[160];

	for (size_t step = 512; step <= 2 * PAGE; step *= 4) {
		for (size_t index = 0; index < 1100; index++) {
			elements[index].iov_base = memory + index * step % MEMORY_BYTES;
			elements[index].iov_len = index % 3 == 1 && step == 512 ? 0 : step;
		}
		for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
			memset(memory, 0, MEMORY_BYTES);
			aio_prepare(&request, IO_CMD_PREADV, fd, elements, counts[index], PAGE);
			snprintf(label, sizeof(label), "%s preadv of %zu by %zu", state,
				 counts[index], step);
			if (aio_one(way, context, &request, label) > 0)
				observe_bytes("  ", memory, MEMORY_BYTES);
		}
	}
	elements[1].iov_len = (size_t)SSIZE_MAX + 1;
	aio_prepare(&request, IO_CMD_PREADV, fd, elements, 3, 0);
	aio_one(way, context, &request, "an element beyond all limits");
	elements[0].iov_len = SSIZE_MAX;
	elements[1].iov_len = SSIZE_MAX;
	aio_prepare(&request, IO_CMD_PWRITEV, fd, elements, 2, INT64_MAX);
	aio_one(way, context, &request, "a sum beyond all limits");
}

/* A file with holes, between and behind data. */
static void holes(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	struct iocb request;
	int fd = open("holes", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);

	NEED(fd >= 0);
	pattern_fill(memory, 2 * PAGE, 8, 0);
	aio_prepare(&request, IO_CMD_PWRITE, fd, memory, 2 * PAGE, 8 * PAGE);
	aio_one(way, context, &request, state);
	NEED(ftruncate(fd, 20 * PAGE + 512) == 0);
	for (int page = 0; page < 22; page += 3) {
		memset(memory, 0xee, 4 * PAGE);
		aio_prepare(&request, IO_CMD_PREAD, fd, memory, 4 * PAGE, page * PAGE);
		if (aio_one(way, context, &request, "  over a hole") > 0)
			observe_bytes("  ", memory, 4 * PAGE);
	}
	NEED(close(fd) == 0);
	observe_file("holes");
	unlink("holes");
}

static void all(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	int fd = open("transfers", O_RDWR | flags);

	NEED(fd >= 0);
	reads(way, context, state, fd);
	alignment(way, context, state, fd);
	vectors(way, context, state, fd);
	observe_offset(state, fd);
	NEED(close(fd) == 0);
	writes(way, context, state, flags);
	holes(way, context, state, flags);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(MEMORY_BYTES);
	make_file("transfers", FILE_BYTES, 4);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, 4);

		if (index == 1)
			aio_warm(way, context);
		all(way, context, "buffered", 0);
		all(way, context, "direct", O_DIRECT);
		all(way, context, "synchronous", O_DSYNC);
		aio_end(way, context);
	}
	unlink("transfers");
	return 0;
}
