/* differential: processes that end, or become another program, with POSIX AIO in flight; direct */
#include "posix_aio.h"

#define MANY 200

static char *blocks;
static struct aiocb requests[MANY];
static const char *program;

static void at_exit(void)
{
	observe("exit handler ran");
}

/* A read that nobody will ever answer. */
static void wait_in_vain(void)
{
	static struct aiocb waiting[3];
	static int ends[2];

	NEED(pipe(ends) == 0);
	for (int index = 0; index < 3; index++) {
		aio_prepare(&waiting[index], ends[0], blocks, 100, 0);
		waiting[index].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
		waiting[index].aio_sigevent.sigev_signo = SIGTERM;
		NEED(aio_read(&waiting[index]) == 0);
	}
}

static void burst(int flags)
{
	int fd = open("burst", O_CREAT | O_RDWR | flags, 0644);

	NEED(fd >= 0);
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE, index * PAGE);
		NEED((index & 1 ? aio_write(&requests[index]) : aio_read(&requests[index])) == 0);
	}
}

static void by_return(void)
{
	wait_in_vain();
	burst(0);
}

static void by_exit(void)
{
	atexit(at_exit);
	wait_in_vain();
	burst(O_DIRECT);
	exit(4);
}

static void by_quick_exit(void)
{
	wait_in_vain();
	burst(0);
	quick_exit(5);
}

static void by_underscore_exit(void)
{
	atexit(at_exit);
	wait_in_vain();
	burst(O_DIRECT);
	_exit(6);
}

static void by_abort(void)
{
	wait_in_vain();
	burst(0);
	abort();
}

static void by_signal(void)
{
	wait_in_vain();
	burst(O_DIRECT);
	raise(SIGKILL);
}

static void *end_from_thread(void *argument)
{
	(void)argument;
	exit(8);
}

static void by_other_thread(void)
{
	pthread_t thread;

	wait_in_vain();
	burst(0);
	NEED(pthread_create(&thread, NULL, end_from_thread, NULL) == 0);
	for (;;)
		pause();
}

/* The main thread is the last of the program's own: the process ends as if by exit(0). */
static void by_thread_exit(void)
{
	atexit(at_exit);
	burst(0);
	pthread_exit(NULL);
}

static void *outlive(void *argument)
{
	const struct aiocb *list[MANY];

	(void)argument;
	pause_microseconds(100000);
	for (int index = 0; index < MANY; index++)
		list[index] = &requests[index];
	for (int index = 0; index < MANY; index++) {
		while (aio_error(list[index]) == EINPROGRESS)
			aio_suspend(&list[index], 1, NULL);
		NEED(aio_error(list[index]) == 0);
	}
	observe("outlived");
	return NULL;
}

static void survived_by_thread(void)
{
	pthread_t thread;

	atexit(at_exit);
	burst(0);
	NEED(pthread_create(&thread, NULL, outlive, NULL) == 0);
	pthread_exit(NULL);
}

/* The thread that made the requests is gone before they end. */
static void *make_and_leave(void *argument)
{
	struct aiocb *waiting = argument;

	NEED(aio_read(waiting) == 0);
	burst(O_DIRECT);
	return NULL;
}

static void maker_gone(void)
{
	struct aiocb waiting;
	pthread_t thread;
	int wrong = 0;
	int ends[2];

	NEED(pipe(ends) == 0);
	aio_prepare(&waiting, ends[0], blocks + MANY * PAGE, 100, 0);
	NEED(pthread_create(&thread, NULL, make_and_leave, &waiting) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	aio_wait_all(requests, MANY);
	for (int index = 0; index < MANY; index++)
		wrong += aio_error(&requests[index]) != 0;
	observe("burst wrong %d, %s", wrong, error_name(aio_error(&waiting)));
	pause_microseconds(50000);
	NEED(write(ends[1], "late", 4) == 4);
	aio_observe_read("waiting", &waiting);
}

static void by_exec(void)
{
	wait_in_vain();
	burst(O_DIRECT);
	execl(program, program, ".", "again", (char *)NULL);
	_exit(9);
}

static void *exec_from_thread(void *argument)
{
	(void)argument;
	execl(program, program, ".", "again", (char *)NULL);
	_exit(9);
}

static void by_exec_in_thread(void)
{
	pthread_t thread;

	wait_in_vain();
	burst(0);
	NEED(pthread_create(&thread, NULL, exec_from_thread, NULL) == 0);
	for (;;)
		pause();
}

/* The program that came after: nothing of the one before is left, not even a pending signal. */
static void again(void)
{
	struct aiocb request;
	sigset_t pending;
	int fd = open("burst", O_RDWR | O_CLOEXEC);

	observe("again: tasks %d", aio_count_tasks());
	NEED(sigpending(&pending) == 0);
	observe("again: pending %d", sigismember(&pending, SIGTERM));
	aio_prepare(&request, fd, blocks, PAGE, 0);
	NEED(aio_read(&request) == 0);
	aio_observe("again", &request);
}

int main(int count, char **arguments)
{
	char path[4096];

	program = realpath(arguments[0], path);
	observe_begin(count, arguments);
	require_direct();
	blocks = pages(MANY * PAGE + PAGE);
	if (count > 2) {
		again();
		return 0;
	}
	make_file("burst", MANY * PAGE, 1);
	aio_in_child("return", by_return);
	aio_in_child("exit", by_exit);
	aio_in_child("quick_exit", by_quick_exit);
	aio_in_child("_exit", by_underscore_exit);
	aio_in_child("abort", by_abort);
	aio_in_child("signal", by_signal);
	aio_in_child("other thread", by_other_thread);
	aio_in_child("pthread_exit", by_thread_exit);
	aio_in_child("outlived", survived_by_thread);
	aio_in_child("maker gone", maker_gone);
	aio_in_child("exec", by_exec);
	aio_in_child("exec in a thread", by_exec_in_thread);
	unlink("burst");
	return 0;
}
