/* differential: contexts and fork, vfork and exec; direct */
#include "aio.h"

#define BATCH 16
#define ROUNDS 6

static char *memory;
static char *program;

static void prepare(struct iocb *requests, struct iocb **list, int fd)
{
	for (int index = 0; index < BATCH; index++) {
		aio_prepare(&requests[index], IO_CMD_PREAD, fd, memory + index * PAGE, PAGE,
			    index * PAGE);
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
}

/* A batch there and back: how many of its pages are not as in the file. */
static int batch(const struct aio_way *way, io_context_t context, int fd)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];
	int wrong = 0;

	prepare(requests, list, fd);
	memset(memory, 0, BATCH * PAGE);
	NEED(way->submit(context, BATCH, list) == BATCH);
	aio_reap(way, context, BATCH, events);
	for (int index = 0; index < BATCH; index++)
		wrong += (long)events[index].res != PAGE ||
			 (size_t)events[index].data != (size_t)index;
	return wrong + (pattern_matches(memory, BATCH * PAGE, 2, 0) != BATCH * PAGE);
}

/* In the child: its parent's context is none of its own, and one of its own works. */
static void child(const struct aio_way *way, io_context_t context, int fd)
{
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	io_context_t own;

	aio_prepare(&request, IO_CMD_PREAD, fd, memory, PAGE, 0);
	ANSWER(way->submit(context, 1, list), "  child: submit");
	ANSWER(way->submit(context, 0, list), "  child: submit none");
	ANSWER(way->cancel(context, &request, &event), "  child: cancel");
	ANSWER(way->getevents(context, 1, 1, &event, NULL), "  child: getevents");
	ANSWER(way->pgetevents(context, 1, 1, &event, NULL, NULL), "  child: pgetevents");
	/* With no time libaio's function only looks whether the ring is empty, and it may be. */
	if (way != &aio_ways[0]) {
		struct timespec zero = {0, 0};

		ANSWER(way->getevents(context, 0, 1, &event, &zero), "  child: getevents, no time");
	}
	ANSWER(way->destroy(context), "  child: destroy");
	own = aio_begin(way, BATCH);
	for (int round = 0; round < ROUNDS; round++)
		if (batch(way, own, fd))
			observe("  child: round %d is wrong", round);
	ANSWER(way->destroy(own), "  child: destroy its own");
}

/* With a batch under way that only the parent may reap. */
static void forked(const struct aio_way *way, int warm)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];
	io_context_t context = aio_begin(way, BATCH);
	int fd = open("forked", O_RDONLY | O_DIRECT);
	int wrong = 0;
	pid_t pid;

	NEED(fd >= 0);
	if (warm)
		aio_warm(way, context);
	observe("%s forked%s", way->name, warm ? ", warm" : "");
	/* The child must not have the pages that the kernel writes to copied under it. */
	NEED(madvise(memory, BATCH * PAGE, MADV_DONTFORK) == 0);
	prepare(requests, list, fd);
	NEED(way->submit(context, BATCH, list) == BATCH);
	pid = fork();
	if (pid == 0) {
		memory = pages(BATCH * PAGE);
		child(way, context, fd);
		_exit(0);
	}
	NEED(madvise(memory, BATCH * PAGE, MADV_DOFORK) == 0);
	aio_reap(way, context, BATCH, events);
	for (int index = 0; index < BATCH; index++)
		wrong += (long)events[index].res != PAGE || events[index].obj != list[index];
	/* The child reports meanwhile, so the parent does so afterwards. */
	for (int round = 0; round < ROUNDS; round++)
		wrong += batch(way, context, fd);
	observe_child("  child", pid);
	wrong += batch(way, context, fd);
	observe("  parent: %d wrong", wrong);
	ANSWER(way->destroy(context), "  parent: destroy");
	NEED(close(fd) == 0);
}

/* A child of a child, and one that ends without a word. */
static void generations(const struct aio_way *way)
{
	io_context_t context = aio_begin(way, BATCH);
	int fd = open("forked", O_RDONLY | O_DIRECT);
	pid_t pid;

	NEED(fd >= 0);
	NEED(batch(way, context, fd) == 0);
	pid = fork();
	if (pid == 0) {
		io_context_t own = aio_begin(way, BATCH);

		NEED(batch(way, own, fd) == 0);
		pid = fork();
		if (pid == 0) {
			child(way, own, fd);
			_exit(0);
		}
		observe_child("  grandchild", pid);
		observe("  child: %d wrong", batch(way, own, fd));
		_exit(3);
	}
	observe_child("  child", pid);
	pid = fork();
	if (pid == 0)
		_exit(4);
	observe_child("  child", pid);
	observe("  parent: %d wrong", batch(way, context, fd));
	aio_end(way, context);
	NEED(close(fd) == 0);
}

/* After vfork and exec the parent goes on; the new program finds no context of the old one. */
static void executed(const struct aio_way *way, int with_vfork)
{
	io_context_t context = aio_begin(way, BATCH);
	int fd = open("forked", O_RDONLY | O_DIRECT | O_CLOEXEC);
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];
	char handle[32], index[2] = {(char)('0' + (way - aio_ways)), 0};
	pid_t pid;

	NEED(fd >= 0);
	NEED(batch(way, context, fd) == 0);
	snprintf(handle, sizeof(handle), "%lx", (unsigned long)context);
	observe("%s exec after %s", way->name, with_vfork ? "vfork" : "fork");
	if (with_vfork) {
		prepare(requests, list, fd);
		NEED(way->submit(context, BATCH, list) == BATCH);
		pid = vfork();
	} else {
		pid = fork();
	}
	if (pid == 0) {
		execl(program, program, ".", handle, index, NULL);
		_exit(9);
	}
	observe_child("  program", pid);
	if (with_vfork) {
		aio_reap(way, context, BATCH, events);
		aio_observe_events(events, BATCH, requests);
	}
	observe("  parent: %d wrong", batch(way, context, fd));
	aio_end(way, context);
	NEED(close(fd) == 0);
}

static int continued(char **arguments)
{
	const struct aio_way *way = &aio_ways[arguments[3][0] - '0'];
	io_context_t old = (io_context_t)strtoul(arguments[2], NULL, 16), own;
	struct iocb request, *list[1] = {&request};
	int fd = open("forked", O_RDONLY | O_DIRECT);

	NEED(fd >= 0);
	aio_prepare(&request, IO_CMD_PREAD, fd, memory, PAGE, 0);
	ANSWER(way->submit(old, 1, list), "  program: submit to the old context");
	ANSWER(way->destroy(old), "  program: destroy it");
	own = aio_begin(way, BATCH);
	observe("  program: %d wrong", batch(way, own, fd));
	aio_end(way, own);
	return 5;
}

int main(int count, char **arguments)
{
	char path[4096];
	ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);

	NEED(bytes > 0);
	path[bytes] = 0;
	program = path;
	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	if (count == 4)
		return continued(arguments);
	make_file("forked", BATCH * PAGE, 2);
	for (int index = 0; index < AIO_WAYS; index++) {
		forked(&aio_ways[index], 0);
		forked(&aio_ways[index], 1);
		generations(&aio_ways[index]);
		executed(&aio_ways[index], 0);
		executed(&aio_ways[index], 1);
	}
	return 0;
}
