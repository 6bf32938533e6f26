/* differential: POSIX AIO: priorities, operations and notifications that cannot be */
#include "posix_aio.h"

#include <limits.h>

static char *buffer;
static int file;

/* Requests that are refused are never made, so nothing may be told of them. */
static void priorities(void)
{
	static const int values[] = {-1, 0, 1, 19, 20, 21, 1000, INT_MAX, INT_MIN};
	struct aiocb request;

	for (size_t index = 0; index < sizeof(values) / sizeof(values[0]); index++) {
		for (int way = 0; way < 4; way++) {
			long long submitted;

			aio_prepare(&request, file, buffer, 100, 0);
			request.aio_reqprio = values[index];
			request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
			request.aio_sigevent.sigev_signo = SIGRTMIN;
			submitted = CALL_AS(
				way == 0   ? aio_read(&request)
				: way == 1 ? aio_write(&request)
					   : aio_fsync(way == 2 ? O_SYNC : O_DSYNC, &request),
				"way %d, priority %d", way, values[index]);
			aio_observe("  ", &request);
			observe("  priority became %d", request.aio_reqprio);
			if (submitted == 0) {
				siginfo_t info;
				sigset_t set;

				sigemptyset(&set);
				sigaddset(&set, SIGRTMIN);
				NEED(sigwaitinfo(&set, &info) == SIGRTMIN);
			}
		}
	}
}

static void pending_signals(const char *label)
{
	sigset_t pending;
	int count = 0;

	NEED(sigpending(&pending) == 0);
	for (int number = 1; number < NSIG; number++)
		count += sigismember(&pending, number) == 1;
	observe("%s: %d signals pending", label, count);
}

/* A way of notification that does not exist is none, a signal that does not exist is an error. */
static void notifications(void)
{
	static const int ways[] = {-1, 3, 5, 6, 7, 100, INT_MAX};
	static const int numbers[] = {0, -1, 65, 66, 1000, INT_MAX, INT_MIN};
	struct aiocb request;

	for (size_t index = 0; index < sizeof(ways) / sizeof(ways[0]); index++) {
		aio_prepare(&request, file, buffer, 100, 0);
		request.aio_sigevent.sigev_notify = ways[index];
		request.aio_sigevent.sigev_signo = SIGUSR1;
		CALL_AS(aio_read(&request), "notify %d", ways[index]);
		aio_observe("  ", &request);
	}
	for (size_t index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++) {
		for (int bytes = 0; bytes < 200; bytes += 100) {
			aio_prepare(&request, file, buffer, (size_t)bytes, 0);
			request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
			request.aio_sigevent.sigev_signo = numbers[index];
			CALL_AS(aio_read(&request), "signal %d, read %d", numbers[index], bytes);
			aio_observe("  ", &request);
			aio_prepare(&request, -1, buffer, (size_t)bytes, 0);
			request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
			request.aio_sigevent.sigev_signo = numbers[index];
			CALL_AS(aio_write(&request), "signal %d, bad descriptor", numbers[index]);
			aio_observe("  ", &request);
		}
	}
	pending_signals("after notifications");
}

/* No room for one more queued signal: the request is done, its notification failed. */
static void full_queue(void)
{
	struct rlimit before;
	struct rlimit none;
	struct aiocb request;
	siginfo_t info;
	sigset_t set;

	NEED(getrlimit(RLIMIT_SIGPENDING, &before) == 0);
	none = before;
	none.rlim_cur = 0;
	NEED(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
	for (int number = SIGUSR1; number <= SIGRTMIN; number += SIGRTMIN - SIGUSR1) {
		pattern_fill(buffer, 100, 9, 0);
		aio_prepare(&request, file, buffer, 100, 0);
		request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
		request.aio_sigevent.sigev_signo = number;
		request.aio_sigevent.sigev_value.sival_int = 77;
		CALL_AS(aio_write(&request), "no room for signals");
		aio_observe(number == SIGUSR1 ? "ordinary" : "realtime", &request);
		observe_file("input");
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(sigwaitinfo(&set, &info) == SIGUSR1);
	observe("unqueued: code %d", info.si_code);
	NEED(setrlimit(RLIMIT_SIGPENDING, &before) == 0);
	pending_signals("after the full queue");
}

/* What the program may look at although no manual page speaks of it. */
static void untouched(void)
{
	struct aiocb never;
	struct aiocb request;
	struct aiocb copy;

	aio_prepare(&never, file, buffer, 100, 0);
	aio_observe_now("never made", &never);
	aio_prepare(&request, file, buffer, 100, 4);
	request.aio_lio_opcode = LIO_NOP;
	request.aio_sigevent.sigev_value.sival_int = 5;
	CALL(aio_read(&request));
	aio_observe("made", &request);
	aio_observe_now("looked at again", &request);
	copy = request;
	aio_observe_now("copied", &copy);
	observe("fields: %d %d %zu %lld %d %d", request.aio_fildes == file,
		request.aio_buf == buffer, request.aio_nbytes, (long long)request.aio_offset,
		request.aio_sigevent.sigev_notify, request.aio_sigevent.sigev_value.sival_int);
	request.aio_nbytes = 50;
	CALL(aio_write(&request));
	aio_observe("made again", &request);
}

/* A request in the making; its result means nothing yet. */
static void in_progress(void)
{
	struct aiocb request;
	int both[2];

	NEED(pipe(both) == 0);
	aio_prepare(&request, both[0], buffer, 100, 0);
	CALL(aio_read(&request));
	for (int turn = 0; turn < 3; turn++) {
		observe("waiting: error %s", error_name(aio_error(&request)));
		pause_microseconds(20000);
	}
	NEED(write(both[1], "ten bytes!", 10) == 10);
	aio_observe_read("arrived", &request);
	close(both[0]);
	aio_prepare(&request, both[0], NULL, 0, 0);
	CALL(aio_fsync(O_SYNC, &request));
	aio_observe_now("sync of a closed descriptor", &request);
	CALL(aio_fsync(O_RDONLY, &request));
	aio_observe_now("no such sync", &request);
	close(both[1]);
}

int main(int count, char **arguments)
{
	sigset_t blocked;

	observe_begin(count, arguments);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigaddset(&blocked, SIGRTMIN);
	NEED(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
	buffer = pages(PAGE);
	make_file("input", 1000, 4);
	file = open("input", O_RDWR);
	priorities();
	notifications();
	full_queue();
	untouched();
	in_progress();
	unlink("input");
	return 0;
}
