/* differential: aio_cancel: one, all, ended, running and queued requests, wrong descriptors */
#include "posix_aio.h"

#define QUEUED 5

static char *buffer;

static const char *verdict(long long answer)
{
	switch (answer) {
	case AIO_CANCELED:
		return "AIO_CANCELED";
	case AIO_NOTCANCELED:
		return "AIO_NOTCANCELED";
	case AIO_ALLDONE:
		return "AIO_ALLDONE";
	default:
		return "refused";
	}
}

static void cancel(const char *label, int fd, struct aiocb *request)
{
	long long answer = CALL_AS(aio_cancel(fd, request), "%s", label);

	observe("  %s", verdict(answer));
}

/* One read that waits in front, the others behind it; each would tell of its end by a signal. */
static void line_up(struct aiocb *requests, int fd, int count)
{
	for (int index = 0; index < count; index++) {
		aio_prepare(&requests[index], fd, buffer + index * 10, 10, 0);
		requests[index].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
		requests[index].aio_sigevent.sigev_signo = SIGRTMIN;
		requests[index].aio_sigevent.sigev_value.sival_int = 1 << index;
		NEED(aio_read(&requests[index]) == 0);
	}
}

/* The sum of the values of so many signals, and whether there was one more. */
static int signals_told(int wanted)
{
	struct timespec none = {0, 0};
	siginfo_t info;
	sigset_t set;
	int sum = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	for (int taken = 0; taken < wanted; taken++) {
		NEED(sigwaitinfo(&set, &info) == SIGRTMIN);
		sum += info.si_code == SI_ASYNCIO ? info.si_value.sival_int : 1000;
	}
	return sum + (sigtimedwait(&set, &info, &none) == SIGRTMIN ? 10000 : 0);
}

static void observe_line(const char *label, struct aiocb *requests, int count, int told)
{
	observe("%s: told %d", label, signals_told(told));
	for (int index = 0; index < count; index++) {
		if (aio_error(&requests[index]) == EINPROGRESS)
			observe("  %d: in progress", index);
		else
			aio_observe_now("  ended", &requests[index]);
	}
}

static void all_of_a_pipe(void)
{
	struct aiocb requests[QUEUED];
	int ends[2];

	NEED(pipe(ends) == 0);
	line_up(requests, ends[0], QUEUED);
	cancel("all", ends[0], NULL);
	observe_line("all", requests, QUEUED, 4);
	cancel("all again", ends[0], NULL);
	cancel("one that was cancelled", ends[0], &requests[2]);
	NEED(write(ends[1], "0123456789abcdefghij", 20) == 20);
	aio_observe_read("front", &requests[0]);
	observe_line("after", requests, QUEUED, 1);
	cancel("nothing left", ends[0], NULL);
	/* Nothing of what was cancelled takes the rest. */
	CALL(read(ends[0], buffer, 100));
	close(ends[0]);
	close(ends[1]);
}

static void one_by_one(void)
{
	struct aiocb requests[QUEUED];
	int ends[2];

	NEED(pipe(ends) == 0);
	line_up(requests, ends[0], QUEUED);
	cancel("front", ends[0], &requests[0]);
	observe_line("front", requests, QUEUED, 0);
	cancel("middle", ends[0], &requests[2]);
	observe_line("middle", requests, QUEUED, 1);
	cancel("middle again", ends[0], &requests[2]);
	cancel("last", ends[0], &requests[4]);
	observe_line("last", requests, QUEUED, 1);
	/* What is left is served in the order of the calls. */
	NEED(write(ends[1], "aaaaaaaaaabbbbbbbbbb", 20) == 20);
	aio_observe("0", &requests[0]);
	aio_observe("1", &requests[1]);
	observe("left: %d", aio_error(&requests[3]) == EINPROGRESS);
	NEED(write(ends[1], "cccccccccc", 10) == 10);
	aio_observe("3", &requests[3]);
	observe("%.10s %.10s %.10s", buffer, buffer + 10, buffer + 30);
	cancel("ended", ends[0], &requests[0]);
	observe_line("end", requests, QUEUED, 3);
	/* A request that was cancelled can be made again. */
	NEED(aio_read(&requests[2]) == 0);
	NEED(write(ends[1], "dddddddddd", 10) == 10);
	aio_observe_read("again", &requests[2]);
	close(ends[0]);
	close(ends[1]);
}

