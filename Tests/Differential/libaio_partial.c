/* differential: batches with a bad request in them, mixed descriptors, and cancelling; direct */
#include "aio.h"

#include <sys/socket.h>

#define BATCH 6

static char *memory;
static int file;

/* What may be wrong with a request, and what then comes of the submission. */
enum wrong {
	BAD_DESCRIPTOR,
	BAD_OPCODE,
	BAD_OFFSET,
	BAD_LENGTH,
	BAD_RESERVED,
	BAD_FLAGS,
	BAD_VECTOR,
	BAD_ACCESS,
	BAD_EVENT,
	BAD_KINDS
};

static void spoil(struct iocb *request, enum wrong wrong)
{
	switch (wrong) {
	case BAD_DESCRIPTOR:
		request->aio_fildes = 700;
		break;
	case BAD_OPCODE:
		request->aio_lio_opcode = 4;
		break;
	case BAD_OFFSET:
		request->u.c.offset = -1;
		break;
	case BAD_LENGTH:
		request->u.c.nbytes = SIZE_MAX;
		break;
	case BAD_RESERVED:
		request->u.c.__pad3 = 1;
		break;
	case BAD_FLAGS:
		request->aio_rw_flags = 0x10000;
		break;
	case BAD_VECTOR:
		request->aio_lio_opcode = IO_CMD_PREADV;
		request->u.c.buf = NULL;
		request->u.c.nbytes = 1;
		break;
	case BAD_ACCESS:
		request->aio_lio_opcode = IO_CMD_PWRITE;
		break;
	case BAD_EVENT:
		request->u.c.flags = AIO_FLAG_RESFD;
		request->u.c.resfd = 701;
		break;
	default:
		break;
	}
}

static void prepare(struct iocb *requests, struct iocb **list)
{
	for (int index = 0; index < BATCH; index++) {
		aio_prepare(&requests[index], IO_CMD_PREAD, file, memory + index * PAGE, PAGE,
			    index * PAGE);
		requests[index].data = (void *)(uintptr_t)(index + 1);
		list[index] = &requests[index];
	}
}

/* One bad request at each place of a batch, then two. */
static void spoiled(const struct aio_way *way, io_context_t context)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];

	for (int wrong = 0; wrong < BAD_KINDS; wrong++) {
		for (int at = 0; at < BATCH; at++) {
			int taken;

			memset(memory, 0, BATCH * PAGE);
			prepare(requests, list);
			spoil(&requests[at], wrong);
			if (at % 2)
				spoil(&requests[BATCH - 1], (wrong + 1) % BAD_KINDS);
			taken = ANSWER(way->submit(context, BATCH, list), "%s wrong %d at %d",
				       way->name, wrong, at);
			for (int index = 0; index < BATCH; index++)
				if ((index <= taken) != (requests[index].key == 0))
					observe("  key of %d: %u", index, requests[index].key);
			if (taken <= 0)
				continue;
			aio_reap(way, context, taken, events);
			aio_observe_events(events, taken, requests);
			/* The rest, as a program does that was told how many were taken. */
			ANSWER(way->submit(context, BATCH - taken, list + taken), "  the rest");
			observe_bytes("  ", memory, BATCH * PAGE);
		}
	}
}

/* The same request several times over in one batch, and one batch of nothing but one. */
static void repeated(const struct aio_way *way, io_context_t context)
{
	struct iocb requests[BATCH], *list[BATCH];
	struct io_event events[BATCH];

	prepare(requests, list);
	for (int index = 0; index < BATCH; index++)
		list[index] = &requests[index / 3];
	ANSWER(way->submit(context, BATCH, list), "two requests, three times each");
	aio_reap(way, context, BATCH, events);
	aio_observe_events(events, BATCH, requests);
}

