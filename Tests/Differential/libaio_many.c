/* differential: tens of thousands of completions in a context before anybody looks; direct */
#include "aio.h"

#include <sched.h>

#define MOST 60000
#define BATCH 500
#define FILE_PAGES 64
#define BYTES 512

static char *memory;
static struct iocb *requests;
static struct io_event *events;
static unsigned char *seen;

/* As many as the kernel has left for all programs, down to what the test needs. */
static io_context_t largest(const struct aio_way *way)
{
	io_context_t context = NULL;

	if (way->setup(65536, &context) == 0)
		return context;
	/* A context has room for twice what was asked for. */
	if (aio_setup(way, MOST / 2, &context) != 0)
		skip("other programs hold most of what fs.aio-max-nr allows");
	return context;
}

static void submit(const struct aio_way *way, io_context_t context, int fd, long first, long count)
{
	struct iocb *list[BATCH];
	long done = 0;

	for (long index = 0; index < count; index++) {
		long number = first + index;
		struct iocb *request = &requests[number];

		aio_prepare(request, IO_CMD_PREAD, fd, memory + number * BYTES, BYTES,
			    number % (FILE_PAGES * PAGE / BYTES) * BYTES);
		request->data = (void *)number;
		list[index] = request;
	}
	while (done < count) {
		int taken = way->submit(context, count - done, list + done);

		NEED(taken > 0);
		done += taken;
	}
}

static long check(const struct io_event *given, long count)
{
	long wrong = 0;

	for (long index = 0; index < count; index++) {
		size_t number = (size_t)given[index].data;

		if (number >= MOST || seen[number]++ || given[index].obj != &requests[number] ||
		    (long)given[index].res != BYTES ||
		    pattern_matches(memory + number * BYTES, BYTES, 8,
				    (uint64_t)given[index].obj->u.c.offset) != BYTES)
			wrong++;
	}
	return wrong;
}

/* Fill it, then empty it in portions of many sizes. */
static void fill_and_empty(const struct aio_way *way, int fd, int warm, const char *what)
{
	static const long portions[] = {1, 7, 64, 1000, 4096, 20000, MOST};
	io_context_t context = largest(way);
	long left = MOST, wrong = 0, doubled = 0, portion = 0;
	struct timespec some = {0, 1000000};

	memset(seen, 0, MOST);
	memset(memory, 0, (size_t)MOST * BYTES);
	if (warm)
		aio_warm(way, context);
	for (long done = 0; done < MOST; done += BATCH)
		submit(way, context, fd, done, BATCH);
	while (left > 0) {
		long most = portions[portion++ % 7], got;

		most = most < left ? most : left;
		got = way->getevents(context, most, most, events, NULL);
		wrong += got != most;
		NEED(got > 0);
		wrong += check(events, got);
		left -= got;
	}
	for (long index = 0; index < MOST; index++)
		doubled += seen[index] != 1;
	observe("%s %s%s: %ld wrong, %ld lost or doubled, then %s", way->name, what,
		warm ? ", warm" : "", wrong, doubled,
		aio_text(way->getevents(context, 1, 1, events, &some)));
	aio_end(way, context);
}

/* Ended with all of them in it. */
static void fill_and_end(const struct aio_way *way, int fd)
{
	io_context_t context = largest(way);

	for (long done = 0; done < MOST; done += BATCH)
		submit(way, context, fd, done, BATCH);
	ANSWER(way->destroy(context), "%s ended full", way->name);
}

int main(int count, char **arguments)
{
	cpu_set_t set;
	int buffered, direct;

	observe_begin(count, arguments);
	require_direct();
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	NEED(sched_setaffinity(0, sizeof(set), &set) == 0);
	memory = pages((size_t)MOST * BYTES);
	requests = calloc(MOST, sizeof(*requests));
	events = calloc(MOST, sizeof(*events));
	seen = calloc(MOST, 1);
	NEED(requests && events && seen);
	make_file("many", FILE_PAGES * PAGE, 8);
	buffered = open("many", O_RDONLY);
	direct = open("many", O_RDONLY | O_DIRECT);
	NEED(buffered >= 0 && direct >= 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		fill_and_empty(&aio_ways[index], buffered, index == 0, "buffered");
		fill_and_empty(&aio_ways[index], direct, 1, "direct");
		fill_and_end(&aio_ways[index], index ? direct : buffered);
	}
	unlink("many");
	return 0;
}
