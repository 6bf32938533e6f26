/* differential: O_DIRECT reads of many sizes around chunk borders, at and beyond the end; direct */
#include "observe.h"

#define LARGEST (5 * MIB)

static char *buffer;

/* Files that end on, just before and just after the borders at which a call may be cut. */
static const size_t ends[] = {
	0,
	1,
	511,
	512,
	513,
	PAGE - 1,
	PAGE,
	PAGE + 1,
	3 * PAGE + 512,
	64 * KIB,
	64 * KIB + 100,
	128 * KIB - 512,
	128 * KIB,
	256 * KIB + 1,
	512 * KIB - 1,
	512 * KIB,
	512 * KIB + PAGE,
	1 * MIB - 1,
	1 * MIB,
	1 * MIB + 1,
	1 * MIB + 512 * KIB + 77,
	2 * MIB,
	2 * MIB + 512,
	4 * MIB,
	4 * MIB + 12345,
};

static const size_t lengths[] = {
	512,
	PAGE,
	64 * KIB,
	128 * KIB,
	256 * KIB - 512,
	256 * KIB,
	512 * KIB - PAGE,
	512 * KIB,
	512 * KIB + PAGE,
	512 * KIB + 512,
	1 * MIB - 512,
	1 * MIB,
	1 * MIB + PAGE,
	2 * MIB,
	3 * MIB + 512,
	4 * MIB,
	LARGEST,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void read_at(int fd, size_t end, size_t length, off_t offset)
{
	long long result;

	/* What lies behind the answer is the kernel's to leave alone or not. */
	memset(buffer, 0x55, length);
	result = CALL_AS(pread(fd, buffer, length, offset), "end %zu pread %zu at %lld", end,
			 length, (long long)offset);
	if (result > 0) {
		size_t right = pattern_matches(buffer, (size_t)result, end, (uint64_t)offset);

		if (right != (size_t)result)
			observe("  wrong from byte %zu", right);
	}
}

static void one_end(size_t end)
{
	int fd;

	make_file("ending", end, end);
	fd = open("ending", O_RDONLY | O_DIRECT);
	NEED(fd >= 0);
	for (size_t index = 0; index < COUNT(lengths); index++) {
		size_t length = lengths[index];

		read_at(fd, end, length, 0);
		read_at(fd, end, length, (off_t)(end / 2 / 512 * 512));
		read_at(fd, end, length, (off_t)(end / 512 * 512));
		read_at(fd, end, length, (off_t)((end + 511) / 512 * 512));
		read_at(fd, end, length, (off_t)(end / 512 * 512 + 1 * MIB));
	}
	observe_offset("offset untouched", fd);
	close(fd);
	unlink("ending");
}

static void in_sequence(size_t length)
{
	size_t end = 3 * MIB + 999;
	uint64_t hash = 0;
	long long result;
	int fd;

	make_file("ending", end, 5);
	fd = open("ending", O_RDONLY | O_DIRECT);
	do {
		result = CALL_AS(read(fd, buffer, length), "sequential read %zu", length);
		if (result > 0)
			hash = hash * 31 + hash_bytes(buffer, (size_t)result);
		observe_offset("  ", fd);
	} while (result > 0 && result % PAGE == 0);
	observe("sequential hash %016llx", (unsigned long long)hash);
	close(fd);
	unlink("ending");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(LARGEST + 2 * PAGE);
	for (size_t index = 0; index < COUNT(ends); index++)
		one_end(ends[index]);
	in_sequence(256 * KIB);
	in_sequence(1 * MIB);
	in_sequence(4 * MIB);
	return 0;
}
