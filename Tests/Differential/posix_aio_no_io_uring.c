/* differential: POSIX AIO where io_uring is refused, before the first request and after some */
#include "posix_aio.h"
#include "seccomp.h"

static char *blocks;

static int burst(void)
{
	static struct aiocb requests[32];
	int fd = open("refused", O_CREAT | O_RDWR | O_TRUNC, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	for (int reading = 0; reading < 2; reading++) {
		for (int index = 0; index < 32; index++) {
			aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE,
				    index * PAGE);
			wrong += (reading ? aio_read(&requests[index])
					  : aio_write(&requests[index])) != 0;
		}
		aio_wait_all(requests, 32);
		for (int index = 0; index < 32; index++)
			wrong += aio_return(&requests[index]) != PAGE;
	}
	wrong += pattern_matches(blocks, 32 * PAGE, 3, 0) != 32 * PAGE;
	close(fd);
	unlink("refused");
	return wrong;
}

static void refused(int error)
{
	struct aiocb waiting;
	int ends[2];

	refuse_io_uring(error);
	NEED(pipe(ends) == 0);
	aio_prepare(&waiting, ends[0], blocks + 32 * PAGE, 100, 0);
	CALL(aio_read(&waiting));
	observe("refused: wrong %d", burst());
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe_read("refused", &waiting);
}

static void not_permitted(void)
{
	refused(EPERM);
}

static void not_there(void)
{
	refused(ENOSYS);
}

static void no_memory(void)
{
	refused(ENOMEM);
}

/* The requests of before were served, those of after are too, whoever serves them. */
static void refused_later(void)
{
	observe("before: wrong %d", burst());
	refuse_io_uring(EPERM);
	for (int turn = 0; turn < 3; turn++) {
		observe("after: wrong %d", burst());
		pause_microseconds(turn * 1300000);
	}
}

/* One that waits when the filter comes ends as it would have. */
static void refused_meanwhile(void)
{
	struct aiocb waiting;
	int ends[2];

	NEED(pipe(ends) == 0);
	aio_prepare(&waiting, ends[0], blocks + 32 * PAGE, 100, 0);
	CALL(aio_read(&waiting));
	pause_microseconds(20000);
	refuse_io_uring(EPERM);
	observe("meanwhile: wrong %d", burst());
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe_read("meanwhile", &waiting);
	observe("meanwhile: wrong %d", burst());
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	blocks = pages(33 * PAGE);
	pattern_fill(blocks, 32 * PAGE, 3, 0);
	aio_in_child("not permitted", not_permitted);
	aio_in_child("not there", not_there);
	aio_in_child("no memory", no_memory);
	aio_in_child("refused later", refused_later);
	aio_in_child("refused meanwhile", refused_meanwhile);
	return 0;
}
