/* differential: aio_suspend: lists, timeouts, interruption, other threads, cancellation */
#include "posix_aio.h"

#define NEVER 3600

static char *buffer;
static int file;
static int ends[2];
static struct aiocb blocked; /* a read that waits for ends[1] */
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void block_one(struct aiocb *request)
{
	aio_prepare(request, ends[0], buffer, 100, 0);
	NEED(aio_read(request) == 0);
}

static void unblock(void)
{
	NEED(write(ends[1], "0123456789", 10) == 10);
}

/* Nothing to wait for, or something that has ended already: back at once. */
static void lists(void)
{
	const struct timespec never = {NEVER, 0};
	const struct timespec invalid = {0, -5};
	struct aiocb done;
	struct aiocb unused;
	struct aiocb copy;
	const struct aiocb *list[6] = {NULL};

	aio_prepare(&done, file, buffer, 100, 0);
	NEED(aio_read(&done) == 0);
	aio_wait(&done);
	aio_prepare(&unused, file, buffer, 100, 0);
	CALL(aio_suspend(list, 0, NULL));
	CALL(aio_suspend(list, 0, &never));
	CALL(aio_suspend(OPAQUE((const struct aiocb **)NULL), 0, NULL));
	CALL(aio_suspend(list, 1, NULL));
	CALL(aio_suspend(list, 6, &never));
	CALL(aio_suspend(list, -1, NULL));
	CALL(aio_suspend(list, INT32_MIN, &never));
	list[3] = &done;
	CALL(aio_suspend(list, 6, NULL));
	CALL(aio_suspend(list, 6, &invalid));
	list[3] = &unused;
	CALL(aio_suspend(list, 6, NULL));
	block_one(&blocked);
	list[1] = &blocked;
	CALL(aio_suspend(list, 6, NULL));
	list[5] = list[0] = &blocked;
	CALL(aio_suspend(list, 6, &never));
	/* One that only looks like a request in the making has nobody to end it. */
	copy = blocked;
	list[0] = &copy;
	list[1] = list[3] = list[5] = NULL;
	CALL(aio_suspend(list, 6, NULL));
	unblock();
	aio_observe("released", &blocked);
}

static void timeouts(void)
{
	static const struct timespec spans[] = {{0, 0},  {0, 1},  {0, 1000000},      {0, 100000000},
						{-1, 0}, {-5, 5}, {INT64_MIN / 2, 0}};
	const struct aiocb *list[4] = {NULL, &blocked, NULL, &blocked};

	block_one(&blocked);
	for (size_t index = 0; index < sizeof(spans) / sizeof(spans[0]); index++) {
		struct timespec before;
		struct timespec after;
		long long nanoseconds;

		clock_gettime(CLOCK_MONOTONIC, &before);
		CALL_AS(aio_suspend(list, 4, &spans[index]), "timeout %lld.%09ld",
			(long long)spans[index].tv_sec, spans[index].tv_nsec);
		clock_gettime(CLOCK_MONOTONIC, &after);
		nanoseconds = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec -
			      before.tv_nsec;
		observe("  waited long enough %d",
			spans[index].tv_sec < 0 || nanoseconds >= spans[index].tv_nsec);
	}
	observe("  still %s", error_name(aio_error(&blocked)));
	unblock();
	CALL(aio_suspend(list, 4, NULL));
	aio_observe("  released", &blocked);
}

struct waiter {
	pthread_t thread;
	const struct aiocb *list[2];
	struct timespec timeout;
	int timed;
	int result;
	int error;
	pid_t task;
};

static void *wait_in_thread(void *argument)
{
	struct waiter *waiter = argument;

	__atomic_store_n(&waiter->task, gettid(), __ATOMIC_SEQ_CST);
	errno = ERRNO_MARK;
	waiter->result = aio_suspend(waiter->list, 2, waiter->timed ? &waiter->timeout : NULL);
	waiter->error = errno;
	return NULL;
}

/* Started, and asleep in the wait as far as the kernel tells. */
static void start_waiter(struct waiter *waiter, const struct aiocb *request, int timed)
{
	char path[64];
	char line[256];

	memset(waiter, 0, sizeof(*waiter));
	waiter->list[1] = request;
	waiter->timed = timed;
	waiter->timeout.tv_sec = NEVER;
	NEED(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter) == 0);
	while (__atomic_load_n(&waiter->task, __ATOMIC_SEQ_CST) == 0)
		pause_microseconds(1000);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", waiter->task);
	do {
		FILE *status;

		pause_microseconds(10000);
		status = fopen(path, "r");
		NEED(status && fgets(line, sizeof(line), status));
		fclose(status);
	} while (!strstr(line, ") S "));
}

