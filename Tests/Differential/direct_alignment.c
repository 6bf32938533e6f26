/* differential: O_DIRECT with offset, length or address out of line; direct */
#include "observe.h"

#define BYTES (2 * MIB)

static char *buffer;

/*
 * Of a misaligned write the kernel may have written the aligned part before it says EINVAL, by
 * how the file happens to lie on the device: so the writes have their misalignment up front.
 */
static void out_of_line(int fd, size_t address, size_t length, off_t offset)
{
	long long result;

	memset(buffer, 0x55, BYTES + PAGE);
	result = CALL_AS(pread(fd, buffer + address, length, offset),
			 "pread address +%zu length %zu offset %lld", address, length,
			 (long long)offset);
	if (result > 0)
		observe_bytes("  ", buffer + address, (size_t)result);
	result = CALL_AS(preadv(fd, &(struct iovec){buffer + address, length}, 1, offset),
			 "preadv the same");
	if (result > 0)
		observe_bytes("  ", buffer + address, (size_t)result);
	if (offset % 512 == 0 && length % 512 != 0 && length > PAGE)
		return;
	pattern_fill(buffer, BYTES + PAGE, 3, 0);
	CALL_AS(pwrite(fd, buffer + address, length, offset), "pwrite the same");
	CALL_AS(pwritev(fd, &(struct iovec){buffer + address, length}, 1, offset),
		"pwritev the same");
}

static void every_way(int fd)
{
	static const size_t addresses[] = {0, 1, 4, 8, 64, 511, 512, 1024, PAGE - 512};
	static const size_t lengths[] = {
		1,         511,           512,     PAGE,         PAGE + 1, 64 * KIB + 512,
		512 * KIB, 512 * KIB + 4, 1 * MIB, 1 * MIB + 512};
	static const off_t offsets[] = {0, 1, 511, 512, PAGE, 512 * KIB, 512 * KIB + 8};

	for (size_t a = 0; a < sizeof(addresses) / sizeof(addresses[0]); a++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++)
				out_of_line(fd, addresses[a], lengths[l], offsets[o]);
		}
	}
}

/* Vectors whose elements are aligned each, in sum only, or not at all. */
static void vectors(int fd)
{
	struct iovec sets[][4] = {
		{{buffer, PAGE}, {buffer + PAGE, PAGE}, {buffer + 4 * PAGE, PAGE}, {buffer, 0}},
		{{buffer, 512}, {buffer + PAGE, 512}, {buffer + 3 * PAGE, 1024}, {buffer, 0}},
		{{buffer, 256}, {buffer + 256, 256}, {buffer + 512, 512}, {buffer, 0}},
		{{buffer + 1, 512}, {buffer + PAGE, 512}, {buffer + 2 * PAGE, 512}, {buffer, 0}},
		{{buffer, 0}, {buffer + 1, 0}, {buffer + PAGE, PAGE}, {NULL, 0}},
		{{buffer, 512 * KIB}, {buffer + 1 * MIB, 512 * KIB}, {buffer, 0}, {buffer, 0}},
		{{buffer, 512 * KIB}, {buffer + 1 * MIB, 512 * KIB + 1}, {buffer, 0}, {NULL, 0}},
		{{buffer, 1 * MIB}, {buffer + 1 * MIB, 512}, {buffer, 0}, {NULL, 0}},
	};

	for (size_t index = 0; index < sizeof(sets) / sizeof(sets[0]); index++) {
		long long result;

		memset(buffer, 0x55, BYTES);
		result = CALL_AS(preadv(fd, sets[index], 4, 0), "preadv set %zu", index);
		if (result > 0)
			observe_bytes("  ", buffer, BYTES);
		result = CALL_AS(preadv(fd, sets[index], 4, 512), "preadv set %zu at 512", index);
		if (result > 0)
			observe_bytes("  ", buffer, BYTES);
		if (index == 2 || index == 6)
			continue;
		pattern_fill(buffer, BYTES, 10 + index, 0);
		CALL_AS(pwritev(fd, sets[index], 4, 0), "pwritev set %zu", index);
		CALL_AS(pwritev(fd, sets[index], 4, 512), "pwritev set %zu at 512", index);
	}
}

int main(int count, char **arguments)
{
	int fd;

	observe_begin(count, arguments);
	require_direct();
	buffer = pages(BYTES + PAGE);
	make_file("lines", BYTES, 9);
	fd = open("lines", O_RDWR | O_DIRECT);
	every_way(fd);
	vectors(fd);
	observe_offset("at the end", fd);
	close(fd);
	observe_file("lines");
	return 0;
}
