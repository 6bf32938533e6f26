/* Whole files in one operation, more of them than the queue is deep. */
#include "check.h"

#include <sys/resource.h>

enum { FILES = 600, DEPTH = 64 };

static struct iotrap_queue *queue;
static char paths[FILES][64];
static char buffers[FILES][256];

static int64_t take(int64_t *results, int count)
{
	struct iotrap_completion completions[DEPTH];
	int taken = iotrap_queue_wait(queue, completions, (uint32_t)count, DEPTH, IOTRAP_FOREVER);

	NEED(taken > 0);
	for (int i = 0; i < taken; i++)
		results[completions[i].user_data] = completions[i].result;
	return taken;
}

static void all(enum iotrap_io_kind kind, int64_t *results)
{
	struct iotrap_io io;
	int64_t in_flight = 0;

	for (unsigned int i = 0; i < FILES; i++) {
		while (iotrap_queue_room(queue) == 0)
			in_flight -= take(results, 1);
		iotrap_io_prepare(&io, kind, NULL, buffers[i], sizeof(buffers[i]), 0);
		io.path = paths[i];
		io.user_data = i;
		if (kind == IOTRAP_IO_WRITE_FILE) {
			io.open_flags = O_CREAT | O_EXCL;
			io.mode = 0640;
			io.length = i % sizeof(buffers[i]);
		}
		if (i % 3 == 0)
			io.deadline_ns = iotrap_now() + 3600000000000u;
		ADD(queue, &io);
		in_flight++;
	}
	while (in_flight > 0)
		in_flight -= take(results, 1);
}

static void written_and_read(void)
{
	int64_t results[FILES];
	int before = open_descriptors();

	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(paths[i], sizeof(paths[i]), "small/%u", i);
		memset(buffers[i], 'a' + (int)(i % 26), sizeof(buffers[i]));
	}
	all(IOTRAP_IO_WRITE_FILE, results);
	for (unsigned int i = 0; i < FILES; i++)
		CHECK_EQUAL(results[i], i % sizeof(buffers[i]));
	/* They are there now. */
	all(IOTRAP_IO_WRITE_FILE, results);
	for (unsigned int i = 0; i < FILES; i++)
		CHECK_EQUAL(results[i], -EEXIST);
	memset(buffers, 0, sizeof(buffers));
	all(IOTRAP_IO_READ_FILE, results);
	for (unsigned int i = 0; i < FILES; i++) {
		CHECK_EQUAL(results[i], i % sizeof(buffers[i]));
		for (unsigned int j = 0; j < i % sizeof(buffers[i]); j++)
			NEED(buffers[i][j] == 'a' + (int)(i % 26));
	}
	CHECK_EQUAL(open_descriptors(), before);
}

static void failing(void)
{
	struct iotrap_completion completion;
	struct iotrap_io io;
	char text[512];

	iotrap_io_read_file(&io, "small/none", buffers[0], sizeof(buffers[0]));
	ADD(queue, &io);
	CHECK_EQUAL(ONE(queue, &completion), -ENOENT);
	iotrap_completion_text(&completion, text, sizeof(text));
	CHECK(strstr(text, "read file") && strstr(text, "'small/none'"));
	iotrap_io_read_file(&io, "small", buffers[0], sizeof(buffers[0]));
	CHECK_EQUAL(PERFORM(queue, &io), -EISDIR);
	iotrap_io_read_file(&io, "small/20", (void *)8, sizeof(buffers[0]));
	CHECK_EQUAL(PERFORM(queue, &io), -EFAULT);
	iotrap_io_read_file(&io, "small/20", buffers[0], sizeof(buffers[0]));
	io.deadline_ns = 1;
	CHECK_EQUAL(PERFORM(queue, &io), -ETIME);
	/* Each gave back what it used: as many once more. */
	for (int i = 0; i < 300; i++) {
		iotrap_io_read_file(&io, "small/none", buffers[0], 1);
		CHECK_EQUAL(PERFORM(queue, &io), -ENOENT);
	}
}

/* The program's own slots leave none for files that an operation opens. */
static void without_slots(void)
{
	struct iotrap_io io;
	int64_t result;

	queue = open_queue_with(8, 0, 40, 0);
	iotrap_io_read_file(&io, "/proc/self/comm", buffers[0], sizeof(buffers[0]));
	CHECK(PERFORM(queue, &io) > 0);
	iotrap_io_read_file(&io, "small/20", buffers[0], sizeof(buffers[0]));
	CHECK_EQUAL(PERFORM(queue, &io), 20);
	iotrap_io_write_file(&io, "small/20", O_TRUNC, 0600, "twenty bytes of it  ", 20);
	result = PERFORM(queue, &io);
	CHECK_EQUAL(result, 20);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
}

static void step_by_step(void)
{
	struct statx status;
	struct iotrap_io io;
	int64_t fd;

	iotrap_io_stat(&io, "small/20", 0, STATX_BASIC_STATS, &status);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	CHECK_EQUAL(status.stx_size, 20);
	iotrap_io_open(&io, "small/20", O_RDONLY, 0);
	fd = PERFORM(queue, &io);
	NEED(fd >= 0);
	CHECK(fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
	iotrap_io_prepare(&io, IOTRAP_IO_READ, NULL, buffers[0], 100, 5);
	io.flags = IOTRAP_IO_DESCRIPTOR;
	io.descriptor = (int)fd;
	CHECK_EQUAL(PERFORM(queue, &io), 15);
	iotrap_io_close(&io, (int)fd);
	CHECK_EQUAL(PERFORM(queue, &io), 0);
	CHECK_EQUAL(PERFORM(queue, &io), -EBADF);
	iotrap_io_stat(&io, "small/none", 0, STATX_BASIC_STATS, &status);
	CHECK_EQUAL(PERFORM(queue, &io), -ENOENT);
}

int main(int count, char **arguments)
{
	/* The kernel's table of registered files is no larger than that. */
	struct rlimit few = {.rlim_cur = 40, .rlim_max = 1024};

	begin(count, arguments);
	NEED(chdir(directory) == 0 && mkdir("small", 0700) == 0);
	queue = open_queue(DEPTH);
	written_and_read();
	failing();
	step_by_step();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	NEED(setrlimit(RLIMIT_NOFILE, &few) == 0);
	queue = open_queue(DEPTH);
	failing();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	without_slots();
	return end();
}
