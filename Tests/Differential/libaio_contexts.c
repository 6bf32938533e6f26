/* differential: libaio contexts that never were, are no more, or lie elsewhere */
#include "aio.h"

#include <limits.h>

static char *memory;
static int file;

/* Every call on a handle that is none. */
static void refused(const struct aio_way *way, const char *label, void *handle)
{
	io_context_t context = OPAQUE((io_context_t)handle);
	struct timespec zero = {0, 0}, some = {0, 1000};
	struct iocb request, *list[1] = {&request};
	struct io_event event;

	aio_prepare(&request, IO_CMD_PREAD, file, memory, PAGE, 0);
	ANSWER(way->submit(context, 1, list), "%s %s submit", way->name, label);
	ANSWER(way->submit(context, 0, list), "  submit none");
	ANSWER(way->submit(context, -1, NULL), "  submit -1");
	ANSWER(way->cancel(context, &request, &event), "  cancel");
	ANSWER(way->destroy(context), "  destroy");
	observe("  key %u", request.key);
	/* libaio looks into the handle before it asks the kernel: see below. */
	if (way == &aio_ways[0] && handle && handle < (void *)PAGE)
		return;
	ANSWER(way->getevents(context, 0, 1, &event, &zero), "  getevents, no time");
	ANSWER(way->getevents(context, 0, 1, &event, &some), "  getevents, some time");
	ANSWER(way->getevents(context, 0, 1, &event, NULL), "  getevents, all time");
	ANSWER(way->getevents(context, 1, 0, &event, NULL), "  getevents, more than most");
	ANSWER(way->getevents(context, 0, 0, NULL, NULL), "  getevents, none");
	ANSWER(way->pgetevents(context, 0, 1, &event, &zero, NULL), "  pgetevents");
}

static void garbage(const struct aio_way *way)
{
	char *readable = pages(2 * PAGE);
	io_context_t context = aio_begin(way, 4);

	refused(way, "zero", NULL);
	refused(way, "one", (void *)1);
	refused(way, "all ones", way == &aio_ways[0] ? readable : (void *)-1);
	refused(way, "own memory", readable);
	refused(way, "own memory, odd", readable + 3);
	refused(way, "own memory, a page on", readable + PAGE);
	/* A copy of what a context looks like is not one. */
	memcpy(readable, context, 32);
	readable[16] = 0;
	refused(way, "a copy", readable);
	refused(way, "one byte on", (char *)context + 1);
	refused(way, "eight bytes on", (char *)context + 8);
	aio_end(way, context);
	NEED(munmap(readable, 3 * PAGE) == 0);
}

/* A context works up to its end, and its handle is refused from then on. */
static void destroyed(const struct aio_way *way, int warm)
{
	io_context_t context = aio_begin(way, 4);
	struct iocb request, *list[1] = {&request};
	struct io_event event;

	if (warm)
		aio_warm(way, context);
	aio_prepare(&request, IO_CMD_PREAD, file, memory, PAGE, 0);
	aio_one(way, context, &request, "before its end");
	ANSWER(way->destroy(context), "destroy");
	ANSWER(way->destroy(context), "destroy again");
	ANSWER(way->submit(context, 1, list), "submit after");
	ANSWER(way->submit(context, 0, list), "submit none after");
	ANSWER(way->cancel(context, &request, &event), "cancel after");
	if (way != &aio_ways[0]) {
		struct timespec zero = {0, 0};

		ANSWER(way->getevents(context, 0, 1, &event, &zero), "getevents after");
		ANSWER(way->getevents(context, 1, 1, &event, NULL), "getevents after, waiting");
		ANSWER(way->pgetevents(context, 1, 1, &event, NULL, NULL), "pgetevents after");
	}
}

