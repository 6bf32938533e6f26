/* differential: every opcode of libaio on every kind of descriptor */
#include "aio.h"
#include "kinds.h"

#define BYTES PAGE

struct opcode {
	const char *name;
	int number;
	int vectored;
};

/* 4 was once planned, 9 and the last two never existed. */
static const struct opcode opcodes[] = {
	{"poll first", IO_CMD_POLL, 0},
	{"pread", IO_CMD_PREAD, 0},
	{"preadv", IO_CMD_PREADV, 1},
	{"poll", IO_CMD_POLL, 0},
	{"pwrite", IO_CMD_PWRITE, 0},
	{"fsync", IO_CMD_FSYNC, 0},
	{"pwritev", IO_CMD_PWRITEV, 1},
	{"fdsync", IO_CMD_FDSYNC, 0},
	{"noop", IO_CMD_NOOP, 0},
	{"four", 4, 0},
	{"nine", 9, 0},
	{"minus one", -1, 0},
	{"largest", 32767, 0},
};

#define OPCODES (sizeof(opcodes) / sizeof(opcodes[0]))

static char *memory;

static void one(const struct aio_way *way, io_context_t context, const char *label,
		const struct opcode *opcode, int fd)
{
	struct iovec two[2] = {{memory, BYTES / 2}, {memory + BYTES / 2, BYTES / 2}};
	int reads = opcode->number == IO_CMD_PREAD || opcode->number == IO_CMD_PREADV;
	struct iocb request;
	long result;

	pattern_fill(memory, BYTES, reads ? 5 : 6, 0);
	aio_prepare(&request, opcode->number, fd, memory, BYTES, PAGE);
	if (opcode->vectored) {
		request.u.c.buf = two;
		request.u.c.nbytes = 2;
	}
	/* What the kernel insists on being zero for these is for another program. */
	if (opcode->number == IO_CMD_FSYNC || opcode->number == IO_CMD_FDSYNC)
		memset(&request.u, 0, sizeof(request.u));
	if (opcode->number == IO_CMD_POLL) {
		memset(&request.u, 0, sizeof(request.u));
		request.u.poll.events = POLLIN;
	}
	result = aio_one(way, context, &request, label);
	if (reads && result > 0)
		observe_bytes("  read", memory, (size_t)result);
}

static void every_kind(const struct aio_way *way, io_context_t context, const char *state)
{
	char label[128];

	for (size_t kind = 0; kind < KIND_COUNT; kind++) {
		int fd = kinds[kind].open();

		for (size_t index = 0; index < OPCODES; index++) {
			snprintf(label, sizeof(label), "%s %s %s %s", way->name, state,
				 kinds[kind].name, opcodes[index].name);
			one(way, context, label, &opcodes[index], fd);
		}
		kind_observe(kinds[kind].name, fd);
		kind_close(fd);
	}
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	kinds_begin();
	require_direct();
	memory = pages(BYTES);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, 4);

		if (index == 0)
			every_kind(way, context, "fresh");
		aio_warm(way, context);
		every_kind(way, context, "warm");
		aio_end(way, context);
	}
	return 0;
}
