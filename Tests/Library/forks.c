/* A forked child has its parent's files, and none of its queues and batches. */
#include "check.h"

#include <sys/wait.h>

static struct iotrap_queue *queue;
static struct iotrap_file *file;
static struct iotrap_batch *batch;
static char *memory;

static int child(void)
{
	struct iotrap_completion completion;
	struct iotrap_queue *own;
	struct iotrap_io io;
	char text[128];

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EBADF);
	CHECK_EQUAL(iotrap_queue_wait(queue, &completion, 1, 1, 0), -EBADF);
	CHECK_EQUAL(iotrap_queue_poll(queue, &completion, 1), -EBADF);
	CHECK_EQUAL(iotrap_queue_wake(queue), -EBADF);
	CHECK_EQUAL(iotrap_queue_close(queue), -EBADF);
	CHECK(iotrap_queue_error(queue, text, sizeof(text)) > 0 && strstr(text, "parent"));
	CHECK_EQUAL(iotrap_batch_add(batch, &io), -EBADF);
	CHECK_EQUAL(iotrap_batch_free(batch), -EBADF);
	own = open_queue(8);
	CHECK_EQUAL(PERFORM(own, &io), BLOCK);
	CHECK(is_block(memory, 0));
	ADD(own, &io);
	CHECK_EQUAL(iotrap_file_close(file), -EBUSY);
	CHECK_EQUAL(ONE(own, NULL), BLOCK);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(own), 0);
	return end();
}

int main(int count, char **arguments)
{
	struct iotrap_completion completion;
	struct iotrap_io io;
	int status = -1;
	pid_t pid;

	begin(count, arguments);
	make_file("file", 4);
	queue = open_queue(8);
	file = open_file("file", O_RDWR);
	memory = blocks(1);
	NEED(iotrap_batch_create(4, 0, &batch) == 0);
	/* One is in flight, or waits to be submitted, while the child is made. */
	iotrap_io_read(&io, file, memory, BLOCK, BLOCK);
	ADD(queue, &io);
	CHECK_EQUAL(iotrap_queue_submit(queue), 1);
	ADD(queue, &io);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0)
		_exit(child());
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_EQUAL(status, 0);
	CHECK_EQUAL(iotrap_queue_wait(queue, &completion, 1, 1, IOTRAP_FOREVER), 1);
	CHECK_EQUAL(ONE(queue, NULL), BLOCK);
	CHECK(is_block(memory, 1));
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
