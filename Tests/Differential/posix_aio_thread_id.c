/* differential: SIGEV_THREAD_ID: the signal reaches one thread, or as with the C library none */
#include "posix_aio.h"

#define ROUNDS 20

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static char *buffer;
static int file;
static int expected; /* the C library takes it for no notification at all, the ring delivers it */
static pid_t wanted_task;
static pthread_barrier_t ready;
static int done;
static int wrong;
static int delivered;

/* The signal is blocked everywhere: it is pending for one thread and for no other. */
static void take(const char *who, int number, int value)
{
	struct timespec span = {expected ? 20 : 0, 0};
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	if (sigtimedwait(&set, &info, &span) != number) {
		if (expected)
			observe("%s: no signal", who);
		return;
	}
	delivered++;
	wrong += info.si_code != SI_ASYNCIO || info.si_value.sival_int != value ||
		 info.si_pid != getpid() || info.si_uid != getuid();
}

static void ask(struct aiocb *request, int fd, pid_t task, int number, int value)
{
	aio_prepare(request, fd, buffer, 100, 0);
	request->aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
	request->aio_sigevent.sigev_signo = number;
	request->aio_sigevent.sigev_value.sival_int = value;
	request->aio_sigevent.sigev_notify_thread_id = task;
}

static int nothing_pending(void)
{
	sigset_t pending;

	NEED(sigpending(&pending) == 0);
	return !sigismember(&pending, SIGRTMIN) && !sigismember(&pending, SIGUSR1);
}

static void *receive(void *argument)
{
	(void)argument;
	wanted_task = gettid();
	pthread_barrier_wait(&ready);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&ready);
		take("thread", round & 1 ? SIGRTMIN : SIGUSR1, round);
		pthread_barrier_wait(&ready);
	}
	wrong += !nothing_pending();
	return NULL;
}

static void to_another_thread(void)
{
	pthread_t receiver;

	NEED(pthread_create(&receiver, NULL, receive, NULL) == 0);
	pthread_barrier_wait(&ready);
	for (int round = 0; round < ROUNDS; round++) {
		struct aiocb request;
		struct aiocb *list[1] = {&request};

		ask(&request, round == 5 ? -1 : file, wanted_task, round & 1 ? SIGRTMIN : SIGUSR1,
		    round);
		request.aio_lio_opcode = LIO_READ;
		NEED((round % 4 == 3 ? lio_listio(LIO_NOWAIT, list, 1, NULL)
				     : aio_read(&request)) == 0);
		aio_wait(&request);
		done += aio_error(&request) == (round == 5 ? EBADF : 0);
		pthread_barrier_wait(&ready);
		pthread_barrier_wait(&ready);
		wrong += !nothing_pending();
	}
	NEED(pthread_join(receiver, NULL) == 0);
}

static void to_this_thread(void)
{
	struct aiocb request;
	struct aiocb *list[1] = {&request};
	struct sigevent event;

	ask(&request, file, gettid(), SIGRTMIN, 50);
	NEED(aio_write(&request) == 0);
	aio_wait(&request);
	take("write", SIGRTMIN, 50);
	ask(&request, file, gettid(), SIGRTMIN, 51);
	NEED(aio_fsync(O_DSYNC, &request) == 0);
	aio_wait(&request);
	take("sync", SIGRTMIN, 51);
	event = request.aio_sigevent;
	event.sigev_value.sival_int = 52;
	aio_prepare(&request, file, buffer, 100, 0);
	request.aio_lio_opcode = LIO_READ;
	NEED(lio_listio(LIO_NOWAIT, list, 1, &event) == 0);
	aio_wait(&request);
	take("list", SIGRTMIN, 52);
	NEED(lio_listio(LIO_NOWAIT, list, 0, &event) == 0);
	take("empty list", SIGRTMIN, 52);
	wrong += !nothing_pending();
}

int main(int count, char **arguments)
{
	sigset_t set;

	observe_begin(count, arguments);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGUSR1);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	NEED(pthread_barrier_init(&ready, NULL, 2) == 0);
	expected = aio_ring_expected();
	buffer = pages(PAGE);
	make_file("thread-id", 1000, 4);
	file = open("thread-id", O_RDWR);
	to_another_thread();
	to_this_thread();
	observe("requests done %d, wrong %d", done, wrong);
	unlink("thread-id");
	return expected && delivered != ROUNDS + 4;
}
