/*
 * Files that only a ring knows: opened into its own table, they have no descriptor that
 * the program could see, close or collide with.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "iotrap_pool.h"
#include "ring.h"

#define SPARSE 1u /* IORING_RSRC_REGISTER_SPARSE, Linux 5.19 */
#define SYS5(n, a, b, c, d, e)                                                                     \
	iotrap_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

_Static_assert(sizeof(struct statx) <= sizeof(struct iotrap_pool_statx), "room for it");

int iotrap_ring_make_files(struct iotrap_ring *ring, uint32_t count)
{
	struct rlimit limit = {.rlim_cur = 1024};
	struct io_uring_rsrc_register table = {.nr = count, .flags = SPARSE};
	long result;

	iotrap_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	if (table.nr > limit.rlim_cur)
		table.nr = (uint32_t)limit.rlim_cur;
	result = iotrap_ring_register(ring, IORING_REGISTER_FILES2, &table, sizeof(table));
	return result < 0 ? (int)result : (int)table.nr;
}

int iotrap_ring_queue_open(struct iotrap_ring *ring, const char *path, uint32_t flags,
			   uint32_t slot, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return 0;
	io_uring_prep_openat_direct(sqe, AT_FDCWD, path, (int)flags, 0, slot);
	sqe->user_data = user_data;
	return 1;
}

int iotrap_ring_queue_statx(struct iotrap_ring *ring, int fd, const char *path,
			    struct iotrap_pool_statx *to, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	int flags = AT_STATX_FORCE_SYNC | (path ? 0 : AT_EMPTY_PATH);

	if (!sqe)
		return 0;
	io_uring_prep_statx(sqe, path ? AT_FDCWD : fd, path ? path : "", flags, STATX_BASIC_STATS,
			    (struct statx *)to);
	sqe->user_data = user_data;
	return 1;
}

static int64_t nanoseconds(struct statx_timestamp time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void iotrap_pool_look(const struct iotrap_pool_statx *from, struct iotrap_pool_look *to)
{
	const struct statx *status = (const struct statx *)from;

	to->inode = status->stx_ino;
	to->size = (int64_t)status->stx_size;
	to->modified_ns = nanoseconds(status->stx_mtime);
	to->changed_ns = nanoseconds(status->stx_ctime);
	to->device = makedev(status->stx_dev_major, status->stx_dev_minor);
	to->mode = status->stx_mode;
	to->reserved = 0;
}

int iotrap_descriptor_path(int fd, char *buffer, uint32_t bytes)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return (int)SYS5(SYS_readlinkat, AT_FDCWD, link, buffer, bytes, 0);
}

int iotrap_copy_out(void *to, const void *from, uint64_t bytes)
{
	struct iovec source = {(void *)(uintptr_t)from, bytes}, target = {to, bytes};
	long process = SYS5(SYS_getpid, 0, 0, 0, 0, 0);
	long done = iotrap_syscall(SYS_process_vm_writev, process, (long)&source, 1, (long)&target,
				   1, 0);

	if (done < 0)
		return (int)done;
	return (uint64_t)done == bytes ? 0 : -EFAULT;
}

int iotrap_main_thread_ended(void)
{
	/* The kernel lets go of it when a thread ends; glibc sets it for each that begins. */
	void *head = (void *)1;
	size_t bytes;
	long process = SYS5(SYS_getpid, 0, 0, 0, 0, 0);

	return SYS5(SYS_get_robust_list, process, &head, &bytes, 0, 0) == 0 && !head;
}

int iotrap_canonical_path(const char *path, char *buffer, uint32_t bytes)
{
	char parent[IOTRAP_POOL_PATH_BYTES];
	const char *last = strrchr(path, '/');
	size_t length;
	int found;
	long fd;

	if (!last || strlen(path) >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, (size_t)(last - path));
	parent[last - path] = '\0';
	fd = SYS5(SYS_openat, AT_FDCWD, last == path ? "/" : parent,
		  O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0);
	if (fd < 0)
		return (int)fd;
	found = iotrap_descriptor_path((int)fd, buffer, bytes);
	iotrap_close_raw((int)fd);
	if (found < 0)
		return found;
	length = strlen(last);
	if (found == 1) /* the root: no second slash */
		found = 0;
	if ((size_t)found + length >= bytes)
		return -ENAMETOOLONG;
	memcpy(buffer + found, last, length + 1);
	return found + (int)length;
}

void iotrap_drop_cached(int fd, int64_t offset, int64_t bytes)
{
	SYS5(SYS_fadvise64, fd, offset, bytes, POSIX_FADV_DONTNEED, 0);
}

int iotrap_on_read_only_mount(int fd)
{
	struct statfs status;

	return SYS5(SYS_fstatfs, fd, &status, 0, 0, 0) == 0 && (status.f_flags & 1 /* ST_RDONLY */);
}
