/* differential: fork with POSIX AIO in flight: the child has none, both go on; direct */
#include "posix_aio.h"

#define MANY 64
#define CHILDREN 10

static char *blocks;
static struct aiocb requests[MANY];
/* One after another: the C library's child must not use the memory of a request again. */
static struct aiocb waits[8];
static struct aiocb *waiting = waits;
static char waiting_bytes[100];
static int ends[2];

static void wait_in_front(void)
{
	NEED(pipe(ends) == 0);
	waiting++;
	aio_prepare(waiting, ends[0], waiting_bytes, 100, 0);
	NEED(aio_read(waiting) == 0);
}

/* The first use in this process, of a descriptor that nobody waits at. */
static int afresh(const char *path, int turn)
{
	static char own[MANY * PAGE];
	struct aiocb sync;
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	pattern_fill(own, sizeof(own), (uint64_t)turn, 0);
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], fd, own + index * PAGE, PAGE, index * PAGE);
		wrong += aio_write(&requests[index]) != 0;
	}
	aio_prepare(&sync, fd, NULL, 0, 0);
	wrong += aio_fsync(O_DSYNC, &sync) != 0;
	aio_wait_all(requests, MANY);
	wrong += aio_wait(&sync) != 0;
	memset(own, 0, sizeof(own));
	for (int index = 0; index < MANY; index++) {
		wrong += aio_return(&requests[index]) != PAGE;
		wrong += aio_read(&requests[index]) != 0;
	}
	aio_wait_all(requests, MANY);
	wrong += pattern_matches(own, sizeof(own), (uint64_t)turn, 0) != sizeof(own);
	close(fd);
	unlink(path);
	return wrong;
}

/* The parent waits at a pipe; its child does not, and nothing is taken from the pipe twice. */
static void one_waits(void)
{
	pid_t child;

	wait_in_front();
	child = fork();
	if (child == 0) {
		const struct timespec span = {0, 10000000};
		const struct aiocb *list[1] = {waiting};

		observe("child: copy %s", error_name(aio_error(waiting)));
		observe("child: suspended %d", aio_suspend(list, 1, &span));
		observe("child: wrong %d", afresh("child", 1));
		observe("child: copy %s", error_name(aio_error(waiting)));
		exit(3);
	}
	observe_child("child", child);
	observe("parent: %s", error_name(aio_error(waiting)));
	observe("parent: wrong %d", afresh("parent", 2));
	NEED(write(ends[1], "once", 4) == 4);
	aio_observe_read("parent", waiting);
}

/* What has ended before looks ended in the child too. */
static void ended_before(void)
{
	struct aiocb good;
	struct aiocb bad;
	pid_t child;

	wait_in_front();
	aio_prepare(&good, ends[1], "abc", 3, 0);
	NEED(aio_write(&good) == 0);
	aio_observe("parent", &good);
	aio_observe("parent", waiting);
	wait_in_front();
	aio_prepare(&bad, -1, NULL, 1, 0);
	NEED(aio_read(&bad) == 0);
	aio_wait(&bad);
	child = fork();
	if (child == 0) {
		aio_observe_now("child good", &good);
		aio_observe_now("child bad", &bad);
		_exit(0);
	}
	observe_child("child", child);
}

/* Forked in a burst: all of the parent's requests end well, the child does not touch them. */
static void in_a_burst(void)
{
	int fd = open("burst", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	for (int turn = 0; turn < CHILDREN; turn++) {
		pid_t child;
		int status;

		pattern_fill(blocks, MANY * PAGE, (uint64_t)turn, 0);
		for (int index = 0; index < MANY; index++) {
			aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE,
				    index * PAGE);
			NEED(aio_write(&requests[index]) == 0);
		}
		child = fork();
		if (child == 0)
			_exit(7);
		aio_wait_all(requests, MANY);
		for (int index = 0; index < MANY; index++)
			wrong += aio_return(&requests[index]) != PAGE;
		memset(blocks, 0, MANY * PAGE);
		for (int index = 0; index < MANY; index++)
			NEED(aio_read(&requests[index]) == 0);
		aio_wait_all(requests, MANY);
		wrong += pattern_matches(blocks, MANY * PAGE, (uint64_t)turn, 0) != MANY * PAGE;
		NEED(waitpid(child, &status, 0) == child);
		wrong += status != 7 << 8;
	}
	observe("burst: wrong %d", wrong);
	close(fd);
	unlink("burst");
}

/* Children of children, each with a request of its own while its parent waits. */
static void generations(void)
{
	for (int turn = 0; turn < 4; turn++) {
		pid_t child;

		wait_in_front();
		child = fork();
		if (child != 0) {
			observe_child("generation", child);
			observe("generation: wrong %d", afresh("generation", turn));
			NEED(write(ends[1], "once", 4) == 4);
			NEED(aio_wait(waiting) == 0 && aio_return(waiting) == 4);
			exit(turn);
		}
	}
	observe("last generation: wrong %d", afresh("generation", 4));
	exit(4);
}

static void *fork_in_thread(void *argument)
{
	pid_t child = fork();

	(void)argument;
	if (child == 0)
		_exit(afresh("threaded", 5));
	observe_child("threaded", child);
	return NULL;
}

static void from_a_thread(void)
{
	pthread_t thread;

	wait_in_front();
	NEED(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	NEED(write(ends[1], "once", 4) == 4);
	aio_observe_read("parent", waiting);
}

/*
 * After all helpers have gone. While one of the C library's is idle, its child waits for it in
 * vain, so only a run on the ring may fork then.
 */
static void after_a_pause(void)
{
	int before = aio_count_tasks();
	int rounds = aio_ring_expected() ? 5 : 0;

	NEED(afresh("paused", 6) == 0);
	for (int turn = 0; turn < rounds; turn++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			_exit(afresh("idle", turn));
		NEED(waitpid(child, &status, 0) == child && status == 0);
		NEED(afresh("paused", turn) == 0);
	}
	NEED(aio_tasks_become(before));
	aio_in_child("child of nobody's", one_waits);
	observe("paused: wrong %d", afresh("paused", 7));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	blocks = pages(MANY * PAGE);
	aio_in_child("one waits", one_waits);
	aio_in_child("ended before", ended_before);
	aio_in_child("in a burst", in_a_burst);
	aio_in_child("generations", generations);
	aio_in_child("from a thread", from_a_thread);
	aio_in_child("after a pause", after_a_pause);
	return 0;
}
