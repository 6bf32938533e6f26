/* differential: vfork: children that close, duplicate and exec, and parents that go on; direct */
#include "lives.h"

static char *buffer;
static char *self;
static int first;
static int second;

static void io(const char *moment, int fd)
{
	memset(buffer, 0, LIFE_BYTES);
	CALL_AS(pread(fd, buffer, LIFE_BYTES, 0), "%s pread", moment);
	observe_bytes(moment, buffer, LIFE_BYTES);
	CALL_AS(pread(fd, buffer + 1, 600, 5), "%s unaligned pread", moment);
	CALL_AS(fsync(fd), "%s fsync", moment);
}

enum deed {
	DEED_EXIT,
	DEED_CLOSE,
	DEED_DUP2,
	DEED_DUP3,
	DEED_RANGE,
	DEED_OPEN,
	DEED_FLAGS,
	DEED_IO,
	DEED_EXEC,
	DEED_FAIL,
	DEED_COUNT
};

static const char *const deeds[] = {"exit", "close", "dup2", "dup3", "close_range",
				    "open", "flags", "I/O",  "exec", "failing exec"};

/* The child shares the parent's memory but has numbers of its own. */
static __attribute__((noreturn)) void child(enum deed deed)
{
	static char *words[4];
	static char *none[1];

	switch (deed) {
	case DEED_CLOSE:
		_exit(close(first) != 0 || close(second) != 0);
	case DEED_DUP2:
		_exit(dup2(second, first) != first);
	case DEED_DUP3:
		_exit(dup3(second, first, O_CLOEXEC) != first);
	case DEED_RANGE:
		_exit(close_range(3, ~0U, 0) != 0);
	case DEED_OPEN:
		close(first);
		_exit(open("other", O_RDWR) != first);
	case DEED_FLAGS:
		_exit(fcntl(first, F_DUPFD, 50) != 50);
	case DEED_IO:
		_exit(pread(first, buffer, LIFE_BYTES, 0) != LIFE_BYTES || fsync(first) != 0);
	case DEED_EXEC:
		words[0] = self;
		words[1] = ".";
		words[2] = "again";
		close(first);
		execve("/proc/self/exe", words, none);
		_exit(97);
	case DEED_FAIL:
		words[0] = self;
		execve("missing", words, none);
		_exit(errno == ENOENT ? 0 : 1);
	default:
		_exit(0);
	}
}

static void one(enum deed deed)
{
	pid_t pid;

	observe("== %s", deeds[deed]);
	pid = vfork();
	if (pid == 0)
		child(deed);
	observe_child(deeds[deed], pid);
	io("first", first);
	io("second", second);
	CALL(fcntl(50, F_GETFD));
	observe("parent's life %d", live_one_life("life", deed));
}

static void *in_thread(void *argument)
{
	(void)argument;
	for (enum deed deed = 0; deed < DEED_COUNT; deed++)
		one(deed);
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t thread;

	observe_begin(count, arguments);
	self = arguments[0];
	if (count > 2) {
		int wrong = live_one_life("life", 70);

		observe("exec'd: %d", wrong);
		return wrong;
	}
	require_direct();
	buffer = pages(LIFE_BYTES);
	make_file("first", LIFE_BYTES, 1);
	make_file("other", LIFE_BYTES, 2);
	first = open("first", O_RDWR | O_DIRECT | O_CLOEXEC);
	second = open("other", O_RDWR | O_CLOEXEC);
	NEED(first >= 0 && second >= 0);
	for (enum deed deed = 0; deed < DEED_COUNT; deed++)
		one(deed);
	NEED(pthread_create(&thread, NULL, in_thread, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	return 0;
}
