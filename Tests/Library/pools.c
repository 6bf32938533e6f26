/*
 * Files in a mount pool. After the usual two arguments come the mounts, all of one folder; without
 * the word "environment" in front of them the program names the pool itself.
 */
#include "check.h"

enum { COUNT = 256, DEPTH = 64 };

static struct iotrap_queue *queue;

static void configure(int count, char **mounts)
{
	char text[2048] = "pool:", error[256] = "";

	CHECK_EQUAL(iotrap_set_pools("pool:relative", error, sizeof(error)), -EINVAL);
	CHECK(strstr(error, "relative") && strstr(error, "; "));
	CHECK_EQUAL(iotrap_set_pools("pool:relative", NULL, 0), -EINVAL);
	CHECK_EQUAL(iotrap_set_pools(NULL, NULL, 0), -EFAULT);
	for (int i = 0; i < count; i++) {
		strcat(text, i ? "," : "");
		strcat(text, mounts[i]);
	}
	NEED(iotrap_set_pools(text, error, sizeof(error)) == 0);
	CHECK_EQUAL(iotrap_set_pools(text, NULL, 0), -EBUSY);
}

static struct iotrap_file *open_in_pool(uint32_t pool, int flags)
{
	struct iotrap_file_options options = {.struct_size = sizeof(options), .pool = pool};
	struct iotrap_file *file = NULL;

	NEED(iotrap_file_open(in_directory("data"), flags, 0600, &options, &file) == 0);
	return file;
}

/* Writes or reads all blocks, many at once: how many a pool served. */
static int all(struct iotrap_file *file, int kind, char *memory)
{
	struct iotrap_completion completions[DEPTH];
	int pooled = 0, ended = 0;
	unsigned int started = 0;
	struct iotrap_io io;

	while (ended < COUNT) {
		int count;

		while (started < COUNT && iotrap_queue_room(queue) > 0) {
			iotrap_io_prepare(&io, kind, file, memory + started * BLOCK, BLOCK,
					  started * (int64_t)BLOCK);
			io.user_data = started++;
			ADD(queue, &io);
		}
		count = iotrap_queue_wait(queue, completions, 1, DEPTH, IOTRAP_FOREVER);
		NEED(count >= 0);
		for (int i = 0; i < count; i++) {
			CHECK_EQUAL(completions[i].result, BLOCK);
			pooled += (completions[i].flags & IOTRAP_COMPLETION_POOL) != 0;
		}
		ended += count;
	}
	return pooled;
}

static void durable(struct iotrap_file *file, char *memory)
{
	struct iotrap_batch *batch = NULL;

	NEED(iotrap_batch_create(2, IOTRAP_BATCH_ONE, &batch) == 0);
	fill_block(memory, 7);
	CHECK_EQUAL(iotrap_batch_add_durable_write(batch, file, memory, BLOCK, 7 * BLOCK, 1), 0);
	for (int i = 0; i < 20; i++) {
		CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 1), 0);
		CHECK_EQUAL(ONE(queue, NULL), 0);
		CHECK_EQUAL(iotrap_batch_result(batch, 0), BLOCK);
		CHECK_EQUAL(iotrap_batch_result(batch, 1), 0);
	}
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

static void spread(int mounts)
{
	struct iotrap_file_info info = {.struct_size = sizeof(info)};
	struct iotrap_queue_statistics counts = {.struct_size = sizeof(counts)};
	struct iotrap_file *file = open_in_pool(IOTRAP_FILE_POOL_REQUIRED, O_RDWR | O_DIRECT);
	char *memory = blocks(COUNT);
	struct iotrap_io io;

	CHECK_EQUAL(iotrap_file_info(file, &info), 0);
	CHECK_EQUAL(info.paths, mounts);
	for (unsigned int i = 0; i < COUNT; i++)
		fill_block(memory + i * BLOCK, i);
	CHECK(all(file, IOTRAP_IO_WRITE, memory) > 0);
	iotrap_io_sync(&io, file, 0);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	/* The other paths are opened meanwhile, and reads go there once they are. */
	for (int round = 0; round < 20; round++) {
		memset(memory, 0, COUNT * BLOCK);
		CHECK(all(file, IOTRAP_IO_READ, memory) > 0);
		for (unsigned int i = 0; i < COUNT; i++)
			NEED(is_block(memory + i * BLOCK, i));
	}
	durable(file, memory);
	CHECK_EQUAL(iotrap_queue_statistics(queue, &counts), 0);
	CHECK(counts.pooled > COUNT);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

static void left_alone(void)
{
	struct iotrap_file *file = open_in_pool(IOTRAP_FILE_POOL_NEVER, O_RDWR | O_DIRECT);
	char *memory = blocks(COUNT);

	CHECK_EQUAL(all(file, IOTRAP_IO_READ, memory), 0);
	CHECK(is_block(memory + 7 * BLOCK, 7));
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

/* Closing a queue waits for what the paths have. */
static void closed_early(void)
{
	struct iotrap_file *file = open_in_pool(IOTRAP_FILE_POOL_AUTO, O_RDWR | O_DIRECT);
	char *memory = blocks(DEPTH);
	struct iotrap_io io;

	for (unsigned int i = 0; i < DEPTH; i++) {
		iotrap_io_read(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		ADD(queue, &io);
	}
	CHECK_EQUAL(iotrap_queue_submit(queue), DEPTH);
	CHECK_EQUAL(iotrap_file_close(file), -EBUSY);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	free(memory);
}

int main(int count, char **arguments)
{
	int is_configured = count > 3 && strcmp(arguments[3], "environment") == 0;
	int first = is_configured ? 4 : 3;
	struct iotrap_file *file;

	NEED(count - first >= 2);
	if (!is_configured)
		configure(count - first, arguments + first);
	begin(count, arguments);
	queue = open_queue(DEPTH);
	make_file("data", COUNT);
	spread(count - first);
	left_alone();
	closed_early();
	file = open_in_pool(IOTRAP_FILE_POOL_AUTO, O_RDONLY);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	return end();
}
