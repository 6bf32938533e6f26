/* The library's own files: statistics segments and the log. Private, and never through a link. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iotrap_kernel.h"

#define SYS6(n, a, b, c, d, e, f)                                                                  \
	iotrap_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS4(n, a, b, c, d) SYS6(n, a, b, c, d, 0, 0)
#define SYS3(n, a, b, c) SYS6(n, a, b, c, 0, 0, 0)

int iotrap_private_directory(const char *path)
{
	struct stat status;
	long fd;

	SYS3(SYS_mkdirat, AT_FDCWD, path, 0700);
	fd = SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	if (SYS3(SYS_fstat, fd, &status, 0) == 0 && status.st_uid == iotrap_effective_user() &&
	    (status.st_mode & 022) == 0)
		return (int)fd;
	iotrap_close_raw((int)fd);
	return -EACCES;
}

/* Growing a file over RLIMIT_FSIZE would not only fail: it sends SIGXFSZ to the host. */
static int may_grow_to(int64_t bytes)
{
	return bytes <= iotrap_file_size_limit();
}

int iotrap_private_file(int directory, const char *name, int64_t bytes)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char fresh[32];
	long fd, result;

	if (!may_grow_to(bytes))
		return -EFBIG;
	/* What has the name belongs to a dead process, or to the program that this one was
	 * before exec. It is replaced in one step: readers find the one or the other. */
	snprintf(fresh, sizeof(fresh), "%s.new", name);
	iotrap_remove_file(directory, fresh);
	fd = SYS4(SYS_openat, directory, fresh, flags, 0600);
	if (fd < 0)
		return (int)fd;
	result = SYS3(SYS_ftruncate, fd, bytes, 0);
	if (result == 0)
		result = SYS4(SYS_renameat, directory, fresh, directory, name);
	if (result < 0) {
		iotrap_close_raw((int)fd);
		iotrap_remove_file(directory, fresh);
		return (int)result;
	}
	return (int)fd;
}

int iotrap_private_file_again(int directory, const char *name)
{
	return (int)SYS4(SYS_openat, directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
}

int iotrap_grow_file(int fd, int64_t bytes)
{
	if (!may_grow_to(bytes))
		return -EFBIG;
	return (int)SYS3(SYS_ftruncate, fd, bytes, 0);
}

void iotrap_remove_file(int directory, const char *name)
{
	SYS3(SYS_unlinkat, directory, name, 0);
}

void iotrap_close_raw(int fd)
{
	SYS3(SYS_close, fd, 0, 0);
}

void *iotrap_map_shared(int fd, int64_t offset, size_t bytes)
{
	long address = SYS6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (address < 0 && address > -4096)
		return NULL;
	SYS3(SYS_madvise, address, bytes, MADV_DONTFORK);
	return (void *)address;
}

int iotrap_reserve(void *address, size_t bytes, int fd, int64_t offset)
{
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
	long result = SYS3(SYS_madvise, address, bytes, MADV_POPULATE_WRITE);

	if (result == -EINVAL && fd >= 0)
		result = SYS4(SYS_fallocate, fd, 0, offset, bytes);
	return (int)result;
}

int iotrap_reserve_pages(void *address, size_t bytes)
{
	uintptr_t first = (uintptr_t)address & ~(uintptr_t)4095;
	uintptr_t end = ((uintptr_t)address + bytes + 4095) & ~(uintptr_t)4095;

	return iotrap_reserve((void *)first, end - first, -1, 0);
}

void iotrap_append_line(const char *path, const char *line, size_t bytes)
{
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY |
			  O_NONBLOCK;
	struct stat status;
	long fd = SYS4(SYS_openat, AT_FDCWD, path, flags, 0600);

	if (fd < 0)
		return;
	/* Regular files only: a pipe without a reader would send SIGPIPE. */
	if (SYS3(SYS_fstat, fd, &status, 0) == 0 && S_ISREG(status.st_mode) &&
	    may_grow_to(status.st_size + (int64_t)bytes))
		SYS3(SYS_write, fd, line, bytes);
	iotrap_close_raw((int)fd);
}

long iotrap_read_file(const char *path, void *buffer, size_t bytes)
{
	/* Neither opening nor reading may wait, whatever has that name. */
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat status;
	size_t filled = 0;
	long result, fd = SYS4(SYS_openat, AT_FDCWD, path, flags, 0);

	if (fd < 0)
		return fd;
	result = SYS3(SYS_fstat, fd, &status, 0);
	if (result == 0 && !S_ISREG(status.st_mode))
		result = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	if (result == 0 && status.st_size > (int64_t)bytes)
		result = -EFBIG;
	while (result == 0 && filled < bytes) {
		long length = SYS3(SYS_read, fd, (char *)buffer + filled, bytes - filled);

		if (length <= 0) {
			result = length;
			break;
		}
		filled += (size_t)length;
	}
	iotrap_close_raw((int)fd);
	return result < 0 ? result : (long)filled;
}

void iotrap_program_path(char *buffer, size_t bytes)
{
	char path[4096];
	long length = SYS4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path));

	if (length < 0)
		length = 0;
	if ((size_t)length >= bytes) {
		memmove(path, path + length - (long)bytes + 1, bytes - 1);
		length = (long)bytes - 1;
	}
	memcpy(buffer, path, (size_t)length);
	buffer[length] = '\0';
}

uint32_t iotrap_effective_user(void)
{
	return (uint32_t)SYS3(SYS_geteuid, 0, 0, 0);
}
