/* differential: aio_rw_flags, priorities, event descriptors and reserved fields */
/* Not on XFS: there a buffered write that may not wait depends on how late it is. */
#include "aio.h"

#include <sys/eventfd.h>

#define BATCH 8

static char *memory;

/* The kernel's, whether the C library has names for them or not. */
static const struct {
	const char *name;
	unsigned bits;
} rw_flags[] = {
	{"none", 0},
	{"HIPRI", 0x1},
	{"DSYNC", 0x2},
	{"SYNC", 0x4},
	{"DSYNC and SYNC", 0x6},
	{"NOWAIT", 0x8},
	{"NOWAIT and HIPRI", 0x9},
	{"APPEND", 0x10},
	{"NOAPPEND", 0x20},
	{"APPEND and NOAPPEND", 0x30},
	{"ATOMIC", 0x40},
	{"unknown", 0x10000},
	{"highest", 0x80000000},
	{"all", ~0U},
};

static const int opcodes[] = {IO_CMD_PREAD, IO_CMD_PWRITE, IO_CMD_PREADV, IO_CMD_PWRITEV,
			      IO_CMD_FSYNC};

/* The same descriptor numbers each time, and the same content. */
static int fresh_file(int flags)
{
	int fd;

	make_file("flags", 4 * PAGE, 3);
	fd = open("flags", O_RDWR | flags);
	NEED(fd >= 0);
	return fd;
}

static void every_flag(const struct aio_way *way, io_context_t context, const char *state,
		       int flags)
{
	static const char *const names[] = {"pread", "pwrite", "preadv", "pwritev", "fsync"};
	struct iovec vector = {memory, PAGE};
	struct iocb request;
	char label[160];

	for (size_t bit = 0; bit < sizeof(rw_flags) / sizeof(rw_flags[0]); bit++) {
		for (size_t index = 0; index < sizeof(opcodes) / sizeof(opcodes[0]); index++) {
			int fd = fresh_file(flags);

			pattern_fill(memory, PAGE, 2, 0);
			/* So that a read that may not wait finds the page. */
			if (!(flags & O_DIRECT))
				NEED(pread(fd, memory, PAGE, PAGE) == PAGE);
			aio_prepare(&request, opcodes[index], fd, memory, PAGE, PAGE);
			if (index == 2 || index == 3) {
				request.u.c.buf = &vector;
				request.u.c.nbytes = 1;
			}
			if (index == 4)
				memset(&request.u, 0, sizeof(request.u));
			request.aio_rw_flags = rw_flags[bit].bits;
			snprintf(label, sizeof(label), "%s %s %s", state, names[index],
				 rw_flags[bit].name);
			if (aio_one(way, context, &request, label) > 0 && index % 2 == 0)
				observe_bytes("  ", memory, PAGE);
			observe_file("flags");
			NEED(close(fd) == 0);
		}
	}
	unlink("flags");
}

/* A priority counts only with its flag; classes are in the upper bits. */
static void priorities(const struct aio_way *way, io_context_t context)
{
	static const int values[] = {0, 1, 7, 8, 0x2000, 0x4000, 0x4007, 0x6000, 0x7fff, 0x8000};
	struct iocb request;
	char label[128];
	int fd = fresh_file(O_DIRECT);

	for (size_t index = 0; index < sizeof(values) / sizeof(values[0]); index++) {
		for (unsigned flag = 0; flag <= AIO_FLAG_IOPRIO; flag += AIO_FLAG_IOPRIO) {
			for (int write = 0; write < 2; write++) {
				aio_prepare(&request, write ? IO_CMD_PWRITE : IO_CMD_PREAD, fd,
					    memory, PAGE, 0);
				request.aio_reqprio = (short)values[index];
				request.u.c.flags = flag;
				snprintf(label, sizeof(label), "%s priority %x flag %u",
					 write ? "pwrite" : "pread", values[index], flag);
				aio_one(way, context, &request, label);
			}
		}
	}
	NEED(close(fd) == 0);
}

