/* Waiting: until woken, until a time, until a signal, and by epoll. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

static struct iotrap_queue *queue;
static _Atomic int stage;

static void *wake_later(void *argument)
{
	usleep(20000);
	stage = 1;
	CHECK_EQUAL(iotrap_queue_wake(argument), 0);
	return NULL;
}

static void by_a_thread(void)
{
	struct iotrap_completion completion;
	pthread_t thread;

	/* Nothing in flight: wait returns at once, wait_idle waits. */
	CHECK_EQUAL(iotrap_queue_wait(queue, &completion, 1, 1, IOTRAP_FOREVER), 0);
	for (int round = 0; round < 20; round++) {
		stage = 0;
		NEED(pthread_create(&thread, NULL, wake_later, queue) == 0);
		CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER), 0);
		CHECK_EQUAL(stage, 1);
		pthread_join(thread, NULL);
	}
	/* Before the wait: it ends the next one. */
	CHECK_EQUAL(iotrap_queue_wake(queue), 0);
	CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER), 0);
}

/* Every message of many threads is seen, however they meet the owner's sleep. */
enum { WAKERS = 4, MESSAGES = 5000 };
static _Atomic long messages;

static void *send_messages(void *argument)
{
	for (int i = 0; i < MESSAGES; i++) {
		messages++;
		iotrap_queue_wake(argument);
		if (i % 64 == 0)
			usleep(100);
	}
	return NULL;
}

static void by_many(void)
{
	struct iotrap_completion completion;
	pthread_t threads[WAKERS];

	messages = 0;
	for (int i = 0; i < WAKERS; i++)
		NEED(pthread_create(&threads[i], NULL, send_messages, queue) == 0);
	while (messages < (long)WAKERS * MESSAGES)
		CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER), 0);
	for (int i = 0; i < WAKERS; i++)
		pthread_join(threads[i], NULL);
	iotrap_queue_wait_idle(queue, &completion, 1, 1, 0);
}

static void by_time(void)
{
	struct iotrap_completion completion;
	uint64_t began = iotrap_now();

	CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, 30000000), 0);
	CHECK(iotrap_now() - began >= 30000000);
	CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, 0), 0);
	CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 0, 1, IOTRAP_FOREVER), 0);
}

static void on_alarm(int number)
{
	stage = number;
}

static void by_a_signal(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct iotrap_completion completion;

	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	stage = 0;
	ualarm(20000, 0);
	CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER), -EINTR);
	CHECK_EQUAL(stage, SIGALRM);
}

static void wake_in_handler(int number)
{
	(void)number;
	iotrap_queue_wake(queue);
}

static void from_a_handler(void)
{
	struct sigaction action = {.sa_handler = wake_in_handler};
	struct iotrap_completion completion;
	int result;

	NEED(sigaction(SIGALRM, &action, NULL) == 0);
	ualarm(20000, 0);
	/* The signal itself may end the wait, and then the wake-up the next one. */
	result = iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER);
	CHECK(result == 0 || result == -EINTR);
	if (result == -EINTR)
		CHECK_EQUAL(iotrap_queue_wait_idle(queue, &completion, 1, 1, IOTRAP_FOREVER), 0);
}

static int is_readable(int poller, int timeout)
{
	struct epoll_event event;
	int count;

	do
		count = epoll_wait(poller, &event, 1, timeout);
	while (count < 0 && errno == EINTR);
	return count == 1;
}

static void by_epoll(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_DIRECT);
	struct iotrap_completion completions[8];
	struct epoll_event event = {.events = EPOLLIN};
	char *memory = blocks(8);
	int taken = 0, poller = epoll_create1(EPOLL_CLOEXEC), fd = iotrap_queue_eventfd(queue);
	pthread_t thread;
	struct iotrap_io io;
	uint64_t value;

	NEED(fd >= 0 && poller >= 0);
	CHECK_EQUAL(iotrap_queue_eventfd(queue), fd);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	NEED(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(!is_readable(poller, 0));
	for (unsigned int i = 0; i < 8; i++) {
		iotrap_io_read(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		ADD(queue, &io);
	}
	CHECK_EQUAL(iotrap_queue_submit(queue), 8);
	while (taken < 8) {
		int count;

		NEED(is_readable(poller, -1));
		NEED(read(fd, &value, sizeof(value)) == sizeof(value));
		do {
			count = iotrap_queue_poll(queue, completions, 3);
			NEED(count >= 0);
			for (int i = 0; i < count; i++)
				CHECK_EQUAL(completions[i].result, BLOCK);
			taken += count;
		} while (count > 0);
	}
	CHECK_EQUAL(taken, 8);
	while (is_readable(poller, 0))
		NEED(read(fd, &value, sizeof(value)) == sizeof(value));
	NEED(pthread_create(&thread, NULL, wake_later, queue) == 0);
	CHECK(is_readable(poller, -1));
	pthread_join(thread, NULL);
	close(poller);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

static void without_wakes(void)
{
	struct iotrap_queue *deaf = open_queue_with(8, IOTRAP_QUEUE_NO_WAKE, 0, 0);
	struct iotrap_completion completions[8];
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_queue_wake(deaf), -EINVAL);
	iotrap_io_prepare(&io, IOTRAP_IO_NOP, NULL, NULL, 0, 0);
	for (int i = 0; i < 8; i++)
		ADD(deaf, &io);
	CHECK_EQUAL(iotrap_queue_wait(deaf, completions, 8, 8, IOTRAP_FOREVER), 8);
	CHECK_EQUAL(iotrap_queue_close(deaf), 0);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	make_file("file", 8);
	queue = open_queue(16);
	by_a_thread();
	by_many();
	by_time();
	by_a_signal();
	from_a_handler();
	by_epoll();
	without_wakes();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