static void setup(const struct aio_way *way)
{
	static const int counts[] = {0, -1, INT_MIN, INT_MAX, INT_MAX / 2, 1 << 23};
	io_context_t context = NULL, *fixed = (io_context_t *)pages(PAGE);

	for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
		ANSWER(way->setup(counts[index], &context), "%s setup of %d", way->name,
		       counts[index]);
		observe("  handle %s", context ? "set" : "kept");
	}
	ANSWER(way->setup(1, OPAQUE((io_context_t *)NULL)), "setup at NULL");
	ANSWER(way->setup(0, OPAQUE((io_context_t *)NULL)), "setup of none at NULL");
	ANSWER(way->setup(1, OPAQUE((io_context_t *)1)), "setup at one");
	ANSWER(way->setup(1, OPAQUE((io_context_t *)-8)), "setup at the end of all");
	NEED(mprotect(fixed, PAGE, PROT_READ) == 0);
	ANSWER(way->setup(1, fixed), "setup at what cannot be written");
	NEED(mprotect(fixed, PAGE, PROT_NONE) == 0);
	ANSWER(way->setup(1, fixed), "setup at what cannot be read");
	context = (io_context_t)1;
	ANSWER(way->setup(1, &context), "setup over a handle");
	observe("  handle %s", context == (io_context_t)1 ? "kept" : "CHANGED");
	ANSWER(way->setup(0, &context), "setup of none over a handle");
	ANSWER(way->setup(-1, &context), "setup of too many over a handle");
	context = NULL;
	ANSWER(way->setup(1, &context), "setup");
	ANSWER(way->setup(1, &context), "setup once more with the same handle");
	ANSWER(way->destroy(context), "destroy");
	NEED(munmap(fixed, 2 * PAGE) == 0);
}

/*
 * Several at a time, ended in another order; each gives its own events. The kernel takes
 * some 30 ms to end one, hence not more of them.
 */
static void many(const struct aio_way *way)
{
	enum { CONTEXTS = 10 };
	io_context_t contexts[CONTEXTS] = {NULL};
	struct iocb requests[CONTEXTS], *list[1];
	struct io_event event;
	int equal = 0, wrong = 0;

	for (int index = 0; index < CONTEXTS; index++) {
		contexts[index] = aio_begin(way, 1 + index);
		for (int other = 0; other < index; other++)
			equal += contexts[other] == contexts[index];
	}
	for (int round = 0; round < 8; round++) {
		for (int index = 0; index < CONTEXTS; index++) {
			aio_prepare(&requests[index], IO_CMD_PREAD, file, memory, PAGE, 0);
			requests[index].data = (void *)(uintptr_t)index;
			list[0] = &requests[index];
			NEED(way->submit(contexts[index], 1, list) == 1);
		}
		for (int index = CONTEXTS - 1; index >= 0; index--) {
			aio_reap(way, contexts[index], 1, &event);
			wrong += event.data != (void *)(uintptr_t)index;
			wrong += event.obj != &requests[index] || (long)event.res != PAGE;
		}
	}
	observe("%d contexts: %d the same, %d events astray", CONTEXTS, equal, wrong);
	for (int index = 0; index < CONTEXTS; index++)
		aio_end(way, contexts[index * 3 % CONTEXTS]);
	for (int index = 0; index < CONTEXTS; index++)
		wrong += way->destroy(contexts[index]) != -EINVAL;
	observe("all ended, %d wrong", wrong);
}

/* One after another, some of them busy long enough to be noticed. */
static void many_times(const struct aio_way *way)
{
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	int wrong = 0;

	for (int round = 0; round < 16; round++) {
		io_context_t context = aio_begin(way, 8);

		for (int index = 0; index < round % 8; index++) {
			aio_prepare(&request, IO_CMD_PREAD, file, memory, PAGE, 0);
			NEED(way->submit(context, 1, list) == 1);
			aio_reap(way, context, 1, &event);
			wrong += (long)event.res != PAGE;
		}
		wrong += way->destroy(context) != 0;
	}
	observe("16 contexts one after another: %d wrong", wrong);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(PAGE);
	make_file("contexts", 4 * PAGE, 2);
	file = open("contexts", O_RDONLY | O_DIRECT);
	NEED(file >= 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		setup(&aio_ways[index]);
		garbage(&aio_ways[index]);
		destroyed(&aio_ways[index], 0);
		destroyed(&aio_ways[index], 1);
		many(&aio_ways[index]);
		many_times(&aio_ways[index]);
	}
	return 0;
}
