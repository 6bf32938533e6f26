/* differential: long libaio runs of one thread on files that are not cached; direct */
#include "aio.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#define DEPTH 32
#define FILE_PAGES 4096

static const struct aio_way *way;
static char *memory;
static struct iocb requests[DEPTH];
static struct iocb *list[DEPTH];
static long wrong, reaped;
/* A generation for each page: what was written to it last. */
static unsigned char generation[FILE_PAGES];
static uint64_t random_state;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A page that no request under way is at. */
static long free_page(const long *pages_taken, int count)
{
	for (;;) {
		long page = (long)(random_number() % FILE_PAGES);
		int taken = 0;

		for (int index = 0; index < count; index++)
			taken |= pages_taken[index] == page;
		if (!taken)
			return page;
	}
}

struct slot {
	long page;
	int writes;
	int busy;
};

static struct slot slots[DEPTH];

static void prepare(int slot, int fd, int writes, int event)
{
	long taken[DEPTH];
	char *at = memory + slot * PAGE;

	for (int index = 0; index < DEPTH; index++)
		taken[index] = slots[index].busy ? slots[index].page : -1;
	slots[slot].page = free_page(taken, DEPTH);
	slots[slot].writes = writes;
	slots[slot].busy = 1;
	if (writes)
		pattern_fill(at, PAGE, 100 + ++generation[slots[slot].page], 0);
	else
		memset(at, 0, 64);
	aio_prepare(&requests[slot], writes ? IO_CMD_PWRITE : IO_CMD_PREAD, fd, at, PAGE,
		    slots[slot].page * PAGE);
	requests[slot].data = (void *)(uintptr_t)slot;
	if (event >= 0) {
		requests[slot].u.c.flags = AIO_FLAG_RESFD;
		requests[slot].u.c.resfd = (unsigned)event;
	}
}

static void check(const struct io_event *event)
{
	size_t slot = (size_t)event->data;

	reaped++;
	if (slot >= DEPTH || !slots[slot].busy || event->obj != &requests[slot] ||
	    (long)event->res != PAGE) {
		wrong++;
		return;
	}
	slots[slot].busy = 0;
	if (!slots[slot].writes)
		wrong += pattern_matches(memory + slot * PAGE, PAGE,
					 100 + generation[slots[slot].page], 0) != PAGE;
}

/* Always as many under way as there may be: what came is submitted anew. */
static void run(io_context_t context, int fd, long rounds, int writes_in_ten, int event)
{
	struct io_event events[DEPTH];
	int free_count = DEPTH, free_slots[DEPTH], under_way = 0;

	for (int index = 0; index < DEPTH; index++)
		free_slots[index] = index;
	for (long round = 0; round < rounds || under_way > 0; round++) {
		int got;

		for (int index = 0; index < free_count && round < rounds; index++) {
			prepare(free_slots[index], fd, (int)(random_number() % 10) < writes_in_ten,
				event);
			list[index] = &requests[free_slots[index]];
		}
		if (round < rounds) {
			NEED(way->submit(context, free_count, list) == free_count);
			under_way += free_count;
		}
		if (round % 64 == 0)
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		got = way->getevents(context, 1, DEPTH, events, NULL);
		NEED(got > 0 && got <= under_way);
		under_way -= got;
		free_count = got;
		for (int index = 0; index < got; index++) {
			check(&events[index]);
			free_slots[index] = (int)(uintptr_t)events[index].data;
		}
	}
	if (event >= 0) {
		uint64_t total = 0, value;

		while (total < (uint64_t)reaped) {
			NEED(read(event, &value, sizeof(value)) == sizeof(value));
			total += value;
		}
		wrong += total != (uint64_t)reaped;
	}
}

static void report(const char *what)
{
	observe("%s %s: %s reaped, %ld wrong", way->name, what, reaped > 0 ? "some" : "none",
		wrong);
	reaped = 0;
	wrong = 0;
}

