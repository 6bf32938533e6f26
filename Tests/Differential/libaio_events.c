/* differential: what io_getevents is asked for and given: counts, times and places; direct */
#include "aio.h"

#include <limits.h>
#include <sys/time.h>

#define FILE_PAGES 16

static char *memory;
static struct iocb requests[FILE_PAGES];

/* This many reads under way or done, with data 1, 2, ... */
static void submit(const struct aio_way *way, io_context_t context, int fd, int count)
{
	struct iocb *list[FILE_PAGES];

	for (int index = 0; index < count; index++) {
		aio_prepare(&requests[index], IO_CMD_PREAD, fd, memory + index * PAGE, PAGE,
			    index * PAGE);
		requests[index].data = (void *)(uintptr_t)(index + 1);
		list[index] = &requests[index];
	}
	NEED(way->submit(context, count, list) == count);
}

static void finish(const struct aio_way *way, io_context_t context, int count)
{
	struct io_event events[FILE_PAGES];

	aio_reap(way, context, count, events);
	aio_observe_events(events, count, requests);
}

static void counts(const struct aio_way *way, io_context_t context, int fd)
{
	static const struct {
		long least, most;
	} asked[] = {{2, 1},
		     {-1, 4},
		     {LONG_MIN, 4},
		     {LONG_MIN, LONG_MIN},
		     {0, -1},
		     {-2, -1},
		     {LONG_MAX, LONG_MAX - 1},
		     {1, 0},
		     {1, LONG_MIN}};
	struct timespec zero = {0, 0}, some = {0, 1000000};
	struct io_event events[FILE_PAGES];

	for (size_t index = 0; index < sizeof(asked) / sizeof(asked[0]); index++) {
		long least = asked[index].least, most = asked[index].most;

		ANSWER(way->getevents(context, least, most, events, &zero), "%ld of %ld, no time",
		       least, most);
		ANSWER(way->getevents(context, least, most, events, &some), "  some time");
		ANSWER(way->getevents(context, least, most, events, NULL), "  all time");
		ANSWER(way->pgetevents(context, least, most, events, &zero, NULL), "  pgetevents");
		/* The same with something there, which must then still be there. */
		submit(way, context, fd, 1);
		ANSWER(way->getevents(context, least, most, events, NULL), "  with one there");
		finish(way, context, 1);
	}
	ANSWER(way->getevents(context, 0, 0, NULL, NULL), "none of none");
	ANSWER(way->getevents(context, 0, 4, events, NULL), "none of four, all time");
	ANSWER(way->getevents(context, 0, 4, OPAQUE((struct io_event *)NULL), NULL),
	       "none of four to NULL, all time");
	ANSWER(way->getevents(context, 1, 4, OPAQUE((struct io_event *)NULL), &some),
	       "one of four to NULL, some time");
}

/* Exactly what is asked for, in parts, and what a call asks beyond what can come. */
static void parts(const struct aio_way *way, io_context_t context, int fd)
{
	struct timespec some = {0, 30000000}, hour = {3600, 0}, endless = {LONG_MAX, 0};
	struct io_event events[FILE_PAGES];

	submit(way, context, fd, 10);
	ANSWER(way->getevents(context, 3, 3, events, NULL), "3 of 10");
	ANSWER(way->getevents(context, 2, 2, events, &hour), "2 of 7");
	ANSWER(way->getevents(context, 1, 1, events, &endless), "1 of 5");
	ANSWER(way->getevents(context, 4, FILE_PAGES, events, NULL), "all 4 of many");
	ANSWER(way->getevents(context, 1, FILE_PAGES, events, &some), "one more");
	submit(way, context, fd, 3);
	ANSWER(way->getevents(context, 5, FILE_PAGES, events, &some), "5 when 3 are to come");
	aio_observe_events(events, 3, requests);
	submit(way, context, fd, 3);
	ANSWER(way->getevents(context, 3, LONG_MAX, events, NULL), "3 of LONG_MAX");
	ANSWER(way->getevents(context, LONG_MAX, LONG_MAX, events, &some), "LONG_MAX");
}

static void on_alarm(int number __attribute__((unused)))
{
}

