/*
 * legacyfs: a pass-through file system served through libfuse 2, every read and
 * write of which takes a set time. libfuse 2 cannot ask the kernel for
 * asynchronous direct I/O (FUSE_ASYNC_DIO came with libfuse 3), so an io_submit
 * of O_DIRECT requests runs them one at a time, while as many threads are served
 * at once. Many file systems of distributions are still served this way.
 *
 *	legacyfs BACKING MOUNTPOINT [--delay-us=N] [-f] [-o OPTION]
 *
 * Mount it with `slowfs.sh up DIR --libfuse2 --delay-us=1000`. What fio, run with
 * --filename=DIR/file --size=64m --bs=4k --rw=randread --direct=1, showed on two
 * processors at 1 ms, in reads a second:
 *
 *	--ioengine=libaio --iodepth=1                              912
 *	--ioengine=libaio --iodepth=16                             921
 *	--ioengine=libaio --iodepth=32                             935
 *	--ioengine=io_uring --iodepth=32                           937
 *	--ioengine=io_uring --iodepth=16 --force_async=1         14300
 *	--ioengine=io_uring --iodepth=32 --force_async=1         27008
 *	--ioengine=psync --thread --numjobs=16 --group_reporting 14694
 */
#define FUSE_USE_VERSION 26
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static struct settings {
	unsigned int delay_us;
	char *backing;
} settings;

static const struct fuse_opt option_table[] = {
	{"--delay-us=%u", offsetof(struct settings, delay_us), 0},
	FUSE_OPT_END,
};

static int root_descriptor;

static const char *relative(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(int value)
{
	return value < 0 ? -errno : 0;
}

static void delay(void)
{
	struct timespec left = {.tv_sec = settings.delay_us / 1000000,
				.tv_nsec = settings.delay_us % 1000000 * 1000L};

	while (settings.delay_us && nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int legacy_getattr(const char *path, struct stat *status)
{
	return result(fstatat(root_descriptor, relative(path), status, AT_SYMLINK_NOFOLLOW));
}

static int legacy_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
			  struct fuse_file_info *info)
{
	int descriptor = openat(root_descriptor, relative(path), O_RDONLY | O_DIRECTORY);
	DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
	struct dirent *entry;

	(void)offset;
	(void)info;
	if (!directory)
		return -errno;
	while ((entry = readdir(directory)) != NULL)
		if (fill(buffer, entry->d_name, NULL, 0))
			break;
	closedir(directory);
	return 0;
}

/* The backing file is always used buffered, so the set time is all that a request takes. */
static int open_backing(const char *path, struct fuse_file_info *info, int flags, mode_t mode)
{
	int descriptor = openat(root_descriptor, relative(path),
				(info->flags & ~(O_DIRECT | O_APPEND)) | flags | O_CLOEXEC, mode);

	if (descriptor < 0)
		return -errno;
	info->fh = (uint64_t)descriptor;
	return 0;
}

static int legacy_open(const char *path, struct fuse_file_info *info)
{
	return open_backing(path, info, 0, 0);
}

static int legacy_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
	return open_backing(path, info, O_CREAT, mode);
}

static int legacy_release(const char *path, struct fuse_file_info *info)
{
	(void)path;
	close((int)info->fh);
	return 0;
}

static int legacy_read(const char *path, char *buffer, size_t bytes, off_t offset,
		       struct fuse_file_info *info)
{
	ssize_t done;

	(void)path;
	delay();
	done = pread((int)info->fh, buffer, bytes, offset);
	return done < 0 ? -errno : (int)done;
}

static int legacy_write(const char *path, const char *buffer, size_t bytes, off_t offset,
			struct fuse_file_info *info)
{
	ssize_t done;

	(void)path;
	delay();
	done = pwrite((int)info->fh, buffer, bytes, offset);
	return done < 0 ? -errno : (int)done;
}

static int legacy_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
	(void)path;
	return result(data_only ? fdatasync((int)info->fh) : fsync((int)info->fh));
}

static int legacy_truncate(const char *path, off_t bytes)
{
	int descriptor = openat(root_descriptor, relative(path), O_WRONLY | O_CLOEXEC);
	int value;

	if (descriptor < 0)
		return -errno;
	value = result(ftruncate(descriptor, bytes));
	close(descriptor);
	return value;
}

static int legacy_unlink(const char *path)
{
	return result(unlinkat(root_descriptor, relative(path), 0));
}

static int legacy_statfs(const char *path, struct statvfs *status)
{
	(void)path;
	return result(fstatvfs(root_descriptor, status));
}

static const struct fuse_operations operations = {
	.getattr = legacy_getattr,
	.readdir = legacy_readdir,
	.open = legacy_open,
	.create = legacy_create,
	.release = legacy_release,
	.read = legacy_read,
	.write = legacy_write,
	.fsync = legacy_fsync,
	.truncate = legacy_truncate,
	.unlink = legacy_unlink,
	.statfs = legacy_statfs,
};

static int take_backing(void *data, const char *argument, int key, struct fuse_args *arguments)
{
	(void)data;
	(void)arguments;
	if (key == FUSE_OPT_KEY_NONOPT && !settings.backing) {
		settings.backing = strdup(argument);
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);

	umask(0);
	if (fuse_opt_parse(&arguments, &settings, option_table, take_backing) != 0 ||
	    !settings.backing) {
		fputs("usage: legacyfs BACKING MOUNTPOINT [--delay-us=N] [-f] [-o OPTION]\n",
		      stderr);
		return 2;
	}
	root_descriptor = open(settings.backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_descriptor < 0) {
		fprintf(stderr, "legacyfs: %s: %s\n", settings.backing, strerror(errno));
		return 1;
	}
	/* Sleeps otherwise end up to 50 us late; the threads that serve inherit this. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	return fuse_main(arguments.argc, arguments.argv, &operations, NULL);
}
