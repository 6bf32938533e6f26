/* Batches: one completion or many, results in their places, and no life after their end. */
#include "check.h"

enum { COUNT = 10 };

static struct iotrap_queue *queue;
static struct iotrap_file *file;
static char *memory;

static struct iotrap_batch *reads(uint32_t flags)
{
	struct iotrap_batch *batch = NULL;
	struct iotrap_io io;

	NEED(iotrap_batch_create(COUNT, flags, &batch) == 0);
	for (unsigned int i = 0; i < COUNT; i++) {
		iotrap_io_read(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		io.user_data = i;
		CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	}
	CHECK_EQUAL(iotrap_batch_add(batch, &io), -ENOSPC);
	CHECK_EQUAL(iotrap_batch_count(batch), COUNT);
	return batch;
}

static void one_completion(void)
{
	struct iotrap_batch *batch = reads(IOTRAP_BATCH_ONE);
	struct iotrap_completion completion;
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_batch_result(batch, 0), -EINPROGRESS);
	memset(memory, 0, COUNT * BLOCK);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 99), 0);
	CHECK_EQUAL(iotrap_queue_submit(queue), COUNT);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 99), -EBUSY);
	CHECK(says(queue, "batch"));
	CHECK_EQUAL(iotrap_batch_add(batch, &io), -EBUSY);
	CHECK_EQUAL(iotrap_batch_reset(batch), -EBUSY);
	CHECK_EQUAL(iotrap_batch_free(batch), -EBUSY);
	CHECK_EQUAL(ONE(queue, &completion), 0);
	CHECK_EQUAL(completion.operation, IOTRAP_IO_BATCH);
	CHECK_EQUAL(completion.user_data, 99);
	CHECK_EQUAL(completion.length, COUNT);
	CHECK(completion.batch == batch);
	for (unsigned int i = 0; i < COUNT; i++) {
		CHECK_EQUAL(iotrap_batch_result(batch, i), BLOCK);
		CHECK(is_block(memory + i * BLOCK, i));
	}
	CHECK_EQUAL(iotrap_batch_result(batch, COUNT), -EINVAL);
	/* The same once more. */
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 98), 0);
	CHECK_EQUAL(ONE(queue, &completion), 0);
	CHECK_EQUAL(completion.user_data, 98);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void each_completes(void)
{
	struct iotrap_batch *batch = reads(0);
	struct iotrap_completion completion;
	unsigned int seen = 0;

	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 77), 0);
	for (unsigned int i = 0; i < COUNT; i++) {
		CHECK_EQUAL(ONE(queue, &completion), BLOCK);
		seen |= 1u << completion.user_data;
	}
	CHECK_EQUAL(seen, (1u << COUNT) - 1);
	CHECK_EQUAL(ONE(queue, &completion), 0);
	CHECK_EQUAL(completion.user_data, 77);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void first_failure(void)
{
	struct iotrap_batch *batch = reads(IOTRAP_BATCH_ONE);
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_batch_reset(batch), 0);
	CHECK_EQUAL(iotrap_batch_count(batch), 0);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	iotrap_io_read(&io, file, memory, 2 * BLOCK, (COUNT - 1) * BLOCK);
	io.flags = IOTRAP_IO_WHOLE;
	CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	iotrap_io_read(&io, file, (void *)8, BLOCK, 0);
	CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 0), 0);
	CHECK_EQUAL(ONE(queue, NULL), -ENODATA);
	CHECK_EQUAL(iotrap_batch_result(batch, 0), BLOCK);
	CHECK_EQUAL(iotrap_batch_result(batch, 1), -ENODATA);
	CHECK_EQUAL(iotrap_batch_result(batch, 2), -EFAULT);
	/* One that is wrong: none is added. */
	CHECK_EQUAL(iotrap_batch_reset(batch), 0);
	iotrap_io_read(&io, file, memory, BLOCK, -3);
	CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 0), -EINVAL);
	CHECK_EQUAL(iotrap_queue_room(queue), 64);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void empty(void)
{
	struct iotrap_batch *batch = NULL;
	struct iotrap_completion completion;

	NEED(iotrap_batch_create(1, IOTRAP_BATCH_ONE, &batch) == 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 5), 0);
	CHECK_EQUAL(ONE(queue, &completion), 0);
	CHECK_EQUAL(completion.user_data, 5);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void durable(void)
{
	struct iotrap_batch *batch = NULL;

	NEED(iotrap_batch_create(3, IOTRAP_BATCH_ONE, &batch) == 0);
	CHECK_EQUAL(iotrap_batch_add_durable_write(batch, file, memory, BLOCK, 0, 1), 0);
	/* Room for one only: neither. */
	CHECK_EQUAL(iotrap_batch_add_durable_write(batch, file, memory, BLOCK, 0, 1), -ENOSPC);
	CHECK_EQUAL(iotrap_batch_count(batch), 2);
	/* Priorities and deadlines that are kept change nothing else. */
	CHECK_EQUAL(iotrap_batch_set_priority(batch, 2 << 13 | 4), 0);
	CHECK_EQUAL(iotrap_batch_set_deadline(batch, iotrap_now() + 3600000000000u), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 6), 0);
	CHECK_EQUAL(ONE(queue, NULL), 0);
	CHECK_EQUAL(iotrap_batch_result(batch, 0), BLOCK);
	CHECK_EQUAL(iotrap_batch_result(batch, 1), 0);
	/* A deadline that has passed: nothing starts. */
	CHECK_EQUAL(iotrap_batch_set_deadline(batch, 1), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 6), 0);
	CHECK_EQUAL(ONE(queue, NULL), -ETIME);
	CHECK_EQUAL(iotrap_batch_result(batch, 0), -ETIME);
	CHECK_EQUAL(iotrap_batch_result(batch, 1), -ECANCELED);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void freed(void)
{
	struct iotrap_batch *batch = reads(0), *other;
	struct iotrap_io io;

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
	CHECK_EQUAL(iotrap_batch_free(batch), -EBADF);
	other = reads(0);
	CHECK(other != batch);
	CHECK_EQUAL(iotrap_batch_free(batch), -EBADF);
	CHECK_EQUAL(iotrap_batch_add(batch, &io), -EBADF);
	CHECK_EQUAL(iotrap_batch_count(batch), -EBADF);
	CHECK_EQUAL(iotrap_batch_result(batch, 0), -EBADF);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 0), -EBADF);
	CHECK(says(queue, "freed"));
	CHECK_EQUAL(iotrap_batch_free(other), 0);
	CHECK_EQUAL(iotrap_batch_create(0, 0, &batch), -EINVAL);
	CHECK_EQUAL(iotrap_batch_create(1, 8, &batch), -EINVAL);
	CHECK_EQUAL(iotrap_batch_create(1u << 20, 0, &batch), -EINVAL);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	make_file("file", COUNT);
	queue = open_queue(64);
	file = open_file("file", O_RDWR);
	memory = blocks(COUNT);
	one_completion();
	each_completes();
	first_failure();
	empty();
	durable();
	freed();
	CHECK_EQUAL(iotrap_queue_room(queue), 64);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
