/* differential: O_DIRECT writes inside, across and behind the end, over holes; direct */
#include "observe.h"

#define LARGEST (4 * MIB)

static char *buffer;

static const size_t lengths[] = {
	512,       PAGE,          64 * KIB,         128 * KIB + 512,
	256 * KIB, 512 * KIB,     512 * KIB + PAGE, 1 * MIB - PAGE,
	1 * MIB,   2 * MIB + 512, LARGEST,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void write_at(int fd, size_t length, off_t offset, uint64_t seed)
{
	struct stat status;

	pattern_fill(buffer, length, seed, 0);
	CALL_AS(pwrite(fd, buffer, length, offset), "pwrite %zu at %lld", length,
		(long long)offset);
	observe_offset("  ", fd);
	NEED(fstat(fd, &status) == 0);
	observe("  size %lld", (long long)status.st_size);
}

/* What a second descriptor reads back is what was written, whatever way it took. */
static void check(const char *name, int fd)
{
	static char back[64 * KIB] __attribute__((aligned(PAGE)));
	uint64_t hash = 0;
	off_t at = 0;
	ssize_t result;

	while ((result = pread(fd, back, sizeof(back), at)) > 0) {
		hash = hash * 31 + hash_bytes(back, (size_t)result);
		at += result;
		if (result % 512 != 0)
			break;
	}
	observe("%s direct content %016llx to %lld", name, (unsigned long long)hash, (long long)at);
	observe_file("written");
}

static void on_file(const char *name, int prepare, int flags)
{
	int fd = open("written", O_CREAT | O_TRUNC | O_RDWR | O_DIRECT | flags, 0644);

	observe("== %s", name);
	NEED(fd >= 0);
	if (prepare == 1)
		NEED(ftruncate(fd, 2 * LARGEST) == 0);
	if (prepare == 2)
		NEED(posix_fallocate(fd, 0, 2 * LARGEST) == 0);
	if (prepare == 3) {
		make_file("written", LARGEST, 1);
		NEED(ftruncate(fd, LARGEST - 100) == 0);
	}
	for (size_t index = 0; index < COUNT(lengths); index++) {
		write_at(fd, lengths[index], 0, 100 + index);
		write_at(fd, lengths[index], PAGE, 200 + index);
		write_at(fd, lengths[index], (off_t)(index * 512 * KIB), 300 + index);
	}
	check(name, fd);
	/* Across the end: one part inside, one behind it. */
	NEED(ftruncate(fd, 1 * MIB) == 0);
	write_at(fd, 1 * MIB, 512 * KIB, 400);
	write_at(fd, 2 * MIB, 2 * MIB, 401);
	write_at(fd, 512 * KIB, 8 * MIB, 402);
	check(name, fd);
	close(fd);
	unlink("written");
}

static void read_only(void)
{
	int fd;

	make_file("written", 1 * MIB, 1);
	fd = open("written", O_RDONLY | O_DIRECT);
	write_at(fd, 1 * MIB, 0, 1);
	close(fd);
	fd = open("written", O_WRONLY | O_DIRECT);
	CALL(pread(fd, buffer, 1 * MIB, 0));
	write_at(fd, 1 * MIB, 0, 2);
	close(fd);
	observe_file("written");
	unlink("written");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(LARGEST);
	on_file("empty", 0, 0);
	on_file("sparse", 1, 0);
	on_file("allocated", 2, 0);
	on_file("written before", 3, 0);
	on_file("synchronous", 1, O_SYNC);
	on_file("data synchronous", 3, O_DSYNC);
	read_only();
	return 0;
}
