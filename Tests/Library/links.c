/* What is linked runs in order, and not at all after a failure. */
#include "check.h"

#include <limits.h>

static struct iotrap_queue *queue;

/* Waits for `count` completions and puts their results where their user data say. */
static void results(int64_t *out, int count)
{
	struct iotrap_completion completion;

	for (int i = 0; i < count; i++) {
		ONE(queue, &completion);
		NEED(completion.user_data < (uint64_t)count);
		out[completion.user_data] = completion.result;
	}
}

static void durable_writes(int flags)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_CREAT | O_TRUNC | flags);
	char *memory = blocks(2);
	struct iotrap_io io;
	int64_t result[2];

	fill_block(memory, 5);
	for (uint32_t whole = 0; whole <= IOTRAP_IO_WHOLE; whole += IOTRAP_IO_WHOLE) {
		iotrap_io_write(&io, file, memory, BLOCK, 0);
		io.flags = IOTRAP_IO_LINK | whole;
		ADD(queue, &io);
		iotrap_io_sync(&io, file, 1);
		io.user_data = 1;
		ADD(queue, &io);
		results(result, 2);
		CHECK_EQUAL(result[0], BLOCK);
		CHECK_EQUAL(result[1], 0);
	}
	iotrap_io_read(&io, file, memory + BLOCK, BLOCK, 0);
	CHECK_EQUAL(PERFORM(queue, &io), BLOCK);
	CHECK(is_block(memory + BLOCK, 5));
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

/* A write that fails, or is short, and what hangs on it. */
static void failures_cancel(uint32_t link, int64_t wanted_second)
{
	struct iotrap_file *readable = open_file("file", O_RDONLY);
	struct iotrap_io io;
	char *memory = blocks(1);
	int64_t result[3];

	iotrap_io_write(&io, readable, memory, BLOCK, 0);
	io.flags = link;
	ADD(queue, &io);
	iotrap_io_read(&io, readable, memory, BLOCK, 0);
	io.user_data = 1;
	io.flags = IOTRAP_IO_LINK;
	ADD(queue, &io);
	iotrap_io_sync(&io, readable, 0);
	io.user_data = 2;
	ADD(queue, &io);
	results(result, 3);
	CHECK_EQUAL(result[0], -EBADF);
	CHECK_EQUAL(result[1], wanted_second);
	CHECK_EQUAL(result[2], wanted_second < 0 ? -ECANCELED : 0);
	CHECK_EQUAL(iotrap_file_close(readable), 0);
	free(memory);
}

static void short_transfers_cancel(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR);
	char *memory = blocks(2);
	struct iotrap_io io;
	int64_t result[2];

	iotrap_io_read(&io, file, memory, 2 * BLOCK, 0);
	io.flags = IOTRAP_IO_LINK;
	ADD(queue, &io);
	iotrap_io_sync(&io, file, 0);
	io.user_data = 1;
	ADD(queue, &io);
	results(result, 2);
	CHECK_EQUAL(result[0], BLOCK);
	CHECK_EQUAL(result[1], -ECANCELED);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

/* A long chain that only makes sense in its order: each read sees the write before it. */
static void long_chain(void)
{
	enum { STEPS = 60 };
	struct iotrap_file *file = open_file("file", O_RDWR);
	char *memory = blocks(2 * STEPS);
	struct iotrap_io io;
	int64_t result[2 * STEPS];

	for (unsigned int i = 0; i < STEPS; i++) {
		fill_block(memory + 2 * i * BLOCK, i);
		iotrap_io_write(&io, file, memory + 2 * i * BLOCK, BLOCK, 0);
		io.user_data = 2 * i;
		io.flags = IOTRAP_IO_LINK;
		ADD(queue, &io);
		iotrap_io_read(&io, file, memory + (2 * i + 1) * BLOCK, BLOCK, 0);
		io.user_data = 2 * i + 1;
		io.flags = i + 1 < STEPS ? IOTRAP_IO_LINK : 0;
		ADD(queue, &io);
	}
	results(result, 2 * STEPS);
	for (unsigned int i = 0; i < STEPS; i++) {
		CHECK_EQUAL(result[2 * i], BLOCK);
		CHECK_EQUAL(result[2 * i + 1], BLOCK);
		CHECK(is_block(memory + (2 * i + 1) * BLOCK, i));
	}
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

/* Only failures are told. */
static void quiet(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR);
	struct iotrap_completion completions[4];
	char *memory = blocks(1);
	struct iotrap_io io;

	iotrap_io_write(&io, file, memory, BLOCK, 0);
	io.flags = IOTRAP_IO_LINK | IOTRAP_IO_QUIET;
	ADD(queue, &io);
	iotrap_io_sync(&io, file, 1);
	io.user_data = 9;
	ADD(queue, &io);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 2, 4, IOTRAP_FOREVER), 1);
	CHECK_EQUAL(completions[0].user_data, 9);
	iotrap_io_read(&io, file, (void *)8, BLOCK, 0);
	io.flags = IOTRAP_IO_QUIET;
	CHECK_EQUAL(PERFORM(queue, &io), -EFAULT);
	CHECK_EQUAL(iotrap_queue_room(queue), 128);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	queue = open_queue(128);
	durable_writes(0);
	durable_writes(O_DIRECT);
	failures_cancel(IOTRAP_IO_LINK, -ECANCELED);
	failures_cancel(IOTRAP_IO_HARDLINK, BLOCK);
	short_transfers_cancel();
	long_chain();
	quiet();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
