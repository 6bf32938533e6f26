/* differential: lio_listio: modes, empty entries, operations, failures, notifications; direct */
#include "posix_aio.h"

#include <limits.h>
#include <semaphore.h>

#define MANY 3000

static char *buffer;
static int file;

static void fill(struct aiocb *request, int operation, int fd, int slot)
{
	aio_prepare(request, fd, buffer + slot * PAGE, PAGE, slot * PAGE);
	request->aio_lio_opcode = operation;
}

static void observe_all(struct aiocb *requests, int count)
{
	char label[32];

	for (int index = 0; index < count; index++) {
		snprintf(label, sizeof(label), "  %d", index);
		aio_observe(label, &requests[index]);
	}
}

static void modes(void)
{
	static const int modes[] = {-1, 2, 3, 127, 128, 129, INT_MAX, INT_MIN};
	struct aiocb request;
	struct aiocb *list[1] = {&request};

	for (size_t index = 0; index < sizeof(modes) / sizeof(modes[0]); index++) {
		fill(&request, LIO_WRITE, file, 0);
		CALL_AS(lio_listio(modes[index], list, 1, NULL), "mode %d", modes[index]);
		aio_observe_now("  ", &request);
	}
}

/* Reads and writes, nothing at all, and operations that do not exist or exist by accident. */
static void operations(void)
{
	static const int values[] = {LIO_READ, LIO_WRITE, LIO_NOP, 3,    4,       5,
				     6,        127,       128,     129,  130,     131,
				     132,      256,       -1,      -128, INT_MAX, INT_MIN};

	for (int mode = LIO_WAIT; mode <= LIO_NOWAIT; mode++) {
		for (size_t index = 0; index < sizeof(values) / sizeof(values[0]); index++) {
			struct aiocb request;
			struct aiocb *list[3] = {NULL, &request, NULL};

			memset(buffer, 0x33, PAGE);
			fill(&request, values[index], file, 0);
			CALL_AS(lio_listio(mode, list, 3, NULL), "%s operation %d",
				mode == LIO_WAIT ? "wait" : "no wait", values[index]);
			aio_observe("  ", &request);
			observe_bytes("  ", buffer, PAGE);
			observe_file("list");
		}
	}
}

static void nothing(void)
{
	struct aiocb request;
	struct aiocb *list[2] = {NULL, &request};

	fill(&request, LIO_NOP, -1, 0);
	for (int mode = LIO_WAIT; mode <= LIO_NOWAIT; mode++) {
		CALL_AS(lio_listio(mode, list, 0, NULL), "mode %d, none", mode);
		CALL_AS(lio_listio(mode, OPAQUE((struct aiocb **)NULL), 0, NULL),
			"mode %d, no list", mode);
		CALL_AS(lio_listio(mode, list, 1, NULL), "mode %d, NULL", mode);
		CALL_AS(lio_listio(mode, list, 2, NULL), "mode %d, NULL and LIO_NOP", mode);
		aio_observe_now("  ", &request);
	}
}

/* What fails on the way is told by each request, what cannot be asked for by the call. */
static void failures(void)
{
	struct aiocb requests[6];
	struct aiocb *list[7];

	for (int bad = 0; bad < 4; bad++) {
		for (int mode = LIO_WAIT; mode <= LIO_NOWAIT; mode++) {
			for (int index = 0; index < 6; index++) {
				fill(&requests[index], index % 2 ? LIO_WRITE : LIO_READ, file,
				     index);
				list[index] = &requests[index];
			}
			list[6] = NULL;
			if (bad & 1)
				requests[2].aio_fildes = -1;
			if (bad & 1)
				requests[5].aio_offset = -1;
			if (bad & 2)
				requests[3].aio_reqprio = -1;
			CALL_AS(lio_listio(mode, list, 7, NULL), "%s, bad %d",
				mode == LIO_WAIT ? "wait" : "no wait", bad);
			observe_all(requests, 6);
		}
	}
	for (int mode = LIO_WAIT; mode <= LIO_NOWAIT; mode++) {
		fill(&requests[0], LIO_READ, file, 0);
		requests[0].aio_reqprio = 21;
		list[0] = &requests[0];
		CALL_AS(lio_listio(mode, list, 1, NULL), "mode %d, only a refused one", mode);
		aio_observe_now("  ", &requests[0]);
	}
}

static int take_signals(int number, int wanted)
{
	int sum = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	for (int taken = 0; taken < wanted; taken++) {
		siginfo_t info;

		NEED(sigwaitinfo(&set, &info) == number);
		NEED(info.si_code == SI_ASYNCIO && info.si_pid == getpid());
		sum += info.si_value.sival_int;
	}
	NEED(sigpending(&set) == 0);
	return sigismember(&set, number) ? -1 : sum;
}

