/* What a queue counts. */
#include "check.h"

static struct iotrap_queue *queue;

static struct iotrap_queue_statistics counts(void)
{
	struct iotrap_queue_statistics now = {.struct_size = sizeof(now)};

	CHECK_EQUAL(iotrap_queue_statistics(queue, &now), 0);
	CHECK_EQUAL(now.struct_size, sizeof(now));
	return now;
}

int main(int count, char **arguments)
{
	struct iotrap_queue_statistics now = {.struct_size = 8};
	struct iotrap_completion completions[4];
	struct iotrap_file *file;
	struct iotrap_io io;
	char *memory = blocks(1);

	begin(count, arguments);
	make_file("file", 2);
	queue = open_queue(16);
	file = open_file("file", O_RDWR);
	CHECK_EQUAL(iotrap_queue_statistics(queue, &now), -EINVAL);
	CHECK_EQUAL(iotrap_queue_statistics(queue, NULL), -EFAULT);
	CHECK_EQUAL(counts().ring, !(backend & IOTRAP_QUEUE_PLAIN));
	CHECK_EQUAL(counts().depth, 16);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	ADD(queue, &io);
	iotrap_io_write(&io, file, memory, BLOCK, BLOCK);
	ADD(queue, &io);
	iotrap_io_read(&io, file, (void *)8, BLOCK, 0);
	ADD(queue, &io);
	iotrap_io_sync(&io, file, 0);
	io.deadline_ns = 1;
	ADD(queue, &io);
	CHECK_EQUAL(counts().added, 4);
	CHECK_EQUAL(counts().submitted, 0);
	CHECK_EQUAL(iotrap_queue_submit(queue), 4);
	CHECK_EQUAL(counts().added, 0);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 4, 4, IOTRAP_FOREVER), 4);
	now = counts();
	CHECK_EQUAL(now.submitted, 4);
	CHECK_EQUAL(now.completed, 4);
	CHECK_EQUAL(now.failed, 2);
	CHECK_EQUAL(now.cancelled, 1);
	CHECK_EQUAL(now.bytes_read, BLOCK);
	CHECK_EQUAL(now.bytes_written, BLOCK);
	CHECK_EQUAL(now.in_flight, 0);
	CHECK(now.ring == 0 || now.enters > 0);
	CHECK(now.ring == 0 || now.in_flight_maximum == 3);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	free(memory);
	return end();
}
