/* differential: io_queue_init, io_queue_run, io_queue_release and callbacks; direct */
#include "aio.h"

#include <dlfcn.h>

#define BATCH 16

/* What the header leaves out and the library still has. */
extern int io_queue_wait(io_context_t context, struct timespec *timeout);

static char *memory;
static struct iocb requests[BATCH];
static struct iocb *list[BATCH];
static long called, bytes_total, second_total;
static io_context_t last_context;

static void on_event(io_context_t context, struct iocb *request, long result, long second)
{
	long index = request - requests;

	called++;
	last_context = context;
	second_total += second;
	if (result < 0)
		observe("  callback of request %ld: %s", index, aio_text(result));
	else
		bytes_total += result;
}

static void prepare(int fd, int opcode)
{
	for (int index = 0; index < BATCH; index++) {
		aio_prepare(&requests[index], opcode, fd, memory + index * PAGE, PAGE,
			    index * PAGE);
		io_set_callback(&requests[index], on_event);
		list[index] = &requests[index];
	}
	called = bytes_total = second_total = 0;
}

/* io_queue_run takes what is there and does not wait: called until all have come. */
static void run_all(io_context_t context, const char *what)
{
	int result = 0;

	while (called < BATCH && result >= 0) {
		result = io_queue_wait(context, NULL);
		if (result == 0 || result == -EINTR)
			result = io_queue_run(context);
	}
	observe("%s: last %s, %ld called, %ld bytes, second %ld, context %s", what,
		aio_text(result < 0 ? result : 0), called, bytes_total, second_total,
		last_context == context ? "same" : "WRONG");
}

static void work(int fd, int warm, const char *what)
{
	struct timespec some = {0, 1000000}, zero = {0, 0};
	io_context_t context = NULL;

	ANSWER(io_queue_init(BATCH, &context), "%s io_queue_init", what);
	if (warm)
		aio_warm(&aio_ways[0], context);
	ANSWER(io_queue_run(context), "run with nothing");
	ANSWER(io_queue_wait(context, &some), "wait with nothing");
	ANSWER(io_queue_wait(context, &zero), "wait with nothing and no time");
	prepare(fd, IO_CMD_PREAD);
	ANSWER(io_submit(context, BATCH, list), "submit");
	run_all(context, "reads");
	observe("  %zu bytes as written", pattern_matches(memory, BATCH * PAGE, 3, 0));
	prepare(fd, IO_CMD_PWRITE);
	ANSWER(io_submit(context, BATCH, list), "submit");
	run_all(context, "writes");
	prepare(fd, IO_CMD_PREAD);
	for (int index = 0; index < BATCH; index++)
		requests[index].u.c.buf = OPAQUE((void *)8);
	ANSWER(io_submit(context, BATCH, list), "submit");
	run_all(context, "failures");
	/* A number's context serves the functions, and the other way round. */
	prepare(fd, IO_CMD_PREAD);
	ANSWER(aio_number_submit(context, BATCH, list), "submit by number");
	run_all(context, "by number");
	ANSWER(io_queue_release(context), "release");
	ANSWER(io_queue_release(context), "release again");
	ANSWER(io_submit(context, BATCH, list), "submit after");
}

static void arguments_of_init(void)
{
	static const int counts[] = {0, -1, INT32_MIN, INT32_MAX};
	io_context_t context = NULL;

	for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
		context = NULL;
		ANSWER(io_queue_init(counts[index], &context), "io_queue_init of %d",
		       counts[index]);
		observe("  handle %s", context ? "set" : "none");
	}
	/* It clears the handle itself, unlike io_setup. */
	context = (io_context_t)1;
	ANSWER(io_queue_init(1, &context), "io_queue_init over a handle");
	ANSWER(io_queue_release(context), "release");
	ANSWER(io_queue_release(NULL), "release of none");
	ANSWER(io_queue_run(NULL), "run of none");
	observe("io_queue_grow is %s",
		dlsym(RTLD_DEFAULT, "io_queue_grow") ? "there" : "not there");
}

int main(int count, char **arguments)
{
	int buffered, direct;

	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	make_file("queue", BATCH * PAGE, 3);
	buffered = open("queue", O_RDWR);
	direct = open("queue", O_RDWR | O_DIRECT);
	NEED(buffered >= 0 && direct >= 0);
	arguments_of_init();
	work(buffered, 0, "buffered");
	work(direct, 0, "direct");
	work(direct, 1, "direct, warm");
	observe_file("queue");
	unlink("queue");
	return 0;
}
