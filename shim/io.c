/*
 * Hooks of the calls that move data: a quick part for what passes, and a part that
 * asks the engine.
 */
#include "real.h"

#define ONE_ELEMENT(buffer, count) .iov = &(struct iovec){(void *)(buffer), (count)}, .iov_count = 1

static COLD ssize_t routed_pread(int fd, void *buffer, size_t count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PREAD, fd, count, pthread_testcancel(),
	       REAL(pread)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
	       .offset = offset);
}

EXPORT ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
	QUICK(ssize_t, pread, IOTRAP_OP_PREAD, iotrap_descriptor_slot(fd),
	      (fd, buffer, count, offset));
	return routed_pread(fd, buffer, count, offset);
}
ALIAS_OF(pread64, pread);
ALIAS_OF(__pread64, pread);

static COLD ssize_t routed_pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITE, fd, count, pthread_testcancel(),
	       REAL(pwrite)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
	       .offset = offset);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	QUICK(ssize_t, pwrite, IOTRAP_OP_PWRITE, iotrap_descriptor_slot(fd),
	      (fd, buffer, count, offset));
	return routed_pwrite(fd, buffer, count, offset);
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

static COLD ssize_t routed_preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PREADV, fd, 0, pthread_testcancel(),
	       REAL(preadv)(fd, iov, count, offset), .iov = iov, .iov_count = count,
	       .offset = offset);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	QUICK(ssize_t, preadv, IOTRAP_OP_PREADV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset));
	return routed_preadv(fd, iov, count, offset);
}
ALIAS_OF(preadv64, preadv);

static COLD ssize_t routed_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITEV, fd, 0, pthread_testcancel(),
	       REAL(pwritev)(fd, iov, count, offset), .iov = iov, .iov_count = count,
	       .offset = offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	QUICK(ssize_t, pwritev, IOTRAP_OP_PWRITEV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset));
	return routed_pwritev(fd, iov, count, offset);
}
ALIAS_OF(pwritev64, pwritev);

/* Offset -1 means the file position, which the engine leaves to the kernel. */
static COLD ssize_t routed_preadv2(int fd, const struct iovec *iov, int count, off_t offset,
				   int flags)
{
	ROUTED(ssize_t, IOTRAP_OP_PREADV, fd, 0, pthread_testcancel(),
	       REAL(preadv2)(fd, iov, count, offset, flags), .iov = iov, .iov_count = count,
	       .offset = offset, .flags = (uint32_t)flags);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	QUICK(ssize_t, preadv2, IOTRAP_OP_PREADV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset, flags));
	return routed_preadv2(fd, iov, count, offset, flags);
}
ALIAS_OF(preadv64v2, preadv2);

static COLD ssize_t routed_pwritev2(int fd, const struct iovec *iov, int count, off_t offset,
				    int flags)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITEV, fd, 0, pthread_testcancel(),
	       REAL(pwritev2)(fd, iov, count, offset, flags), .iov = iov, .iov_count = count,
	       .offset = offset, .flags = (uint32_t)flags);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	QUICK(ssize_t, pwritev2, IOTRAP_OP_PWRITEV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset, flags));
	return routed_pwritev2(fd, iov, count, offset, flags);
}
ALIAS_OF(pwritev64v2, pwritev2);

static COLD ssize_t routed_read(int fd, void *buffer, size_t count)
{
	ROUTED(ssize_t, IOTRAP_OP_READ, fd, count, (void)0, REAL(read)(fd, buffer, count),
	       .iov_count = 0);
}

EXPORT ssize_t read(int fd, void *buffer, size_t count)
{
	QUICK(ssize_t, read, IOTRAP_OP_READ, 0, (fd, buffer, count));
	return routed_read(fd, buffer, count);
}
ALIAS_OF(__read, read);

static COLD ssize_t routed_write(int fd, const void *buffer, size_t count)
{
	ROUTED(ssize_t, IOTRAP_OP_WRITE, fd, count, (void)0, REAL(write)(fd, buffer, count),
	       .iov_count = 0);
}

EXPORT ssize_t write(int fd, const void *buffer, size_t count)
{
	QUICK(ssize_t, write, IOTRAP_OP_WRITE, 0, (fd, buffer, count));
	return routed_write(fd, buffer, count);
}
ALIAS_OF(__write, write);

static COLD ssize_t routed_readv(int fd, const struct iovec *iov, int count)
{
	ROUTED(ssize_t, IOTRAP_OP_READV, fd, 0, (void)0, REAL(readv)(fd, iov, count),
	       .iov_count = 0);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	QUICK(ssize_t, readv, IOTRAP_OP_READV, 0, (fd, iov, count));
	return routed_readv(fd, iov, count);
}

static COLD ssize_t routed_writev(int fd, const struct iovec *iov, int count)
{
	ROUTED(ssize_t, IOTRAP_OP_WRITEV, fd, 0, (void)0, REAL(writev)(fd, iov, count),
	       .iov_count = 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	QUICK(ssize_t, writev, IOTRAP_OP_WRITEV, 0, (fd, iov, count));
	return routed_writev(fd, iov, count);
}

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room)
{
	if (unlikely(count > room))
		return REAL(__read_chk)(fd, buffer, count, room);
	return read(fd, buffer, count);
}
