/* differential: more requests than a context has room for, reaped and going on */
#include "aio.h"

#include <sched.h>

#define MOST 4096

static char *memory;
static struct iocb requests[MOST];
static struct iocb *list[MOST];
static struct io_event events[MOST];
static unsigned char seen[MOST];

/* The kernel hands out room to each CPU in portions: one CPU makes the numbers certain. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	NEED(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static void prepare(int opcode, int fd)
{
	for (int index = 0; index < MOST; index++) {
		aio_prepare(&requests[index], opcode, fd, memory, opcode == IO_CMD_POLL ? 0 : 512,
			    0);
		if (opcode == IO_CMD_POLL) {
			memset(&requests[index].u, 0, sizeof(requests[index].u));
			requests[index].u.poll.events = POLLIN;
		}
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
	memset(seen, 0, sizeof(seen));
}

/* Reap so many; each request from first on exactly once. */
static void reap(const struct aio_way *way, io_context_t context, int first, int count, long result)
{
	int wrong = 0;

	aio_reap(way, context, count, events);
	for (int index = 0; index < count; index++) {
		size_t which = (size_t)events[index].data;

		wrong += which >= MOST || seen[which]++ || (long)events[index].res != result;
		wrong += events[index].obj != &requests[which];
	}
	for (int index = first; index < first + count; index++)
		wrong += seen[index] != 1;
	observe("  reaped %d from %d on, %d wrong", count, first, wrong);
}

/* Fill a context up, one by one or at once; make room; fill it again; empty it. */
static void fill(const struct aio_way *way, int room, long batch, const char *state, int opcode,
		 int fd, long result)
{
	io_context_t context = aio_begin(way, room);
	int total = 0, taken, again;

	prepare(opcode, fd);
	errno = ERRNO_MARK;
	do {
		taken = way->submit(context, batch, list + total);
		if (taken > 0)
			total += taken;
	} while (taken == batch && total + batch <= MOST);
	observe("%s %s room %d by %ld: %d taken, then %s", way->name, state, room, batch, total,
		aio_text(taken));
	ANSWER(way->submit(context, 1, list + total), "  one more");
	ANSWER(way->submit(context, 5, list + total), "  five more");
	if (opcode == IO_CMD_POLL) {
		/* They cannot be reaped before there is something to read. */
		NEED(write(fd + 1, "x", 1) == 1);
		reap(way, context, 0, total, result);
		aio_end(way, context);
		return;
	}
	aio_reap(way, context, 1, events);
	seen[(size_t)events[0].data]++;
	again = ANSWER(way->submit(context, 1, list + total), "  after reaping one");
	again = again > 0 ? again : 0;
	aio_reap(way, context, total / 2, events);
	for (int index = 0; index < total / 2; index++)
		seen[(size_t)events[index].data]++;
	taken = way->submit(context, total / 4, list + total + again);
	observe("  after reaping half a quarter more: %s", taken == total / 4 ? "all" : "not all");
	again += taken > 0 ? taken : 0;
	taken = total - 1 - total / 2 + again;
	aio_reap(way, context, taken, events);
	for (int index = 0; index < taken; index++)
		seen[(size_t)events[index].data]++;
	taken = 0;
	for (int index = 0; index < MOST; index++)
		taken += seen[index] != (index < total + again);
	observe("  at the end %d lost or doubled", taken);
	aio_end(way, context);
}

/* What never waits for room: submitting and reaping in turn, many times round the ring. */
static void around(const struct aio_way *way, int fd)
{
	io_context_t context = aio_begin(way, 8);
	long rounds = 0, wrong = 0;

	prepare(IO_CMD_PREAD, fd);
	for (int step = 1; step <= 24; step++) {
		for (int round = 0; round < 40; round++) {
			NEED(way->submit(context, step, list) == step);
			aio_reap(way, context, step, events);
			for (int index = 0; index < step; index++) {
				wrong += (size_t)events[index].data != (size_t)index;
				wrong += (long)events[index].res != 512;
			}
			rounds++;
		}
	}
	observe("%s %ld rounds, %ld wrong", way->name, rounds, wrong);
	aio_end(way, context);
}

int main(int count, char **arguments)
{
	int file, pipes[2];

	observe_begin(count, arguments);
	stay_on_one_cpu();
	memory = pages(PAGE);
	make_file("capacity", PAGE, 2);
	file = open("capacity", O_RDONLY);
	NEED(file >= 0);
	/* So that no read has to wait for the device. */
	NEED(pread(file, memory, PAGE, 0) == PAGE);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];

		fill(way, 1, 1, "reads", IO_CMD_PREAD, file, 512);
		fill(way, 32, 1, "reads", IO_CMD_PREAD, file, 512);
		fill(way, 64, 16, "reads", IO_CMD_PREAD, file, 512);
		fill(way, 100, MOST / 2, "reads", IO_CMD_PREAD, file, 512);
		fill(way, 1000, 64, "reads", IO_CMD_PREAD, file, 512);
		NEED(pipe(pipes) == 0 && pipes[1] == pipes[0] + 1);
		fill(way, 64, 1, "polls", IO_CMD_POLL, pipes[0], POLLIN | POLLRDNORM);
		close(pipes[0]);
		close(pipes[1]);
		around(way, file);
	}
	unlink("capacity");
	return 0;
}
