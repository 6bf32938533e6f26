/* differential: signals at io_getevents, with and without handlers and masks; direct */
#include "aio.h"

#include <sys/time.h>

static char *memory;
static int file;
static volatile sig_atomic_t handled;
static const struct aio_way *handler_way;
static io_context_t handler_context;
static volatile long handler_result;

static void count_signal(int number __attribute__((unused)))
{
	handled++;
}

/* A handler that does asynchronous I/O of its own. */
static void work_in_handler(int number __attribute__((unused)))
{
	static char buffer[PAGE] __attribute__((aligned(PAGE)));
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	int saved = errno;

	handled++;
	aio_prepare(&request, IO_CMD_PREAD, file, buffer, PAGE, PAGE);
	handler_result = handler_way->submit(handler_context, 1, list);
	if (handler_result == 1 && handler_way->getevents(handler_context, 1, 1, &event, NULL) == 1)
		handler_result = (long)event.res;
	errno = saved;
}

/* Again and again, as the first may come before the wait begins. */
static void alarms(long microseconds)
{
	struct itimerval timer = {{0, microseconds}, {0, microseconds}};

	NEED(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void interrupted(const struct aio_way *way, io_context_t context, int flags)
{
	struct timespec hour = {3600, 0};
	struct io_event event;

	handle_signal(SIGALRM, count_signal, flags);
	handled = 0;
	alarms(30000);
	ANSWER(way->getevents(context, 1, 1, &event, NULL), "%s handler with flags %x", way->name,
	       (unsigned)flags);
	ANSWER(way->getevents(context, 1, 1, &event, &hour), "  timed");
	ANSWER(way->pgetevents(context, 1, 1, &event, NULL, NULL), "  pgetevents");
	ANSWER(way->pgetevents(context, 1, 1, &event, &hour, NULL), "  pgetevents, timed");
	alarms(0);
	observe("  handled: %s", handled > 0 ? "yes" : "no");
}

/* A request that stays under way does not keep the signal away, nor does the signal end it. */
static void with_one_under_way(const struct aio_way *way, io_context_t context)
{
	struct iocb request, *list[1] = {&request};
	struct io_event events[2];
	int pipes[2];

	NEED(pipe(pipes) == 0);
	aio_prepare(&request, IO_CMD_POLL, pipes[0], NULL, 0, 0);
	request.u.poll.events = POLLIN;
	ANSWER(way->submit(context, 1, list), "%s poll", way->name);
	alarms(30000);
	ANSWER(way->getevents(context, 1, 1, events, NULL), "  interrupted");
	alarms(0);
	NEED(write(pipes[1], "x", 1) == 1);
	aio_reap(way, context, 1, events);
	aio_observe_events(events, 1, &request);
	/* One is there and another is asked for: what there is comes instead of an error. */
	aio_prepare(&request, IO_CMD_POLL, pipes[1], NULL, 0, 0);
	request.u.poll.events = POLLOUT;
	ANSWER(way->submit(context, 1, list), "  submit");
	alarms(30000);
	ANSWER(way->getevents(context, 2, 2, events, NULL), "  two asked for");
	alarms(0);
	aio_observe_events(events, 1, &request);
	close(pipes[0]);
	close(pipes[1]);
}

static void handler_works(const struct aio_way *way, io_context_t context)
{
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	int wrong = 0;

	handler_way = way;
	handler_context = aio_begin(way, 8);
	handler_result = 0;
	handle_signal(SIGALRM, work_in_handler, SA_RESTART);
	handled = 0;
	alarms(2000);
	for (int round = 0; round < 500 || handled < 5; round++) {
		int got;

		memset(memory, 0, PAGE);
		aio_prepare(&request, IO_CMD_PREAD, file, memory, PAGE, round % 4 * PAGE);
		NEED(way->submit(context, 1, list) == 1);
		do
			got = way->getevents(context, 1, 1, &event, NULL);
		while (got == -EINTR);
		wrong += got != 1 || (long)event.res != PAGE;
		wrong += pattern_matches(memory, PAGE, 4, (uint64_t)(round % 4) * PAGE) != PAGE;
	}
	alarms(0);
	observe("%s handler that works: last result %ld, %d wrong", way->name, handler_result,
		wrong);
	aio_end(way, handler_context);
	handle_signal(SIGALRM, count_signal, 0);
}

/* Stopped and continued by somebody else, without a handler and with one that is not run. */
static void stopped(const struct aio_way *way, io_context_t context)
{
	struct timespec some = {20, 0};
	struct io_event event;
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		for (int round = 0; round < 200; round++) {
			pause_microseconds(20000);
			kill(self, SIGSTOP);
			pause_microseconds(2000);
			if (kill(self, SIGCONT) != 0)
				_exit(0);
		}
		_exit(0);
	}
	NEED(pid > 0);
	ANSWER(way->getevents(context, 1, 1, &event, &some), "%s stopped and continued", way->name);
	/* By then this process may be in the middle of being stopped once more: it goes on. */
	kill(pid, SIGKILL);
	kill(self, SIGCONT);
	NEED(waitpid(pid, NULL, 0) == pid);
}

/* A signal that is ignored, or blocked, is none. */
static void not_noticed(const struct aio_way *way, io_context_t context)
{
	struct timespec some = {0, 100000000};
	struct io_event event;
	sigset_t set, old;

	handle_signal(SIGALRM, SIG_IGN, 0);
	alarms(20000);
	ANSWER(way->getevents(context, 1, 1, &event, &some), "%s ignored", way->name);
	handle_signal(SIGALRM, count_signal, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	NEED(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	handled = 0;
	/* A timer goes on only when its signal is taken: this one stands still. */
	alarms(20000);
	ANSWER(way->getevents(context, 1, 1, &event, &some), "  blocked");
	alarms(0);
	observe("  handled %d", (int)handled);
	NEED(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	observe("  handled: %s", handled > 0 ? "yes" : "no");
}

static void one_pending(void)
{
	handled = 0;
	NEED(raise(SIGUSR1) == 0);
}

/* io_pgetevents lets in what its mask lets in, and only for the time it waits. */
static void masks(const struct aio_way *way, io_context_t context)
{
	struct timespec some = {0, 20000000}, zero = {0, 0};
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	sigset_t none, blocked, after;

	handle_signal(SIGUSR1, count_signal, 0);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	NEED(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
	one_pending();
	ANSWER(way->pgetevents(context, 1, 1, &event, &some, &blocked), "%s kept out", way->name);
	observe("  handled %d", (int)handled);
	ANSWER(way->pgetevents(context, 1, 1, &event, &some, NULL), "  no mask");
	observe("  handled %d", (int)handled);
	ANSWER(way->pgetevents(context, 1, 1, &event, NULL, &none), "  let in");
	observe("  handled %d", (int)handled);
	one_pending();
	/* libaio's function sees that the ring is empty and does not ask the kernel. */
	ANSWER(way->pgetevents(context, 1, 1, &event, &zero, &none), "  let in, no time");
	observe("  handled %d", (int)handled);
	NEED(sigprocmask(SIG_SETMASK, NULL, &after) == 0);
	observe("  blocked as before: %s", sigismember(&after, SIGUSR1) ? "yes" : "no");
	/* With an event there it is the event that counts, and the handler runs afterwards. */
	aio_prepare(&request, IO_CMD_PREAD, file, memory, PAGE, 0);
	for (int round = 0; round < 2; round++) {
		NEED(way->submit(context, 1, list) == 1);
		aio_reap(way, context, 1, &event);
	}
	ANSWER(way->pgetevents(context, 1, 1, &event, &some, &blocked), "  nothing, kept out");
	NEED(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	observe("  handled %d", (int)handled);
	one_pending();
	ANSWER(way->pgetevents(context, 1, 1, &event, &some, &blocked), "  blocked meanwhile");
	observe("  handled %d", (int)handled);
}

/* The number takes a pointer to a mask and its size, which the function fills in itself. */
static void mask_arguments(io_context_t context)
{
	struct timespec some = {0, 1000000};
	struct io_event event;
	sigset_t set;
	static const size_t sizes[] = {0, 1, 4, 7, 8, 9, 16, 128, SIZE_MAX};
	struct aio_kernel_mask given;
	char *edge = pages(PAGE) + PAGE;

	sigemptyset(&set);
	for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
		given = (struct aio_kernel_mask){&set, sizes[index]};
		CALL_AS(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, &given),
			"mask of %zu bytes", sizes[index]);
		given.mask = NULL;
		CALL_AS(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, &given),
			"no mask of %zu bytes", sizes[index]);
	}
	given = (struct aio_kernel_mask){(sigset_t *)8, 8};
	CALL(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, &given));
	CALL(syscall(SYS_io_pgetevents, NULL, 1, 1, &event, &some, &given));
	CALL(syscall(SYS_io_pgetevents, context, 2, 1, &event, &some, &given));
	given.mask = (sigset_t *)(edge - 8);
	CALL(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, &given));
	given.mask = (sigset_t *)(edge - 4);
	CALL(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, &given));
	CALL(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, 8));
	CALL_AS(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, edge - 8), "half a pair");
	CALL(syscall(SYS_io_pgetevents, context, 1, 1, &event, &some, NULL));
	/* The form for 32-bit programs with long times has no meaning here. */
	CALL(syscall(416, context, 1, 1, &event, &some, NULL));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(PAGE);
	make_file("signals", 4 * PAGE, 4);
	file = open("signals", O_RDONLY | O_DIRECT);
	NEED(file >= 0);
	for (int index = 0; index < 2 * AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index / 2];
		io_context_t context = aio_begin(way, 8);

		if (index % 2)
			aio_warm(way, context);
		interrupted(way, context, 0);
		interrupted(way, context, SA_RESTART);
		with_one_under_way(way, context);
		handler_works(way, context);
		stopped(way, context);
		not_noticed(way, context);
		masks(way, context);
		mask_arguments(context);
		aio_end(way, context);
	}
	unlink("signals");
	return 0;
}
