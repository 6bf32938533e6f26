/* differential: POSIX AIO while the program takes every descriptor number for itself */
#include "posix_aio.h"

static char *buffer;

/* Some of the numbers may be those of a ring and a doorbell, which must not be lost with them. */
static void take_all_but(int first, int second, int file)
{
	struct rlimit limit;
	int taken = 0;

	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (int fd = 3; fd < (int)limit.rlim_cur; fd++) {
		if (fd == first || fd == second || fd == file)
			continue;
		NEED(dup2(file, fd) == fd);
		taken++;
	}
	observe("all taken %d", taken == (int)limit.rlim_cur - 6);
}

static void requests_go_on(int file)
{
	struct aiocb request;

	for (int turn = 0; turn < 3; turn++) {
		aio_prepare(&request, file, buffer, 1000, turn * 100);
		NEED(aio_write(&request) == 0);
		aio_observe("write", &request);
		NEED(aio_fsync(O_DSYNC, &request) == 0);
		aio_observe("sync", &request);
		memset(buffer, 0, PAGE);
		aio_prepare(&request, file, buffer, 1000, turn * 100);
		NEED(aio_read(&request) == 0);
		aio_observe_read("read", &request);
		/* Long enough for a helper to fall asleep. */
		pause_microseconds(20000);
	}
}

int main(int count, char **arguments)
{
	struct rlimit limit = {512, 512};
	struct aiocb waiting;
	int file;
	int ends[2];

	observe_begin(count, arguments);
	NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	buffer = pages(PAGE);
	pattern_fill(buffer, PAGE, 3, 0);
	make_file("taken", 4000, 4);
	file = open("taken", O_RDWR);
	NEED(file >= 0 && pipe(ends) == 0);
	aio_prepare(&waiting, ends[0], buffer + 2000, 100, 0);
	NEED(aio_read(&waiting) == 0);
	requests_go_on(file);
	take_all_but(ends[0], ends[1], file);
	requests_go_on(file);
	NEED(write(ends[1], "late", 4) == 4);
	aio_observe_read("waiting", &waiting);
	requests_go_on(file);
	observe_file("taken");
	unlink("taken");
	return 0;
}
