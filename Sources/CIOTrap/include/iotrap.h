/*
 * iotrap: the public C interface of libiotrap.so. Queues, files and batches are in
 * iotrap_queue.h, which this header includes.
 *
 * Calls return what the system call of the same name returns, with -errno
 * instead of -1: errno is never touched. They are thread-safe, allocate no
 * memory after a thread's first call, and may be mixed freely with plain calls
 * on the same descriptor. The library works as IOTRAP_MODE and IOTRAP_SET say
 * (see the README).
 */
#ifndef IOTRAP_H
#define IOTRAP_H

#include <features.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "iotrap_queue.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Version of the library in use, "major.minor.patch"; valid for ever. */
const char *iotrap_version(void);

/* pread(2): up to count bytes at offset; the file offset does not move. */
ssize_t iotrap_pread(int fd, void *buffer, size_t count, off_t offset);

/* pwrite(2) */
ssize_t iotrap_pwrite(int fd, const void *buffer, size_t count, off_t offset);

/* preadv(2): iov_count at most IOV_MAX */
ssize_t iotrap_preadv(int fd, const struct iovec *iov, int iov_count, off_t offset);

/* pwritev(2) */
ssize_t iotrap_pwritev(int fd, const struct iovec *iov, int iov_count, off_t offset);

/* fsync(2): 0 or -errno */
int iotrap_fsync(int fd);

/* fdatasync(2): 0 or -errno */
int iotrap_fdatasync(int fd);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
