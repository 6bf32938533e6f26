/* differential: every way to open a file, its errors, modes and the numbers handed out */
#include "observe.h"

#include <linux/openat2.h>

static char large[PAGE * 2];

static void observe_opened(const char *label, int fd)
{
	struct stat status;

	if (fd < 0)
		return;
	NEED(fstat(fd, &status) == 0);
	observe("%s: mode %o size %lld flags %x descriptor flags %x", label, status.st_mode,
		(long long)status.st_size, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	NEED(close(fd) == 0);
}

#define OPEN(expression)                                                                           \
	do {                                                                                       \
		long long opened = CALL(expression);                                               \
		observe_opened("  ", (int)opened);                                                 \
	} while (0)

static void with_mode(void)
{
	static const mode_t modes[] = {0, 0400, 0600, 0644, 0666, 0777, 01777, 02644, 07777};

	for (size_t index = 0; index < sizeof(modes) / sizeof(modes[0]); index++) {
		mode_t mode = modes[index];

		observe("-- mode %o", mode);
		OPEN(open("a", O_CREAT | O_RDWR, mode));
		OPEN(open64("b", O_CREAT | O_RDWR | O_EXCL, mode));
		OPEN(openat(AT_FDCWD, "c", O_CREAT | O_WRONLY, mode));
		OPEN(openat64(AT_FDCWD, "d", O_CREAT | O_RDWR | O_TRUNC, mode));
		OPEN(creat("e", mode));
		OPEN(creat64("f", mode));
		OPEN(open(".", O_TMPFILE | O_RDWR, mode));
		OPEN(open64(".", O_TMPFILE | O_WRONLY | O_EXCL, mode));
		OPEN(openat(AT_FDCWD, ".", O_TMPFILE | O_RDWR | O_DIRECT, mode));
		OPEN(openat64(AT_FDCWD, ".", O_TMPFILE | O_RDWR, mode));
		for (char name[] = "a"; name[0] <= 'f'; name[0]++)
			NEED(unlink(name) == 0);
	}
}

static void without_mode(void)
{
	make_file("old", 5000, 1);
	OPEN(open("old", O_RDONLY));
	OPEN(open("old", O_WRONLY | O_CLOEXEC));
	OPEN(open64("old", O_RDWR | O_APPEND));
	OPEN(openat(AT_FDCWD, "old", O_RDWR | O_NONBLOCK));
	OPEN(openat64(AT_FDCWD, "old", O_RDONLY | O_NOATIME));
	OPEN(open("old", O_RDWR | O_SYNC));
	OPEN(open("old", O_RDWR | O_DSYNC));
	OPEN(open("old", O_RDWR | O_DIRECT));
	OPEN(open("old", O_PATH));
	OPEN(open(".", O_RDONLY | O_DIRECTORY));
	OPEN(open("/dev/null", O_RDWR));
	OPEN(open("/dev/tty", O_RDWR | O_NOCTTY));
	OPEN(open("/proc/self/comm", O_RDONLY));
	OPEN(open("/proc/sys/kernel/ostype", O_WRONLY | O_TRUNC | O_DIRECTORY));
	OPEN(open("old", O_RDWR | O_TRUNC));
	unlink("old");
}

static void refused(void)
{
	char long_name[300];

	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	make_file("there", 10, 1);
	NEED(symlink("loop", "loop") == 0);
	NEED(symlink("there", "link") == 0);
	OPEN(open("missing", O_RDONLY));
	OPEN(open("missing/deeper", O_CREAT | O_RDWR, 0600));
	OPEN(open("there", O_CREAT | O_EXCL | O_RDWR, 0600));
	OPEN(open("there/deeper", O_RDONLY));
	OPEN(open("there", O_DIRECTORY));
	OPEN(open(".", O_RDWR));
	OPEN(open(".", O_CREAT | O_RDWR, 0600));
	OPEN(open("loop", O_RDONLY));
	OPEN(open("link", O_RDONLY | O_NOFOLLOW));
	OPEN(open("link", O_PATH | O_NOFOLLOW));
	OPEN(open("", O_RDONLY));
	OPEN(open(long_name, O_RDONLY));
	OPEN(open(OPAQUE((char *)NULL), O_RDONLY));
	OPEN(open(OPAQUE((char *)8), O_RDONLY));
	OPEN(openat(-1, "there", O_RDONLY));
	OPEN(openat(1, "there", O_RDONLY));
	OPEN(openat(999, "/dev/null", O_RDONLY));
	OPEN(open("there", O_TMPFILE | O_RDWR, 0600));
	OPEN(open(".", O_TMPFILE | O_RDONLY, 0600));
	OPEN(creat("missing/deeper", 0600));
	OPEN(creat(".", 0600));
	unlink("loop");
	unlink("link");
	unlink("there");
}

static void by_number(void)
{
	struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0640};

	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, sizeof(how)));
	how.mode = 0;
	how.flags = O_RDWR | O_DIRECT;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, sizeof(how)));
	how.flags = O_RDONLY;
	how.mode = 0600;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, sizeof(how)));
	how.mode = 0;
	how.resolve = RESOLVE_BENEATH;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how)));
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, sizeof(how)));
	how.resolve = 1ULL << 40;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, sizeof(how)));
	how.resolve = 0;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", &how, (size_t)7));
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", (void *)8, sizeof(how)));
	memset(large, 0, sizeof(large));
	memcpy(large, &how, sizeof(how));
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", large, (size_t)PAGE));
	large[100] = 1;
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", large, (size_t)PAGE));
	OPEN(syscall(SYS_openat2, AT_FDCWD, "how", large, (size_t)PAGE * 2));
	OPEN(syscall(SYS_open, "how", O_RDWR | O_TRUNC, 0));
	OPEN(syscall(SYS_openat, AT_FDCWD, "new", O_RDWR | O_CREAT, 0604));
	OPEN(syscall(SYS_creat, "new", 0600));
	unlink("how");
	unlink("new");
}

