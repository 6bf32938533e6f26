/*
 * Hooks of the calls that move data: a quick part for what passes, and a part that
 * asks the engine.
 */
#include "record.h"

#define ONE_ELEMENT(buffer, count) .iov = &(struct iovec){(void *)(buffer), (count)}, .iov_count = 1

static COLD ssize_t routed_pread(int fd, void *buffer, size_t count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PREAD, fd, count, pthread_testcancel(),
	       REAL(pread)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
	       .offset = offset);
}

static inline ssize_t counted_pread(int fd, void *buffer, size_t count, off_t offset)
{
	QUICK(ssize_t, pread, IOTRAP_OP_PREAD, iotrap_descriptor_slot(fd),
	      (fd, buffer, count, offset));
	return routed_pread(fd, buffer, count, offset);
}

static COLD ssize_t recorded_pread(int fd, void *buffer, size_t count, off_t offset)
{
	RECORDED(IOTRAP_TRACE_CALL_PREAD, IOTRAP_TRACE_OP_READ, fd, offset, count, 0,
		 counted_pread(fd, buffer, count, offset));
}

EXPORT ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
	if (unlikely(iotrap_recording))
		return recorded_pread(fd, buffer, count, offset);
	return counted_pread(fd, buffer, count, offset);
}
ALIAS_OF(pread64, pread);
ALIAS_OF(__pread64, pread);

static COLD ssize_t routed_pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITE, fd, count, pthread_testcancel(),
	       REAL(pwrite)(fd, buffer, count, offset), ONE_ELEMENT(buffer, count),
	       .offset = offset);
}

static inline ssize_t counted_pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	QUICK(ssize_t, pwrite, IOTRAP_OP_PWRITE, iotrap_descriptor_slot(fd),
	      (fd, buffer, count, offset));
	return routed_pwrite(fd, buffer, count, offset);
}

static COLD ssize_t recorded_pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	RECORDED(IOTRAP_TRACE_CALL_PWRITE, IOTRAP_TRACE_OP_WRITE, fd, offset, count, 0,
		 counted_pwrite(fd, buffer, count, offset));
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t count, off_t offset)
{
	if (unlikely(iotrap_recording))
		return recorded_pwrite(fd, buffer, count, offset);
	return counted_pwrite(fd, buffer, count, offset);
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

static inline ssize_t counted_preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	QUICK(ssize_t, preadv, IOTRAP_OP_PREADV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset));
	return routed_preadv(fd, iov, count, offset);
}

static COLD ssize_t recorded_preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	RECORDED(IOTRAP_TRACE_CALL_PREADV, IOTRAP_TRACE_OP_READ, fd, offset,
		 iotrap_vector_bytes(iov, count, result_), 0,
		 counted_preadv(fd, iov, count, offset));
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (unlikely(iotrap_recording))
		return recorded_preadv(fd, iov, count, offset);
	return counted_preadv(fd, iov, count, offset);
}
ALIAS_OF(preadv64, preadv);

static COLD ssize_t routed_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITEV, fd, 0, pthread_testcancel(),
	       REAL(pwritev)(fd, iov, count, offset), .iov = iov, .iov_count = count,
	       .offset = offset);
}

static inline ssize_t counted_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	QUICK(ssize_t, pwritev, IOTRAP_OP_PWRITEV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset));
	return routed_pwritev(fd, iov, count, offset);
}

static COLD ssize_t recorded_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	RECORDED(IOTRAP_TRACE_CALL_PWRITEV, IOTRAP_TRACE_OP_WRITE, fd, offset,
		 iotrap_vector_bytes(iov, count, result_), 0,
		 counted_pwritev(fd, iov, count, offset));
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	if (unlikely(iotrap_recording))
		return recorded_pwritev(fd, iov, count, offset);
	return counted_pwritev(fd, iov, count, offset);
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

static inline ssize_t counted_preadv2(int fd, const struct iovec *iov, int count, off_t offset,
				      int flags)
{
	QUICK(ssize_t, preadv2, IOTRAP_OP_PREADV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset, flags));
	return routed_preadv2(fd, iov, count, offset, flags);
}

static COLD ssize_t recorded_preadv2(int fd, const struct iovec *iov, int count, off_t offset,
				     int flags)
{
	if (offset == -1)
		RECORDED_MOVE(PREADV, READ, fd, iotrap_vector_bytes(iov, count, result_),
			      (uint32_t)flags, counted_preadv2(fd, iov, count, offset, flags));
	RECORDED(IOTRAP_TRACE_CALL_PREADV, IOTRAP_TRACE_OP_READ, fd, offset,
		 iotrap_vector_bytes(iov, count, result_), (uint32_t)flags,
		 counted_preadv2(fd, iov, count, offset, flags));
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (unlikely(iotrap_recording))
		return recorded_preadv2(fd, iov, count, offset, flags);
	return counted_preadv2(fd, iov, count, offset, flags);
}
ALIAS_OF(preadv64v2, preadv2);

static COLD ssize_t routed_pwritev2(int fd, const struct iovec *iov, int count, off_t offset,
				    int flags)
{
	ROUTED(ssize_t, IOTRAP_OP_PWRITEV, fd, 0, pthread_testcancel(),
	       REAL(pwritev2)(fd, iov, count, offset, flags), .iov = iov, .iov_count = count,
	       .offset = offset, .flags = (uint32_t)flags);
}

