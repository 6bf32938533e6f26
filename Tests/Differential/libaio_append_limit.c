/* differential: libaio writes to O_APPEND files and against RLIMIT_FSIZE, and their order */
#include "aio.h"

#define BATCH 16
#define LIMIT (10 * PAGE)

static char *memory;
static volatile sig_atomic_t limit_signals;

static void on_limit(int number __attribute__((unused)))
{
	limit_signals++;
}

/* Writes of one submission to an appending file land in the order of the array. */
static void append(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];
	int fd;

	make_file("append", PAGE, 1);
	fd = open("append", O_WRONLY | O_APPEND | flags);
	NEED(fd >= 0);
	for (int round = 0; round < 4; round++) {
		for (int index = 0; index < BATCH; index++) {
			char *piece = memory + (size_t)index * PAGE;

			memset(piece, 'a' + round * BATCH + index, PAGE);
			aio_prepare(&requests[index], IO_CMD_PWRITE, fd, piece, PAGE, 0);
			requests[index].data = (void *)(uintptr_t)(index + 1);
			list[index] = &requests[index];
		}
		ANSWER(way->submit(context, BATCH, list), "%s append round %d", state, round);
		aio_reap(way, context, BATCH, events);
		aio_observe_events(events, BATCH, requests);
	}
	observe_file("append");
	observe_offset("  ", fd);
	NEED(close(fd) == 0);
	unlink("append");
}

/* With a handler for SIGXFSZ: what fits is written, what does not fit fails. */
static void limited(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	struct rlimit before, limit;
	static const long long offsets[] = {0, LIMIT - 2 * PAGE, LIMIT - PAGE, LIMIT, 3 * LIMIT};
	struct iocb request;
	char label[128];
	int fd = open("limited", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);

	NEED(fd >= 0);
	NEED(getrlimit(RLIMIT_FSIZE, &before) == 0);
	limit = before;
	limit.rlim_cur = LIMIT;
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	observe_hold();
	for (size_t index = 0; index < sizeof(offsets) / sizeof(offsets[0]); index++) {
		limit_signals = 0;
		pattern_fill(memory, 2 * PAGE, index, 0);
		aio_prepare(&request, IO_CMD_PWRITE, fd, memory, 2 * PAGE, offsets[index]);
		snprintf(label, sizeof(label), "%s limited at %lld", state, offsets[index]);
		aio_one(way, context, &request, label);
		observe("  SIGXFSZ %d", (int)limit_signals);
	}
	NEED(setrlimit(RLIMIT_FSIZE, &before) == 0);
	observe_release();
	NEED(close(fd) == 0);
	observe_file("limited");
	unlink("limited");
}

/* Without a handler the signal ends the program. */
static void killed(const struct aio_way *way, int flags)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = {PAGE, PAGE};
		io_context_t context = aio_begin(way, 4);
		int fd = open("killed", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);
		struct iocb request;

		NEED(fd >= 0);
		aio_warm(way, context);
		handle_signal(SIGXFSZ, SIG_DFL, 0);
		NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		aio_prepare(&request, IO_CMD_PWRITE, fd, memory, PAGE, 2 * PAGE);
		aio_one(way, context, &request, "must not get here");
		_exit(1);
	}
	observe_child("beyond the limit without a handler", pid);
	observe_file("killed");
	unlink("killed");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	handle_signal(SIGXFSZ, on_limit, 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, BATCH);

		if (index == 0)
			aio_warm(way, context);
		append(way, context, "buffered", 0);
		append(way, context, "direct", O_DIRECT);
		append(way, context, "synchronous", O_SYNC);
		limited(way, context, "buffered", 0);
		limited(way, context, "direct", O_DIRECT);
		limited(way, context, "append", O_APPEND);
		killed(way, 0);
		killed(way, O_DIRECT);
		aio_end(way, context);
	}
	return 0;
}