/* Batches in which files, pipes, sockets and syncs take turns. */
static void mixed(io_context_t context, int fd)
{
	int pipes[2], sockets[2];

	NEED(pipe2(pipes, O_NONBLOCK) == 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	for (int round = 0; round < 200; round++) {
		struct io_event events[8];
		char other[4][64];
		long expected[8] = {64, 64, PAGE, 32, 32, 0, PAGE, PAGE};

		memset(other, round, sizeof(other));
		memset(other[1], 0, sizeof(other[1]));
		memset(other[3], 0, sizeof(other[3]));
		aio_prepare(&requests[0], IO_CMD_PWRITE, pipes[1], other[0], 64, 0);
		aio_prepare(&requests[1], IO_CMD_PREAD, pipes[0], other[1], 64, 0);
		prepare(2, fd, 0, -1);
		aio_prepare(&requests[3], IO_CMD_PWRITE, sockets[0], other[2], 32, 0);
		aio_prepare(&requests[4], IO_CMD_PREAD, sockets[1], other[3], 32, 0);
		aio_prepare(&requests[5], IO_CMD_FSYNC + round % 2, fd, NULL, 0, 0);
		prepare(6, fd, round % 8 == 0, -1);
		prepare(7, fd, 0, -1);
		for (int index = 0; index < 8; index++) {
			requests[index].data = (void *)(uintptr_t)index;
			list[index] = &requests[index];
		}
		NEED(way->submit(context, 8, list) == 8);
		aio_reap(way, context, 8, events);
		for (int index = 0; index < 8; index++) {
			reaped++;
			wrong += (long)events[index].res != expected[index];
			if (slots[index].busy)
				check(&events[index]);
		}
		wrong += memcmp(other[0], other[1], 64) != 0 || memcmp(other[2], other[3], 32) != 0;
	}
	for (int side = 0; side < 2; side++) {
		close(pipes[side]);
		close(sockets[side]);
	}
}

static void make_pages(void)
{
	int fd = open("long", O_CREAT | O_TRUNC | O_WRONLY, 0644);
	char *page = pages(PAGE);

	NEED(fd >= 0);
	memset(generation, 0, sizeof(generation));
	pattern_fill(page, PAGE, 100, 0);
	for (int index = 0; index < FILE_PAGES; index++)
		NEED(write(fd, page, PAGE) == PAGE);
	NEED(fsync(fd) == 0);
	NEED(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	NEED(close(fd) == 0);
	NEED(munmap(page, 2 * PAGE) == 0);
	random_state = 88172645463325252ULL;
}

/* The file as a whole, each page as it was written last. */
static void check_file(void)
{
	int fd = open("long", O_RDONLY), bad = 0;
	char *page = pages(PAGE);

	NEED(fd >= 0);
	for (int index = 0; index < FILE_PAGES; index++) {
		NEED(pread(fd, page, PAGE, index * PAGE) == PAGE);
		bad += pattern_matches(page, PAGE, 100 + generation[index], 0) != PAGE;
	}
	observe("%s file: %d pages not as written last", way->name, bad);
	NEED(close(fd) == 0);
	NEED(munmap(page, 2 * PAGE) == 0);
}

static void all(int flags, long rounds, const char *what)
{
	io_context_t context = aio_begin(way, DEPTH), second;
	int fd, event = eventfd(0, EFD_CLOEXEC);

	make_pages();
	fd = open("long", O_RDWR | flags);
	NEED(fd >= 0 && event >= 0);
	observe("%s", what);
	run(context, fd, rounds, 0, -1);
	report("reads");
	run(context, fd, rounds / 2, 3, -1);
	report("reads and writes");
	mixed(context, fd);
	report("mixed");
	run(context, fd, rounds / 4, 1, event);
	report("with a descriptor");
	run(context, fd, rounds / 4, 1, -1);
	report("without again");
	second = aio_begin(way, DEPTH);
	run(second, fd, rounds / 4, 1, -1);
	report("in a second context");
	run(context, fd, rounds / 4, 1, -1);
	report("in the first again");
	aio_end(way, second);
	run(context, fd, 50, 1, -1);
	report("when the second has ended");
	aio_end(way, context);
	NEED(close(event) == 0);
	NEED(close(fd) == 0);
	check_file();
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(DEPTH * PAGE);
	for (int index = 0; index < AIO_WAYS; index++) {
		way = &aio_ways[index];
		all(O_DIRECT, index == 0 ? 2000 : 500, "direct");
		if (index == 0)
			all(0, 200, "buffered");
	}
	unlink("long");
	return 0;
}
