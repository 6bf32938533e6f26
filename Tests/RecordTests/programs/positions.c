/*
 * Calls at file positions that are moved in every way: positions DIRECTORY WAY. The file "blocks"
 * is there already: each 8 bytes of it are the offset at which they stand, so that a read tells
 * where it was made.
 */
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "calls.h"

static const char *directory;

/* A system call that no library sees. */
static long unseen(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

static int opened(const char *name, int flags)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, flags | O_CREAT, 0644);
	check(fd >= 0, path);
	said("open", name, 0, 0, 0);
	return fd;
}

static void closed(int fd, const char *name)
{
	check(close(fd) == 0, "close");
	said("close", name, 0, 0, 0);
}

/* Reads, and says where that was; at the end of the file the kernel has to say it. */
static long reads(int fd, long length)
{
	char buffer[65536];
	long place, result;

	result = read(fd, buffer, length);
	if (result > 0)
		memcpy(&place, buffer, sizeof(place));
	else
		place = unseen(SYS_lseek, fd, 0, SEEK_CUR);
	said("read", "blocks", place, length, result);
	return result;
}

static void writes(int fd, const char *name, long length)
{
	static const char buffer[65536] = {1};
	long result = write(fd, buffer, length);

	said("write", name, unseen(SYS_lseek, fd, 0, SEEK_CUR) - result, length, result);
}

static void alone(void)
{
	int fd = opened("blocks", O_RDONLY), target = opened("target", O_WRONLY);
	struct iovec pair[2] = {{malloc(800), 800}, {malloc(400), 400}};
	long place, result;

	for (int i = 0; i < 300; i++) {
		reads(fd, 8 * (i % 50 + 1));
		writes(target, "target", i);
		if (i % 7 == 0)
			check(lseek(fd, 4096 * i, SEEK_SET) == 4096 * i, "lseek");
		if (i % 11 == 0)
			check(lseek(fd, -80, SEEK_CUR) >= 0 || i == 0, "lseek");
		if (i % 13 == 0)
			check(syscall(SYS_lseek, target, 100, SEEK_CUR) >= 0, "lseek");
		if (i % 17 == 0)
			check(pread(fd, pair[0].iov_base, 0, 8) == 0, "pread");
		if (i % 17 == 0)
			said("read", "blocks", 8, 0, 0);
		if (i % 5 == 0) {
			place = unseen(SYS_lseek, fd, 0, SEEK_CUR);
			result = readv(fd, pair, 2);
			said("read", "blocks", place, 1200, result);
			place += result;
			result = preadv2(fd, pair, 2, -1, 0);
			said("read", "blocks", place, 1200, result);
			place += result;
			result = syscall(SYS_read, fd, pair[0].iov_base, 88);
			said("read", "blocks", place, 88, result);
		}
	}
	check(lseek(fd, -64, SEEK_END) >= 0, "lseek");
	while (reads(fd, 40) > 0)
		;
	reads(fd, 40);
	closed(fd, "blocks");
	closed(target, "target");
}

static void copies(void)
{
	int fd = opened("blocks", O_RDONLY), other;

	for (int i = 0; i < 5; i++)
		reads(fd, 512);
	other = dup(fd);
	for (int i = 0; i < 100; i++)
		reads(i % 3 ? fd : other, 512);
	close(other);
	said("close", "blocks", 0, 0, 0);
	other = fcntl(fd, F_DUPFD, 20);
	for (int i = 0; i < 10; i++)
		reads(i % 2 ? fd : other, 512);
	/* A position of its own again, under a number that was another's. */
	check(dup2(opened("blocks", O_RDONLY), fd) == fd, "dup2");
	for (int i = 0; i < 100; i++)
		reads(i % 2 ? fd : other, 512);
}

/* Lets the other side have its turn. */
static void turn(int out, int in)
{
	char byte = 0;

	check(!out || write(out, &byte, 1) == 1, "write to a pipe");
	check(!in || read(in, &byte, 1) == 1, "read from a pipe");
}

static void child_ends(pid_t child)
{
	int status;

	check(waitpid(child, &status, 0) == child && status == 0, "child");
}

static void forked(void)
{
	int fd = opened("blocks", O_RDONLY), there[2], back[2];
	pid_t child;

	for (int i = 0; i < 100; i++)
		reads(fd, 512);
	check(pipe(there) == 0 && pipe(back) == 0, "pipe");
	child = fork();
	for (int i = 0; i < 100; i++) {
		if (child)
			turn(there[1], back[0]);
		else
			turn(0, there[0]);
		reads(fd, 512);
		if (!child)
			turn(back[1], 0);
	}
	if (!child)
		exit(0);
	child_ends(child);
	closed(fd, "blocks");
}

/* Both sides at once. */
static void raced(void)
{
	int fd = opened("blocks", O_RDONLY);
	pid_t child;

	for (int i = 0; i < 10; i++)
		reads(fd, 512);
	child = fork();
	while (reads(fd, child ? 512 : 1024) > 0)
		;
	if (!child)
		exit(0);
	child_ends(child);
}

static void streams(void)
{
	int fd = opened("blocks", O_RDONLY);
	char buffer[5000];
	FILE *stream;

	for (int i = 0; i < 10; i++)
		reads(fd, 512);
	stream = fdopen(fd, "r");
	for (int i = 0; i < 50; i++) {
		reads(fd, 512);
		check(fread(buffer, 1, 5000, stream) == 5000, "fread");
	}
	fclose(stream);
	said("close", "blocks", 0, 0, 0);
	snprintf(buffer, sizeof(buffer), "%s/blocks", directory);
	stream = fopen(buffer, "r");
	said("open", "blocks", 0, 0, 0);
	for (int i = 0; i < 50; i++) {
		check(fread(buffer, 1, 1000, stream) == 1000, "fread");
		reads(fileno(stream), 512);
	}
	fclose(stream);
	said("close", "blocks", 0, 0, 0);
}

