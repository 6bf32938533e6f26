/* differential: fortify builds call the _chk names, good and bad; direct */
#include "observe.h"

/* Lengths, offsets and flags the compiler cannot know, buffers whose size it does. */
static volatile size_t whole = 2 * PAGE;
static volatile size_t too_much = 8 * PAGE;
static volatile int reading = O_RDWR;
static char block[2 * PAGE] __attribute__((aligned(PAGE)));

static void good(const char *path, int flags)
{
	int fd = open(path, reading | flags);

	observe("== flags %x", flags);
	CALL(fd);
	CALL(read(fd, block, whole));
	observe_bytes("read", block, sizeof(block));
	CALL(pread(fd, block, whole, PAGE));
	observe_bytes("pread", block, sizeof(block));
	CALL(pread64(fd, block, whole, 2 * PAGE));
	observe_bytes("pread64", block, sizeof(block));
	CALL(pread(fd, block, whole - 1, 3));
	CALL(pread(fd, block, whole, -1));
	CALL(pread(-1, block, whole, 0));
	CALL(pwrite(fd, block, whole, 0));
	observe_offset("after", fd);
	CALL(close(fd));
	fd = openat(AT_FDCWD, path, reading | flags);
	CALL(fd);
	CALL(close(fd));
	fd = open64(path, reading | flags);
	CALL(fd);
	CALL(close(fd));
	fd = openat64(AT_FDCWD, path, reading | flags);
	CALL(fd);
	CALL(close(fd));
	observe_file(path);
}

#if __USE_FORTIFY_LEVEL > 0
static void in_a_child(const char *label, void (*action)(int), int fd)
{
	pid_t child = fork();

	if (child == 0) {
		action(fd);
		_exit(0);
	}
	observe_child(label, child);
}

static void overflow_read(int fd)
{
	CALL(read(fd, block, too_much));
}

static void overflow_pread(int fd)
{
	CALL(pread(fd, block, too_much, 0));
}

static void overflow_pread64(int fd)
{
	CALL(pread64(fd, block, too_much, 0));
}

static void create_without_mode(int fd)
{
	CALL(open("unmade", (reading | O_CREAT) + 0 * fd));
}

static void create_at_without_mode(int fd)
{
	CALL(openat(AT_FDCWD, "unmade", (reading | O_CREAT) + 0 * fd));
}

static void create_unnamed_without_mode(int fd)
{
	CALL(open64(".", (reading | O_TMPFILE) + 0 * fd));
}

/* Each of these is stopped by the C library with a line on standard error and SIGABRT. */
static void bad(const char *path, int flags)
{
	int fd = open(path, O_RDWR | flags);

	in_a_child("read too much", overflow_read, fd);
	in_a_child("pread too much", overflow_pread, fd);
	in_a_child("pread64 too much", overflow_pread64, fd);
	in_a_child("open without mode", create_without_mode, fd);
	in_a_child("openat without mode", create_at_without_mode, fd);
	in_a_child("O_TMPFILE without mode", create_unnamed_without_mode, fd);
	close(fd);
}
#else
static void bad(const char *path, int flags)
{
	observe("nothing is checked in this build: %s %x %zu", path, flags, too_much);
}
#endif

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	make_file("checked", 6 * PAGE, 11);
	good("checked", 0);
	good("checked", O_DIRECT);
	bad("checked", 0);
	bad("checked", O_DIRECT);
	return 0;
}
