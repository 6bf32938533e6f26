/* differential: buffers that are bad, or good up to a page border, buffered and O_DIRECT; direct */
#include "observe.h"

#define GOOD (1 * MIB)

static char *memory; /* GOOD bytes that can be used, then a page that cannot */

static void around_the_border(const char *name, int fd)
{
	static const size_t inside[] = {0, 1, 512, PAGE, 64 * KIB, 512 * KIB, GOOD};
	static const size_t lengths[] = {0, 1, 512, PAGE, 2 * PAGE, 512 * KIB, GOOD, 2 * MIB};

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			char *at = OPAQUE(memory + GOOD - inside[i]);
			long long result;

			memset(memory, 0x55, GOOD);
			result = CALL_AS(pread(fd, at, lengths[l], 0), "%s pread %zu of %zu good",
					 name, lengths[l], inside[i]);
			if (result > 0)
				observe_bytes("  ", at, (size_t)result);
			lseek(fd, PAGE, SEEK_SET);
			result = CALL_AS(read(fd, at, lengths[l]), "%s read %zu of %zu good", name,
					 lengths[l], inside[i]);
			if (result > 0)
				observe_bytes("  ", at, (size_t)result);
			observe_offset("  ", fd);
		}
	}
}

static void write_around_the_border(const char *name, int fd, const char *path)
{
	static const size_t inside[] = {0, 1, 512, PAGE, 64 * KIB};
	static const size_t lengths[] = {0, 1, 512, PAGE, 128 * KIB, 2 * MIB};
	int direct = fcntl(fd, F_GETFL) & O_DIRECT;

	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			char *at = OPAQUE(memory + GOOD - inside[i]);

			pattern_fill(memory, GOOD, i * 10 + l, 0);
			CALL_AS(pwrite(fd, at, lengths[l], 0), "%s pwrite %zu of %zu good", name,
				lengths[l], inside[i]);
			lseek(fd, PAGE, SEEK_SET);
			CALL_AS(write(fd, at, lengths[l]), "%s write %zu of %zu good", name,
				lengths[l], inside[i]);
			observe_offset("  ", fd);
			/* What a failed direct write left behind is for the kernel to choose. */
			if (!direct)
				observe_file(path);
		}
	}
}

static void vectors(const char *name, int fd)
{
	struct iovec sets[][3] = {
		{{memory, PAGE}, {(void *)8, PAGE}, {memory + PAGE, PAGE}},
		{{(void *)8, PAGE}, {memory, PAGE}, {memory + PAGE, PAGE}},
		{{memory, PAGE}, {memory + GOOD - PAGE, 2 * PAGE}, {memory, PAGE}},
		{{memory, PAGE}, {memory + GOOD, PAGE}, {memory, PAGE}},
		{{memory, PAGE}, {memory + PAGE, PAGE}, {NULL, PAGE}},
		{{memory, 512 * KIB}, {memory + 512 * KIB, 512 * KIB}, {(void *)PAGE, 512 * KIB}},
	};

	for (size_t index = 0; index < sizeof(sets) / sizeof(sets[0]); index++) {
		CALL_AS(preadv(fd, sets[index], 3, 0), "%s preadv set %zu", name, index);
		lseek(fd, 0, SEEK_SET);
		CALL_AS(readv(fd, sets[index], 3), "%s readv set %zu", name, index);
		observe_offset("  ", fd);
		CALL_AS(pwritev(fd, sets[index], 3, 0), "%s pwritev set %zu", name, index);
		lseek(fd, 0, SEEK_SET);
		CALL_AS(writev(fd, sets[index], 3), "%s writev set %zu", name, index);
		observe_offset("  ", fd);
	}
}

/* Memory behind a gap in a large buffer is somebody else's. */
static void behind_a_gap(const char *name, int fd)
{
	char *whole = pages(3 * MIB);
	long long result;

	memset(whole, 0x77, 3 * MIB);
	NEED(mprotect(whole + GOOD, PAGE, PROT_NONE) == 0);
	result = CALL_AS(pread(fd, whole, 3 * MIB, 0), "%s pread over a gap", name);
	if (result > 0)
		observe_bytes("  ", whole, (size_t)result);
	observe_bytes("  behind it", whole + GOOD + PAGE, 2 * MIB - PAGE);
	NEED(munmap(whole, 3 * MIB + PAGE) == 0);
}

/* Read-only memory takes no answer, memory that is only readable can be written from. */
static void protections(const char *name, int fd)
{
	char *fixed = mmap(NULL, GOOD, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *middle = pages(GOOD);

	CALL_AS(pread(fd, fixed, GOOD, 0), "%s pread into read-only memory", name);
	CALL_AS(pwrite(fd, fixed, GOOD, 0), "%s pwrite from read-only memory", name);
	CALL_AS(pread(fd, OPAQUE((char *)(1UL << 63)), PAGE, 0), "%s pread kernel half", name);
	CALL_AS(pread(fd, OPAQUE((char *)-PAGE), PAGE, 0), "%s pread last page", name);
	CALL_AS(pread(fd, OPAQUE((char *)NULL), 0, 0), "%s pread nothing to NULL", name);
	CALL_AS(pread(fd, OPAQUE((char *)NULL), 1, 0), "%s pread to NULL", name);
	CALL_AS(pwrite(fd, OPAQUE((char *)NULL), 0, 0), "%s pwrite nothing from NULL", name);
	/* A hole in the middle of a large call, on and off the borders at which it may be cut. */
	for (size_t hole = 0; hole < GOOD; hole += 252 * KIB) {
		long long result;

		NEED(mprotect(middle + hole, PAGE, PROT_NONE) == 0);
		result = CALL_AS(pread(fd, middle, GOOD, 0), "%s hole at %zu", name, hole);
		if (result > 0)
			observe_bytes("  ", middle, (size_t)result);
		NEED(mprotect(middle + hole, PAGE, PROT_READ | PROT_WRITE) == 0);
	}
	CALL_AS(pread(fd, middle, GOOD, 0), "%s hole mended", name);
	munmap(fixed, GOOD);
}

static void on_file(const char *name, int flags)
{
	int fd;

	make_file("pointers", 3 * MIB, 3);
	fd = open("pointers", O_RDWR | flags);
	NEED(fd >= 0);
	behind_a_gap(name, fd);
	around_the_border(name, fd);
	write_around_the_border(name, fd, "pointers");
	vectors(name, fd);
	protections(name, fd);
	close(fd);
	unlink("pointers");
}

/* Descriptors that fail before the pointer is looked at, and devices that look at nothing. */
static void others(void)
{
	static const char *const paths[] = {"/dev/null", "/dev/zero", "/proc/sys/kernel/ostype"};
	int both[2];

	for (size_t index = 0; index < 3; index++) {
		int fd = open(paths[index], O_RDONLY);

		CALL_AS(pread(fd, OPAQUE((char *)8), PAGE, 0), "%s", paths[index]);
		CALL_AS(read(fd, OPAQUE((char *)8), PAGE), "%s", paths[index]);
		close(fd);
	}
	NEED(pipe2(both, O_NONBLOCK) == 0);
	CALL(write(both[1], OPAQUE((char *)8), 10));
	CALL(write(both[1], "some text", 9));
	CALL(read(both[0], OPAQUE((char *)8), 10));
	CALL(read(both[0], memory, 10));
	CALL(pread(-1, OPAQUE((char *)8), PAGE, 0));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(GOOD);
	on_file("buffered", 0);
	on_file("direct", O_DIRECT);
	on_file("synchronous", O_SYNC);
	others();
	return 0;
}
