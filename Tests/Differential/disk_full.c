/* differential: ENOSPC before, at and in the middle of a write, on tmpfs and on a small ext4 */
#include "observe.h"

#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define SIZE (8 * MIB)

static char *buffer;
extern char **environ;

static int run(char *const *words)
{
	posix_spawn_file_actions_t actions;
	pid_t child;
	int status;

	NEED(posix_spawn_file_actions_init(&actions) == 0);
	NEED(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0);
	NEED(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0);
	if (posix_spawnp(&child, words[0], &actions, NULL, words, environ) != 0)
		return -1;
	posix_spawn_file_actions_destroy(&actions);
	NEED(waitpid(child, &status, 0) == child);
	return status;
}

/* A loop device that goes away by itself when the mount name space does. */
static int mount_small_disk(void)
{
	char *words[] = {"mkfs.ext4",
			 "-q",
			 "-F",
			 "-O",
			 "^has_journal",
			 "-U",
			 "2c1ac6a2-6d6c-4b57-a9b8-3c5e8d1f0a11",
			 "image",
			 NULL};
	struct loop_config config = {.block_size = 512};
	char device[32];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int image;
	int loop;
	int result;

	make_file("image", SIZE, 0);
	if (control < 0 || run(words) != 0)
		return -1;
	image = open("image", O_RDWR | O_CLOEXEC);
	config.fd = (unsigned int)image;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	/* Another program may take the free one first. */
	for (;;) {
		snprintf(device, sizeof(device), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
		loop = open(device, O_RDWR | O_CLOEXEC);
		if (loop < 0)
			return -1;
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			break;
		if (errno != EBUSY)
			return -1;
		close(loop);
	}
	close(control);
	result = mount(device, "full", "ext4", 0, "");
	close(loop);
	close(image);
	return result;
}

/*
 * Fill the file system, then make room of a known size: what a large write then gets is known.
 * A direct write may allocate in pieces and keep a part: content is only looked at up to the
 * result.
 */
static void fill(const char *path, size_t room)
{
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	off_t at = 0;
	ssize_t result;

	NEED(fd >= 0);
	memset(buffer, 1, SIZE);
	while ((result = pwrite(fd, buffer, 64 * KIB, at)) > 0)
		at += result;
	observe("fill ends with %s", error_name(errno));
	NEED(fsync(fd) == 0);
	NEED(ftruncate(fd, at / PAGE * PAGE - (off_t)room) == 0);
	NEED(fsync(fd) == 0);
	close(fd);
}

static void check(const char *name, int fd, long long result, uint64_t seed)
{
	static char back[SIZE] __attribute__((aligned(PAGE)));

	if (result <= 0)
		return;
	NEED(pread(fd, back, (size_t)result, 0) == result);
	observe("%s: right up to %zu of %lld", name, pattern_matches(back, (size_t)result, seed, 0),
		result);
}

static void writes(const char *name, int flags)
{
	int fd = open("full/target", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);
	struct iovec two[2] = {{buffer, 1 * MIB}, {buffer + 1 * MIB, 1 * MIB}};

	NEED(fd >= 0);
	pattern_fill(buffer, 4 * MIB, 9, 0);
	check(name, fd, CALL_AS(pwrite(fd, buffer, 256 * KIB, 0), "%s fits", name), 9);
	check(name, fd, CALL_AS(pwrite(fd, buffer, 4 * MIB, 0), "%s too much", name), 9);
	NEED(ftruncate(fd, 0) == 0 && fsync(fd) == 0);
	check(name, fd, CALL_AS(pwritev(fd, two, 2, 0), "%s vector too much", name), 9);
	NEED(ftruncate(fd, 0) == 0 && fsync(fd) == 0);
	CALL_AS(write(fd, buffer, 4 * MIB), "%s write", name);
	observe_offset(name, fd);
	CALL_AS(write(fd, buffer, 512 * KIB), "%s write on", name);
	observe_offset(name, fd);
	CALL_AS(fsync(fd), "%s fsync", name);
	CALL_AS(fdatasync(fd), "%s fdatasync", name);
	CALL_AS(fallocate(fd, 0, 0, 6 * MIB), "%s fallocate", name);
	CALL_AS(posix_fallocate(fd, 0, 6 * MIB), "%s posix_fallocate", name);
	NEED(ftruncate(fd, 0) == 0);
	close(fd);
	NEED(unlink("full/target") == 0);
}

/* Inside a file that is larger than the room for it. */
static void into_holes(const char *name, int flags)
{
	int fd = open("full/target", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);

	NEED(fd >= 0);
	NEED(ftruncate(fd, 6 * MIB) == 0);
	pattern_fill(buffer, 4 * MIB, 10, 0);
	check(name, fd, CALL_AS(pwrite(fd, buffer, 4 * MIB, 0), "%s holes", name), 10);
	check(name, fd, CALL_AS(pwrite(fd, buffer, 512 * KIB, 0), "%s fits", name), 10);
	check(name, fd, CALL_AS(pwrite(fd, buffer, 3 * MIB, 0), "%s holes on", name), 10);
	close(fd);
	NEED(unlink("full/target") == 0);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0)
		skip("mounting a small file system needs root");
	NEED(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	NEED(mkdir("full", 0755) == 0);
	buffer = pages(SIZE);
	if (mount("none", "full", "tmpfs", 0, "size=4m") != 0)
		skip("no tmpfs can be mounted here");
	observe("== tmpfs");
	fill("full/filler", 1 * MIB + 5 * PAGE);
	writes("tmpfs buffered", 0);
	NEED(umount("full") == 0);
	if (mount_small_disk() != 0) {
		unlink("image");
		rmdir("full");
		skip("no loop device or mkfs.ext4 here");
	}
	observe("== ext4");
	fill("full/filler", 1 * MIB + 5 * PAGE);
	writes("ext4 buffered", 0);
	writes("ext4 direct", O_DIRECT);
	into_holes("ext4 direct", O_DIRECT);
	into_holes("ext4 buffered", 0);
	NEED(umount("full") == 0);
	unlink("image");
	rmdir("full");
	return 0;
}