static void through_streams(void)
{
	static const char *const ways[] = {"w", "r", "r+", "a", "a+", "w+", "rb", "re", "wx", "q"};
	char text[64] = {0};
	FILE *stream;

	for (size_t index = 0; index < sizeof(ways) / sizeof(ways[0]); index++) {
		stream = fopen("stream", ways[index]);
		if (!stream) {
			observe("fopen %s: %s", ways[index], error_name(errno));
			continue;
		}
		observe("fopen %s: number %d flags %x", ways[index], fileno(stream),
			fcntl(fileno(stream), F_GETFL));
		CALL(pwrite(fileno(stream), "by the number", 13, 0));
		CALL(fflush(stream));
		CALL(pread(fileno(stream), text, sizeof(text), 0));
		CALL(fsync(fileno(stream)));
		CALL(ftruncate(fileno(stream), 20));
		fprintf(stream, "by the stream");
		CALL(fclose(stream));
		observe_file("stream");
	}
	stream = fopen64("stream", "r+");
	NEED(stream);
	CALL(fileno(stream));
	stream = freopen("stream2", "w+", stream);
	NEED(stream);
	CALL(fileno(stream));
	CALL(pwrite(fileno(stream), "again", 5, 3));
	CALL(fclose(stream));
	observe_file("stream2");
}

/* The lowest free number, before and after any I/O. */
static void numbers(void)
{
	int low;

	for (int index = 0; index < 5; index++)
		CALL(open("/dev/null", O_RDONLY));
	CALL(close(4));
	CALL(close(6));
	low = (int)CALL(open("numbers", O_CREAT | O_RDWR | O_DIRECT, 0644));
	CALL(pwrite(low, OPAQUE((char *)8), PAGE, 0));
	CALL(fsync(low));
	CALL(open("/dev/null", O_RDONLY));
	CALL(open("/dev/null", O_RDONLY));
	CALL(dup(0));
	closefrom(3);
	CALL(open("/dev/null", O_RDONLY));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	with_mode();
	umask(077);
	with_mode();
	umask(0);
	with_mode();
	without_mode();
	refused();
	by_number();
	through_streams();
	numbers();
	return 0;
}
