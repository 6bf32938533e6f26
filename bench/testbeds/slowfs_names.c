/*
 * slowfs, the operations on names: straight calls on the backing directory,
 * none of them slowed down.
 */
#include "slowfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

void give_to_caller(const char *path)
{
	const struct fuse_context *context = fuse_get_context();

	if (geteuid() == 0 && fchownat(root_descriptor, relative(path), context->uid, context->gid,
				       AT_SYMLINK_NOFOLLOW) < 0)
		perror("slowfs: chown of a new file");
}

static int slow_getattr(const char *path, struct stat *status, struct fuse_file_info *info)
{
	if (info && info->fh)
		return result(fstat(handle_of(info)->descriptor, status));
	return result(fstatat(root_descriptor, relative(path), status, AT_SYMLINK_NOFOLLOW));
}

static int slow_truncate(const char *path, off_t bytes, struct fuse_file_info *info)
{
	int value, descriptor;

	if (info && info->fh)
		return result(ftruncate(handle_of(info)->descriptor, bytes));
	descriptor = openat(root_descriptor, relative(path), O_WRONLY | O_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	value = result(ftruncate(descriptor, bytes));
	close(descriptor);
	return value;
}

static int slow_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
			struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
	int descriptor = openat(root_descriptor, relative(path),
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
	struct dirent *entry;

	(void)offset;
	(void)info;
	(void)flags;
	if (!directory)
		return -errno;
	while ((entry = readdir(directory)) != NULL) {
		struct stat status = {.st_ino = entry->d_ino,
				      .st_mode = (mode_t)DTTOIF(entry->d_type)};

		if (fill(buffer, entry->d_name, &status, 0, 0))
			break;
	}
	closedir(directory);
	return 0;
}

static int slow_fsyncdir(const char *path, int data_only, struct fuse_file_info *info)
{
	int descriptor = openat(root_descriptor, relative(path),
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int value;

	(void)data_only;
	(void)info;
	if (descriptor < 0)
		return -errno;
	value = result(fsync(descriptor));
	close(descriptor);
	return value;
}

static int slow_mknod(const char *path, mode_t mode, dev_t device)
{
	if (mknodat(root_descriptor, relative(path), mode, device) < 0)
		return -errno;
	give_to_caller(path);
	return 0;
}

static int slow_mkdir(const char *path, mode_t mode)
{
	if (mkdirat(root_descriptor, relative(path), mode) < 0)
		return -errno;
	give_to_caller(path);
	return 0;
}

static int slow_symlink(const char *target, const char *path)
{
	if (symlinkat(target, root_descriptor, relative(path)) < 0)
		return -errno;
	give_to_caller(path);
	return 0;
}

static int slow_readlink(const char *path, char *buffer, size_t bytes)
{
	ssize_t length = readlinkat(root_descriptor, relative(path), buffer, bytes - 1);

	if (length < 0)
		return -errno;
	buffer[length] = '\0';
	return 0;
}

static int slow_unlink(const char *path)
{
	return result(unlinkat(root_descriptor, relative(path), 0));
}

static int slow_rmdir(const char *path)
{
	return result(unlinkat(root_descriptor, relative(path), AT_REMOVEDIR));
}

static int slow_rename(const char *from, const char *to, unsigned int flags)
{
	return result(
		renameat2(root_descriptor, relative(from), root_descriptor, relative(to), flags));
}

static int slow_link(const char *from, const char *to)
{
	return result(linkat(root_descriptor, relative(from), root_descriptor, relative(to), 0));
}

static int slow_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
	(void)info;
	return result(fchmodat(root_descriptor, relative(path), mode, 0));
}

static int slow_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info)
{
	(void)info;
	return result(fchownat(root_descriptor, relative(path), user, group, AT_SYMLINK_NOFOLLOW));
}

static int slow_utimens(const char *path, const struct timespec times[2],
			struct fuse_file_info *info)
{
	(void)info;
	return result(utimensat(root_descriptor, relative(path), times, AT_SYMLINK_NOFOLLOW));
}

static int slow_statfs(const char *path, struct statvfs *status)
{
	(void)path;
	return result(fstatvfs(root_descriptor, status));
}

void add_name_operations(struct fuse_operations *operations)
{
	operations->getattr = slow_getattr;
	operations->truncate = slow_truncate;
	operations->readdir = slow_readdir;
	operations->fsyncdir = slow_fsyncdir;
	operations->mknod = slow_mknod;
	operations->mkdir = slow_mkdir;
	operations->symlink = slow_symlink;
	operations->readlink = slow_readlink;
	operations->unlink = slow_unlink;
	operations->rmdir = slow_rmdir;
	operations->rename = slow_rename;
	operations->link = slow_link;
	operations->chmod = slow_chmod;
	operations->chown = slow_chown;
	operations->utimens = slow_utimens;
	operations->statfs = slow_statfs;
}