/* Pipe, socket, file, sync, poll and append in one batch. */
static void mixed(const struct aio_way *way, io_context_t context, int flags)
{
	struct iocb requests[8], *list[8];
	struct io_event events[8];
	int pipes[2], sockets[2], other;

	make_file("mixed", 2 * PAGE, 6);
	other = open("mixed", O_RDWR | flags);
	NEED(other >= 0);
	NEED(pipe2(pipes, O_NONBLOCK) == 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
	memset(memory, 'm', 8 * PAGE);
	/* Each is done by the time it is submitted, in the order of the array. */
	aio_prepare(&requests[0], IO_CMD_PWRITE, pipes[1], memory, 100, 0);
	aio_prepare(&requests[1], IO_CMD_PREAD, pipes[0], memory + PAGE, PAGE, 0);
	aio_prepare(&requests[2], IO_CMD_PWRITE, other, memory + 2 * PAGE, PAGE, 2 * PAGE);
	aio_prepare(&requests[3], IO_CMD_PWRITE, sockets[0], memory, 10, 0);
	aio_prepare(&requests[4], IO_CMD_PREAD, sockets[1], memory + 4 * PAGE, PAGE, 0);
	aio_prepare(&requests[5], IO_CMD_FSYNC, other, NULL, 0, 0);
	aio_prepare(&requests[6], IO_CMD_PREAD, file, memory + 6 * PAGE, PAGE, 0);
	aio_prepare(&requests[7], IO_CMD_POLL, pipes[1], NULL, 0, 0);
	requests[7].u.poll.events = POLLOUT;
	for (int index = 0; index < 8; index++) {
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
	for (int round = 0; round < 3; round++) {
		ANSWER(way->submit(context, 8, list), "mixed, flags %x", flags);
		aio_reap(way, context, 8, events);
		aio_observe_events(events, 8, requests);
		observe_bytes("  ", memory, 8 * PAGE);
	}
	observe_file("mixed");
	close(other);
	for (int side = 0; side < 2; side++) {
		close(pipes[side]);
		close(sockets[side]);
	}
	unlink("mixed");
}

static void cancelling(const struct aio_way *way, io_context_t context)
{
	struct iocb requests[BATCH], *list[BATCH], never;
	struct io_event events[BATCH], given;
	int pipes[2];

	memset(&given, 0x55, sizeof(given));
	prepare(requests, list);
	aio_prepare(&never, IO_CMD_PREAD, file, memory, PAGE, 0);
	ANSWER(way->cancel(context, &never, &given), "cancel what was never submitted");
	never.key = 0;
	ANSWER(way->cancel(context, &never, &given), "the same with the kernel's key");
	ANSWER(way->cancel(context, OPAQUE((struct iocb *)NULL), &given), "cancel NULL");
	ANSWER(way->cancel(context, OPAQUE((struct iocb *)1), &given), "cancel at 1");
	ANSWER(way->submit(context, BATCH, list), "%s submit", way->name);
	/* Requests to files cannot be cancelled, whether they are done or not. */
	for (int index = 0; index < BATCH; index++)
		ANSWER(way->cancel(context, list[index], &given), "  cancel");
	aio_reap(way, context, BATCH, events);
	aio_observe_events(events, BATCH, requests);
	ANSWER(way->cancel(context, list[0], &given), "cancel after it is reaped");
	NEED(pipe(pipes) == 0);
	for (int index = 0; index < 3; index++) {
		aio_prepare(&requests[index], IO_CMD_POLL, pipes[0], NULL, 0, 0);
		requests[index].u.poll.events = POLLIN;
		requests[index].data = (void *)(uintptr_t)index;
	}
	ANSWER(way->submit(context, 3, list), "three polls");
	requests[2].key = 1;
	ANSWER(way->cancel(context, list[2], &given), "cancel with another key");
	requests[2].key = 0;
	ANSWER(way->cancel(context, list[1], &given), "cancel the second");
	ANSWER(way->cancel(context, list[1], &given), "cancel it again");
	aio_reap(way, context, 1, events);
	aio_observe_events(events, 1, requests);
	NEED(write(pipes[1], "now", 3) == 3);
	aio_reap(way, context, 2, events);
	aio_observe_events(events, 2, requests);
	observe("what cancel gave: %s",
		((unsigned char *)&given)[0] == 0x55 ? "nothing" : "an event");
	close(pipes[0]);
	close(pipes[1]);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(8 * PAGE);
	make_file("partial", 8 * PAGE, 2);
	for (int index = 0; index < 2 * AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index / 2];
		io_context_t context = aio_begin(way, 16);

		file = open("partial", O_RDONLY | (index % 2 ? O_DIRECT : 0));
		NEED(file >= 0);
		if (index % 2)
			aio_warm(way, context);
		spoiled(way, context);
		repeated(way, context);
		mixed(way, context, 0);
		mixed(way, context, O_DIRECT);
		mixed(way, context, O_APPEND);
		cancelling(way, context);
		aio_end(way, context);
		NEED(close(file) == 0);
	}
	unlink("partial");
	return 0;
}
