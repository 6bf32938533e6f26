/*
 * Random reads of one size through a queue of iotrap_queue.h, so many in flight, in one thread.
 *
 *	library_io FILE cached|direct BYTES DEPTH WARM_MS RUN_MS [plain|slots]
 *
 * plain: without io_uring; slots: file and buffers registered.
 */
#include <iotrap.h>

#include "measure.h"

static struct {
	struct iotrap_queue *queue;
	struct iotrap_file *file;
	char *memory;
	size_t bytes;
	uint64_t blocks;
	uint64_t state;
	int is_registered;
} job;

static void fail(const char *what, long code)
{
	char text[512] = "";

	iotrap_queue_error(job.queue, text, sizeof(text));
	fprintf(stderr, "%s: %s: %s\n", what, strerror((int)-code), text);
	exit(1);
}

static void add(uint64_t index)
{
	struct iotrap_io io;
	int64_t offset = (int64_t)(next_random(&job.state) % job.blocks * job.bytes);
	int result;

	iotrap_io_read(&io, job.file, job.memory + index * job.bytes, job.bytes, offset);
	io.user_data = index;
	if (job.is_registered) {
		io.file = NULL;
		io.flags = IOTRAP_IO_SLOT | IOTRAP_IO_FIXED_BUFFER;
	}
	result = iotrap_queue_add(job.queue, &io);
	if (result < 0)
		fail("iotrap_queue_add", result);
}

/* Takes completions and puts a new read in the place of each, for so long: their number. */
static uint64_t run(uint64_t nanoseconds, unsigned int depth)
{
	uint64_t end = now_ns() + nanoseconds, done = 0;
	struct iotrap_completion completions[256];

	while (now_ns() < end) {
		int count = iotrap_queue_wait(job.queue, completions, 1, depth, IOTRAP_FOREVER);

		if (count < 0)
			fail("iotrap_queue_wait", count);
		for (int i = 0; i < count; i++) {
			if (completions[i].result != (int64_t)job.bytes)
				fail("read", completions[i].result);
			add(completions[i].user_data);
		}
		done += (uint64_t)count;
	}
	return done;
}

static void open_all(const char *path, int is_direct, unsigned int depth, const char *how)
{
	struct iotrap_queue_options options;
	void *memory = NULL;
	int result;

	iotrap_queue_options_init(&options);
	options.flags = strcmp(how, "plain") == 0 ? IOTRAP_QUEUE_PLAIN : IOTRAP_QUEUE_RING;
	options.depth = depth;
	job.is_registered = strcmp(how, "slots") == 0;
	options.file_slots = options.buffer_slots = (uint32_t)job.is_registered;
	result = iotrap_queue_open(&options, &job.queue);
	if (result < 0)
		fail("iotrap_queue_open", result);
	result = iotrap_file_open(path, O_RDONLY | (is_direct ? O_DIRECT : 0), 0, NULL, &job.file);
	if (result < 0)
		fail(path, result);
	errno = posix_memalign(&memory, 4096, job.bytes * depth);
	check(!errno, "posix_memalign");
	memset(memory, 0, job.bytes * depth);
	job.memory = memory;
	job.blocks = (uint64_t)iotrap_file_size(job.file) / job.bytes;
	if (!job.is_registered)
		return;
	result = iotrap_queue_set_file(job.queue, 0, job.file);
	if (result == 0)
		result = iotrap_queue_set_buffer(job.queue, 0, memory, job.bytes * depth);
	if (result < 0)
		fail("registering", result);
}

int main(int argc, char **argv)
{
	unsigned int depth;
	uint64_t began, done;

	if (argc < 7) {
		fputs("usage: library_io FILE cached|direct BYTES DEPTH WARM_MS RUN_MS "
		      "[plain|slots]\n",
		      stderr);
		return 2;
	}
	job.bytes = strtoul(argv[3], NULL, 10);
	depth = (unsigned int)atoi(argv[4]);
	check(job.bytes > 0 && depth >= 1 && depth <= 256, "bytes and depth");
	open_all(argv[1], strcmp(argv[2], "direct") == 0, depth, argc > 7 ? argv[7] : "ring");
	job.state = 0x9E3779B97F4A7C15u;
	for (unsigned int i = 0; i < depth; i++)
		add(i);
	run((uint64_t)atoi(argv[5]) * 1000000u, depth);
	began = now_ns();
	done = run((uint64_t)atoi(argv[6]) * 1000000u, depth);
	printf("operations_per_second %.3f\n", (double)done * 1e9 / (double)(now_ns() - began));
	return iotrap_queue_close(job.queue) != 0;
}