/* A signal at last, as the kernel takes a time before now for one that never comes. */
static void alarms(long microseconds)
{
	struct itimerval timer = {{0, microseconds}, {0, microseconds}};

	NEED(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Times of all sorts; how long they took is compared with how long they had to. */
static void times(const struct aio_way *way, io_context_t context, int fd)
{
	static const struct {
		struct timespec time;
		long least_milliseconds;
		int for_ever;
	} given[] = {{{0, 0}, 0, 0},
		     {{0, 1}, 0, 0},
		     {{0, 40000000}, 40, 0},
		     {{-1, 1000000000}, 0, 0},
		     {{-1, 1040000000}, 40, 0},
		     {{1, -960000000}, 40, 0},
		     {{-1, 0}, 0, 1},
		     {{0, -1}, 0, 1},
		     {{-5, 999999999}, 0, 1},
		     {{LONG_MIN, 0}, 0, 0},
		     {{LONG_MAX, 0}, 0, 1}};
	struct io_event events[FILE_PAGES];

	handle_signal(SIGALRM, on_alarm, SA_RESTART);
	for (size_t index = 0; index < sizeof(given) / sizeof(given[0]); index++) {
		struct timespec time = given[index].time, before, after;
		long passed;

		alarms(given[index].for_ever ? 50000 : 0);
		NEED(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
		ANSWER(way->getevents(context, 1, 4, events, &time), "nothing to come, time %zu",
		       index);
		NEED(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
		alarms(0);
		passed = (after.tv_sec - before.tv_sec) * 1000 +
			 (after.tv_nsec - before.tv_nsec) / 1000000;
		observe("  long enough: %s, time %s",
			passed >= given[index].least_milliseconds - 1 ? "yes" : "no",
			memcmp(&time, &given[index].time, sizeof(time)) ? "CHANGED" : "kept");
		if (!given[index].for_ever)
			continue;
		submit(way, context, fd, 1);
		ANSWER(way->getevents(context, 1, 4, events, &time), "  with one under way");
	}
	for (int index = 0; index < 3; index++) {
		struct timespec *wrong = index == 0   ? (struct timespec *)8
					 : index == 1 ? (struct timespec *)-16
						      : (struct timespec *)(memory +
									    FILE_PAGES * PAGE - 8);

		/* libaio itself reads the time when the handle is a ring, and would crash. */
		if (way != &aio_ways[0]) {
			ANSWER(way->getevents(context, 0, 1, events, wrong), "wrong time %d",
			       index);
			ANSWER(way->getevents(context, 2, 1, events, wrong), "  and counts");
			ANSWER(way->getevents(NULL, 0, 1, events, wrong), "  and context");
			submit(way, context, fd, 1);
			ANSWER(way->getevents(context, 1, 1, events, wrong), "  with one there");
			finish(way, context, 1);
			ANSWER(way->pgetevents(context, 0, 1, events, wrong, NULL), "  pgetevents");
		}
	}
}

/*
 * Places for events that cannot be written, or only in part: no event may get lost. Events
 * that come one by one fill what can be written, so in part is only for those there at once.
 */
static void places(const struct aio_way *way, io_context_t context, int fd, int direct)
{
	char *end = pages(PAGE) + PAGE, *fixed = pages(PAGE);
	struct io_event *wrong[] = {NULL,
				    (struct io_event *)8,
				    (struct io_event *)fixed,
				    (struct io_event *)(end - 2 * sizeof(struct io_event)),
				    (struct io_event *)(end - sizeof(struct io_event) - 8),
				    (struct io_event *)-32};

	NEED(mprotect(fixed, PAGE, PROT_READ) == 0);
	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		struct timespec some = {5, 0};

		if (direct && (index == 3 || index == 4))
			continue;
		submit(way, context, fd, 4);
		ANSWER(way->getevents(context, 4, 4, OPAQUE(wrong[index]), NULL),
		       "4 events to place %zu", index);
		ANSWER(way->getevents(context, 4, 4, OPAQUE(wrong[index]), &some), "  again");
		ANSWER(way->getevents(context, 0, 0, OPAQUE(wrong[index]), &some), "  none");
		finish(way, context, 4);
	}
	/* As many as fit, up to the very end of a page, and at an odd address. */
	submit(way, context, fd, 4);
	ANSWER(way->getevents(context, 2, 2, wrong[3], NULL), "2 events to the end of a page");
	ANSWER(way->getevents(context, 2, 2, (struct io_event *)(memory + 5), NULL),
	       "2 events to an odd address");
}

static void all(const struct aio_way *way, io_context_t context, const char *state, int flags)
{
	int fd = open("events", O_RDONLY | flags);

	NEED(fd >= 0);
	observe("%s %s", way->name, state);
	counts(way, context, fd);
	parts(way, context, fd);
	times(way, context, fd);
	places(way, context, fd, flags);
	NEED(close(fd) == 0);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(FILE_PAGES * PAGE);
	make_file("events", FILE_PAGES * PAGE, 2);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, FILE_PAGES);

		all(way, context, "fresh buffered", 0);
		all(way, context, "fresh direct", O_DIRECT);
		aio_warm(way, context);
		all(way, context, "warm buffered", 0);
		all(way, context, "warm direct", O_DIRECT);
		aio_end(way, context);
	}
	unlink("events");
	return 0;
}
