/* differential: a number that becomes another file behind the library's back; direct */
#include "observe.h"

#include <dirent.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static char *buffer;
static int direct_fd;

static void io(const char *moment, int fd)
{
	long long result;

	memset(buffer, 0x44, 1 * MIB);
	result = CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", moment);
	if (result > 0)
		observe_bytes("  ", buffer, (size_t)result);
	CALL_AS(pread(fd, buffer + 1, 777, 3), "%s unaligned pread", moment);
	pattern_fill(buffer, 1 * MIB, 12, 0);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s pwrite", moment);
	CALL_AS(fsync(fd), "%s fsync", moment);
	CALL_AS(fdatasync(fd), "%s fdatasync", moment);
}

static int open_direct(void)
{
	int fd = open("reuse", O_RDWR | O_DIRECT);

	NEED(fd >= 0);
	io("direct", fd);
	return fd;
}

/* fclose closes inside the C library, where no symbol is passed. */
static void by_stream(void)
{
	int fd = open_direct();
	FILE *stream = fdopen(fd, "r+");
	int both[2];

	NEED(stream && fclose(stream) == 0);
	io("closed by fclose", fd);
	NEED(pipe2(both, O_NONBLOCK) == 0);
	io("a pipe now", both[0]);
	io("a pipe's other end", both[1]);
	close(both[0]);
	close(both[1]);
}

static void by_directory(void)
{
	int fd = open_direct();
	DIR *directory;

	close(fd);
	directory = opendir(".");
	NEED(directory);
	CALL(dirfd(directory));
	io("a directory now", dirfd(directory));
	closedir(directory);
	fd = open_direct();
	CALL(fd);
	close(fd);
}

static void by_makers(void)
{
	int fd;

	close(open_direct());
	fd = memfd_create("reuse", 0);
	io("a memory file", fd);
	close(fd);
	close(open_direct());
	fd = eventfd(0, EFD_NONBLOCK);
	io("an event", fd);
	close(fd);
	close(open_direct());
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	io("a socket", fd);
	close(fd);
	close(open_direct());
	fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	CALL(fd);
	CALL(fsync(fd));
	CALL(pread(fd, buffer, PAGE, 0));
	close(fd);
}

static void receive(int socket_fd, int *fd)
{
	char text[8];
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec one = {text, sizeof(text)};
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};

	NEED(recvmsg(socket_fd, &message, 0) >= 0);
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
}

static void send_over(int socket_fd, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec one = {"here", 4};
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	NEED(sendmsg(socket_fd, &message, 0) == 4);
}

/* A descriptor that comes in a message: buffered where a direct one was, and the reverse. */
static void by_message(void)
{
	int both[2];
	int fd;
	int plain = open("reuse", O_RDWR);

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
	fd = open_direct();
	send_over(both[0], plain);
	close(fd);
	receive(both[1], &fd);
	CALL(fd);
	io("received, buffered", fd);
	send_over(both[0], direct_fd);
	close(fd);
	receive(both[1], &fd);
	CALL(fd);
	io("received, direct", fd);
	close(fd);
	close(both[0]);
	close(both[1]);
	close(plain);
}

static int replace_in_clone(void *argument)
{
	int fd = *(int *)argument;
	int other;

	/* Its own code closes and opens by raw system calls; the table of numbers is shared. */
	asm volatile("syscall"
		     : "=a"(other)
		     : "a"((long)SYS_close), "D"((long)fd)
		     : "rcx", "r11", "memory");
	asm volatile("syscall"
		     : "=a"(other)
		     : "a"((long)SYS_open), "D"("/dev/null"), "S"((long)O_RDWR), "d"(0L)
		     : "rcx", "r11", "memory");
	return other == fd ? 0 : 1;
}

/* A process that shares the table of numbers but not the memory replaces one. */
static void by_another_process(void)
{
	int fd = open_direct();
	char *stack = pages(64 * KIB);
	pid_t pid = clone(replace_in_clone, stack + 64 * KIB, CLONE_FILES | SIGCHLD, &fd);

	observe_child("replacing process", pid);
	io("the null device now", fd);
	close(fd);
}

/* dup2 onto a number in use, by symbol: what it was goes, what it is counts. */
static void by_dup2(void)
{
	int fd = open_direct();
	int plain = open("reuse", O_RDWR);
	int null = open("/dev/null", O_RDWR);

	CALL(dup2(null, fd));
	io("null over direct", fd);
	CALL(dup2(plain, fd));
	io("buffered over null", fd);
	CALL(dup2(direct_fd, fd));
	io("direct over buffered", fd);
	CALL(dup3(plain, fd, O_CLOEXEC));
	io("buffered over direct", fd);
	CALL(dup2(-1, fd));
	io("nothing over buffered", fd);
	close(fd);
	close(plain);
	close(null);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(1 * MIB);
	make_file("reuse", 1 * MIB, 5);
	direct_fd = open("reuse", O_RDWR | O_DIRECT);
	by_stream();
	by_directory();
	by_makers();
	by_message();
	by_another_process();
	by_dup2();
	io("untouched", direct_fd);
	observe_file("reuse");
	unlink("reuse");
	return 0;
}
