/* Files of iotrap_queue.h, and operations without a ring: raw system calls, -errno. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "iotrap_library.h"
#include "iotrap_libaio.h"

struct iotrap_library_statics iotrap_library_storage;

/* STATX_DIOALIGN and its two fields stand in newer headers only. */
#define DIOALIGN 0x00002000u
struct statx_direct {
	unsigned char before[152];
	uint32_t memory_alignment;
	uint32_t offset_alignment;
};

void iotrap_file_alignment(int fd, struct iotrap_alignment *alignment)
{
	union {
		struct statx status;
		struct statx_direct direct;
	} buffer;

	alignment->memory = 0;
	alignment->offset = 0;
	memset(&buffer, 0, sizeof(buffer));
	if (iotrap_seccomp_filtered() ||
	    iotrap_statx_raw(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, DIOALIGN, &buffer) < 0 ||
	    !(buffer.status.stx_mask & DIOALIGN))
		return;
	alignment->memory = buffer.direct.memory_alignment;
	alignment->offset = buffer.direct.offset_alignment;
}

int64_t iotrap_file_size_now(int fd, int is_block_device)
{
	struct iotrap_file_facts facts;
	uint64_t bytes = 0;
	long result;

	if (is_block_device) {
		result = iotrap_syscall(SYS_ioctl, fd, (long)BLKGETSIZE64, (long)&bytes, 0, 0, 0);
		return result < 0 ? result : (int64_t)bytes;
	}
	result = iotrap_file_facts_now(fd, &facts);
	return result < 0 ? result : facts.size;
}

int iotrap_open_raw(int directory, const char *path, uint32_t flags, uint32_t mode)
{
	return (int)iotrap_syscall(SYS_openat, directory, (long)path, flags | O_CLOEXEC, mode, 0,
				   0);
}

int iotrap_file_close_raw(int fd)
{
	return (int)iotrap_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

int iotrap_opens_plainly(const struct iotrap_io *io)
{
	uint32_t plain = O_CLOEXEC | O_NOFOLLOW | O_DIRECT | O_NOATIME;

	return io->kind == IOTRAP_IO_READ_FILE && io->path && io->descriptor == AT_FDCWD &&
	       !(io->open_flags & ~plain) && !(io->flags & IOTRAP_IO_WORKER);
}

int iotrap_open_quickly(const char *path, uint32_t flags)
{
	/* A link may lead anywhere; a pipe and a lease make an open wait. */
	uint32_t quick = flags | O_NOFOLLOW | O_NONBLOCK;
	int fd = iotrap_open_raw(AT_FDCWD, path, quick, 0);
	long result;

	if (fd < 0)
		return fd;
	/* With it the ring would answer -EAGAIN instead of waiting for data. */
	result = iotrap_syscall(SYS_fcntl, fd, F_SETFL, (long)flags, 0, 0, 0);
	if (result >= 0)
		return fd;
	iotrap_file_close_raw(fd);
	return (int)result;
}

uint64_t iotrap_folder_hash(const char *path, uint32_t *length)
{
	uint64_t hash = 14695981039346656037u, folder = hash; /* FNV-1a */
	uint32_t i;

	*length = 0;
	for (i = 0; path[i] && i < PATH_MAX; i++) {
		hash = (hash ^ (unsigned char)path[i]) * 1099511628211u;
		if (path[i] == '/') {
			folder = hash;
			*length = i + 1;
		}
	}
	return folder & ~(uint64_t)1;
}

int iotrap_folder_is_local(const char *path, uint32_t length)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_CACHED};
	char folder[1024] = ".";
	struct statx status;
	long fd, result;

	if (length >= sizeof(folder))
		return -ENAMETOOLONG;
	if (length) {
		memcpy(folder, path, length);
		folder[length] = 0;
	}
	fd = iotrap_syscall(SYS_openat2, AT_FDCWD, (long)folder, (long)&how, sizeof(how), 0, 0);
	if (fd < 0)
		return (int)fd;
	result = iotrap_statx_raw((int)fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status);
	iotrap_file_close_raw((int)fd);
	if (result < 0)
		return (int)result;
	/*
	 * Network and most user-space file systems have a device number without a device; those
	 * that have one (fuseblk, cluster file systems) rarely wait, and then a while.
	 */
	return status.stx_dev_major != 0;
}

int iotrap_descriptor_half(void)
{
	struct rlimit limit = {.rlim_cur = 1024};

	iotrap_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	return limit.rlim_cur > INT_MAX ? INT_MAX / 2 : (int)(limit.rlim_cur / 2);
}

