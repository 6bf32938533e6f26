/* differential: the same calls through syscall() and their numbers; direct */
#include "kinds.h"

#include <linux/close_range.h>

static char *buffer;

static void io(const char *name, int fd)
{
	struct iovec two[] = {{buffer, PAGE}, {buffer + PAGE, PAGE}};

	CALL_AS(syscall(SYS_read, fd, buffer, PAGE), "%s read", name);
	CALL_AS(syscall(SYS_readv, fd, two, 2), "%s readv", name);
	CALL_AS(syscall(SYS_pread64, fd, buffer, PAGE, (off_t)0), "%s pread64", name);
	CALL_AS(syscall(SYS_pread64, fd, buffer, PAGE, (off_t)-1), "%s pread64 at -1", name);
	CALL_AS(syscall(SYS_pread64, fd, buffer, 1 * MIB, (off_t)PAGE), "%s pread64 large", name);
	CALL_AS(syscall(SYS_pread64, fd, (void *)8, PAGE, (off_t)0), "%s pread64 nowhere", name);
	CALL_AS(syscall(SYS_preadv, fd, two, 2, (off_t)0, 0L), "%s preadv", name);
	CALL_AS(syscall(SYS_preadv2, fd, two, 2, (off_t)0, 0L, 0), "%s preadv2", name);
	CALL_AS(syscall(SYS_preadv2, fd, two, 2, (off_t)-1, -1L, 0), "%s preadv2 at -1", name);
	CALL_AS(syscall(SYS_preadv2, fd, two, 2, (off_t)0, 0L, 1 << 30), "%s preadv2 flag", name);
	observe_offset(name, fd);
	pattern_fill(buffer, 2 * PAGE, 4, 0);
	CALL_AS(syscall(SYS_write, fd, buffer, PAGE), "%s write", name);
	CALL_AS(syscall(SYS_writev, fd, two, 2), "%s writev", name);
	CALL_AS(syscall(SYS_pwrite64, fd, buffer, PAGE, (off_t)0), "%s pwrite64", name);
	CALL_AS(syscall(SYS_pwrite64, fd, buffer, PAGE, (off_t)-1), "%s pwrite64 at -1", name);
	CALL_AS(syscall(SYS_pwrite64, fd, buffer, 1 * MIB, (off_t)PAGE), "%s pwrite large", name);
	CALL_AS(syscall(SYS_pwritev, fd, two, 2, (off_t)PAGE, 0L), "%s pwritev", name);
	CALL_AS(syscall(SYS_pwritev2, fd, two, 2, (off_t)PAGE, 0L, 0), "%s pwritev2", name);
	observe_offset(name, fd);
}

static void control(const char *name, int fd)
{
	CALL_AS(syscall(SYS_fsync, fd), "%s fsync", name);
	CALL_AS(syscall(SYS_fdatasync, fd), "%s fdatasync", name);
	CALL_AS(syscall(SYS_sync_file_range, fd, (off_t)0, (off_t)0, 2), "%s range", name);
	CALL_AS(syscall(SYS_syncfs, fd), "%s syncfs", name);
	CALL_AS(syscall(SYS_ftruncate, fd, (off_t)70000), "%s ftruncate", name);
	CALL_AS(syscall(SYS_ftruncate, fd, (off_t)-1), "%s ftruncate to -1", name);
	CALL_AS(syscall(SYS_fallocate, fd, 0, (off_t)0, (off_t)80000), "%s fallocate", name);
	CALL_AS(syscall(SYS_fcntl, fd, F_GETFL), "%s F_GETFL", name);
	CALL_AS(syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK), "%s F_SETFL", name);
	CALL_AS(syscall(SYS_fcntl, fd, F_DUPFD, 50), "%s F_DUPFD", name);
	CALL_AS(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 50), "%s F_DUPFD_CLOEXEC", name);
	CALL_AS(syscall(SYS_dup, fd), "%s dup", name);
	CALL_AS(syscall(SYS_dup2, fd, 40), "%s dup2", name);
	CALL_AS(syscall(SYS_dup3, fd, 41, O_CLOEXEC), "%s dup3", name);
	CALL_AS(syscall(SYS_dup3, fd, 42, 77), "%s dup3 wrong flag", name);
	kind_observe(name, fd);
	CALL_AS(syscall(SYS_close_range, 40u, 41u, 0u), "%s close_range", name);
	CALL_AS(syscall(SYS_close, fd), "%s close", name);
	CALL_AS(syscall(SYS_close, fd), "%s close again", name);
}

/* A number reused by a call of another kind must not be taken for what it was. */
static void reused_numbers(void)
{
	int fd = (int)CALL(
		syscall(SYS_openat, AT_FDCWD, "reused", O_CREAT | O_RDWR | O_DIRECT, 0644));
	int both[2];

	pattern_fill(buffer, 1 * MIB, 5, 0);
	CALL(pwrite(fd, buffer, 1 * MIB, 0));
	CALL(pread(fd, buffer, 1 * MIB, 0));
	CALL(syscall(SYS_close, fd));
	CALL(pread(fd, buffer, 1 * MIB, 0));
	CALL(syscall(SYS_pipe2, both, O_NONBLOCK));
	observe("pipe is %d and %d", both[0], both[1]);
	CALL(pread(both[0], buffer, 1 * MIB, 0));
	CALL(pwrite(both[1], buffer, 1 * MIB, 0));
	CALL(fsync(both[0]));
	CALL(syscall(SYS_close_range, 3u, ~0u, 0u));
	CALL(pread(both[0], buffer, 1 * MIB, 0));
	unlink("reused");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	buffer = pages(1 * MIB);
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int fd;

		if (kinds[index].open == kind_process_memory ||
		    kinds[index].open == kind_terminal_master ||
		    kinds[index].open == kind_terminal_slave)
			continue;
		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		io(name, fd);
		control(name, fd);
		kind_close(-1);
		closefrom(3);
	}
	CALL(syscall(SYS_sync));
	CALL(syscall(SYS_gettid) == getpid());
	CALL(syscall(100000L));
	CALL(syscall(-1L));
	reused_numbers();
	return 0;
}
