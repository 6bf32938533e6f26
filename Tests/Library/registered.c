/* Registered files and buffers. */
#include "check.h"

enum { BLOCKS = 8 };

static struct iotrap_queue *queue;
static char *memory;

static void files(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_DIRECT);
	struct iotrap_completion completion;
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_queue_set_file(queue, 4, file), -EINVAL);
	CHECK(says(queue, "slot"));
	CHECK_EQUAL(iotrap_queue_set_file(queue, 2, file), 0);
	/* The queue uses it as long as it is in a slot. */
	CHECK_EQUAL(iotrap_file_close(file), -EBUSY);
	iotrap_io_read(&io, NULL, memory, BLOCK, BLOCK);
	io.flags = IOTRAP_IO_SLOT;
	io.slot = 2;
	ADD(queue, &io);
	CHECK_EQUAL(iotrap_queue_set_file(queue, 2, NULL), -EBUSY);
	CHECK_EQUAL(ONE(queue, &completion), BLOCK);
	CHECK(is_block(memory, 1));
	iotrap_io_sync(&io, NULL, 1);
	io.flags = IOTRAP_IO_SLOT;
	io.slot = 2;
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	/* Nothing in it. */
	iotrap_io_read(&io, NULL, memory, BLOCK, 0);
	io.flags = IOTRAP_IO_SLOT;
	io.slot = 1;
	CHECK_EQUAL(PERFORM(queue, &io), -EBADF);
	CHECK_EQUAL(iotrap_queue_set_file(queue, 2, NULL), 0);
	io.slot = 2;
	CHECK_EQUAL(PERFORM(queue, &io), -EBADF);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_set_file(queue, 0, file), -EBADF);
}

static void buffers(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_DIRECT);
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_queue_set_buffer(queue, 2, memory, BLOCK), -EINVAL);
	CHECK_EQUAL(iotrap_queue_set_buffer(queue, 1, memory, 0), -EINVAL);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.flags = IOTRAP_IO_FIXED_BUFFER;
	io.buffer_index = 1;
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EFAULT);
	CHECK_EQUAL(iotrap_queue_set_buffer(queue, 1, memory, BLOCKS * BLOCK), 0);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		io.buffer = memory + i * BLOCK;
		io.offset = i * (int64_t)BLOCK;
		ADD(queue, &io);
	}
	CHECK_EQUAL(iotrap_queue_set_buffer(queue, 1, NULL, 0), -EBUSY);
	for (unsigned int i = 0; i < BLOCKS; i++)
		CHECK_EQUAL(ONE(queue, NULL), BLOCK);
	for (unsigned int i = 0; i < BLOCKS; i++)
		CHECK(is_block(memory + i * BLOCK, i));
	io.kind = IOTRAP_IO_WRITE;
	io.buffer = memory + (BLOCKS - 1) * BLOCK;
	io.offset = 0;
	CHECK_EQUAL(PERFORM(queue, &io), BLOCK);
	/* One byte behind its end, and far outside. */
	io.length = 2 * BLOCK;
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EFAULT);
	CHECK(says(queue, "outside"));
	io.buffer = memory - BLOCK;
	io.length = BLOCK;
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EFAULT);
	CHECK_EQUAL(iotrap_queue_set_buffer(queue, 1, NULL, 0), 0);
	io.buffer = memory;
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EFAULT);
	CHECK_EQUAL(iotrap_file_close(file), 0);
}

/* A file that has no descriptor: opened into a slot, read, and closed, in one chain. */
static void opened_into_a_slot(void)
{
	struct iotrap_completion completion;
	struct iotrap_io io;
	int before = open_descriptors();

	memset(memory, 0, BLOCK);
	iotrap_io_open(&io, in_directory("file"), O_RDONLY, 0);
	io.flags = IOTRAP_IO_SLOT | IOTRAP_IO_LINK;
	io.slot = 3;
	ADD(queue, &io);
	iotrap_io_read(&io, NULL, memory, BLOCK, BLOCK);
	io.flags = IOTRAP_IO_SLOT | IOTRAP_IO_HARDLINK;
	io.slot = 3;
	io.user_data = 1;
	ADD(queue, &io);
	iotrap_io_close(&io, 0);
	io.flags = IOTRAP_IO_SLOT;
	io.slot = 3;
	io.user_data = 2;
	ADD(queue, &io);
	for (int i = 0; i < 3; i++) {
		ONE(queue, &completion);
		CHECK_EQUAL(completion.result, completion.user_data == 1 ? (int64_t)BLOCK : 0);
	}
	CHECK(is_block(memory, 1));
	io.kind = IOTRAP_IO_CLOSE;
	CHECK_EQUAL(PERFORM(queue, &io), -EBADF);
	CHECK_EQUAL(open_descriptors(), before);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	make_file("file", BLOCKS);
	queue = open_queue_with(16, 0, 4, 2);
	memory = (char *)blocks(BLOCKS + 1) + BLOCK;
	files();
	opened_into_a_slot();
	buffers();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
