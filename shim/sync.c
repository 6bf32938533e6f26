/* Hooks of the calls that make data durable or change a file's extent. */
#include "real.h"

EXPORT int fsync(int fd)
{
	ROUTED(int, IOTRAP_OP_FSYNC, fd, 0, pthread_testcancel(), REAL(fsync)(fd), .iov_count = 0);
}

EXPORT int fdatasync(int fd)
{
	ROUTED(int, IOTRAP_OP_FDATASYNC, fd, 0, pthread_testcancel(), REAL(fdatasync)(fd),
	       .iov_count = 0);
}

/* Counts a call and returns its result; failure is what `failed` says of it. */
#define COUNT_ONLY(type, op, fd, real, failed)                                                     \
	do {                                                                                       \
		struct iotrap_counted counted_;                                                    \
		type result_;                                                                      \
                                                                                                   \
		iotrap_count_begin(&counted_, op, fd);                                             \
		result_ = (real);                                                                  \
		iotrap_count_end(&counted_, result_ failed);                                       \
		return result_;                                                                    \
	} while (0)

EXPORT int sync_file_range(int fd, off_t offset, off_t bytes, unsigned int flags)
{
	COUNT_ONLY(int, IOTRAP_OP_SYNC_FILE_RANGE, fd,
		   REAL(sync_file_range)(fd, offset, bytes, flags), < 0);
}

EXPORT int syncfs(int fd)
{
	COUNT_ONLY(int, IOTRAP_OP_SYNC, fd, iotrap_synced_all(fd, REAL(syncfs)(fd)), < 0);
}

EXPORT void sync(void)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_SYNC, -1);
	REAL(sync)();
	iotrap_count_end(&counted, 0);
}

/* A call that failed may have changed the size all the same. */
static inline int resized(int fd, int result)
{
	if (iotrap_pools_listen())
		iotrap_pool_resized(fd);
	return result;
}

EXPORT int ftruncate(int fd, off_t length)
{
	COUNT_ONLY(int, IOTRAP_OP_TRUNCATE, fd, resized(fd, REAL(ftruncate)(fd, length)), < 0);
}
ALIAS_OF(ftruncate64, ftruncate);

EXPORT int truncate(const char *path, off_t length)
{
	int result = REAL(truncate)(path, length);

	if (iotrap_pools_listen())
		iotrap_pool_resized_any();
	return result;
}
ALIAS_OF(truncate64, truncate);

EXPORT int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	COUNT_ONLY(int, IOTRAP_OP_ALLOCATE, fd,
		   resized(fd, REAL(fallocate)(fd, mode, offset, bytes)), < 0);
}
ALIAS_OF(fallocate64, fallocate);

/* Returns an error number and leaves errno alone. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes)
{
	COUNT_ONLY(int, IOTRAP_OP_ALLOCATE, fd,
		   resized(fd, REAL(posix_fallocate)(fd, offset, bytes)), != 0);
}
ALIAS_OF(posix_fallocate64, posix_fallocate);
