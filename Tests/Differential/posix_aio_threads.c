/* differential: POSIX AIO of many threads, deep queues, requests on stacks, in handlers; direct */
#include "posix_aio.h"

#include <sys/time.h>

#define THREADS 6
#define ROUNDS 40
#define WIDTH 16
#define DEEP 1000

static char *deep_blocks;
static struct aiocb deep[DEEP];

struct worker {
	pthread_t thread;
	int number;
	int fd;
	int wrong;
	char *blocks;
};

static off_t place_of(const struct worker *worker, int index)
{
	return ((off_t)worker->number * WIDTH + index) * PAGE;
}

/* Own parts of one file through one descriptor, with requests on the stack, written and read. */
static void *work(void *argument)
{
	struct worker *worker = argument;

	for (int round = 0; round < ROUNDS; round++) {
		const struct aiocb *list[WIDTH];
		struct aiocb requests[WIDTH];
		uint64_t seed = (uint64_t)(worker->number * ROUNDS + round);

		pattern_fill(worker->blocks, WIDTH * PAGE, seed, 0);
		for (int reading = 0; reading < 2; reading++) {
			for (int index = 0; index < WIDTH; index++) {
				aio_prepare(&requests[index], worker->fd,
					    worker->blocks + index * PAGE, PAGE,
					    place_of(worker, index));
				list[index] = &requests[index];
				worker->wrong += (reading ? aio_read(&requests[index])
							  : aio_write(&requests[index])) != 0;
			}
			for (int left = WIDTH; left > 0;) {
				NEED(aio_suspend(list, WIDTH, NULL) == 0);
				for (int index = 0; index < WIDTH; index++) {
					if (!list[index] || aio_error(list[index]) == EINPROGRESS)
						continue;
					worker->wrong += aio_return(&requests[index]) != PAGE;
					memset(&requests[index], 0xff, sizeof(requests[index]));
					list[index] = NULL;
					left--;
				}
			}
			if (!reading)
				memset(worker->blocks, 0, WIDTH * PAGE);
		}
		worker->wrong += pattern_matches(worker->blocks, WIDTH * PAGE, seed, 0) !=
				 WIDTH * PAGE;
	}
	return NULL;
}

