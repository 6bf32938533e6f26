/* Reads, writes, vectors and syncs: bytes arrive, and results are those of the system calls. */
#include "check.h"

#include <sys/uio.h>

enum { COUNT = 64 };

static void blocks_arrive(struct iotrap_queue *queue, struct iotrap_file *file)
{
	char *memory = blocks(COUNT);
	struct iotrap_completion completions[COUNT];
	struct iotrap_io io;

	for (unsigned int i = 0; i < COUNT; i++) {
		fill_block(memory + i * BLOCK, i);
		iotrap_io_write(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		io.user_data = i;
		ADD(queue, &io);
	}
	CHECK_EQUAL(iotrap_queue_submit(queue), COUNT);
	for (int taken = 0; taken < COUNT;) {
		int count = iotrap_queue_wait(queue, completions, 1, COUNT, IOTRAP_FOREVER);

		NEED(count > 0);
		for (int i = 0; i < count; i++) {
			CHECK_EQUAL(completions[i].result, BLOCK);
			CHECK_EQUAL(completions[i].operation, IOTRAP_IO_WRITE);
			CHECK_EQUAL(completions[i].offset, completions[i].user_data * BLOCK);
			CHECK(completions[i].file == file);
		}
		taken += count;
	}
	CHECK_EQUAL(iotrap_file_size(file), COUNT * (int64_t)BLOCK);
	memset(memory, 0, COUNT * BLOCK);
	for (unsigned int i = 0; i < COUNT; i++) {
		iotrap_io_read(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		ADD(queue, &io);
	}
	/* One wait submits them and takes all. */
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, COUNT, COUNT, IOTRAP_FOREVER), COUNT);
	for (unsigned int i = 0; i < COUNT; i++)
		CHECK(is_block(memory + i * BLOCK, i));
	free(memory);
}

static void vectors(struct iotrap_queue *queue, struct iotrap_file *file)
{
	char *memory = blocks(4);
	struct iovec out[2] = {{memory, BLOCK}, {memory + BLOCK, BLOCK}};
	struct iovec in[2] = {{memory + 3 * BLOCK, BLOCK}, {memory + 2 * BLOCK, BLOCK}};
	struct iotrap_io io;

	fill_block(memory, 100);
	fill_block(memory + BLOCK, 101);
	iotrap_io_writev(&io, file, out, 2, 8 * BLOCK);
	CHECK_EQUAL(PERFORM(queue, &io), 2 * BLOCK);
	iotrap_io_readv(&io, file, in, 2, 8 * BLOCK);
	CHECK_EQUAL(PERFORM(queue, &io), 2 * BLOCK);
	CHECK(is_block(memory + 3 * BLOCK, 100));
	CHECK(is_block(memory + 2 * BLOCK, 101));
	free(memory);
}

static void syncs_and_ends(struct iotrap_queue *queue, struct iotrap_file *file)
{
	char *memory = blocks(2);
	struct iotrap_io io;
	int64_t size = iotrap_file_size(file);

	iotrap_io_sync(&io, file, 0);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	iotrap_io_sync(&io, file, 1);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	iotrap_io_prepare(&io, IOTRAP_IO_NOP, NULL, NULL, 0, 0);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	/* As pread(2): short at the end, nothing behind it. */
	iotrap_io_read(&io, file, memory, 2 * BLOCK, size - BLOCK);
	CHECK_EQUAL(PERFORM(queue, &io), BLOCK);
	iotrap_io_read(&io, file, memory, BLOCK, size);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	iotrap_io_read(&io, file, memory, 0, 0);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	/* All of it is wanted, and it is not there. */
	iotrap_io_read(&io, file, memory, 2 * BLOCK, size - BLOCK);
	io.flags = IOTRAP_IO_WHOLE;
	CHECK_EQUAL(PERFORM(queue, &io), -ENODATA);
	iotrap_io_read(&io, file, memory, 2 * BLOCK, 0);
	io.flags = IOTRAP_IO_WHOLE | IOTRAP_IO_WORKER;
	CHECK_EQUAL(PERFORM(queue, &io), 2 * BLOCK);
	free(memory);
}

static void errors_of_the_kernel(struct iotrap_queue *queue)
{
	struct iotrap_file *readable = open_file("file", O_RDONLY);
	char *memory = blocks(1);
	struct iotrap_completion completion;
	struct iotrap_io io;
	char text[512];

	iotrap_io_write(&io, readable, memory, BLOCK, 0);
	ADD(queue, &io);
	CHECK_EQUAL(ONE(queue, &completion), -EBADF);
	CHECK(iotrap_completion_text(&completion, text, sizeof(text)) == strlen(text));
	CHECK(strstr(text, "write") && strstr(text, "/file'") && strstr(text, "Bad file"));
	/* Cut, and still a text. */
	CHECK_EQUAL(iotrap_completion_text(&completion, text, 6), 5);
	CHECK(strcmp(text, "write") == 0);
	iotrap_io_read(&io, readable, (void *)8, BLOCK, 0);
	CHECK_EQUAL(PERFORM(queue, &io), -EFAULT);
	CHECK_EQUAL(iotrap_file_close(readable), 0);
	free(memory);
}

int main(int count, char **arguments)
{
	struct iotrap_queue *queue;
	struct iotrap_file *file;

	begin(count, arguments);
	queue = open_queue(COUNT);
	for (int direct = 0; direct < 2; direct++) {
		file = open_file("file", O_RDWR | O_CREAT | O_TRUNC | (direct ? O_DIRECT : 0));
		blocks_arrive(queue, file);
		vectors(queue, file);
		syncs_and_ends(queue, file);
		CHECK_EQUAL(iotrap_file_close(file), 0);
	}
	errors_of_the_kernel(queue);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
