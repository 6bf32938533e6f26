/* differential: POSIX AIO: short counts, huge counts, bad buffers, odd alignment, append; direct */
#include "posix_aio.h"

#include <limits.h>

#define GOOD (256 * KIB)

/* Far from the end of user memory: adding a huge count to it gives an address that is valid. */
#define PLACE ((void *)0x200000000000)

static char *memory; /* GOOD bytes that can be used, then a page that cannot */

static void request_one(const char *name, int writing, int fd, void *at, size_t bytes, off_t offset)
{
	struct aiocb request;
	char label[160];
	ssize_t result;

	snprintf(label, sizeof(label), "%s %s %zu at %lld", name, writing ? "write" : "read", bytes,
		 (long long)offset);
	if (writing)
		pattern_fill(memory, GOOD, bytes + (uint64_t)offset, 0);
	else
		memset(memory, 0x55, GOOD);
	aio_prepare(&request, fd, at, bytes, offset);
	CALL_AS(writing ? aio_write(&request) : aio_read(&request), "%s", label);
	result = aio_observe(label, &request);
	if (!writing && result > 0)
		observe_bytes("  ", at, (size_t)result);
}

static void around_the_end(const char *name, int fd)
{
	static const off_t offsets[] = {0,        1,         511,       512,     PAGE,     96 * KIB,
					99 * KIB, 100 * KIB, 101 * KIB, 1 * MIB, 1LL << 40};
	static const size_t lengths[] = {0, 1, 512, 1000, PAGE, PAGE + 512, 64 * KIB, 256 * KIB};

	for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++)
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
			request_one(name, 0, fd, memory, lengths[l], offsets[o]);
	observe_offset(name, fd);
}

/* A count over what one call can move, and counts that 32 bits cannot hold. */
static void huge_counts(const char *name, int fd)
{
	static const size_t lengths[] = {
		0x7ffff000,        0x7fffffff, 0x80000000,       0xffffffff, 1UL << 32,
		(1UL << 32) + 512, 1UL << 40,  SSIZE_MAX - PAGE, SSIZE_MAX,  (size_t)SSIZE_MAX + 1,
		SIZE_MAX - 1,      SIZE_MAX};

	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		request_one(name, 0, fd, memory, lengths[l], 0);
		request_one(name, 0, fd, memory, lengths[l], 99 * KIB);
		request_one(name, 0, fd, memory, lengths[l], 100 * KIB);
		request_one(name, 1, fd, memory, lengths[l], 0);
		observe_file("counts");
	}
}

static void bad_buffers(const char *name, int fd)
{
	static const size_t inside[] = {0, 512, PAGE, 64 * KIB};
	static const size_t lengths[] = {0, 1, 512, PAGE, 3 * PAGE, 128 * KIB};
	int direct = fcntl(fd, F_GETFL) & O_DIRECT;

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			char *at = OPAQUE(memory + GOOD - inside[i]);

			observe("%zu bytes are good", inside[i]);
			request_one(name, 0, fd, at, lengths[l], 0);
			request_one(name, 1, fd, at, lengths[l], 0);
			/* What a failed direct write left behind is for the kernel to choose. */
			if (!direct)
				observe_file("counts");
		}
	}
	request_one(name, 0, fd, OPAQUE((char *)NULL), PAGE, 0);
	request_one(name, 1, fd, OPAQUE((char *)NULL), PAGE, 0);
	request_one(name, 0, fd, OPAQUE((char *)NULL), 0, 0);
	request_one(name, 0, fd, OPAQUE((char *)(1UL << 63)), PAGE, 0);
	request_one(name, 1, fd, OPAQUE((char *)-PAGE), PAGE, 0);
}

static void alignment(const char *name, int fd)
{
	static const size_t shifts[] = {0, 1, 8, 100, 512, 1024};

	for (size_t s = 0; s < sizeof(shifts) / sizeof(shifts[0]); s++) {
		request_one(name, 0, fd, memory + shifts[s], PAGE, 0);
		request_one(name, 1, fd, memory + shifts[s], PAGE, 0);
		request_one(name, 0, fd, memory, PAGE + shifts[s], 0);
		request_one(name, 1, fd, memory, PAGE + shifts[s], 0);
		request_one(name, 0, fd, memory, PAGE, (off_t)shifts[s]);
		request_one(name, 1, fd, memory, PAGE, (off_t)shifts[s]);
		observe_file("counts");
	}
}

static void holes(const char *name, int flags)
{
	int fd = open("counts", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);

	NEED(fd >= 0);
	NEED(ftruncate(fd, 1 * MIB + 1000) == 0);
	request_one(name, 0, fd, memory, PAGE, 0);
	request_one(name, 0, fd, memory, 64 * KIB, 1 * MIB);
	request_one(name, 1, fd, memory, PAGE, 512 * KIB);
	request_one(name, 0, fd, memory, 64 * KIB, 512 * KIB - 32 * KIB);
	request_one(name, 1, fd, memory, PAGE, 4 * MIB);
	request_one(name, 0, fd, memory, 64 * KIB, 4 * MIB - 32 * KIB);
	observe_file("counts");
	close(fd);
}

/* The offset of an appending write is not used, but must not be negative. */
static void appending(const char *name, int flags)
{
	int fd;

	make_file("counts", 8 * KIB, 2);
	fd = open("counts", O_RDWR | O_APPEND | flags);
	NEED(fd >= 0);
	request_one(name, 1, fd, memory, PAGE, 0);
	request_one(name, 1, fd, memory, PAGE, 1 * MIB);
	request_one(name, 1, fd, memory, PAGE, -1);
	request_one(name, 1, fd, memory, 0, 0);
	NEED(lseek(fd, PAGE, SEEK_SET) == PAGE);
	request_one(name, 1, fd, memory, PAGE, 0);
	request_one(name, 0, fd, memory, 64 * KIB, 0);
	NEED(ftruncate(fd, PAGE) == 0);
	request_one(name, 1, fd, memory, PAGE, 2 * PAGE);
	observe_offset(name, fd);
	observe_file("counts");
	close(fd);
}

static void on_file(const char *name, int flags)
{
	int fd;

	observe("== %s", name);
	make_file("counts", 100 * KIB, 1);
	fd = open("counts", O_RDWR | flags);
	NEED(fd >= 0);
	around_the_end(name, fd);
	huge_counts(name, fd);
	bad_buffers(name, fd);
	alignment(name, fd);
	observe_offset(name, fd);
	close(fd);
	holes(name, flags);
	appending(name, flags);
	unlink("counts");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = mmap(PLACE, GOOD, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	NEED(memory == PLACE);
	on_file("buffered", 0);
	on_file("direct", O_DIRECT);
	on_file("synchronous", O_SYNC);
	return 0;
}