/* One signal for the list, after all its requests, beside those of the requests themselves. */
static void signals(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct aiocb requests[5];
	struct aiocb *list[6];

	for (int turn = 0; turn < 3; turn++) {
		for (int index = 0; index < 5; index++) {
			fill(&requests[index], LIO_READ, turn == 1 && index == 2 ? -1 : file,
			     index);
			requests[index].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
			requests[index].aio_sigevent.sigev_signo = SIGRTMIN + 1;
			requests[index].aio_sigevent.sigev_value.sival_int = 1 << index;
			list[index] = &requests[index];
		}
		list[5] = NULL;
		if (turn == 2)
			requests[4].aio_lio_opcode = LIO_NOP;
		event.sigev_value.sival_int = 70 + turn;
		CALL(lio_listio(LIO_NOWAIT, list, 6, &event));
		observe("list told %d", take_signals(SIGRTMIN, 1));
		for (int index = 0; index < 5; index++)
			NEED(aio_error(&requests[index]) != EINPROGRESS);
		observe("requests told %d", take_signals(SIGRTMIN + 1, turn == 2 ? 4 : 5));
		observe_all(requests, 5);
	}
	/* The event of a list that is waited for is not looked at; that of an empty list is. */
	CALL(lio_listio(LIO_WAIT, list, 4, &event));
	observe("requests told %d", take_signals(SIGRTMIN + 1, 4));
	observe("list told %d", take_signals(SIGRTMIN, 0));
	CALL(lio_listio(LIO_NOWAIT, list, 0, &event));
	observe("list told %d", take_signals(SIGRTMIN, 1));
	CALL(lio_listio(LIO_NOWAIT, &list[4], 2, &event));
	observe("list told %d", take_signals(SIGRTMIN, 1));
	requests[0].aio_reqprio = -1;
	CALL(lio_listio(LIO_NOWAIT, list, 1, &event));
	observe("list told %d", take_signals(SIGRTMIN, 1));
	CALL(lio_listio(LIO_NOWAIT, list, 3, &event));
	observe("list told %d", take_signals(SIGRTMIN, 1));
	observe("requests told %d", take_signals(SIGRTMIN + 1, 2));
	event.sigev_signo = 1000;
	observe("no such signal: %d", lio_listio(LIO_NOWAIT, list, 0, &event));
	event.sigev_notify = SIGEV_NONE;
	CALL(lio_listio(LIO_NOWAIT, list, 0, &event));
}

static pthread_t main_thread;
static sem_t thread_told;

/* While it ends, the thread must not take the signals of the lists to come: its mask is empty. */
static void list_done(union sigval value)
{
	sigset_t every;

	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, NULL);
	*(volatile int *)value.sival_ptr += 1 + !pthread_equal(pthread_self(), main_thread);
	sem_post(&thread_told);
}

static void threads(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = list_done};
	struct aiocb requests[4];
	struct aiocb *list[4];
	volatile int told = 0;

	main_thread = pthread_self();
	event.sigev_value.sival_ptr = (void *)&told;
	for (int index = 0; index < 4; index++) {
		fill(&requests[index], LIO_READ, file, index);
		list[index] = &requests[index];
	}
	for (int wanted = 4; wanted >= 0; wanted -= 2) {
		told = 0;
		CALL_AS(lio_listio(LIO_NOWAIT, list, wanted, &event), "thread for %d", wanted);
		NEED(sem_wait(&thread_told) == 0);
		observe("thread told %d", told);
		for (int index = 0; index < wanted; index++)
			NEED(aio_error(&requests[index]) == 0);
	}
}

/* The event and the list belong to the caller again as soon as the call is back. */
static void short_lived(void)
{
	static struct aiocb requests[40];
	struct aiocb *list[40];
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};

	for (int index = 0; index < 40; index++) {
		fill(&requests[index], LIO_READ, file, index % 8);
		list[index] = &requests[index];
	}
	event.sigev_value.sival_int = 9;
	NEED(lio_listio(LIO_NOWAIT, list, 40, &event) == 0);
	memset(list, 0xff, sizeof(list));
	memset(&event, 0xff, sizeof(event));
	observe("short-lived list told %d", take_signals(SIGRTMIN, 1));
	aio_wait_all(requests, 40);
}

static void many(int mode)
{
	static struct aiocb requests[MANY];
	static struct aiocb *list[2 * MANY];
	static char bytes[MANY];
	int wrong = 0;

	memset(bytes, 0, sizeof(bytes));
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], file, &bytes[index], 1, index * 7);
		requests[index].aio_lio_opcode = LIO_READ;
		list[2 * index] = &requests[index];
	}
	CALL_AS(lio_listio(mode, list, 2 * MANY, NULL), "many, mode %d", mode);
	if (mode == LIO_NOWAIT)
		aio_wait_all(requests, MANY);
	for (int index = 0; index < MANY; index++)
		wrong += aio_error(&requests[index]) != 0 || aio_return(&requests[index]) != 1 ||
			 bytes[index] != (char)pattern_at(4, (uint64_t)index * 7);
	observe("many, mode %d: wrong %d", mode, wrong);
}

static void on_file(const char *name, int flags)
{
	observe("== %s, names %s", name, AIO_NAMES);
	make_file("list", 32 * KIB, 4);
	file = open("list", O_RDWR | flags);
	NEED(file >= 0);
	modes();
	nothing();
	if (!(flags & O_DIRECT))
		many(LIO_WAIT);
	if (!(flags & O_DIRECT))
		many(LIO_NOWAIT);
	operations();
	failures();
	signals();
	threads();
	short_lived();
	close(file);
	observe_file("list");
	unlink("list");
}

int main(int count, char **arguments)
{
	sigset_t set;

	observe_begin(count, arguments);
	require_direct();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	NEED(sem_init(&thread_told, 0, 0) == 0);
	buffer = pages(8 * PAGE);
	on_file("buffered", 0);
	on_file("direct", O_DIRECT);
	return 0;
}