static inline ssize_t counted_pwritev2(int fd, const struct iovec *iov, int count, off_t offset,
				       int flags)
{
	QUICK(ssize_t, pwritev2, IOTRAP_OP_PWRITEV, iotrap_descriptor_slot(fd),
	      (fd, iov, count, offset, flags));
	return routed_pwritev2(fd, iov, count, offset, flags);
}

static COLD ssize_t recorded_pwritev2(int fd, const struct iovec *iov, int count, off_t offset,
				      int flags)
{
	if (offset == -1 && flags & RWF_APPEND)
		iotrap_record_disturb(fd);
	if (offset == -1)
		RECORDED_MOVE(PWRITEV, WRITE, fd, iotrap_vector_bytes(iov, count, result_),
			      (uint32_t)flags, counted_pwritev2(fd, iov, count, offset, flags));
	RECORDED(IOTRAP_TRACE_CALL_PWRITEV, IOTRAP_TRACE_OP_WRITE, fd, offset,
		 iotrap_vector_bytes(iov, count, result_), (uint32_t)flags,
		 counted_pwritev2(fd, iov, count, offset, flags));
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (unlikely(iotrap_recording))
		return recorded_pwritev2(fd, iov, count, offset, flags);
	return counted_pwritev2(fd, iov, count, offset, flags);
}
ALIAS_OF(pwritev64v2, pwritev2);

static COLD ssize_t routed_read(int fd, void *buffer, size_t count)
{
	ROUTED(ssize_t, IOTRAP_OP_READ, fd, count, (void)0, REAL(read)(fd, buffer, count),
	       .iov_count = 0);
}

static inline ssize_t counted_read(int fd, void *buffer, size_t count)
{
	QUICK(ssize_t, read, IOTRAP_OP_READ, 0, (fd, buffer, count));
	return routed_read(fd, buffer, count);
}

static COLD ssize_t recorded_read(int fd, void *buffer, size_t count)
{
	RECORDED_MOVE(READ, READ, fd, count, 0, counted_read(fd, buffer, count));
}

EXPORT ssize_t read(int fd, void *buffer, size_t count)
{
	if (unlikely(iotrap_recording))
		return recorded_read(fd, buffer, count);
	return counted_read(fd, buffer, count);
}
ALIAS_OF(__read, read);

static COLD ssize_t routed_write(int fd, const void *buffer, size_t count)
{
	ROUTED(ssize_t, IOTRAP_OP_WRITE, fd, count, (void)0, REAL(write)(fd, buffer, count),
	       .iov_count = 0);
}

static inline ssize_t counted_write(int fd, const void *buffer, size_t count)
{
	QUICK(ssize_t, write, IOTRAP_OP_WRITE, 0, (fd, buffer, count));
	return routed_write(fd, buffer, count);
}

static COLD ssize_t recorded_write(int fd, const void *buffer, size_t count)
{
	RECORDED_MOVE(WRITE, WRITE, fd, count, 0, counted_write(fd, buffer, count));
}

EXPORT ssize_t write(int fd, const void *buffer, size_t count)
{
	if (unlikely(iotrap_recording))
		return recorded_write(fd, buffer, count);
	return counted_write(fd, buffer, count);
}
ALIAS_OF(__write, write);

static COLD ssize_t routed_readv(int fd, const struct iovec *iov, int count)
{
	ROUTED(ssize_t, IOTRAP_OP_READV, fd, 0, (void)0, REAL(readv)(fd, iov, count),
	       .iov_count = 0);
}

static inline ssize_t counted_readv(int fd, const struct iovec *iov, int count)
{
	QUICK(ssize_t, readv, IOTRAP_OP_READV, 0, (fd, iov, count));
	return routed_readv(fd, iov, count);
}

static COLD ssize_t recorded_readv(int fd, const struct iovec *iov, int count)
{
	RECORDED_MOVE(READV, READ, fd, iotrap_vector_bytes(iov, count, result_), 0,
		      counted_readv(fd, iov, count));
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	if (unlikely(iotrap_recording))
		return recorded_readv(fd, iov, count);
	return counted_readv(fd, iov, count);
}

static COLD ssize_t routed_writev(int fd, const struct iovec *iov, int count)
{
	ROUTED(ssize_t, IOTRAP_OP_WRITEV, fd, 0, (void)0, REAL(writev)(fd, iov, count),
	       .iov_count = 0);
}

static inline ssize_t counted_writev(int fd, const struct iovec *iov, int count)
{
	QUICK(ssize_t, writev, IOTRAP_OP_WRITEV, 0, (fd, iov, count));
	return routed_writev(fd, iov, count);
}

static COLD ssize_t recorded_writev(int fd, const struct iovec *iov, int count)
{
	RECORDED_MOVE(WRITEV, WRITE, fd, iotrap_vector_bytes(iov, count, result_), 0,
		      counted_writev(fd, iov, count));
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (unlikely(iotrap_recording))
		return recorded_writev(fd, iov, count);
	return counted_writev(fd, iov, count);
}

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room)
{
	if (unlikely(count > room))
		return REAL(__read_chk)(fd, buffer, count, room);
	return read(fd, buffer, count);
}
