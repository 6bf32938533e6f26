/* differential: lio_listio that waits: interrupted, restarted, not cancelled, many at once */
#include "posix_aio.h"

#define DEEP (256 * KIB)

static char bytes[100];
static int ends[2];
static struct aiocb blocked;
static volatile sig_atomic_t signals;

struct lister {
	pthread_t thread;
	pid_t task;
	int result;
	int error;
	int returned;
};

static void count_signal(int number)
{
	(void)number;
	signals++;
}

/*
 * Far down the stack: the C library goes on using the frame of a call that was interrupted, and
 * nothing else may be there until the request has ended.
 */
static __attribute__((noinline)) void list_far_down(struct lister *lister)
{
	struct aiocb *list[3] = {NULL, &blocked, NULL};
	volatile char room[DEEP];

	room[0] = room[DEEP - 1] = 0;
	errno = ERRNO_MARK;
	lister->result = lio_listio(LIO_WAIT, list, 3, NULL);
	lister->error = errno;
	lister->returned = 1 + room[0];
}

static void *list_in_thread(void *argument)
{
	struct lister *lister = argument;

	__atomic_store_n(&lister->task, gettid(), __ATOMIC_SEQ_CST);
	list_far_down(lister);
	/* The frame lives as long as the request does. */
	while (aio_error(&blocked) == EINPROGRESS)
		pause_microseconds(1000);
	pthread_testcancel();
	return NULL;
}

static void start(struct lister *lister)
{
	char path[64];
	char line[256];

	memset(lister, 0, sizeof(*lister));
	NEED(pipe(ends) == 0);
	aio_prepare(&blocked, ends[0], bytes, 100, 0);
	blocked.aio_lio_opcode = LIO_READ;
	NEED(pthread_create(&lister->thread, NULL, list_in_thread, lister) == 0);
	while (aio_error(&blocked) != EINPROGRESS)
		pause_microseconds(1000);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", lister->task);
	do {
		FILE *status;

		pause_microseconds(20000);
		status = fopen(path, "r");
		NEED(status && fgets(line, sizeof(line), status));
		fclose(status);
	} while (!strstr(line, ") S "));
}

static void finish(const char *label, struct lister *lister)
{
	void *answer;

	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("request", &blocked);
	NEED(pthread_join(lister->thread, &answer) == 0);
	observe_result(label, lister->result, lister->error);
	observe("  thread cancelled %d, returned %d", answer == PTHREAD_CANCELED, lister->returned);
	close(ends[0]);
	close(ends[1]);
}

static void interrupted(const char *label, int flags)
{
	struct lister lister;

	handle_signal(SIGUSR1, count_signal, flags);
	signals = 0;
	start(&lister);
	NEED(pthread_kill(lister.thread, SIGUSR1) == 0);
	while (signals == 0)
		pause_microseconds(1000);
	pause_microseconds(50000);
	observe("%s: returned %d, request %s", label, lister.returned,
		error_name(aio_error(&blocked)));
	finish(label, &lister);
}

static void cancelled(void)
{
	struct lister lister;

	start(&lister);
	NEED(pthread_cancel(lister.thread) == 0);
	pause_microseconds(50000);
	observe("cancelled: returned %d, request %s", lister.returned,
		error_name(aio_error(&blocked)));
	finish("cancelled", &lister);
}

static void *list_of_its_own(void *argument)
{
	static __thread char own[32][512];
	int fd = (int)(intptr_t)argument;
	intptr_t wrong = 0;

	for (int round = 0; round < 50; round++) {
		struct aiocb requests[32];
		struct aiocb *list[32];

		for (int index = 0; index < 32; index++) {
			aio_prepare(&requests[index], fd, own[index], 512, index * 512);
			requests[index].aio_lio_opcode = LIO_READ;
			list[index] = &requests[index];
		}
		wrong += lio_listio(LIO_WAIT, list, 32, NULL) != 0;
		for (int index = 0; index < 32; index++)
			wrong += aio_error(list[index]) != 0 || aio_return(list[index]) != 512;
		wrong += pattern_matches(own, sizeof(own), 4, 0) != sizeof(own);
		memset(own, 0, sizeof(own));
	}
	return (void *)wrong;
}

static void many(void)
{
	pthread_t threads[6];
	intptr_t wrong = 0;
	int fd;

	make_file("list", 32 * 512, 4);
	fd = open("list", O_RDONLY);
	NEED(fd >= 0);
	for (intptr_t index = 0; index < 6; index++)
		NEED(pthread_create(&threads[index], NULL, list_of_its_own, (void *)(intptr_t)fd) ==
		     0);
	for (int index = 0; index < 6; index++) {
		void *answer;

		NEED(pthread_join(threads[index], &answer) == 0);
		wrong += (intptr_t)answer;
	}
	observe("many: wrong %ld", (long)wrong);
	close(fd);
	unlink("list");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	interrupted("plain handler", 0);
	interrupted("SA_RESTART", SA_RESTART);
	cancelled();
	many();
	return 0;
}
