/*
 * One descriptor of every kind that a program may hand to a hooked call.
 *
 * Each kind is made afresh, with the same content, for every group of calls.
 * Nothing made here can block: what could is non-blocking.
 */
#ifndef KINDS_H
#define KINDS_H

#include "observe.h"

#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>

#define KIND_FILE "kind.dat"
#define KIND_SEED 7
#define KIND_BYTES (3 * PAGE + 100)

static int kind_companion = -1;

OBSERVE int kind_open_flags(int flags)
{
	make_file(KIND_FILE, KIND_BYTES, KIND_SEED);
	return open(KIND_FILE, flags | O_CLOEXEC);
}

#define KIND_FLAGS(name, flags)                                                                    \
	OBSERVE int kind_##name(void)                                                              \
	{                                                                                          \
		return kind_open_flags(flags);                                                     \
	}

KIND_FLAGS(regular, O_RDWR)
KIND_FLAGS(regular_read, O_RDONLY)
KIND_FLAGS(regular_write, O_WRONLY)
KIND_FLAGS(regular_append, O_RDWR | O_APPEND)
KIND_FLAGS(regular_sync, O_RDWR | O_SYNC)
KIND_FLAGS(regular_dsync, O_RDWR | O_DSYNC)
KIND_FLAGS(regular_nonblock, O_RDWR | O_NONBLOCK)
KIND_FLAGS(direct, O_RDWR | O_DIRECT)
KIND_FLAGS(direct_read, O_RDONLY | O_DIRECT)
KIND_FLAGS(direct_write, O_WRONLY | O_DIRECT)
KIND_FLAGS(direct_append, O_RDWR | O_DIRECT | O_APPEND)
KIND_FLAGS(direct_sync, O_RDWR | O_DIRECT | O_SYNC)
KIND_FLAGS(direct_dsync, O_RDWR | O_DIRECT | O_DSYNC)
KIND_FLAGS(path, O_PATH)
KIND_FLAGS(access_mode_three, O_ACCMODE)

OBSERVE int kind_sparse_flags(int flags)
{
	int fd = open(KIND_FILE, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC | flags, 0644);

	NEED(fd >= 0);
	NEED(ftruncate(fd, 1 * MIB + 300) == 0);
	return fd;
}

OBSERVE int kind_sparse(void)
{
	return kind_sparse_flags(0);
}

OBSERVE int kind_sparse_direct(void)
{
	return kind_sparse_flags(O_DIRECT);
}

OBSERVE int kind_empty_direct(void)
{
	return open(KIND_FILE, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC | O_DIRECT, 0644);
}

OBSERVE int kind_deleted(void)
{
	int fd = kind_open_flags(O_RDWR);

	unlink(KIND_FILE);
	return fd;
}

OBSERVE int kind_deleted_direct(void)
{
	int fd = kind_open_flags(O_RDWR | O_DIRECT);

	unlink(KIND_FILE);
	return fd;
}