static void appended(void)
{
	int fd = opened("log", O_WRONLY | O_APPEND), other = opened("log", O_WRONLY);
	struct iovec one = {"content", 7};
	long end;

	for (int i = 0; i < 50; i++) {
		writes(fd, "log", 100 + i);
		end = unseen(SYS_lseek, other, 0, SEEK_END);
		/* Another descriptor appends meanwhile. */
		said("write", "log", end, 7, pwrite(other, "content", 7, end));
	}
	check(lseek(other, 0, SEEK_SET) == 0, "lseek");
	writes(other, "log", 8);
	end = unseen(SYS_lseek, fd, 0, SEEK_END);
	said("write", "log", end, 7, pwritev2(other, &one, 1, -1, RWF_APPEND));
	writes(other, "log", 8);
	check(fcntl(other, F_SETFL, O_APPEND) == 0, "fcntl");
	writes(other, "log", 8);
	closed(fd, "log");
	closed(other, "log");
}

static void *appends(void *fd)
{
	for (int i = 0; i < 1000; i++)
		check(write(*(int *)fd, fd, 4) == 4, "write");
	return NULL;
}

/* Which thread wrote which word nobody can tell. */
static void appending(void)
{
	int fd = opened("shared", O_WRONLY | O_APPEND);
	pthread_t thread[2];

	for (int i = 0; i < 2; i++)
		check(pthread_create(&thread[i], NULL, appends, &fd) == 0, "thread");
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < 2000; i++)
		said("write", "shared", 4 * i, 4, 4);
}

static void moved(void)
{
	int fd = opened("blocks", O_RDONLY), target = opened("target", O_RDWR);
	int null = open("/dev/null", O_WRONLY), ends[2];

	check(pipe(ends) == 0, "pipe");
	for (int i = 0; i < 20; i++) {
		reads(fd, 512);
		writes(target, "target", 100);
		if (i < 5)
			continue;
		if (i % 3 == 0)
			check(sendfile(null, fd, NULL, 800) == 800, "sendfile");
		if (i % 3 == 1)
			check(splice(fd, NULL, ends[1], NULL, 800, 0) == 800 &&
				      splice(ends[0], NULL, target, NULL, 800, 0) == 800,
			      "splice");
		if (i % 3 == 2)
			check(copy_file_range(fd, NULL, target, NULL, 800, 0) == 800,
			      "copy_file_range");
	}
}

/* The other side gets the descriptor with a message. */
static void passed(void)
{
	char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec one = {&byte, 1};
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = room,
				 .msg_controllen = sizeof(room)};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	int pair[2], fd;
	pid_t child;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	child = fork();
	if (!child) {
		check(recvmsg(pair[1], &message, 0) == 1, "recvmsg");
		memcpy(&fd, CMSG_DATA(part), sizeof(fd));
	} else {
		fd = opened("blocks", O_RDONLY);
		for (int i = 0; i < 40; i++)
			reads(fd, 512);
		part->cmsg_len = CMSG_LEN(sizeof(int));
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(part), &fd, sizeof(fd));
		check(sendmsg(pair[0], &message, 0) == 1, "sendmsg");
	}
	for (int i = 0; i < 50; i++) {
		if (child)
			turn(0, pair[0]);
		reads(fd, 512);
		turn(pair[child != 0 ? 0 : 1], child ? 0 : pair[1]);
	}
	if (!child)
		exit(0);
	child_ends(child);
}

static void *reads_all(void *fd)
{
	char buffer[4096];
	long place, result;

	while ((result = read(*(int *)fd, buffer, 512)) > 0) {
		memcpy(&place, buffer, sizeof(place));
		said("read", "blocks", place, 512, result);
	}
	said("read", "blocks", 1 << 20, 512, result);
	return NULL;
}

/* Each block is read once, whoever reads it. */
static void threads(void)
{
	int fd = opened("blocks", O_RDONLY);
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		check(pthread_create(&thread[i], NULL, reads_all, &fd) == 0, "thread");
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	closed(fd, "blocks");
}

/* What no library sees moves the position now and then. */
static void hidden(void)
{
	int fd = opened("blocks", O_RDONLY);
	char buffer[96];

	for (int i = 0; i < 500; i++) {
		reads(fd, 512);
		if (i % 100 == 40)
			check(unseen(SYS_read, fd, (long)buffer, 96) == 96, "read");
	}
}

static void killed(void)
{
	int fd = opened("blocks", O_RDONLY);

	for (int i = 0; i < 1000; i++)
		reads(fd, 512);
	fflush(stdout);
	raise(SIGKILL);
}

int main(int count, char **arguments)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} ways[] = {
		{"alone", alone},   {"copies", copies},   {"forked", forked},
		{"raced", raced},   {"streams", streams}, {"appended", appended},
		{"moved", moved},   {"passed", passed},   {"threads", threads},
		{"hidden", hidden}, {"killed", killed},   {"appending", appending},
	};

	check(count > 2, "positions DIRECTORY WAY");
	directory = arguments[1];
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, arguments[2]) == 0)
			ways[i].run();
	return 0;
}