static void join_waiter(const char *label, struct waiter *waiter)
{
	void *answer;

	NEED(pthread_join(waiter->thread, &answer) == 0);
	if (answer == PTHREAD_CANCELED)
		observe("%s: cancelled", label);
	else
		observe_result(label, waiter->result, waiter->error);
}

/* A wait without a timeout is restarted if the handler asks for it, one with a timeout never is. */
static void interrupted(void)
{
	for (int way = 0; way < 4; way++) {
		struct waiter waiter;
		char label[64];

		snprintf(label, sizeof(label), "%s, %s", way & 1 ? "SA_RESTART" : "plain handler",
			 way & 2 ? "timeout" : "no timeout");
		handle_signal(SIGUSR1, count_signal, way & 1 ? SA_RESTART : 0);
		block_one(&blocked);
		start_waiter(&waiter, &blocked, way & 2);
		signals = 0;
		NEED(pthread_kill(waiter.thread, SIGUSR1) == 0);
		while (signals == 0)
			pause_microseconds(1000);
		if (way == 1) {
			pause_microseconds(100000);
			unblock();
		}
		join_waiter(label, &waiter);
		observe("  handled %d, %s", (int)signals,
			way == 1 ? "ended" : error_name(aio_error(&blocked)));
		if (way != 1)
			unblock();
		aio_observe("  released", &blocked);
	}
}

/* Several threads wait for one request that none of them made, and all wake. */
static void other_threads(void)
{
	struct waiter waiters[5];

	block_one(&blocked);
	for (int index = 0; index < 5; index++)
		start_waiter(&waiters[index], &blocked, index & 1);
	unblock();
	for (int index = 0; index < 5; index++)
		join_waiter("one of five", &waiters[index]);
	aio_observe("five waited", &blocked);
}

/* A thread that is cancelled in the wait leaves the request as it is. */
static void cancelled(void)
{
	for (int timed = 0; timed < 2; timed++) {
		struct waiter waiter;

		block_one(&blocked);
		start_waiter(&waiter, &blocked, timed);
		NEED(pthread_cancel(waiter.thread) == 0);
		join_waiter("asleep", &waiter);
		observe("  request %s", error_name(aio_error(&blocked)));
		start_waiter(&waiter, &blocked, timed);
		unblock();
		join_waiter("  next", &waiter);
		aio_observe("  released", &blocked);
	}
}

static void *cancel_pending(void *argument)
{
	const struct aiocb *list[1] = {argument};
	struct aiocb own;

	NEED(pthread_cancel(pthread_self()) == 0);
	aio_prepare(&own, file, buffer + 200, 100, 0);
	observe("pending: read %d", aio_read(&own));
	while (aio_error(&own) == EINPROGRESS)
		sched_yield();
	observe("pending: return %zd", aio_return(&own));
	observe("pending: cancel %d", aio_cancel(file, &own));
	observe("pending: sync %d", aio_fsync(O_DSYNC, &own));
	while (aio_error(&own) == EINPROGRESS)
		sched_yield();
	list[0] = &own;
	observe("pending: suspend %d", aio_suspend(list, 1, NULL));
	list[0] = argument;
	aio_suspend(list, 1, NULL);
	observe("not cancelled");
	return NULL;
}

/* With a cancellation pending only a wait that would sleep acts on it. */
static void cancelled_before(void)
{
	pthread_t thread;
	void *answer;

	block_one(&blocked);
	NEED(pthread_create(&thread, NULL, cancel_pending, &blocked) == 0);
	NEED(pthread_join(thread, &answer) == 0);
	observe("cancelled %d", answer == PTHREAD_CANCELED);
	unblock();
	aio_observe("released", &blocked);
}

static void *end_soon(void *argument)
{
	(void)argument;
	pause_microseconds(100000);
	unblock();
	return NULL;
}

static void woken_by_completion(void)
{
	const struct timespec never = {NEVER, 0};
	const struct aiocb *list[2] = {NULL, &blocked};

	for (int timed = 0; timed < 2; timed++) {
		pthread_t thread;

		block_one(&blocked);
		NEED(pthread_create(&thread, NULL, end_soon, NULL) == 0);
		CALL_AS(aio_suspend(list, 2, timed ? &never : NULL), "woken, timed %d", timed);
		aio_observe_now("  woken", &blocked);
		NEED(pthread_join(thread, NULL) == 0);
	}
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	buffer = pages(PAGE);
	make_file("suspend", 1000, 4);
	file = open("suspend", O_RDWR);
	NEED(pipe(ends) == 0);
	observe("names: %s", AIO_NAMES);
	lists();
	timeouts();
	woken_by_completion();
	interrupted();
	other_threads();
	cancelled();
	cancelled_before();
	unlink("suspend");
	return 0;
}
