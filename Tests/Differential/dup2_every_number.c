/* differential: dup2 and dup3 onto every number there may be, with I/O on them; direct */
#include "observe.h"

static char *buffer;

static void io(const char *moment, int fd)
{
	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread on %d", moment, fd);
	CALL_AS(pwrite(fd, buffer, 64 * KIB, 0), "%s pwrite on %d", moment, fd);
	CALL_AS(fdatasync(fd), "%s fdatasync on %d", moment, fd);
}

int main(int count, char **arguments)
{
	struct rlimit limit;
	long failed = 0;
	int top;
	int fd;

	observe_begin(count, arguments);
	require_direct();
	buffer = pages(1 * MIB);
	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < 4096)
		skip("RLIMIT_NOFILE is under 4096");
	limit.rlim_cur = 4096;
	NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	top = (int)limit.rlim_cur;
	make_file("every", 1 * MIB, 5);
	fd = open("every", O_RDWR | O_DIRECT);
	io("before", fd);
	for (int number = 3; number < top; number++)
		failed += dup2(fd, number) != number;
	observe("dup2 failed %ld times", failed);
	CALL(dup2(fd, top));
	CALL(dup(fd));
	CALL(open("/dev/null", O_RDWR));
	io("while the table is full", fd);
	io("while the table is full", top - 1);
	io("while the table is full", top / 2);
	for (int number = 4; number < top; number++)
		failed += dup3(fd, number, O_CLOEXEC) != number;
	observe("dup3 failed %ld times", failed);
	for (int number = 4; number < top; number++)
		failed += pread(number, buffer, PAGE, 0) != PAGE;
	observe("pread failed %ld times", failed);
	for (int number = 4; number < top; number++)
		failed += close(number) != 0;
	observe("close failed %ld times", failed);
	CALL(dup(fd));
	io("afterwards", fd);
	unlink("every");
	return 0;
}
