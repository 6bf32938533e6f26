/* differential: descriptors closed and used again while POSIX AIO requests are in flight */
#include "posix_aio.h"

#define MANY 64

static char *blocks;
static struct aiocb requests[MANY];
static char there[PAGE];

/* Ways to take a descriptor from under its requests. */
static void take_away(int way, int fd)
{
	int other;

	switch (way) {
	case 0:
		NEED(close(fd) == 0);
		break;
	case 1:
		other = open("other", O_RDWR);
		NEED(dup2(other, fd) == fd && close(other) == 0);
		break;
	case 2:
		other = open("other", O_RDWR);
		NEED(dup3(other, fd, O_CLOEXEC) == fd && close(other) == 0);
		break;
	default:
		NEED(close_range((unsigned int)fd, (unsigned int)fd, 0) == 0);
	}
	if (way == 0 || way == 3)
		NEED(open("other", O_RDWR) == fd);
}

static const char *const ways[] = {"close", "dup2", "dup3", "close_range"};

/* A read that waits for a pipe goes on waiting for that pipe, whatever its number becomes. */
static void waiting_read(int way)
{
	struct aiocb request;
	int ends[2];

	NEED(pipe(ends) == 0);
	memset(there, 0, sizeof(there));
	aio_prepare(&request, ends[0], there, 100, 0);
	NEED(aio_read(&request) == 0);
	pause_microseconds(20000);
	take_away(way, ends[0]);
	pause_microseconds(20000);
	observe("%s: %s", ways[way], error_name(aio_error(&request)));
	NEED(write(ends[1], "for the pipe", 12) == 12);
	aio_observe_read("  read", &request);
	observe_offset("  other", ends[0]);
	observe_file("other");
	close(ends[0]);
	close(ends[1]);
}

/* A write that waits for room in a pipe never reaches the file that takes its number. */
static void waiting_write(int way)
{
	struct aiocb request;
	size_t total = 0;
	int ends[2];

	NEED(pipe(ends) == 0);
	NEED(fcntl(ends[1], F_SETPIPE_SZ, PAGE) == PAGE);
	NEED(write(ends[1], blocks, PAGE) == PAGE);
	aio_prepare(&request, ends[1], blocks, 3 * PAGE, 0);
	NEED(aio_write(&request) == 0);
	pause_microseconds(20000);
	take_away(way, ends[1]);
	observe("%s: %s", ways[way], error_name(aio_error(&request)));
	while (total < 4 * PAGE) {
		ssize_t got = read(ends[0], there, sizeof(there));

		NEED(got > 0);
		NEED(memcmp(there, blocks + (total < PAGE ? total : total - PAGE), (size_t)got) ==
		     0);
		total += (size_t)got;
	}
	aio_observe("  write", &request);
	/* With the last request the pipe is gone. */
	CALL(read(ends[0], there, sizeof(there)));
	observe_file("other");
	close(ends[0]);
	close(ends[1]);
}

/*
 * Closed with a burst in flight, and the number left alone: each request is done or was too
 * late. With the C library what is queued goes to whatever takes the number, so there is
 * nothing to compare with for that.
 */
static void burst(const char *name, int flags, int reading)
{
	int wrong = 0;

	/* Writes of the burst before may have come too late to make the file whole. */
	make_file("burst", MANY * PAGE, 8);
	for (int turn = 0; turn < 20; turn++) {
		int fd = open("burst", O_CREAT | O_RDWR | flags, 0644);

		NEED(fd >= 0);
		for (int index = 0; index < MANY; index++) {
			aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE,
				    index * PAGE);
			NEED((reading ? aio_read(&requests[index]) : aio_write(&requests[index])) ==
			     0);
		}
		NEED(close(fd) == 0);
		aio_wait_all(requests, MANY);
		for (int index = 0; index < MANY; index++) {
			int error = aio_error(&requests[index]);

			wrong += error != 0 && error != EBADF && error != ECANCELED;
			wrong += aio_return(&requests[index]) != (error ? -1 : PAGE);
		}
		NEED(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
	}
	observe("%s: wrong %d", name, wrong);
}

/* What a ring must not do, ever: write what was meant for one file to another. */
static int astray(int flags)
{
	int found = 0;

	for (int turn = 0; turn < 50; turn++) {
		int fd = open("burst", O_CREAT | O_RDWR | O_TRUNC | flags, 0644);
		int other;

		NEED(fd >= 0);
		for (int index = 0; index < MANY; index++) {
			aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE,
				    index * PAGE);
			NEED(aio_write(&requests[index]) == 0);
		}
		NEED(close(fd) == 0);
		other = open("empty", O_CREAT | O_RDWR | O_TRUNC | flags, 0644);
		NEED(other == fd);
		aio_wait_all(requests, MANY);
		found += lseek(other, 0, SEEK_END) != 0;
		close(other);
	}
	unlink("empty");
	return found;
}

/* All descriptors at once, as a daemon does at its start. */
static void close_all(void)
{
	int fd = open("burst", O_CREAT | O_RDWR, 0644);
	int ends[2];

	NEED(fd >= 0 && pipe(ends) == 0);
	aio_prepare(&requests[0], ends[0], there, 100, 0);
	NEED(aio_read(&requests[0]) == 0);
	aio_prepare(&requests[1], fd, blocks, PAGE, 0);
	NEED(aio_write(&requests[1]) == 0);
	aio_wait(&requests[1]);
	pause_microseconds(20000);
	NEED(dup2(ends[1], 600) == 600);
	NEED(close_range(3, 599, 0) == 0);
	observe("all closed: %s", error_name(aio_error(&requests[0])));
	NEED(write(600, "after all", 9) == 9);
	aio_observe_read("read", &requests[0]);
	fd = open("burst", O_RDWR);
	observe("number %d", fd);
	aio_prepare(&requests[2], fd, there, PAGE, 0);
	NEED(aio_read(&requests[2]) == 0);
	aio_observe_read("used again", &requests[2]);
}

int main(int count, char **arguments)
{
	int found = 0;

	observe_begin(count, arguments);
	require_direct();
	blocks = pages(MANY * PAGE);
	pattern_fill(blocks, MANY * PAGE, 8, 0);
	make_file("other", 10000, 3);
	aio_in_child("close all", close_all);
	for (int way = 0; way < 4; way++) {
		waiting_read(way);
		waiting_write(way);
	}
	burst("buffered writes", 0, 0);
	burst("buffered reads", 0, 1);
	burst("direct writes", O_DIRECT, 0);
	burst("direct reads", O_DIRECT, 1);
	burst("appended", O_APPEND, 0);
	if (aio_ring_expected()) {
		found = astray(0) + astray(O_DIRECT) + astray(O_APPEND);
		if (found)
			observe("went astray: %d", found);
	}
	unlink("burst");
	unlink("other");
	return found != 0;
}