/* Bits and fields that have no meaning yet, on each opcode. */
static void reserved(const struct aio_way *way, io_context_t context)
{
	struct iocb request;
	char label[128];
	int fd = fresh_file(0);

	for (size_t index = 0; index < sizeof(opcodes) / sizeof(opcodes[0]); index++) {
		for (int bit = 2; bit < 32; bit += 5) {
			aio_prepare(&request, opcodes[index], fd, memory, PAGE, 0);
			if (opcodes[index] == IO_CMD_FSYNC)
				memset(&request.u, 0, sizeof(request.u));
			request.u.c.flags = 1U << bit;
			if (index == 2 || index == 3)
				request.u.c.nbytes = 0;
			snprintf(label, sizeof(label), "opcode %d flag bit %d", opcodes[index],
				 bit);
			aio_one(way, context, &request, label);
		}
		aio_prepare(&request, opcodes[index], fd, memory, 0, 0);
		request.u.c.__pad3 = 1;
		snprintf(label, sizeof(label), "opcode %d reserved field", opcodes[index]);
		aio_one(way, context, &request, label);
	}
	/* A sync takes neither memory nor length nor place. */
	for (int part = 0; part < 4; part++) {
		aio_prepare(&request, IO_CMD_FDSYNC, fd, part == 0 ? memory : NULL, part == 1,
			    part == 2);
		snprintf(label, sizeof(label), "fdsync with part %d", part);
		aio_one(way, context, &request, label);
	}
	NEED(close(fd) == 0);
}

/*
 * The kernel signals just after the event can be seen, so what is due is waited for, and
 * what is there then must be no more.
 */
static void read_counter(const char *label, int event, uint64_t due)
{
	struct pollfd one = {event, POLLIN, 0};
	uint64_t value, total = 0;

	while (total < due) {
		NEED(poll(&one, 1, -1) == 1);
		NEED(read(event, &value, sizeof(value)) == sizeof(value));
		total += value;
	}
	if (read(event, &value, sizeof(value)) == sizeof(value))
		total += value;
	observe("%s: counter %llu", label, (unsigned long long)total);
}

/* One event descriptor for all, one each, some without, and what is none. */
static void event_descriptors(const struct aio_way *way, io_context_t context, const char *state,
			      int flags)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];
	int descriptors[BATCH], bad[4];
	int fd = fresh_file(flags);

	for (int index = 0; index < BATCH; index++)
		descriptors[index] = eventfd(0, EFD_NONBLOCK);
	for (int pattern = 0; pattern < 3; pattern++) {
		for (int index = 0; index < BATCH; index++) {
			aio_prepare(&requests[index], index % 4 == 3 ? IO_CMD_FSYNC : IO_CMD_PREAD,
				    fd, memory, PAGE, index % 4 * PAGE);
			if (index % 4 == 3)
				memset(&requests[index].u, 0, sizeof(requests[index].u));
			requests[index].data = (void *)(uintptr_t)index;
			list[index] = &requests[index];
			if (pattern == 2 && index % 2)
				continue;
			requests[index].u.c.flags = AIO_FLAG_RESFD;
			requests[index].u.c.resfd = (unsigned)descriptors[pattern ? index : 0];
		}
		ANSWER(way->submit(context, BATCH, list), "%s pattern %d", state, pattern);
		aio_reap(way, context, BATCH, events);
		aio_observe_events(events, BATCH, requests);
		for (int index = 0; index < BATCH; index++)
			read_counter("  ", descriptors[index],
				     pattern == 0 ? (index == 0) * BATCH
						  : pattern == 1 || index % 2 == 0);
	}
	bad[0] = -1;
	bad[1] = 700;
	bad[2] = fd;
	bad[3] = dup(descriptors[0]);
	for (int index = 0; index < 4; index++) {
		aio_prepare(&requests[0], IO_CMD_PREAD, fd, memory, PAGE, 0);
		requests[0].u.c.flags = AIO_FLAG_RESFD;
		requests[0].u.c.resfd = (unsigned)bad[index];
		aio_one(way, context, &requests[0], "  other descriptors");
		read_counter("  ", descriptors[0], index == 3);
	}
	close(bad[3]);
	for (int index = 0; index < BATCH; index++)
		close(descriptors[index]);
	NEED(close(fd) == 0);
	unlink("flags");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(PAGE);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, BATCH);

		if (index == 0)
			aio_warm(way, context);
		every_flag(way, context, "buffered", 0);
		every_flag(way, context, "direct", O_DIRECT);
		every_flag(way, context, "append", O_APPEND);
		priorities(way, context);
		reserved(way, context);
		event_descriptors(way, context, "buffered", 0);
		event_descriptors(way, context, "direct", O_DIRECT);
		aio_end(way, context);
	}
	return 0;
}
