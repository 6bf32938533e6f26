/* differential: waits of a thread that has POSIX AIO in flight are not interrupted by it; direct */
#include "posix_aio.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/select.h>

#define MANY 32
#define ROUNDS 6

static char *blocks;
static struct aiocb requests[MANY];
static int file;
static int pipe_ends[2];
static int poller;
static int semaphores;

static void submit(int round)
{
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], file, blocks + index * PAGE, PAGE, index * PAGE);
		NEED((round & 1 ? aio_write(&requests[index]) : aio_read(&requests[index])) == 0);
	}
}

/* Each wait has nothing to wait for but its time. */
static long long wait_once(int way)
{
	const struct timespec span = {0, 20000000};
	struct timespec rest = span;
	struct sembuf down = {0, -1, 0};
	struct epoll_event event;
	struct pollfd readable = {.fd = pipe_ends[0], .events = POLLIN};
	struct timeval limit = {0, 20000};
	fd_set set;
	sigset_t signals;

	switch (way) {
	case 0:
		return epoll_wait(poller, &event, 1, 20);
	case 1:
		return nanosleep(&span, &rest);
	case 2:
		return semtimedop(semaphores, &down, 1, &span);
	case 3:
		sigemptyset(&signals);
		sigaddset(&signals, SIGUSR1);
		return sigtimedwait(&signals, NULL, &span);
	case 4:
		return poll(&readable, 1, 20);
	case 5:
		FD_ZERO(&set);
		FD_SET(pipe_ends[0], &set);
		return select(pipe_ends[0] + 1, &set, NULL, NULL, &limit);
	default:
		errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &rest);
		return errno ? -1 : 0;
	}
}

static void every_wait(const char *name, int flags)
{
	static const char *const ways[] = {"epoll_wait",     "nanosleep", "semtimedop",
					   "sigtimedwait",   "poll",      "select",
					   "clock_nanosleep"};

	file = open("undisturbed", O_CREAT | O_RDWR | flags, 0644);
	NEED(file >= 0);
	for (int way = 0; way < 7; way++) {
		int interrupted = 0;
		int other = 0;

		for (int round = 0; round < ROUNDS; round++) {
			long long result;

			submit(round);
			errno = 0;
			result = wait_once(way);
			interrupted += result == -1 && errno == EINTR;
			other += result == -1 && errno != EINTR && errno != EAGAIN;
			aio_wait_all(requests, MANY);
			for (int index = 0; index < MANY; index++)
				other += aio_error(&requests[index]) != 0;
		}
		observe("%s %s: interrupted %d, other %d", name, ways[way], interrupted, other);
	}
	close(file);
}

static void *answer_late(void *argument)
{
	pause_microseconds(30000);
	NEED(write(*(int *)argument, "x", 1) == 1);
	return NULL;
}

/* The same of calls that have no time limit and would not be restarted by themselves. */
static void unlimited(void)
{
	struct aiocb waiting;
	char byte;
	int other[2];
	int wrong = 0;

	NEED(pipe(other) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		struct pollfd readable = {.fd = other[0], .events = POLLIN};
		pthread_t thread;

		aio_prepare(&waiting, pipe_ends[0], &byte, 1, 0);
		NEED(aio_read(&waiting) == 0);
		NEED(pthread_create(&thread, NULL, answer_late, &other[1]) == 0);
		NEED(write(pipe_ends[1], "y", 1) == 1);
		wrong += poll(&readable, 1, -1) != 1;
		wrong += read(other[0], &byte, 1) != 1;
		NEED(pthread_join(thread, NULL) == 0);
		wrong += aio_wait(&waiting) != 0;
	}
	observe("unlimited: wrong %d", wrong);
}

int main(int count, char **arguments)
{
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t set;

	observe_begin(count, arguments);
	require_direct();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	blocks = pages(MANY * PAGE);
	make_file("undisturbed", MANY * PAGE, 2);
	NEED(pipe(pipe_ends) == 0);
	poller = epoll_create1(0);
	NEED(poller >= 0 && epoll_ctl(poller, EPOLL_CTL_ADD, pipe_ends[0], &event) == 0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	NEED(semaphores >= 0);
	every_wait("buffered", 0);
	every_wait("direct", O_DIRECT);
	every_wait("synchronous", O_DSYNC);
	unlimited();
	NEED(semctl(semaphores, 0, IPC_RMID) == 0);
	unlink("undisturbed");
	return 0;
}