long iotrap_statx_raw(int directory, const char *path, uint32_t flags, uint32_t mask, void *status)
{
	return iotrap_syscall(SYS_statx, directory, (long)path, flags, mask, (long)status, 0);
}

uint32_t iotrap_file_name(int fd, const char *path, char *name, size_t bytes)
{
	char found[4096], link[32];
	size_t length, left_out;

	if (!path) {
		long result;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		result = iotrap_syscall(SYS_readlinkat, AT_FDCWD, (long)link, (long)found,
					sizeof(found) - 1, 0, 0);
		found[result > 0 ? result : 0] = '\0';
		path = found;
	}
	length = strlen(path);
	left_out = length < bytes ? 0 : length - (bytes - 1);
	memcpy(name, path + left_out, length - left_out + 1);
	return (uint32_t)(length - left_out);
}

/* --- operations without a ring ------------------------------------------------------- */

static int64_t transfer(const struct iotrap_io *io, uint64_t moved, int fd)
{
	int writes = io->kind == IOTRAP_IO_WRITE || io->kind == IOTRAP_IO_WRITEV ||
		     io->kind == IOTRAP_IO_WRITE_FILE;
	int is_vectored = io->kind == IOTRAP_IO_READV || io->kind == IOTRAP_IO_WRITEV;
	struct iovec whole = {.iov_base = (char *)io->buffer + moved,
			      .iov_len = io->length - moved};
	const struct iovec *iov = is_vectored ? io->buffer : &whole;
	int count = is_vectored ? (int)io->length : 1;
	int64_t offset = io->offset + (int64_t)moved;

	if (io->rw_flags)
		return iotrap_vector_flags_raw(fd, iov, count, offset, io->rw_flags, writes);
	if (is_vectored)
		return iotrap_vector_raw(fd, iov, count, offset, writes);
	return writes ? iotrap_pwrite_raw(fd, whole.iov_base, whole.iov_len, offset)
		      : iotrap_pread_raw(fd, whole.iov_base, whole.iov_len, offset);
}

static int64_t file_at_once(const struct iotrap_io *io)
{
	uint32_t access = io->kind == IOTRAP_IO_WRITE_FILE ? O_WRONLY : O_RDONLY;
	uint32_t flags = (io->open_flags & ~(uint32_t)O_ACCMODE) | access;
	int fd = iotrap_open_raw(io->descriptor, io->path, flags, io->mode);
	int64_t result, closed;

	if (fd < 0)
		return fd;
	result = transfer(io, 0, fd);
	closed = iotrap_file_close_raw(fd);
	return result >= 0 && closed < 0 ? closed : result;
}

int64_t iotrap_slot_execute(struct iotrap_slot *slot, int fd)
{
	const struct iotrap_io *io = &slot->io;

	switch (io->kind) {
	case IOTRAP_IO_NOP:
		return 0;
	case IOTRAP_IO_FSYNC:
		return iotrap_fsync_raw(fd, 0);
	case IOTRAP_IO_FDATASYNC:
		return iotrap_fsync_raw(fd, 1);
	case IOTRAP_IO_OPEN:
		return iotrap_open_raw(io->descriptor, io->path, io->open_flags, io->mode);
	case IOTRAP_IO_STAT:
		return iotrap_statx_raw(io->descriptor, io->path, io->open_flags, io->mode,
					io->buffer);
	case IOTRAP_IO_CLOSE:
		return iotrap_file_close_raw(fd);
	case IOTRAP_IO_READ_FILE:
	case IOTRAP_IO_WRITE_FILE:
		return file_at_once(io);
	default:
		return transfer(io, slot->moved, fd);
	}
}

int iotrap_eventfd_nonblocking(void)
{
	return (int)iotrap_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0, 0, 0, 0);
}

int iotrap_event_wait(int event, uint64_t timeout_ns)
{
	uint64_t seconds = timeout_ns / 1000000000u;
	struct timespec timeout = {.tv_sec = seconds > 3153600000u ? 3153600000 : (time_t)seconds,
				   .tv_nsec = (long)(timeout_ns % 1000000000u)};
	struct pollfd ready = {.fd = event, .events = POLLIN};
	uint64_t count;
	long result = iotrap_syscall(SYS_ppoll, (long)&ready, 1, (long)&timeout, 0, 0, 0);

	if (result == 1)
		iotrap_syscall(SYS_read, event, (long)&count, sizeof(count), 0, 0, 0);
	return (int)result;
}

/* --- the engine behind pools ----------------------------------------------------------- */

void iotrap_library_start_engine(int always)
{
	if (always || getenv("IOTRAP_MOUNT_POOLS") || getenv("IOTRAP_CONFIG"))
		iotrap_start(environ, getauxval(AT_SECURE) != 0);
}
