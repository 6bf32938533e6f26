/* Hooks of the calls that move data. */
#include "real.h"

#define ONE_ELEMENT(buffer, count) \
	.iov = &(struct iovec){(void *)(buffer), (count)}, .iov_count = 1

EXPORT ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PREAD, fd, iotrap_descriptor_slot(fd), count, pthread_testcancel(),
		  REAL(pread)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
		  .offset = offset);
}
ALIAS_OF(pread64, pread);
ALIAS_OF(__pread64, pread);

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PWRITE, fd, iotrap_descriptor_slot(fd), count, pthread_testcancel(),
		  REAL(pwrite)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
		  .offset = offset);
}
ALIAS_OF(pwrite64, pwrite);
ALIAS_OF(__pwrite64, pwrite);

EXPORT ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t room)
{
	/* libc ends the program over this, with its own message. */
	if (unlikely(count > room))
		return REAL(__pread_chk)(fd, buffer, count, offset, room);
	return pread(fd, buffer, count, offset);
}
ALIAS_OF(__pread64_chk, __pread_chk);

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PREADV, fd, iotrap_descriptor_slot(fd), 0, pthread_testcancel(),
		  REAL(preadv)(fd, iov, count, offset), .iov = iov, .iov_count = count,
		  .offset = offset);
}
ALIAS_OF(preadv64, preadv);

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PWRITEV, fd, iotrap_descriptor_slot(fd), 0, pthread_testcancel(),
		  REAL(pwritev)(fd, iov, count, offset), .iov = iov, .iov_count = count,
		  .offset = offset);
}
ALIAS_OF(pwritev64, pwritev);

/* Offset -1 means the file position, which the engine leaves to the kernel. */
EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PREADV, fd, iotrap_descriptor_slot(fd), 0, pthread_testcancel(),
		  REAL(preadv2)(fd, iov, count, offset, flags), .iov = iov, .iov_count = count,
		  .offset = offset, .flags = (uint32_t)flags);
}
ALIAS_OF(preadv64v2, preadv2);

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	INTERCEPT(ssize_t, IOTRAP_OP_PWRITEV, fd, iotrap_descriptor_slot(fd), 0, pthread_testcancel(),
		  REAL(pwritev2)(fd, iov, count, offset, flags), .iov = iov, .iov_count = count,
		  .offset = offset, .flags = (uint32_t)flags);
}
ALIAS_OF(pwritev64v2, pwritev2);

EXPORT ssize_t read(int fd, void *buffer, size_t count)
{
	INTERCEPT(ssize_t, IOTRAP_OP_READ, fd, 0, count, (void)0, REAL(read)(fd, buffer, count),
		  .iov_count = 0);
}
ALIAS_OF(__read, read);

EXPORT ssize_t write(int fd, const void *buffer, size_t count)
{
	INTERCEPT(ssize_t, IOTRAP_OP_WRITE, fd, 0, count, (void)0, REAL(write)(fd, buffer, count),
		  .iov_count = 0);
}
ALIAS_OF(__write, write);

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	INTERCEPT(ssize_t, IOTRAP_OP_READV, fd, 0, 0, (void)0, REAL(readv)(fd, iov, count),
		  .iov_count = 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	INTERCEPT(ssize_t, IOTRAP_OP_WRITEV, fd, 0, 0, (void)0, REAL(writev)(fd, iov, count),
		  .iov_count = 0);
}

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room)
{
	if (unlikely(count > room))
		return REAL(__read_chk)(fd, buffer, count, room);
	return read(fd, buffer, count);
}
