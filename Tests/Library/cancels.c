/* Cancelling, and deadlines. What never ends by itself is a read of a pipe. */
#include "check.h"

static struct iotrap_queue *queue;
static int ends[2];
static char byte;

static void pipe_read(uint64_t user_data, uint64_t deadline)
{
	struct iotrap_io io;

	iotrap_io_prepare(&io, IOTRAP_IO_READ, NULL, &byte, 1, 0);
	io.flags = IOTRAP_IO_DESCRIPTOR;
	io.descriptor = ends[0];
	io.user_data = user_data;
	io.deadline_ns = deadline;
	ADD(queue, &io);
}

static void before_submission(struct iotrap_file *file, char *memory)
{
	struct iotrap_completion completion;
	struct iotrap_io io;

	iotrap_io_write(&io, file, memory, BLOCK, 0);
	io.user_data = 1;
	io.flags = IOTRAP_IO_LINK;
	ADD(queue, &io);
	iotrap_io_sync(&io, file, 1);
	io.user_data = 2;
	ADD(queue, &io);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.user_data = 3;
	ADD(queue, &io);
	CHECK_EQUAL(iotrap_queue_cancel(queue, 1), 1);
	CHECK_EQUAL(iotrap_queue_cancel(queue, 77), 0);
	for (int i = 0; i < 3; i++) {
		ONE(queue, &completion);
		CHECK_EQUAL(completion.result,
			    completion.user_data == 3 ? (int64_t)BLOCK : -ECANCELED);
	}
}

static void in_flight(void)
{
	struct iotrap_completion completions[4];

	pipe_read(10, 0);
	pipe_read(11, 0);
	pipe_read(11, 0);
	CHECK_EQUAL(iotrap_queue_submit(queue), 3);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 1, 4, 1000000), 0);
	CHECK_EQUAL(iotrap_queue_cancel(queue, 11), 2);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 2, 4, IOTRAP_FOREVER), 2);
	for (int i = 0; i < 2; i++) {
		CHECK_EQUAL(completions[i].user_data, 11);
		CHECK_EQUAL(completions[i].result, -ECANCELED);
	}
	NEED(write(ends[1], "x", 1) == 1);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 1, 4, IOTRAP_FOREVER), 1);
	CHECK_EQUAL(completions[0].result, 1);
	CHECK_EQUAL(byte, 'x');
}

static void of_a_batch(void)
{
	struct iotrap_batch *batch = NULL;
	struct iotrap_io io;

	NEED(iotrap_batch_create(3, IOTRAP_BATCH_ONE, &batch) == 0);
	iotrap_io_prepare(&io, IOTRAP_IO_READ, NULL, &byte, 1, 0);
	io.flags = IOTRAP_IO_DESCRIPTOR;
	io.descriptor = ends[0];
	for (int i = 0; i < 3; i++)
		CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 44), 0);
	CHECK_EQUAL(iotrap_queue_submit(queue), 3);
	CHECK_EQUAL(iotrap_queue_cancel(queue, 44), 3);
	CHECK_EQUAL(ONE(queue, NULL), -ECANCELED);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQUAL(iotrap_batch_result(batch, i), -ECANCELED);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void deadlines(struct iotrap_file *file, char *memory)
{
	uint64_t began = iotrap_now(), deadline = began + 20000000;
	struct iotrap_completion completion;
	struct iotrap_io io;
	char text[256];

	pipe_read(20, deadline);
	CHECK_EQUAL(ONE(queue, &completion), -ETIME);
	CHECK(iotrap_now() >= deadline);
	iotrap_completion_text(&completion, text, sizeof(text));
	CHECK(strstr(text, "deadline") != NULL);
	/* In time: the deadline says nothing, and those of others do not touch it. */
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.deadline_ns = iotrap_now() + 3600000000000u;
	ADD(queue, &io);
	CHECK_EQUAL(ONE(queue, &completion), BLOCK);
	CHECK_EQUAL(completion.flags, 0);
	/* In a chain. */
	io.flags = IOTRAP_IO_LINK;
	ADD(queue, &io);
	ADD(queue, &io);
	io.flags = 0;
	ADD(queue, &io);
	for (int i = 0; i < 3; i++)
		CHECK_EQUAL(ONE(queue, NULL), BLOCK);
	/* What is cancelled before its deadline was not late. */
	pipe_read(21, iotrap_now() + 3600000000000u);
	CHECK_EQUAL(iotrap_queue_submit(queue), 1);
	CHECK_EQUAL(iotrap_queue_cancel(queue, 21), 1);
	CHECK_EQUAL(ONE(queue, NULL), -ECANCELED);
}

static void passed_deadlines(struct iotrap_file *file, char *memory)
{
	struct iotrap_completion completion;
	struct iotrap_io io;

	fill_block(memory, 3);
	iotrap_io_write(&io, file, memory, BLOCK, 8 * BLOCK);
	io.deadline_ns = 1;
	io.flags = IOTRAP_IO_LINK;
	ADD(queue, &io);
	iotrap_io_sync(&io, file, 0);
	io.user_data = 1;
	ADD(queue, &io);
	for (int i = 0; i < 2; i++) {
		ONE(queue, &completion);
		CHECK_EQUAL(completion.result, completion.user_data ? -ECANCELED : -ETIME);
	}
	/* It did not start. */
	CHECK_EQUAL(iotrap_file_size(file), BLOCK);
}

/* Closing ends what would never end, and gives the memory back. */
static void closing(void)
{
	pipe_read(30, 0);
	pipe_read(31, iotrap_now() + 3600000000000u);
	CHECK_EQUAL(iotrap_queue_submit(queue), 2);
	pipe_read(32, 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
}

int main(int count, char **arguments)
{
	struct iotrap_file *file;
	char *memory = blocks(1);

	begin(count, arguments);
	make_file("file", 1);
	queue = open_queue(16);
	file = open_file("file", O_RDWR);
	NEED(pipe(ends) == 0);
	before_submission(file, memory);
	passed_deadlines(file, memory);
	/* Without a ring such a read would keep submit itself. */
	if (!(backend & IOTRAP_QUEUE_PLAIN)) {
		in_flight();
		of_a_batch();
		deadlines(file, memory);
		closing();
	} else {
		CHECK_EQUAL(iotrap_queue_close(queue), 0);
	}
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
	return end();
}
