/* One file, many threads, a queue each: every block is the one that was asked for. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 6, BLOCKS = 256, DEPTH = 16, OPERATIONS = 3000 };

static struct iotrap_file *shared;

struct thread {
	pthread_t thread;
	uint64_t state;
};

static uint64_t next(struct thread *self)
{
	self->state ^= self->state << 13;
	self->state ^= self->state >> 7;
	self->state ^= self->state << 17;
	return self->state;
}

static void *work(void *argument)
{
	struct thread *self = argument;
	struct iotrap_queue *queue = open_queue(DEPTH);
	char *memory = blocks(DEPTH);
	struct iotrap_completion completions[DEPTH];
	uint64_t asked[DEPTH];
	unsigned int started = 0, ended = 0;
	struct iotrap_io io;
	uint32_t idle = (1u << DEPTH) - 1;

	while (ended < OPERATIONS) {
		int count;

		while (idle && started < OPERATIONS) {
			unsigned int slot = (unsigned int)__builtin_ctz(idle);

			idle &= idle - 1;
			asked[slot] = next(self) % BLOCKS;
			iotrap_io_read(&io, shared, memory + slot * BLOCK, BLOCK,
				       (int64_t)(asked[slot] * BLOCK));
			io.user_data = slot;
			ADD(queue, &io);
			started++;
		}
		count = iotrap_queue_wait(queue, completions, 1 + next(self) % 4, DEPTH,
					  IOTRAP_FOREVER);
		NEED(count >= 0);
		for (int i = 0; i < count; i++) {
			uint64_t slot = completions[i].user_data;

			CHECK_EQUAL(completions[i].result, BLOCK);
			CHECK(is_block(memory + slot * BLOCK, asked[slot]));
			idle |= 1u << slot;
		}
		ended += (unsigned int)count;
	}
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	free(memory);
	return NULL;
}

/* A queue without an owner, used by one thread after the other. */
struct relay {
	struct iotrap_queue *queue;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	int whose;
	int rounds;
};

struct runner {
	pthread_t thread;
	struct relay *relay;
	int number;
};

static void *run_relay(void *argument)
{
	struct runner *self = argument;
	struct relay *relay = self->relay;
	char *memory = blocks(1);
	struct iotrap_io io;

	for (int round = 0; round < 300; round++) {
		pthread_mutex_lock(&relay->lock);
		while (relay->whose != self->number)
			pthread_cond_wait(&relay->turn, &relay->lock);
		/* What the thread before added ends here. */
		if (relay->rounds++ > 0)
			CHECK_EQUAL(ONE(relay->queue, NULL), BLOCK);
		iotrap_io_read(&io, shared, memory, BLOCK, 0);
		ADD(relay->queue, &io);
		CHECK_EQUAL(iotrap_queue_submit(relay->queue), 1);
		relay->whose = (self->number + 1) % THREADS;
		pthread_cond_broadcast(&relay->turn);
		pthread_mutex_unlock(&relay->lock);
	}
	return NULL;
}

static void passed_on(void)
{
	struct relay relay = {.lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};
	struct runner runners[THREADS];

	relay.queue = open_queue(DEPTH);
	for (int i = 0; i < THREADS; i++) {
		runners[i].relay = &relay;
		runners[i].number = i;
		NEED(pthread_create(&runners[i].thread, NULL, run_relay, &runners[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(runners[i].thread, NULL);
	CHECK_EQUAL(ONE(relay.queue, NULL), BLOCK);
	CHECK_EQUAL(iotrap_queue_close(relay.queue), 0);
}

int main(int count, char **arguments)
{
	struct thread threads[THREADS];

	begin(count, arguments);
	make_file("file", BLOCKS);
	shared = open_file("file", O_RDWR | O_DIRECT);
	for (unsigned int i = 0; i < THREADS; i++) {
		threads[i].state = 0x9E3779B97F4A7C15u * (i + 1);
		NEED(pthread_create(&threads[i].thread, NULL, work, &threads[i]) == 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	if (backend & IOTRAP_QUEUE_UNBOUND)
		passed_on();
	CHECK_EQUAL(iotrap_file_close(shared), 0);
	return end();
}
