/* differential: fortify: errno is kept by success and set by failure, call after call; direct */
#include "observe.h"

static char *buffer;

/* Each call is done with several values in errno, and after a failure of another. */
static void around(const char *name, int fd, int flags)
{
	static const int marks[] = {0, 1, EINTR, ERRNO_MARK, -7};
	struct iovec two[] = {{buffer, 512 * KIB}, {buffer + 512 * KIB, 512 * KIB}};

	for (size_t index = 0; index < sizeof(marks) / sizeof(marks[0]); index++) {
		int mark = marks[index];
		int kept = 0;

#define KEPT(expression)                                                                           \
	do {                                                                                       \
		errno = mark;                                                                      \
		if ((expression) < 0)                                                              \
			observe("%s failed", #expression);                                         \
		kept += errno == mark;                                                             \
	} while (0)
		KEPT(read(fd, buffer, PAGE));
		KEPT(write(fd, buffer, PAGE));
		KEPT(lseek(fd, 0, SEEK_SET));
		KEPT(readv(fd, two, 2));
		KEPT(lseek(fd, 0, SEEK_SET));
		KEPT(writev(fd, two, 2));
		KEPT(lseek(fd, 0, SEEK_SET));
		KEPT(pread(fd, buffer, 1 * MIB, 0));
		KEPT(pwrite(fd, buffer, 1 * MIB, 0));
		KEPT(preadv(fd, two, 2, 0));
		KEPT(pwritev(fd, two, 2, 0));
		KEPT(preadv2(fd, two, 2, 0, 0));
		KEPT(pwritev2(fd, two, 2, 0, RWF_DSYNC));
		KEPT(pread(fd, buffer, 1 * MIB, 8 * MIB));
		KEPT(fsync(fd));
		KEPT(fdatasync(fd));
		KEPT(syncfs(fd));
		KEPT(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
		KEPT(ftruncate(fd, 2 * MIB));
		KEPT(fallocate(fd, 0, 0, 2 * MIB));
		KEPT(posix_fallocate(fd, 0, 2 * MIB));
		KEPT(fcntl(fd, F_SETFL, flags));
		KEPT(close(dup(fd)));
		KEPT(close(fcntl(fd, F_DUPFD_CLOEXEC, 10)));
		KEPT(dup2(fd, 30));
		KEPT(dup3(fd, 30, O_CLOEXEC));
		KEPT(close(30));
		KEPT(close_range(30, 40, 0));
		KEPT(close(open("kept", O_RDWR | O_DIRECT)));
		KEPT(close(openat(AT_FDCWD, "kept", O_RDONLY)));
		KEPT(close(creat("made", 0600)));
		KEPT(syscall(SYS_pread64, fd, buffer, 1 * MIB, (off_t)0));
		errno = mark;
		closefrom(30);
		kept += errno == mark;
		errno = mark;
		sync();
		kept += errno == mark;
#undef KEPT
		observe("%s with errno %d: kept by %d calls", name, mark, kept);
	}
}

static void failures(int fd)
{
	CALL(pread(fd, buffer, 1 * MIB, -1));
	CALL(pread(fd, buffer, PAGE, 0));
	CALL(pwrite(-1, buffer, PAGE, 0));
	CALL(fsync(-1));
	CALL(pwrite(fd, OPAQUE((char *)8), 1 * MIB, 0));
	CALL(fsync(fd));
	CALL(dup(-1));
	CALL(close(-1));
	CALL(preadv(fd, OPAQUE((struct iovec *)8), 2, 0));
	CALL(fdatasync(fd));
	CALL(ftruncate(fd, -1));
	CALL(open("missing", O_RDONLY));
	CALL(pread(fd, buffer, 1 * MIB, 0));
}

int main(int count, char **arguments)
{
	int fd;

	observe_begin(count, arguments);
	require_direct();
	buffer = pages(1 * MIB);
	make_file("kept", 2 * MIB, 1);
	fd = open("kept", O_RDWR);
	around("buffered", fd, 0);
	failures(fd);
	close(fd);
	fd = open("kept", O_RDWR | O_DIRECT);
	around("direct", fd, O_DIRECT);
	failures(fd);
	close(fd);
	unlink("kept");
	unlink("made");
	return 0;
}
