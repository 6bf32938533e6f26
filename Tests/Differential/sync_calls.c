/* differential: the sync family, truncation and allocation on every kind of descriptor; direct */
#include "kinds.h"

#include <linux/falloc.h>

static void syncs(const char *name, int fd)
{
	CALL_AS(fsync(fd), "%s fsync", name);
	CALL_AS(fdatasync(fd), "%s fdatasync", name);
	CALL_AS(syncfs(fd), "%s syncfs", name);
	CALL_AS(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), "%s range all", name);
	CALL_AS(sync_file_range(fd, PAGE, PAGE,
				SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					SYNC_FILE_RANGE_WAIT_AFTER),
		"%s range waiting", name);
	CALL_AS(sync_file_range(fd, 0, PAGE, 0), "%s range no flags", name);
	CALL_AS(sync_file_range(fd, -1, PAGE, SYNC_FILE_RANGE_WRITE), "%s range at -1", name);
	CALL_AS(sync_file_range(fd, 0, -1, SYNC_FILE_RANGE_WRITE), "%s range of -1", name);
	CALL_AS(sync_file_range(fd, INT64_MAX, PAGE, 2), "%s range overflow", name);
	CALL_AS(sync_file_range(fd, 0, PAGE, 64), "%s range unknown flag", name);
}

static void truncations(const char *name, int fd)
{
	static const off64_t sizes[] = {INT64_MAX, PAGE + 10, 0, 64 * KIB, -1, INT64_MIN};

	for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
		CALL_AS(ftruncate(fd, sizes[index]), "%s ftruncate %lld", name,
			(long long)sizes[index]);
		CALL_AS(ftruncate64(fd, sizes[index]), "%s ftruncate64 %lld", name,
			(long long)sizes[index]);
	}
	kind_observe(name, fd);
}

static void allocations(const char *name, int fd)
{
	CALL_AS(fallocate(fd, 0, 0, 100 * KIB), "%s fallocate", name);
	CALL_AS(fallocate64(fd, 0, 0, 101 * KIB), "%s fallocate64", name);
	CALL_AS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200 * KIB), "%s fallocate keep", name);
	CALL_AS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE),
		"%s fallocate punch", name);
	CALL_AS(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE), "%s fallocate zero", name);
	CALL_AS(fallocate(fd, 0, 0, 0), "%s fallocate nothing", name);
	CALL_AS(fallocate(fd, 0, -1, PAGE), "%s fallocate at -1", name);
	CALL_AS(fallocate(fd, 0, INT64_MAX, PAGE), "%s fallocate overflow", name);
	CALL_AS(fallocate(fd, 0x4000, 0, PAGE), "%s fallocate unknown flag", name);
	/* These give the error number as their result and leave errno alone. */
	CALL_AS(posix_fallocate(fd, 0, 120 * KIB), "%s posix_fallocate", name);
	CALL_AS(posix_fallocate64(fd, 0, 121 * KIB), "%s posix_fallocate64", name);
	CALL_AS(posix_fallocate(fd, 0, 0), "%s posix_fallocate nothing", name);
	CALL_AS(posix_fallocate(fd, -1, PAGE), "%s posix_fallocate at -1", name);
	CALL_AS(posix_fallocate(fd, INT64_MAX, PAGE), "%s posix_fallocate overflow", name);
	kind_observe(name, fd);
}

static void sync_everything(void)
{
	int fd = kind_regular();

	NEED(pwrite(fd, "changed", 7, 0) == 7);
	errno = ERRNO_MARK;
	sync();
	observe("sync leaves errno at %d", errno);
	kind_observe("after sync", fd);
	kind_close(fd);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int fd = kinds[index].open();

		observe("== %s opened as %d", name, fd);
		syncs(name, fd);
		truncations(name, fd);
		allocations(name, fd);
		syncs(name, fd);
		kind_close(fd);
	}
	sync_everything();
	return 0;
}
