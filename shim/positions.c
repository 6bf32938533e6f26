/*
 * Hooks of calls that move file positions without being recorded themselves: the recorder follows
 * positions, and must know where one has gone. Nothing else is done to them.
 */
#include <sys/sendfile.h>

#include "record.h"

static COLD off_t recorded_lseek(int fd, off_t offset, int whence)
{
	uint64_t started = iotrap_clock();
	off_t result = REAL(lseek)(fd, offset, whence);

	if (result >= 0)
		iotrap_position_sought(iotrap_self(), fd, started, offset, whence, result);
	return result;
}

EXPORT off_t lseek(int fd, off_t offset, int whence)
{
	return unlikely(iotrap_recording) ? recorded_lseek(fd, offset, whence)
					  : REAL(lseek)(fd, offset, whence);
}
ALIAS_OF(lseek64, lseek);
ALIAS_OF(__lseek, lseek);

EXPORT ssize_t sendfile(int target, int source, off_t *offset, size_t bytes)
{
	if (unlikely(iotrap_recording)) {
		iotrap_record_disturb(target);
		iotrap_record_disturb(source);
	}
	return REAL(sendfile)(target, source, offset, bytes);
}
ALIAS_OF(sendfile64, sendfile);

EXPORT ssize_t splice(int source, off64_t *from, int target, off64_t *to, size_t bytes,
		      unsigned int flags)
{
	if (unlikely(iotrap_recording)) {
		iotrap_record_disturb(source);
		iotrap_record_disturb(target);
	}
	return REAL(splice)(source, from, target, to, bytes, flags);
}

EXPORT ssize_t copy_file_range(int source, off64_t *from, int target, off64_t *to, size_t bytes,
			       unsigned int flags)
{
	if (unlikely(iotrap_recording)) {
		iotrap_record_disturb(source);
		iotrap_record_disturb(target);
	}
	return REAL(copy_file_range)(source, from, target, to, bytes, flags);
}

/* The stream's own calls go unseen. */
EXPORT FILE *fdopen(int fd, const char *mode)
{
	if (unlikely(iotrap_recording))
		iotrap_position_share(iotrap_self(), fd);
	return REAL(fdopen)(fd, mode);
}
