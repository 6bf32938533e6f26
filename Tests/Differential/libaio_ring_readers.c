/* differential: programs that read the kernel's completion ring themselves; direct */
#include "aio.h"

#include <sys/eventfd.h>

#define BATCH 32
#define ROUNDS 200
#define FILE_PAGES 256
#define RING_MAGIC 0xa10a10a1

/* What lies behind a handle, as programs copied it out of the kernel. */
struct ring {
	unsigned id;
	unsigned nr;
	unsigned head;
	unsigned tail;
	unsigned magic;
	unsigned compat_features;
	unsigned incompat_features;
	unsigned header_length;
	struct io_event events[];
};

static const struct aio_way *way;
static char *memory;
static struct iocb requests[BATCH];
static struct iocb *list[BATCH];
static long wrong;

static void prepare(int fd, int opcode, int round, int event)
{
	for (int index = 0; index < BATCH; index++) {
		long page = ((long)round * BATCH + index) * 7 % FILE_PAGES;

		if (opcode == IO_CMD_PREAD)
			memset(memory + index * PAGE, 0, 64);
		aio_prepare(&requests[index], opcode, fd, memory + index * PAGE, PAGE, page * PAGE);
		requests[index].data = (void *)(uintptr_t)index;
		if (event >= 0) {
			requests[index].u.c.flags = AIO_FLAG_RESFD;
			requests[index].u.c.resfd = (unsigned)event;
		}
		list[index] = &requests[index];
	}
}

static void check(const struct io_event *event, unsigned char *seen)
{
	size_t index = (size_t)event->data;

	wrong += index >= BATCH || seen[index]++ || event->obj != &requests[index];
	wrong += (long)event->res != PAGE || event->res2 != 0;
	if (requests[index].aio_lio_opcode == IO_CMD_PREAD)
		wrong += pattern_matches(memory + index * PAGE, PAGE, 5,
					 (uint64_t)requests[index].u.c.offset) != PAGE;
}

/* As an emulator does: what is in the ring is taken out, and the head moved, without a call. */
static int take_from_ring(io_context_t context, unsigned char *seen)
{
	struct ring *ring = (struct ring *)context;
	unsigned head = ring->head, tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	int taken = 0;

	while (head != tail) {
		check(&ring->events[head], seen);
		head = (head + 1) % ring->nr;
		taken++;
	}
	__atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
	return taken;
}

/* Woken by an event descriptor, never calling io_getevents, never testing the magic number. */
static void woken_by_descriptor(io_context_t context, int fd, const char *what)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rounds = 0;

	NEED(event >= 0);
	wrong = 0;
	for (int round = 0; round < ROUNDS; round++) {
		unsigned char seen[BATCH] = {0};
		int left = BATCH;

		prepare(fd, round % 5 == 4 ? IO_CMD_PWRITE : IO_CMD_PREAD, round, event);
		for (int index = 0; index < BATCH && round % 5 == 4; index++)
			pattern_fill(requests[index].u.c.buf, PAGE, 5,
				     (uint64_t)requests[index].u.c.offset);
		NEED(way->submit(context, BATCH, list) == BATCH);
		while (left > 0) {
			struct pollfd one = {event, POLLIN, 0};
			uint64_t value;

			NEED(poll(&one, 1, -1) == 1);
			if (read(event, &value, sizeof(value)) == sizeof(value))
				left -= take_from_ring(context, seen);
		}
		wrong += left != 0;
		rounds++;
	}
	observe("%s %s: %d rounds, %ld wrong", way->name, what, rounds, wrong);
	NEED(close(event) == 0);
}

/* As a benchmark does: only a ring with the magic number is read, else the kernel is asked. */
static int reap_in_user_space(io_context_t context, unsigned most, struct io_event *events)
{
	struct ring *ring = (struct ring *)context;
	unsigned head, count = 0;

	if (__atomic_load_n(&ring->magic, __ATOMIC_RELAXED) != RING_MAGIC)
		return -1;
	for (; count < most; count++) {
		head = ring->head;
		if (head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
			break;
		events[count] = ring->events[head];
		__atomic_store_n(&ring->head, (head + 1) % ring->nr, __ATOMIC_RELEASE);
	}
	return (int)count;
}

static void tests_the_magic(io_context_t context, int fd, int at_a_time, const char *what)
{
	struct io_event events[BATCH];

	wrong = 0;
	for (int round = 0; round < ROUNDS; round++) {
		unsigned char seen[BATCH] = {0};
		int left = BATCH;

		prepare(fd, IO_CMD_PREAD, round, -1);
		for (int done = 0; done < BATCH; done += at_a_time)
			NEED(way->submit(context, at_a_time, list + done) == at_a_time);
		while (left > 0) {
			int got = reap_in_user_space(context, (unsigned)left, events);

			if (got <= 0)
				got = way->getevents(context, 1, left, events, NULL);
			NEED(got > 0 && got <= left);
			for (int index = 0; index < got; index++)
				check(&events[index], seen);
			left -= got;
		}
	}
	observe("%s %s, %d at a time: %ld wrong", way->name, what, at_a_time, wrong);
}

/* The two in turn on one context: what one leaves, the other finds. */
static void in_turn(io_context_t context, int fd)
{
	int event = eventfd(0, EFD_CLOEXEC);

	NEED(event >= 0);
	wrong = 0;
	for (int round = 0; round < ROUNDS; round++) {
		unsigned char seen[BATCH] = {0};
		struct io_event events[BATCH];
		uint64_t total = 0, value;
		int got;

		prepare(fd, IO_CMD_PREAD, round, event);
		NEED(way->submit(context, BATCH, list) == BATCH);
		while (total < BATCH) {
			NEED(read(event, &value, sizeof(value)) == sizeof(value));
			total += value;
		}
		/* All are in the ring: some through the call, the rest without. */
		got = way->getevents(context, round % BATCH, round % BATCH, events, NULL);
		wrong += got != round % BATCH;
		for (int index = 0; index < got; index++)
			check(&events[index], seen);
		wrong += take_from_ring(context, seen) != BATCH - got;
	}
	observe("%s in turn: %ld wrong", way->name, wrong);
	NEED(close(event) == 0);
}

static void on(int flags, int warm)
{
	io_context_t context = aio_begin(way, BATCH);
	int fd = open("rings", O_RDWR | flags);

	NEED(fd >= 0);
	observe("flags %x%s", (unsigned)flags, warm ? ", warm" : "");
	if (warm)
		aio_warm(way, context);
	woken_by_descriptor(context, fd, "woken");
	tests_the_magic(context, fd, BATCH, "magic");
	woken_by_descriptor(context, fd, "woken again");
	tests_the_magic(context, fd, 1, "magic");
	in_turn(context, fd);
	aio_end(way, context);
	NEED(close(fd) == 0);
	observe_file("rings");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	make_file("rings", FILE_PAGES * PAGE, 5);
	for (int index = 0; index < AIO_WAYS; index++) {
		way = &aio_ways[index];
		on(0, 0);
		on(O_DIRECT, 0);
		on(O_DIRECT, 1);
	}
	unlink("rings");
	return 0;
}