/* A list is done when its last request is, cancelled or not. */
static void of_a_list(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct aiocb requests[4];
	struct aiocb *list[4];
	struct aiocb front;
	int ends[2];

	NEED(pipe(ends) == 0);
	aio_prepare(&front, ends[0], buffer, 10, 0);
	NEED(aio_read(&front) == 0);
	for (int index = 0; index < 4; index++) {
		aio_prepare(&requests[index], ends[0], buffer, 10, 0);
		requests[index].aio_lio_opcode = LIO_READ;
		list[index] = &requests[index];
	}
	event.sigev_value.sival_int = 512;
	NEED(lio_listio(LIO_NOWAIT, list, 4, &event) == 0);
	cancel("one of a list", ends[0], list[1]);
	observe("told %d", signals_told(0));
	cancel("the rest of a list", ends[0], NULL);
	observe("told %d", signals_told(1));
	observe_line("list", requests, 4, 0);
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("front", &front);
	close(ends[0]);
	close(ends[1]);
}

static void *wait_for(void *argument)
{
	const struct aiocb *list[1] = {argument};
	int result = aio_suspend(list, 1, NULL);

	return (void *)(intptr_t)(result == 0 ? aio_error(argument) : -1);
}

static void *list_in_thread(void *argument)
{
	struct aiocb *list[1] = {argument};

	list[0]->aio_lio_opcode = LIO_READ;
	errno = 0;
	return (void *)(intptr_t)(lio_listio(LIO_WAIT, list, 1, NULL) == -1 ? errno : 0);
}

/* Who waits for a request that is cancelled is woken. */
static void waited_for(void)
{
	struct aiocb front;
	struct aiocb behind;
	struct aiocb listed;
	pthread_t suspended;
	pthread_t in_list;
	void *answer;
	int ends[2];

	NEED(pipe(ends) == 0);
	aio_prepare(&front, ends[0], buffer, 10, 0);
	aio_prepare(&behind, ends[0], buffer, 10, 0);
	aio_prepare(&listed, ends[0], buffer, 10, 0);
	NEED(aio_read(&front) == 0);
	NEED(aio_read(&behind) == 0);
	NEED(pthread_create(&suspended, NULL, wait_for, &behind) == 0);
	NEED(pthread_create(&in_list, NULL, list_in_thread, &listed) == 0);
	while (aio_error(&listed) != EINPROGRESS)
		pause_microseconds(1000);
	pause_microseconds(50000);
	cancel("waited for", ends[0], NULL);
	NEED(pthread_join(suspended, &answer) == 0);
	observe("suspended: %s", error_name((int)(intptr_t)answer));
	NEED(pthread_join(in_list, &answer) == 0);
	observe("in list: %s", error_name((int)(intptr_t)answer));
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("front", &front);
	close(ends[0]);
	close(ends[1]);
}

/* Requests of one descriptor are no business of another, of the same pipe or not. */
static void two_pipes(void)
{
	struct aiocb first[2];
	struct aiocb second[2];
	int one[2];
	int two[2];

	NEED(pipe(one) == 0 && pipe(two) == 0);
	line_up(first, one[0], 2);
	line_up(second, two[0], 2);
	cancel("other end", one[1], NULL);
	cancel("second pipe", two[0], NULL);
	observe_line("first", first, 2, 1);
	observe_line("second", second, 2, 0);
	NEED(write(one[1], "0123456789abcdefghij", 20) == 20);
	NEED(write(two[1], "0123456789", 10) == 10);
	aio_wait_all(first, 2);
	aio_wait_all(second, 2);
	observe_line("first", first, 2, 3);
	observe_line("second", second, 2, 0);
}

