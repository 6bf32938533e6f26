/* differential: close_range with its flags and wrong arguments, and what exec closes; direct */
#include "observe.h"

#include <linux/close_range.h>

static char *buffer;

static void show(const char *moment)
{
	char line[200] = "";
	size_t used = 0;

	for (int fd = 0; fd < 30; fd++) {
		int flags = fcntl(fd, F_GETFD);

		line[used++] = flags == -1 ? '.' : flags & FD_CLOEXEC ? 'c' : 'o';
	}
	observe("%s: %s", moment, line);
}

static void fill_numbers(void)
{
	for (int fd = 3; fd < 20; fd++)
		NEED(open("ranges", fd % 3 ? O_RDWR | O_DIRECT : O_RDWR) == fd);
}

static void io(const char *moment, int fd)
{
	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", moment);
	CALL_AS(pwrite(fd, buffer, 512 * KIB, 0), "%s pwrite", moment);
	CALL_AS(fsync(fd), "%s fsync", moment);
}

static void wrong(void)
{
	CALL(close_range(5, 4, 0));
	CALL(close_range(5, 6, 8));
	CALL(close_range(5, 6, -1));
	CALL(syscall(SYS_close_range, 9u, 8u, 0u));
	CALL(close_range(~0U, ~0U, 0));
	CALL(close_range(25, 29, 0));
	show("after wrong arguments");
}

static void *unshared(void *argument)
{
	(void)argument;
	/* From here on this thread has a table of its own. */
	CALL(close_range(4, ~0U, CLOSE_RANGE_UNSHARE));
	show("in the unsharing thread");
	io("unshared 3", 3);
	io("unshared 4", 4);
	CALL(open("ranges", O_RDWR | O_DIRECT));
	io("unshared new 4", 4);
	CALL(close_range(3, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
	show("close on exec");
	return NULL;
}

/* Second life: what came through exec, and that I/O goes on in it. */
static int after_exec(void)
{
	show("after exec");
	io("after exec 3", 3);
	io("after exec 10", 10);
	CALL(open("ranges", O_RDWR | O_DIRECT));
	return 0;
}

static void exec_in_child(char *self, const char *name, unsigned int from)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *words[] = {self, ".", "again", NULL};

		observe("== %s", name);
		CALL(close_range(from, 12, CLOSE_RANGE_CLOEXEC));
		show("marked");
		io("marked 5", 5);
		execv("/proc/self/exe", words);
		_exit(97);
	}
	observe_child(name, pid);
}

int main(int count, char **arguments)
{
	pthread_t thread;

	observe_begin(count, arguments);
	buffer = pages(1 * MIB);
	if (count > 2)
		return after_exec();
	require_direct();
	make_file("ranges", 1 * MIB, 5);
	fill_numbers();
	show("filled");
	io("first 4", 4);
	wrong();
	exec_in_child(arguments[0], "from 3", 3);
	exec_in_child(arguments[0], "from 8", 8);
	NEED(pthread_create(&thread, NULL, unshared, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	show("in the main thread");
	for (int fd = 3; fd < 20; fd++)
		io("main", fd);
	CALL(close_range(6, 9, 0));
	show("a hole");
	io("hole 7", 7);
	io("beside 10", 10);
	CALL(open("ranges", O_RDWR | O_DIRECT));
	CALL(open("ranges", O_RDWR | O_DIRECT));
	io("reopened 6", 6);
	closefrom(15);
	show("closefrom 15");
	observe_file("ranges");
	unlink("ranges");
	return 0;
}
