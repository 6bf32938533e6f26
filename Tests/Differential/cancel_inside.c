/* differential: cancellation that arrives inside a call, and life afterwards; direct */
#include "observe.h"

#define LARGE (1 * MIB)
#define ROUNDS 60
#define SYNCERS 4

static int fd;
static int pipe_ends[2];
static volatile int started;
static volatile int stop;
static int cleaned;

struct worker {
	int kind;
	int type;
	char *buffer;
};

static void clean(void *argument)
{
	(void)argument;
	__atomic_add_fetch(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void endless(const struct worker *self)
{
	struct iovec two[2] = {{self->buffer, LARGE / 2}, {self->buffer + LARGE / 2, LARGE / 2}};

	for (;;) {
		if (self->kind == 0)
			NEED(pread(fd, self->buffer, LARGE, 0) == LARGE);
		else if (self->kind == 1)
			NEED(preadv(fd, two, 2, 0) == LARGE);
		else if (self->kind == 2)
			NEED(pread(fd, self->buffer, PAGE, 0) == PAGE);
		else if (self->kind == 3)
			NEED(fsync(fd) == 0);
		else if (self->kind == 4)
			NEED(fdatasync(fd) == 0);
		else
			NEED(read(pipe_ends[0], self->buffer, PAGE) == PAGE);
		started = 1;
	}
}

static void *body(void *argument)
{
	struct worker *self = argument;
	int old;

	pthread_setcanceltype(self->type, &old);
	pthread_cleanup_push(clean, NULL);
	started = self->kind > 4;
	endless(self);
	pthread_cleanup_pop(0);
	return NULL;
}

/* Cancelled at some point of an endless loop of calls; then its memory belongs to others. */
static void loop(const char *name, int kind, int type)
{
	struct worker worker = {kind, type, pages(LARGE)};
	char *checked = pages(LARGE);
	int bad = 0;

	cleaned = 0;
	for (int round = 0; round < ROUNDS; round++) {
		pthread_t thread;
		void *answer;

		started = 0;
		NEED(pthread_create(&thread, NULL, body, &worker) == 0);
		while (!started)
			pause_microseconds(50);
		pause_microseconds(round * 37 % 900);
		NEED(pthread_cancel(thread) == 0);
		NEED(pthread_join(thread, &answer) == 0);
		bad += answer != PTHREAD_CANCELED;
		pattern_fill(worker.buffer, LARGE, (uint64_t)round, 0);
		memset(checked, 0, LARGE);
		bad += pread(fd, checked, LARGE, 0) != LARGE;
		bad += pattern_matches(checked, LARGE, 3, 0) != LARGE;
		bad += pattern_matches(worker.buffer, LARGE, (uint64_t)round, 0) != LARGE;
		bad += fsync(fd) != 0;
	}
	observe("%s: cleaned %d, wrong %d", name, cleaned, bad);
	munmap(worker.buffer, LARGE + PAGE);
	munmap(checked, LARGE + PAGE);
}

static void *sync_until_told(void *argument)
{
	int *bad = argument;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	for (int round = 0; round < 20 || !stop; round++) {
		*bad += pwrite(fd, argument, 0, 0) != 0;
		*bad += (round % 2 ? fsync(fd) : fdatasync(fd)) != 0;
	}
	return NULL;
}

/* Threads that sync one file, one of which is cancelled over and over: the others go on. */
static void among_syncers(void)
{
	pthread_t threads[SYNCERS];
	int bad[SYNCERS] = {0};
	struct worker victim = {3, PTHREAD_CANCEL_DEFERRED, NULL};
	int total = 0;

	cleaned = 0;
	for (int index = 0; index < SYNCERS; index++)
		NEED(pthread_create(&threads[index], NULL, sync_until_told, &bad[index]) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_t thread;

		started = 0;
		victim.kind = 3 + round % 2;
		NEED(pthread_create(&thread, NULL, body, &victim) == 0);
		while (!started)
			pause_microseconds(50);
		pause_microseconds(round * 13 % 300);
		NEED(pthread_cancel(thread) == 0);
		NEED(pthread_join(thread, NULL) == 0);
	}
	stop = 1;
	for (int index = 0; index < SYNCERS; index++) {
		NEED(pthread_join(threads[index], NULL) == 0);
		total += bad[index];
	}
	observe("among syncers: cleaned %d, wrong %d", cleaned, total);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	make_file("inside", LARGE, 3);
	fd = open("inside", O_RDWR | O_DIRECT);
	NEED(fd >= 0);
	NEED(pipe(pipe_ends) == 0);
	loop("pread deferred", 0, PTHREAD_CANCEL_DEFERRED);
	loop("pread async", 0, PTHREAD_CANCEL_ASYNCHRONOUS);
	loop("preadv deferred", 1, PTHREAD_CANCEL_DEFERRED);
	loop("preadv async", 1, PTHREAD_CANCEL_ASYNCHRONOUS);
	loop("small pread deferred", 2, PTHREAD_CANCEL_DEFERRED);
	loop("fsync deferred", 3, PTHREAD_CANCEL_DEFERRED);
	loop("fdatasync deferred", 4, PTHREAD_CANCEL_DEFERRED);
	loop("fsync async", 3, PTHREAD_CANCEL_ASYNCHRONOUS);
	loop("blocked on a pipe", 5, PTHREAD_CANCEL_DEFERRED);
	among_syncers();
	observe_file("inside");
	unlink("inside");
	return 0;
}
