/* differential: POSIX AIO that ends with a signal: what the signal says, blocked and handled */
#include "posix_aio.h"

#include <poll.h>
#include <sys/signalfd.h>

#define MANY 200

static char *buffer;
static int file;
static pthread_t main_thread;
static struct aiocb *handled_request;
static volatile sig_atomic_t handled;
static siginfo_t handled_info;
static int handled_error;
static ssize_t handled_result;
static int handled_in_main;

static void show(const char *label, const siginfo_t *info)
{
	observe("%s: signal %d code %d errno %d own pid %d own uid %d value %d", label,
		info->si_signo, info->si_code, info->si_errno, info->si_pid == getpid(),
		info->si_uid == getuid(), info->si_value.sival_int);
}

static void handler(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)number;
	(void)context;
	handled_info = *info;
	handled_error = aio_error(handled_request);
	handled_result = aio_return(handled_request);
	handled_in_main = pthread_equal(pthread_self(), main_thread) != 0;
	handled++;
	errno = saved;
}

static void ask_signal(struct aiocb *request, int number, int value)
{
	request->aio_sigevent.sigev_notify = SIGEV_SIGNAL;
	request->aio_sigevent.sigev_signo = number;
	request->aio_sigevent.sigev_value.sival_int = value;
}

static int submit(int way, struct aiocb *request)
{
	struct aiocb *list[1] = {request};

	switch (way) {
	case 0:
		return aio_read(request);
	case 1:
		return aio_write(request);
	case 2:
		return aio_fsync(O_SYNC, request);
	default:
		request->aio_lio_opcode = LIO_READ;
		return lio_listio(LIO_NOWAIT, list, 1, NULL);
	}
}

/* The result is there when the handler runs. */
static void by_handler(int number, int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
	sigset_t set;
	sigset_t before;

	NEED(sigaction(number, &action, NULL) == 0);
	sigemptyset(&set);
	sigaddset(&set, number);
	for (int way = 0; way < 4; way++) {
		for (int bad = 0; bad < 2; bad++) {
			struct aiocb request;

			NEED(sigprocmask(SIG_BLOCK, &set, &before) == 0);
			aio_prepare(&request, bad ? -1 : file, buffer, 100, 0);
			ask_signal(&request, number, way * 10 + bad);
			handled = 0;
			handled_request = &request;
			if (CALL_AS(submit(way, &request), "signal %d, way %d, bad %d",
				    number - (number >= SIGRTMIN ? SIGRTMIN : 0), way, bad) == 0)
				while (!handled)
					sigsuspend(&before);
			NEED(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
			observe("  handled %d in main %d, error %s, return %zd", (int)handled,
				handled_in_main, handled_error ? error_name(handled_error) : "none",
				handled_result);
			if (handled)
				show("  ", &handled_info);
		}
	}
	handle_signal(number, SIG_IGN, 0);
}

/* Each request has its own queued signal, whatever the order in which they end. */
static void many_queued(void)
{
	static struct aiocb requests[MANY];
	static unsigned char seen[MANY];
	int wrong = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], file, buffer, 100, index);
		ask_signal(&requests[index], SIGRTMIN + 1, index);
		NEED(aio_read(&requests[index]) == 0);
	}
	for (int index = 0; index < MANY; index++) {
		siginfo_t info;
		int value;

		NEED(sigwaitinfo(&set, &info) == SIGRTMIN + 1);
		value = info.si_value.sival_int;
		wrong += info.si_code != SI_ASYNCIO || info.si_pid != getpid();
		NEED(value >= 0 && value < MANY);
		wrong += seen[value]++ != 0;
		wrong += aio_error(&requests[value]) != 0 || aio_return(&requests[value]) != 100;
	}
	observe("many: wrong %d", wrong);
	NEED(sigpending(&set) == 0);
	observe("many: left %d", sigismember(&set, SIGRTMIN + 1));
}

/* Signals without a queue arrive once, however many requests ended. */
static void many_unqueued(void)
{
	static struct aiocb requests[20];
	struct timespec none = {0, 0};
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (int index = 0; index < 20; index++) {
		aio_prepare(&requests[index], file, buffer, 100, index);
		ask_signal(&requests[index], SIGUSR2, 5);
		NEED(aio_read(&requests[index]) == 0);
	}
	aio_wait_all(requests, 20);
	NEED(sigwaitinfo(&set, &info) == SIGUSR2);
	show("unqueued", &info);
	CALL(sigtimedwait(&set, &info, &none));
}

static void by_descriptor(void)
{
	struct signalfd_siginfo info;
	struct aiocb request;
	struct pollfd poller;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	poller.fd = signalfd(-1, &set, SFD_CLOEXEC);
	poller.events = POLLIN;
	NEED(poller.fd >= 0);
	aio_prepare(&request, file, buffer, 100, 0);
	ask_signal(&request, SIGRTMIN + 2, 31);
	CALL(aio_write(&request));
	CALL(poll(&poller, 1, -1));
	NEED(read(poller.fd, &info, sizeof(info)) == sizeof(info));
	observe("signalfd: code %d own pid %d own uid %d value %d", info.ssi_code,
		info.ssi_pid == (uint32_t)getpid(), info.ssi_uid == getuid(), info.ssi_int);
	aio_observe_now("signalfd", &request);
	close(poller.fd);
}

/* Both members of the value arrive, and a signal that is ignored is lost without an error. */
static void others(void)
{
	struct aiocb request;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	aio_prepare(&request, file, buffer, 100, 0);
	ask_signal(&request, SIGRTMIN + 3, 0);
	request.aio_sigevent.sigev_value.sival_ptr = &request;
	CALL(aio_read(&request));
	NEED(sigwaitinfo(&set, &info) == SIGRTMIN + 3);
	observe("pointer arrived %d", info.si_value.sival_ptr == &request);

	handle_signal(SIGUSR1, SIG_IGN, 0);
	aio_prepare(&request, file, buffer, 100, 0);
	ask_signal(&request, SIGUSR1, 0);
	CALL(aio_read(&request));
	aio_observe("ignored", &request);
}

/* A deadly signal kills. */
static void deadly(void)
{
	struct aiocb request;

	aio_prepare(&request, file, buffer, 100, 0);
	ask_signal(&request, SIGTERM, 0);
	NEED(aio_read(&request) == 0);
	aio_wait(&request);
	pause();
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	main_thread = pthread_self();
	buffer = pages(PAGE);
	make_file("notify", 2000, 4);
	file = open("notify", O_RDWR);
	aio_in_child("deadly", deadly);
	by_handler(SIGUSR1, 0);
	by_handler(SIGRTMIN, SA_RESTART);
	by_handler(SIGIO, SA_NODEFER);
	many_queued();
	many_unqueued();
	by_descriptor();
	others();
	observe_file("notify");
	unlink("notify");
	return 0;
}