static void many_threads(const char *name, int flags)
{
	struct worker workers[THREADS];
	int fd = open("threads", O_CREAT | O_RDWR | O_TRUNC | flags, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	for (int number = 0; number < THREADS; number++) {
		workers[number] = (struct worker){.number = number, .fd = fd};
		workers[number].blocks = pages(WIDTH * PAGE);
		NEED(pthread_create(&workers[number].thread, NULL, work, &workers[number]) == 0);
	}
	for (int number = 0; number < THREADS; number++) {
		NEED(pthread_join(workers[number].thread, NULL) == 0);
		wrong += workers[number].wrong;
	}
	observe("%s: wrong %d", name, wrong);
	close(fd);
	observe_file("threads");
}

/* One memory for request after request, as soon as the last has been asked for its result. */
static void reused_at_once(void)
{
	int fd = open("threads", O_CREAT | O_RDWR | O_TRUNC, 0644);
	struct aiocb request;
	int wrong = 0;

	for (int index = 0; index < 3000; index++) {
		char bytes[8];

		memcpy(bytes, &index, sizeof(index));
		memset(bytes + 4, 'x', 4);
		aio_prepare(&request, fd, bytes, 8, index * 8);
		NEED(aio_write(&request) == 0);
		while (aio_error(&request) == EINPROGRESS)
			aio_wait(&request);
		wrong += aio_return(&request) != 8;
	}
	observe("reused: wrong %d", wrong);
	observe_file("threads");
	close(fd);
}

static void all_at_once(const char *name, int flags, int depth)
{
	int fd = open("threads", O_CREAT | O_RDWR | O_TRUNC | flags, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	pattern_fill(deep_blocks, (size_t)depth * PAGE, (uint64_t)depth, 0);
	for (int reading = 0; reading < 2; reading++) {
		/* In no order that could be mistaken for another. */
		for (int step = 0; step < depth; step++) {
			int index = (int)((long)step * 607 % depth);

			aio_prepare(&deep[step], fd, deep_blocks + index * PAGE, PAGE,
				    (off_t)index * PAGE);
			NEED((reading ? aio_read(&deep[step]) : aio_write(&deep[step])) == 0);
		}
		aio_wait_all(deep, depth);
		for (int index = 0; index < depth; index++)
			wrong += aio_return(&deep[index]) != PAGE;
		wrong += pattern_matches(deep_blocks, (size_t)depth * PAGE, (uint64_t)depth, 0) !=
			 (size_t)depth * PAGE;
		if (!reading)
			memset(deep_blocks, 0, (size_t)depth * PAGE);
	}
	observe("%s, %d at once: wrong %d", name, depth, wrong);
	observe_file("threads");
	close(fd);
}

static volatile sig_atomic_t asked;
static volatile sig_atomic_t nonsense;

/* Asks about requests in the making, and again about those that have ended. */
static void ask(int number)
{
	int saved = errno;

	(void)number;
	for (int index = 0; index < WIDTH; index++) {
		int error = aio_error(&deep[index]);

		nonsense += error != 0 && error != EINPROGRESS;
		if (error == 0)
			nonsense += aio_return(&deep[index]) != PAGE;
	}
	asked++;
	errno = saved;
}

/*
 * The handler runs anywhere on the ring, inside these calls too. The C library's take a lock
 * that a handler must not find half taken, so there it runs between them.
 */
static void asked_by_handler(const char *name, int flags)
{
	struct itimerval often = {{0, 1000}, {0, 1000}};
	struct itimerval never = {{0, 0}, {0, 0}};
	int fd = open("threads", O_RDWR | flags);
	int anywhere = aio_ring_expected();
	int wrong = 0;
	sigset_t alarm;

	NEED(fd >= 0);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	for (int index = 0; index < WIDTH; index++)
		aio_prepare(&deep[index], fd, deep_blocks + index * PAGE, PAGE, index * PAGE);
	for (int index = 0; index < WIDTH; index++)
		NEED(aio_read(&deep[index]) == 0);
	aio_wait_all(deep, WIDTH);
	handle_signal(SIGALRM, ask, SA_RESTART);
	asked = 0;
	NEED(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int round = 0; round < 40 || asked < 40; round++) {
		if (!anywhere)
			NEED(sigprocmask(SIG_BLOCK, &alarm, NULL) == 0);
		for (int index = 0; index < WIDTH; index++)
			NEED((round & 1 ? aio_write(&deep[index]) : aio_read(&deep[index])) == 0);
		NEED(sigprocmask(SIG_UNBLOCK, &alarm, NULL) == 0);
		pause_microseconds(anywhere ? 0 : 1500);
		if (!anywhere)
			NEED(sigprocmask(SIG_BLOCK, &alarm, NULL) == 0);
		aio_wait_all(deep, WIDTH);
		for (int index = 0; index < WIDTH; index++)
			wrong += aio_error(&deep[index]) != 0 || aio_return(&deep[index]) != PAGE;
	}
	NEED(setitimer(ITIMER_REAL, &never, NULL) == 0);
	NEED(sigprocmask(SIG_UNBLOCK, &alarm, NULL) == 0);
	observe("%s, asked by a handler: wrong %d, nonsense %d", name, wrong, (int)nonsense);
	close(fd);
}

/* Hints on how many requests there will be change nothing that can be seen, at any time. */
static void hints(void)
{
	struct aioinit hint = {.aio_threads = 1, .aio_num = 1, .aio_idle_time = 1};

	aio_init(&hint);
	all_at_once("one thread", 0, 100);
	hint.aio_threads = -5;
	hint.aio_num = -5;
	aio_init(&hint);
	hint.aio_threads = 1000;
	hint.aio_num = 100000;
	aio_init(&hint);
	all_at_once("hinted", O_DIRECT, 100);
}

int main(int count, char **arguments)
{
	static const int depths[] = {32, 128, 513, DEEP};

	observe_begin(count, arguments);
	require_direct();
	deep_blocks = pages(DEEP * PAGE);
	aio_in_child("hints", hints);
	many_threads("buffered", 0);
	many_threads("direct", O_DIRECT);
	reused_at_once();
	for (int index = 0; index < 4; index++) {
		all_at_once("buffered", 0, depths[index]);
		all_at_once("direct", O_DIRECT, depths[index]);
	}
	asked_by_handler("buffered", 0);
	asked_by_handler("direct", O_DIRECT);
	unlink("threads");
	return 0;
}
