/* differential: libaio contexts destroyed while waited on or with requests under way; direct */
#include "aio.h"

#define BATCH 32
#define FILE_PAGES 256

static char *memory;
static int file, writable;

struct waiter {
	const struct aio_way *way;
	io_context_t context;
	int timed;
	int warm;
	int ready[2];
	int answer;
};

static void prepare(struct iocb *requests, struct iocb **list, int opcode, int fd)
{
	for (int index = 0; index < BATCH; index++) {
		aio_prepare(&requests[index], opcode, fd, memory + index * PAGE, PAGE,
			    index * 8 * PAGE);
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
}

/* Through the numbers only: libaio's function looks into a ring that may be gone. */
static void *wait_for_events(void *argument)
{
	struct waiter *waiter = argument;
	struct timespec hour = {3600, 0};
	struct io_event event;

	if (waiter->warm)
		aio_warm(waiter->way, waiter->context);
	NEED(write(waiter->ready[1], "r", 1) == 1);
	waiter->answer = waiter->way->getevents(waiter->context, 1, 1, &event,
						waiter->timed ? &hour : NULL);
	return NULL;
}

/* A waiting io_getevents ends with EINVAL, however early or late the end comes. */
static void while_waiting(const struct aio_way *way, int timed, int warm, long microseconds)
{
	struct waiter waiter = {.way = way, .timed = timed, .warm = warm};
	pthread_t thread;
	char byte;
	int result;

	waiter.context = aio_begin(way, BATCH);
	NEED(pipe(waiter.ready) == 0);
	NEED(pthread_create(&thread, NULL, wait_for_events, &waiter) == 0);
	NEED(read(waiter.ready[0], &byte, 1) == 1);
	pause_microseconds(microseconds);
	result = way->destroy(waiter.context);
	NEED(pthread_join(thread, NULL) == 0);
	observe("%s destroyed, waiter %s%s: %s, waiter %s", way->name, timed ? "timed" : "endless",
		warm ? ", warm" : "", aio_text(result), aio_text(waiter.answer));
	close(waiter.ready[0]);
	close(waiter.ready[1]);
}

/* Two threads wait; a poll is under way that nobody ends. */
static void several_waiting(const struct aio_way *way)
{
	struct waiter waiters[3];
	pthread_t threads[3];
	io_context_t context = aio_begin(way, BATCH);
	struct iocb request, *list[1] = {&request};
	int pipes[2];
	char byte;

	NEED(pipe(pipes) == 0);
	aio_prepare(&request, IO_CMD_POLL, pipes[0], NULL, 0, 0);
	request.u.poll.events = POLLIN;
	ANSWER(way->submit(context, 1, list), "%s poll", way->name);
	for (int index = 0; index < 3; index++) {
		waiters[index] = (struct waiter){
			.way = way, .context = context, .timed = index % 2};
		NEED(pipe(waiters[index].ready) == 0);
		NEED(pthread_create(&threads[index], NULL, wait_for_events, &waiters[index]) == 0);
		NEED(read(waiters[index].ready[0], &byte, 1) == 1);
	}
	pause_microseconds(20000);
	ANSWER(way->destroy(context), "destroy with three waiting");
	for (int index = 0; index < 3; index++) {
		NEED(pthread_join(threads[index], NULL) == 0);
		observe("  waiter %s", aio_text(waiters[index].answer));
		close(waiters[index].ready[0]);
		close(waiters[index].ready[1]);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/*
 * When io_destroy returns, nothing is under way any more: the memory may go, and what was
 * written is in the file.
 */
static void under_way(const struct aio_way *way, int warm)
{
	struct iocb requests[BATCH], *list[BATCH];

	for (int round = 0; round < 4; round++) {
		io_context_t context = aio_begin(way, BATCH);
		char *target = pages(BATCH * PAGE);
		int wrong = 0;

		if (warm)
			aio_warm(way, context);
		prepare(requests, list, IO_CMD_PREAD, file);
		for (int index = 0; index < BATCH; index++)
			requests[index].u.c.buf = target + index * PAGE;
		NEED(way->submit(context, BATCH, list) == BATCH);
		NEED(way->destroy(context) == 0);
		for (int index = 0; index < BATCH; index++)
			wrong += pattern_matches(target + index * PAGE, PAGE, 2,
						 (uint64_t)index * 8 * PAGE) != PAGE;
		observe("%s destroyed with reads under way: %d not as written", way->name, wrong);
		NEED(munmap(target, BATCH * PAGE + PAGE) == 0);
		context = aio_begin(way, BATCH);
		if (warm)
			aio_warm(way, context);
		for (int index = 0; index < BATCH; index++)
			pattern_fill(memory + index * PAGE, PAGE, (uint64_t)round + 50,
				     (uint64_t)index * 8 * PAGE);
		prepare(requests, list, IO_CMD_PWRITE, writable);
		NEED(way->submit(context, BATCH, list) == BATCH);
		NEED(way->destroy(context) == 0);
		observe_file("written");
	}
}

/* Two threads destroy the same context: one of them does. */
struct rival {
	const struct aio_way *way;
	io_context_t context;
	pthread_barrier_t *start;
	int answer;
};

static void *destroy_too(void *argument)
{
	struct rival *rival = argument;

	pthread_barrier_wait(rival->start);
	rival->answer = rival->way->destroy(rival->context);
	return NULL;
}

static void both_destroy(const struct aio_way *way)
{
	int sums[3] = {0};

	for (int round = 0; round < 8; round++) {
		struct iocb requests[BATCH], *list[BATCH];
		struct rival rivals[2];
		pthread_t threads[2];
		pthread_barrier_t start;
		io_context_t context = aio_begin(way, BATCH);

		prepare(requests, list, IO_CMD_PREAD, file);
		NEED(way->submit(context, BATCH, list) == BATCH);
		NEED(pthread_barrier_init(&start, NULL, 2) == 0);
		for (int index = 0; index < 2; index++) {
			rivals[index] = (struct rival){way, context, &start, 1};
			NEED(pthread_create(&threads[index], NULL, destroy_too, &rivals[index]) ==
			     0);
		}
		for (int index = 0; index < 2; index++) {
			NEED(pthread_join(threads[index], NULL) == 0);
			sums[rivals[index].answer == 0         ? 0
			     : rivals[index].answer == -EINVAL ? 1
							       : 2]++;
		}
		pthread_barrier_destroy(&start);
	}
	observe("%s both destroy: %d times 0, %d times EINVAL, %d times other", way->name, sums[0],
		sums[1], sums[2]);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	make_file("destroy", FILE_PAGES * PAGE, 2);
	make_file("written", FILE_PAGES * PAGE, 2);
	file = open("destroy", O_RDONLY | O_DIRECT);
	writable = open("written", O_WRONLY | O_DIRECT);
	NEED(file >= 0 && writable >= 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];

		if (index == 1) {
			for (int variant = 0; variant < 8; variant++)
				while_waiting(way, variant & 1, variant & 2,
					      variant & 4 ? 30000 : 0);
			several_waiting(way);
		}
		under_way(way, 0);
		under_way(way, 1);
		both_destroy(way);
	}
	return 0;
}
