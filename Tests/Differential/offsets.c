/* differential: negative and huge offsets, an offset that pread and pwrite leave alone; direct */
#include "observe.h"

static char *buffer;

static const off_t offsets[] = {
	-1,
	-2,
	-PAGE,
	INT64_MIN,
	INT64_MIN + PAGE,
	INT64_MAX,
	INT64_MAX - 1,
	INT64_MAX - PAGE,
	INT64_MAX / PAGE *PAGE,
	INT64_MAX / PAGE *PAGE - PAGE,
	(off_t)1 << 62,
	(off_t)1 << 44,
	((off_t)1 << 44) - PAGE,
	(off_t)1 << 40,
	(off_t)1 << 32,
	((off_t)1 << 32) - PAGE,
	(off_t)1 << 31,
	((off_t)1 << 31) - 512,
};

static const size_t lengths[] = {0, 1, 512, PAGE, 1 * MIB};

static void reads(const char *name, int fd)
{
	struct iovec two[2] = {{buffer, PAGE}, {buffer + PAGE, 512 * KIB}};

	for (size_t index = 0; index < sizeof(offsets) / sizeof(offsets[0]); index++) {
		off_t offset = offsets[index];

		for (size_t length = 0; length < sizeof(lengths) / sizeof(lengths[0]); length++) {
			long long result = CALL_AS(pread(fd, buffer, lengths[length], offset),
						   "%s pread %zu at %llx", name, lengths[length],
						   (unsigned long long)offset);
			if (result > 0)
				observe_bytes("  ", buffer, (size_t)result);
		}
		CALL_AS(preadv(fd, two, 2, offset), "%s preadv", name);
		if (offset != -1)
			CALL_AS(preadv2(fd, two, 2, offset, 0), "%s preadv2", name);
		observe_offset("  ", fd);
	}
}

static void writes(const char *name, int fd)
{
	struct iovec two[2] = {{buffer, PAGE}, {buffer + PAGE, 512 * KIB}};
	struct stat status;

	pattern_fill(buffer, 1 * MIB, 2, 0);
	for (size_t index = 0; index < sizeof(offsets) / sizeof(offsets[0]); index++) {
		off_t offset = offsets[index];

		for (size_t length = 0; length < sizeof(lengths) / sizeof(lengths[0]); length++)
			CALL_AS(pwrite(fd, buffer, lengths[length], offset),
				"%s pwrite %zu at %llx", name, lengths[length],
				(unsigned long long)offset);
		CALL_AS(pwritev(fd, two, 2, offset), "%s pwritev", name);
		if (offset != -1)
			CALL_AS(pwritev2(fd, two, 2, offset, 0), "%s pwritev2", name);
		observe_offset("  ", fd);
		NEED(fstat(fd, &status) == 0);
		observe("  size %llx", (unsigned long long)status.st_size);
	}
}

/* The position moves with read, write and lseek, and with nothing else. */
static void position(const char *name, int fd)
{
	struct iovec two[2] = {{buffer, PAGE}, {buffer + PAGE, 64 * KIB}};

	lseek(fd, 3 * PAGE, SEEK_SET);
	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", name);
	observe_offset(name, fd);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, PAGE), "%s pwrite", name);
	observe_offset(name, fd);
	CALL_AS(preadv(fd, two, 2, PAGE), "%s preadv", name);
	CALL_AS(pwritev(fd, two, 2, PAGE), "%s pwritev", name);
	observe_offset(name, fd);
	CALL_AS(read(fd, buffer, 1 * MIB), "%s read", name);
	observe_offset(name, fd);
	CALL_AS(write(fd, buffer, 512 * KIB), "%s write", name);
	observe_offset(name, fd);
	CALL_AS(readv(fd, two, 2), "%s readv", name);
	observe_offset(name, fd);
	CALL_AS(preadv2(fd, two, 2, -1, 0), "%s preadv2 at the position", name);
	observe_offset(name, fd);
	CALL_AS(pwritev2(fd, two, 2, -1, 0), "%s pwritev2 at the position", name);
	observe_offset(name, fd);
	CALL_AS(lseek(fd, -PAGE, SEEK_END), "%s lseek", name);
	CALL_AS(read(fd, buffer, 1 * MIB), "%s read to the end", name);
	observe_offset(name, fd);
	CALL_AS(fsync(fd), "%s fsync", name);
	CALL_AS(ftruncate(fd, 5 * PAGE), "%s ftruncate", name);
	observe_offset(name, fd);
	CALL_AS(read(fd, buffer, PAGE), "%s read behind the end", name);
	CALL_AS(lseek(fd, INT64_MAX - 10, SEEK_SET), "%s lseek far", name);
	CALL_AS(read(fd, buffer, PAGE), "%s read far", name);
	CALL_AS(write(fd, buffer, PAGE), "%s write far", name);
	observe_offset(name, fd);
}

static void on_file(const char *name, int flags)
{
	int fd;

	make_file("offsets", 3 * MIB, 3);
	fd = open("offsets", O_RDWR | flags);
	NEED(fd >= 0);
	reads(name, fd);
	position(name, fd);
	writes(name, fd);
	close(fd);
	unlink("offsets");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(2 * MIB);
	on_file("buffered", 0);
	on_file("direct", O_DIRECT);
	on_file("append", O_APPEND);
	on_file("direct append", O_DIRECT | O_APPEND);
	return 0;
}