OBSERVE int kind_unnamed(void)
{
	return open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

OBSERVE int kind_unnamed_direct(void)
{
	return open(".", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
}

OBSERVE int kind_directory(void)
{
	return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

OBSERVE int kind_directory_direct(void)
{
	return open(".", O_RDONLY | O_DIRECT | O_CLOEXEC);
}

OBSERVE int kind_directory_path(void)
{
	return open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

OBSERVE int kind_memory_sealed(int seals)
{
	static char block[KIND_BYTES];
	int fd = memfd_create("kind", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	NEED(fd >= 0);
	pattern_fill(block, sizeof(block), KIND_SEED, 0);
	NEED(write(fd, block, sizeof(block)) == sizeof(block));
	NEED(lseek(fd, 0, SEEK_SET) == 0);
	NEED(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

OBSERVE int kind_memory(void)
{
	return kind_memory_sealed(0);
}

OBSERVE int kind_memory_no_write(void)
{
	return kind_memory_sealed(F_SEAL_WRITE);
}

OBSERVE int kind_memory_fixed_size(void)
{
	return kind_memory_sealed(F_SEAL_GROW | F_SEAL_SHRINK);
}

OBSERVE int kind_memory_direct(void)
{
	int fd = kind_memory_sealed(0);

	fcntl(fd, F_SETFL, O_DIRECT);
	return fd;
}

OBSERVE int kind_pair(int keep, const int *both)
{
	kind_companion = both[1 - keep];
	return both[keep];
}

OBSERVE int kind_pipe_flags(int keep, int flags, int filled)
{
	static char block[6000];
	int both[2];

	NEED(pipe2(both, O_CLOEXEC | O_NONBLOCK | flags) == 0);
	if (filled) {
		pattern_fill(block, sizeof(block), KIND_SEED, 0);
		NEED(write(both[1], block, sizeof(block)) == sizeof(block));
	}
	return kind_pair(keep, both);
}

OBSERVE int kind_pipe_empty(void)
{
	return kind_pipe_flags(0, 0, 0);
}

OBSERVE int kind_pipe_filled(void)
{
	return kind_pipe_flags(0, 0, 1);
}

OBSERVE int kind_pipe_packets(void)
{
	return kind_pipe_flags(0, O_DIRECT, 1);
}

OBSERVE int kind_pipe_write(void)
{
	return kind_pipe_flags(1, 0, 0);
}

OBSERVE int kind_pipe_write_packets(void)
{
	return kind_pipe_flags(1, O_DIRECT, 0);
}

OBSERVE int kind_pipe_ended(void)
{
	int fd = kind_pipe_flags(0, 0, 1);

	close(kind_companion);
	kind_companion = -1;
	return fd;
}

OBSERVE int kind_pipe_broken(void)
{
	int fd = kind_pipe_flags(1, 0, 0);

	close(kind_companion);
	kind_companion = -1;
	return fd;
}

OBSERVE int kind_fifo(void)
{
	unlink("kind.fifo");
	NEED(mkfifo("kind.fifo", 0600) == 0);
	return open("kind.fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

OBSERVE int kind_socket_type(int type)
{
	int both[2];

	NEED(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
	NEED(write(both[1], "a message", 9) == 9);
	return kind_pair(0, both);
}

OBSERVE int kind_socket_stream(void)
{
	return kind_socket_type(SOCK_STREAM);
}

OBSERVE int kind_socket_datagram(void)
{
	return kind_socket_type(SOCK_DGRAM);
}

OBSERVE int kind_socket_broken(void)
{
	int fd = kind_socket_type(SOCK_STREAM);

	close(kind_companion);
	kind_companion = -1;
	return fd;
}

OBSERVE int kind_socket_unconnected(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

OBSERVE int kind_terminal(int keep)
{
	struct termios raw;
	int both[2];

	NEED(openpty(&both[0], &both[1], NULL, NULL, NULL) == 0);
	NEED(tcgetattr(both[1], &raw) == 0);
	cfmakeraw(&raw);
	NEED(tcsetattr(both[1], TCSANOW, &raw) == 0);
	for (int side = 0; side < 2; side++) {
		NEED(fcntl(both[side], F_SETFD, FD_CLOEXEC) == 0);
		NEED(fcntl(both[side], F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	}
	NEED(write(both[1 - keep], "typed text", 10) == 10);
	/* A terminal hands its input over from a kernel worker: wait until it is there. */
	for (int ready = 0; ready < 10;)
		NEED(ioctl(both[keep], FIONREAD, &ready) == 0);
	return kind_pair(keep, both);
}

OBSERVE int kind_terminal_master(void)
{
	return kind_terminal(0);
}

OBSERVE int kind_terminal_slave(void)
{
	return kind_terminal(1);
}

OBSERVE int kind_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

OBSERVE int kind_null_direct(void)
{
	return open("/dev/null", O_RDWR | O_DIRECT | O_CLOEXEC);
}

OBSERVE int kind_zero(void)
{
	return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

OBSERVE int kind_full(void)
{
	return open("/dev/full", O_RDWR | O_CLOEXEC);
}

OBSERVE int kind_process_fixed(void)
{
	return open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC);
}

OBSERVE int kind_process_name(void)
{
	return open("/proc/self/comm", O_RDWR | O_CLOEXEC);
}

OBSERVE int kind_process_memory(void)
{
	return open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
}

OBSERVE int kind_event(void)
{
	return eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
}

OBSERVE int kind_timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

OBSERVE int kind_signal(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	return signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
}

OBSERVE int kind_epoll(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

OBSERVE int kind_inotify(void)
{
	return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

OBSERVE int kind_closed(void)
{
	int fd = kind_direct();

	close(fd);
	return fd;
}

OBSERVE int kind_never_opened(void)
{
	return 900;
}

OBSERVE int kind_minus_one(void)
{
	return -1;
}

OBSERVE int kind_current_directory(void)
{
	return AT_FDCWD;
}

OBSERVE int kind_largest(void)
{
	return INT32_MAX;
}

OBSERVE int kind_smallest(void)
{
	return INT32_MIN;
}

struct kind {
	const char *name;
	int (*open)(void);
};

#define KIND(name)                                                                                 \
	{                                                                                          \
#name, kind_##name                                                                 \
	}

static const struct kind kinds[] = {
	KIND(regular),
	KIND(regular_read),
	KIND(regular_write),
	KIND(regular_append),
	KIND(regular_sync),
	KIND(regular_dsync),
	KIND(regular_nonblock),
	KIND(direct),
	KIND(direct_read),
	KIND(direct_write),
	KIND(direct_append),
	KIND(direct_sync),
	KIND(direct_dsync),
	KIND(path),
	KIND(access_mode_three),
	KIND(sparse),
	KIND(sparse_direct),
	KIND(empty_direct),
	KIND(deleted),
	KIND(deleted_direct),
	KIND(unnamed),
	KIND(unnamed_direct),
	KIND(directory),
	KIND(directory_direct),
	KIND(directory_path),
	KIND(memory),
	KIND(memory_no_write),
	KIND(memory_fixed_size),
	KIND(memory_direct),
	KIND(pipe_empty),
	KIND(pipe_filled),
	KIND(pipe_packets),
	KIND(pipe_write),
	KIND(pipe_write_packets),
	KIND(pipe_ended),
	KIND(pipe_broken),
	KIND(fifo),
	KIND(socket_stream),
	KIND(socket_datagram),
	KIND(socket_broken),
	KIND(socket_unconnected),
	KIND(terminal_master),
	KIND(terminal_slave),
	KIND(null),
	KIND(null_direct),
	KIND(zero),
	KIND(full),
	KIND(process_fixed),
	KIND(process_name),
	KIND(process_memory),
	KIND(event),
	KIND(timer),
	KIND(signal),
	KIND(epoll),
	KIND(inotify),
	KIND(closed),
	KIND(never_opened),
	KIND(minus_one),
	KIND(current_directory),
	KIND(largest),
	KIND(smallest),
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* A writer to a pipe nobody reads is told by an error, not killed. */
OBSERVE void kinds_begin(void)
{
	handle_signal(SIGPIPE, SIG_IGN, 0);
}

OBSERVE void kind_close(int fd)
{
	if (fd >= 0 && fcntl(fd, F_GETFD) != -1)
		NEED(close(fd) == 0);
	if (kind_companion >= 0)
		NEED(close(kind_companion) == 0);
	kind_companion = -1;
	unlink(KIND_FILE);
	unlink("kind.fifo");
}

/* What the calls left behind: offset, flags, size and content of a regular file. */
OBSERVE void kind_observe(const char *name, int fd)
{
	struct stat status;
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1) {
		observe("%s: gone", name);
		return;
	}
	observe_offset(name, fd);
	observe("%s: flags %x", name, flags);
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (flags & O_PATH) == 0)
		observe("%s: size %lld", name, (long long)status.st_size);
	if (access(KIND_FILE, F_OK) == 0)
		observe_file(KIND_FILE);
}

#endif
