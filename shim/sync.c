/* Hooks of the calls that make data durable or change a file's extent. */
#include "record.h"

static inline int routed_fsync(int fd)
{
	ROUTED(int, IOTRAP_OP_FSYNC, fd, 0, pthread_testcancel(), REAL(fsync)(fd), .iov_count = 0);
}

static COLD int recorded_fsync(int fd)
{
	RECORDED(IOTRAP_TRACE_CALL_FSYNC, IOTRAP_TRACE_OP_FSYNC, fd, 0, 0, 0, routed_fsync(fd));
}

EXPORT int fsync(int fd)
{
	return unlikely(iotrap_recording) ? recorded_fsync(fd) : routed_fsync(fd);
}

static inline int routed_fdatasync(int fd)
{
	ROUTED(int, IOTRAP_OP_FDATASYNC, fd, 0, pthread_testcancel(), REAL(fdatasync)(fd),
	       .iov_count = 0);
}

static COLD int recorded_fdatasync(int fd)
{
	RECORDED(IOTRAP_TRACE_CALL_FDATASYNC, IOTRAP_TRACE_OP_FDATASYNC, fd, 0, 0, 0,
		 routed_fdatasync(fd));
}

EXPORT int fdatasync(int fd)
{
	return unlikely(iotrap_recording) ? recorded_fdatasync(fd) : routed_fdatasync(fd);
}

/* A result as records have it; posix_fallocate returns the error itself. */
static inline int64_t outcome_of(int result)
{
	return result > 0 ? -(int64_t)result : iotrap_outcome(result);
}

/*
 * Counts a call and returns its result; failure is what `failed` says of it. `...` is
 * what a record says of it: call, operation, offset, length, flags.
 */
#define COUNT_ONLY(type, op, fd, real, failed, ...)                                                \
	do {                                                                                       \
		struct iotrap_counted counted_;                                                    \
		type result_;                                                                      \
                                                                                                   \
		iotrap_count_begin(&counted_, op, fd);                                             \
		result_ = (real);                                                                  \
		iotrap_count_end(&counted_, result_ failed);                                       \
		iotrap_count_record(&counted_, __VA_ARGS__, outcome_of(result_));                  \
		return result_;                                                                    \
	} while (0)

EXPORT int sync_file_range(int fd, off_t offset, off_t bytes, unsigned int flags)
{
	COUNT_ONLY(int, IOTRAP_OP_SYNC_FILE_RANGE, fd,
		   REAL(sync_file_range)(fd, offset, bytes, flags), < 0,
		   IOTRAP_TRACE_CALL_SYNC_FILE_RANGE, IOTRAP_TRACE_OP_SYNC_FILE_RANGE,
		   (uint64_t)offset, (uint64_t)bytes, flags);
}

EXPORT int syncfs(int fd)
{
	COUNT_ONLY(int, IOTRAP_OP_SYNC, fd, iotrap_synced_all(fd, REAL(syncfs)(fd)), < 0,
		   IOTRAP_TRACE_CALL_SYNC, IOTRAP_TRACE_OP_SYNC, 0, 0, 0);
}

EXPORT void sync(void)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_SYNC, -1);
	REAL(sync)();
	iotrap_count_end(&counted, 0);
	iotrap_count_record(&counted, IOTRAP_TRACE_CALL_SYNC, IOTRAP_TRACE_OP_SYNC, 0, 0, 0, 0);
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
	COUNT_ONLY(int, IOTRAP_OP_TRUNCATE, fd, resized(fd, REAL(ftruncate)(fd, length)), < 0,
		   IOTRAP_TRACE_CALL_TRUNCATE, IOTRAP_TRACE_OP_TRUNCATE, (uint64_t)length, 0, 0);
}
ALIAS_OF(ftruncate64, ftruncate);

EXPORT int truncate(const char *path, off_t length)
{
	uint64_t started = unlikely(iotrap_recording) ? iotrap_clock() : 0;
	int result = REAL(truncate)(path, length);

	if (unlikely(started != 0))
		iotrap_record_truncate(started, path, length, result);
	if (iotrap_pools_listen())
		iotrap_pool_resized_any();
	return result;
}
ALIAS_OF(truncate64, truncate);

EXPORT int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	COUNT_ONLY(int, IOTRAP_OP_ALLOCATE, fd,
		   resized(fd, REAL(fallocate)(fd, mode, offset, bytes)), < 0,
		   IOTRAP_TRACE_CALL_ALLOCATE, IOTRAP_TRACE_OP_ALLOCATE, (uint64_t)offset,
		   (uint64_t)bytes, (uint32_t)mode);
}
ALIAS_OF(fallocate64, fallocate);

/* Returns an error number and leaves errno alone. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes)
{
	COUNT_ONLY(int, IOTRAP_OP_ALLOCATE, fd,
		   resized(fd, REAL(posix_fallocate)(fd, offset, bytes)), != 0,
		   IOTRAP_TRACE_CALL_ALLOCATE, IOTRAP_TRACE_OP_ALLOCATE, (uint64_t)offset,
		   (uint64_t)bytes, 0);
}
ALIAS_OF(posix_fallocate64, posix_fallocate);
