/* differential: counts over 2 GiB are clipped to 0x7ffff000, over SSIZE_MAX refused; direct */
#include "observe.h"

#include <limits.h>

#define WINDOW (16 * (size_t)MIB)
#define SPACE (3072 * (size_t)MIB)
#define LIMIT 0x7ffff000ULL

static char *space;

/*
 * Three gigabytes of addresses: sixteen megabytes of their own, where results are looked at, and
 * behind them sixteen others again and again. (The kernel may read a little behind the end.)
 */
static void make_space(void)
{
	int fd = memfd_create("window", MFD_CLOEXEC);
	int read_write = PROT_READ | PROT_WRITE;

	NEED(fd >= 0 && ftruncate(fd, WINDOW) == 0);
	space = mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	NEED(space != MAP_FAILED);
	NEED(mprotect(space, WINDOW, read_write) == 0);
	for (size_t at = WINDOW; at < SPACE; at += WINDOW)
		NEED(mmap(space + at, WINDOW, read_write, MAP_SHARED | MAP_FIXED, fd, 0) !=
		     MAP_FAILED);
	close(fd);
}

static const size_t counts[] = {
	LIMIT - PAGE,
	LIMIT - 1,
	LIMIT,
	LIMIT + 1,
	LIMIT + PAGE,
	0x80000000ULL,
	0xffffffffULL,
	0x100000000ULL,
	0x7fffffffffffffffULL,
	0x8000000000000000ULL,
	0xffffffffffffffffULL,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void devices(void)
{
	int none = open("/dev/null", O_RDWR);
	int zero = open("/dev/zero", O_RDWR);

	for (size_t index = 0; index < COUNT(counts); index++) {
		CALL_AS(write(none, space, counts[index]), "null write %zx", counts[index]);
		CALL_AS(pwrite(none, space, counts[index], 5), "null pwrite %zx", counts[index]);
		CALL_AS(read(none, space, counts[index]), "null read %zx", counts[index]);
		CALL_AS(pread(none, space, counts[index], 5), "null pread %zx", counts[index]);
	}
	CALL(read(zero, space, LIMIT + 1));
	CALL(pread(zero, space, 0x80000000ULL, 0));
	close(none);
	close(zero);
}

/* Near the end of a file whatever the count, so that little is transferred. */
static void near_the_end(const char *name, int flags)
{
	off_t end = 8 * MIB;
	int fd;

	make_file("counts", 8 * MIB, 4);
	fd = open("counts", O_RDWR | flags);
	for (size_t index = 0; index < COUNT(counts); index++) {
		long long result;

		memset(space, 0x55, 2 * MIB);
		result = CALL_AS(pread(fd, space, counts[index], end - 2 * MIB), "%s pread %zx",
				 name, counts[index]);
		if (result > 0)
			observe_bytes("  ", space, (size_t)result);
		lseek(fd, end - 64 * KIB, SEEK_SET);
		CALL_AS(read(fd, space, counts[index]), "%s read %zx", name, counts[index]);
		observe_offset("  ", fd);
	}
	close(fd);
	unlink("counts");
}

static void sparse_reads(const char *name, int flags)
{
	off_t size = (off_t)5 << 30;
	struct iovec two[2] = {{space, 0x40000000}, {space + 0x40000000, 0x40000000}};
	int fd = open("counts", O_CREAT | O_RDWR, 0644);

	NEED(ftruncate(fd, size) == 0);
	close(fd);
	fd = open("counts", O_RDWR | flags);
	memset(space, 0x55, WINDOW);
	CALL_AS(pread(fd, space, 0x80000000ULL, 0), "%s sparse pread", name);
	observe_bytes("  ", space, WINDOW);
	CALL_AS(preadv(fd, two, 2, 0), "%s sparse preadv", name);
	CALL_AS(read(fd, space, LIMIT + PAGE), "%s sparse read", name);
	observe_offset("  ", fd);
	close(fd);
	unlink("counts");
}

/* The last kilobytes a file system can address: a large write there is cut short. */
static void largest_offset(const char *name, int flags)
{
	int fd = open("counts", O_CREAT | O_RDWR | flags, 0644);
	off_t low = 0;
	off_t high = INT64_MAX;

	while (low < high) {
		off_t middle = low + (high - low) / 2 + 1;

		if (ftruncate(fd, middle) == 0)
			low = middle;
		else
			high = middle - 1;
	}
	NEED(ftruncate(fd, 0) == 0);
	observe("%s largest size %llx", name, (unsigned long long)low);
	low = low / PAGE * PAGE;
	CALL_AS(pwrite(fd, space, 0x80000000ULL, low - 2 * PAGE), "%s pwrite at the top", name);
	CALL_AS(pwrite(fd, space, 1 * MIB, low - 16 * PAGE), "%s pwrite near the top", name);
	CALL_AS(pwrite(fd, space, 1 * MIB, low + PAGE), "%s pwrite above the top", name);
	CALL_AS(pread(fd, space, 0x80000000ULL, low - 16 * PAGE), "%s pread at the top", name);
	close(fd);
	unlink("counts");
}

static void vectors(void)
{
	struct iovec over[3] = {{space, 0x60000000}, {space, 0x60000000}, {space, 0x60000000}};
	struct iovec wrap[2] = {{space, SSIZE_MAX}, {space, 2}};
	int none = open("/dev/null", O_RDWR);

	CALL(writev(none, over, 3));
	CALL(pwritev(none, over, 3, 0));
	CALL(pwritev2(none, over, 3, 0, 0));
	CALL(readv(none, over, 3));
	CALL(writev(none, wrap, 1));
	CALL(writev(none, wrap, 2));
	CALL(pwritev(none, wrap, 2, 0));
	close(none);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	make_space();
	devices();
	near_the_end("buffered", 0);
	near_the_end("direct", O_DIRECT);
	sparse_reads("direct", O_DIRECT);
	largest_offset("buffered", 0);
	largest_offset("direct", O_DIRECT);
	vectors();
	return 0;
}
