/* differential: aio_read, aio_write and aio_fsync on every kind of descriptor */
#include "kinds.h"
#include "posix_aio.h"

static char *buffer;

static void report(const char *name, const char *what, struct aiocb *request, long long submitted)
{
	char label[128];

	if (submitted != 0)
		return;
	snprintf(label, sizeof(label), "%s %s", name, what);
	aio_observe(label, request);
}

static void one_read(const char *name, int fd, size_t bytes, off_t offset)
{
	struct aiocb request;
	long long submitted;

	memset(buffer, 0x5a, 2 * PAGE);
	aio_prepare(&request, fd, buffer, bytes, offset);
	submitted = CALL_AS(aio_read(&request), "%s aio_read %zu at %lld", name, bytes,
			    (long long)offset);
	report(name, "aio_read", &request, submitted);
	observe_bytes("  ", buffer, 2 * PAGE);
}

static void one_write(const char *name, int fd, size_t bytes, off_t offset)
{
	struct aiocb request;
	long long submitted;

	pattern_fill(buffer, 2 * PAGE, 11, 0);
	aio_prepare(&request, fd, buffer, bytes, offset);
	submitted = CALL_AS(aio_write(&request), "%s aio_write %zu at %lld", name, bytes,
			    (long long)offset);
	report(name, "aio_write", &request, submitted);
}

static void one_sync(const char *name, int fd, int operation, const char *what)
{
	struct aiocb request;
	long long submitted;

	aio_prepare(&request, fd, NULL, 0, 0);
	submitted = CALL_AS(aio_fsync(operation, &request), "%s aio_fsync %s", name, what);
	report(name, "aio_fsync", &request, submitted);
}

static void reads(const struct kind *kind)
{
	int fd = kind->open();

	observe("== %s, reads", kind->name);
	one_read(kind->name, fd, 100, 0);
	one_read(kind->name, fd, PAGE, PAGE);
	one_read(kind->name, fd, 0, 0);
	one_read(kind->name, fd, 2 * PAGE, 2 * PAGE);
	one_read(kind->name, fd, PAGE, 8 * PAGE);
	one_read(kind->name, fd, 512, 512);
	kind_observe(kind->name, fd);
	kind_close(fd);
}

static void writes(const struct kind *kind)
{
	int fd = kind->open();

	observe("== %s, writes", kind->name);
	one_write(kind->name, fd, 100, 0);
	one_write(kind->name, fd, 0, 0);
	/* How much a terminal takes depends on how fast the kernel hands it over. */
	if (strncmp(kind->name, "terminal", 8) != 0) {
		one_write(kind->name, fd, PAGE, PAGE);
		one_write(kind->name, fd, 2 * PAGE, 2 * PAGE);
		one_write(kind->name, fd, PAGE, 8 * PAGE);
	}
	one_sync(kind->name, fd, O_SYNC, "O_SYNC");
	one_sync(kind->name, fd, O_DSYNC, "O_DSYNC");
	one_sync(kind->name, fd, 0, "no operation");
	one_sync(kind->name, fd, O_RDWR, "O_RDWR");
	one_sync(kind->name, fd, -1, "-1");
	kind_observe(kind->name, fd);
	kind_close(fd);
}

/* A negative offset is an error before the descriptor is looked at, and never the file position. */
static void negative_offsets(const struct kind *kind)
{
	static const off_t offsets[] = {-1, -PAGE, INT64_MIN, INT64_MAX, INT64_MAX - 100};
	int fd = kind->open();

	observe("== %s, odd offsets", kind->name);
	for (size_t index = 0; index < sizeof(offsets) / sizeof(offsets[0]); index++) {
		one_read(kind->name, fd, 100, offsets[index]);
		one_write(kind->name, fd, 100, offsets[index]);
		one_read(kind->name, fd, PAGE, offsets[index]);
		one_write(kind->name, fd, 512, offsets[index]);
	}
	kind_observe(kind->name, fd);
	kind_close(fd);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	buffer = pages(2 * PAGE);
	observe("names: %s", AIO_NAMES);
	for (size_t index = 0; index < KIND_COUNT; index++) {
		reads(&kinds[index]);
		writes(&kinds[index]);
		negative_offsets(&kinds[index]);
	}
	return 0;
}