static void wrong_arguments(void)
{
	struct aiocb request;
	struct aiocb copy;
	struct aiocb unused;
	int ends[2];
	int file;

	make_file("cancel", 1000, 4);
	file = open("cancel", O_RDWR);
	NEED(pipe(ends) == 0);
	cancel("closed", 900, NULL);
	cancel("negative", -1, NULL);
	cancel("idle file", file, NULL);
	cancel("idle pipe", ends[0], NULL);
	aio_prepare(&unused, file, buffer, 10, 0);
	cancel("never made", file, &unused);
	cancel("never made, other descriptor", ends[0], &unused);
	cancel("never made, closed", 900, &unused);
	aio_prepare(&request, ends[0], buffer, 10, 0);
	NEED(aio_read(&request) == 0);
	cancel("other descriptor", file, &request);
	cancel("other end", ends[1], &request);
	cancel("closed", 900, &request);
	copy = request;
	cancel("copy", ends[0], &copy);
	observe("request %s", error_name(aio_error(&request)));
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("request", &request);
	cancel("ended", ends[0], &request);
	cancel("ended, other descriptor", file, &request);
	aio_prepare(&request, file, buffer, 10, 0);
	NEED(aio_write(&request) == 0);
	aio_wait(&request);
	close(file);
	cancel("ended, closed since", file, &request);
	cancel("all, closed since", file, NULL);
	unlink("cancel");
}

/* Whatever aio_cancel answers, each request ends, and those it says it cancelled did nothing. */
static void regular_file(void)
{
	static struct aiocb requests[64];
	static char blocks[64][PAGE];
	int wrong = 0;
	int file;

	file = open("cancel", O_CREAT | O_RDWR | O_TRUNC, 0644);
	NEED(file >= 0);
	for (int turn = 0; turn < 20; turn++) {
		int answer;

		NEED(ftruncate(file, 0) == 0 && ftruncate(file, sizeof(blocks)) == 0);
		memset(blocks, 'a' + turn, sizeof(blocks));
		for (int index = 0; index < 64; index++) {
			aio_prepare(&requests[index], file, blocks[index], PAGE, index * PAGE);
			NEED(aio_write(&requests[index]) == 0);
		}
		answer = aio_cancel(file, turn & 1 ? NULL : &requests[40]);
		wrong += answer != AIO_CANCELED && answer != AIO_NOTCANCELED &&
			 answer != AIO_ALLDONE;
		if (!(turn & 1))
			wrong += (answer == AIO_CANCELED) != (aio_wait(&requests[40]) == ECANCELED);
		aio_wait_all(requests, 64);
		for (int index = 0; index < 64; index++) {
			char there[PAGE];
			int error = aio_error(&requests[index]);

			NEED(pread(file, there, PAGE, index * PAGE) == PAGE);
			wrong += error != 0 && error != ECANCELED;
			wrong += aio_return(&requests[index]) != (error ? -1 : PAGE);
			wrong += memcmp(there, blocks[index], PAGE) != 0 && error == 0;
			wrong += there[0] != 0 && error == ECANCELED;
		}
	}
	observe("regular file: wrong %d", wrong);
	close(file);
	unlink("cancel");
}

int main(int count, char **arguments)
{
	sigset_t set;

	observe_begin(count, arguments);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	buffer = pages(PAGE);
	observe("names: %s", AIO_NAMES);
	aio_in_child("all of a pipe", all_of_a_pipe);
	aio_in_child("one by one", one_by_one);
	aio_in_child("of a list", of_a_list);
	aio_in_child("waited for", waited_for);
	aio_in_child("two pipes", two_pipes);
	aio_in_child("wrong arguments", wrong_arguments);
	aio_in_child("regular file", regular_file);
	return 0;
}
