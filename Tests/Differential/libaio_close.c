/* differential: descriptors closed, their numbers used again, with requests under way; direct */
#include "aio.h"

#define FILES 16
#define ROUNDS 100

static char *memory;

struct tally {
	int whole;
	int other;
	int strayed; /* bytes that went to the file opened later, or did not come from the first */
};

static int open_file(const char *name, int number)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "%s%d", name, number);
	fd = open(path, O_RDWR | O_DIRECT | O_CREAT, 0644);
	NEED(fd >= 0);
	return fd;
}

/* The second files get the numbers of the first ones while those are written, or read. */
static void close_one_round(const struct aio_way *way, io_context_t context, int opcode, int round,
			    struct tally *tally)
{
	struct iocb requests[FILES], *list[FILES];
	struct io_event events[FILES];
	int first[FILES], second[FILES];

	for (int index = 0; index < FILES; index++) {
		char *page = memory + index * PAGE;

		first[index] = open_file("first", index);
		memset(page, opcode == IO_CMD_PWRITE ? round + 1 : 0, PAGE);
		aio_prepare(&requests[index], opcode, first[index], page, PAGE, 0);
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
	NEED(way->submit(context, FILES, list) == FILES);
	for (int index = 0; index < FILES; index++)
		NEED(close(first[index]) == 0);
	for (int index = 0; index < FILES; index++)
		second[index] = open_file("second", index);
	aio_reap(way, context, FILES, events);
	for (int index = 0; index < FILES; index++) {
		char *page = memory + index * PAGE;

		if (events[index].res == PAGE)
			tally->whole++;
		else
			tally->other++;
		if (opcode == IO_CMD_PREAD && page[0] != 'a')
			tally->strayed++;
		NEED(pread(second[index], page, PAGE, 0) == PAGE);
		if (page[0] != 'b' || page[PAGE - 1] != 'b')
			tally->strayed++;
		NEED(close(second[index]) == 0);
	}
}

static void fill(const char *name, int byte)
{
	for (int index = 0; index < FILES; index++) {
		int fd = open_file(name, index);

		memset(memory, byte, PAGE);
		NEED(pwrite(fd, memory, PAGE, 0) == PAGE);
		NEED(close(fd) == 0);
	}
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(FILES * PAGE);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		static const int opcodes[] = {IO_CMD_PREAD, IO_CMD_PWRITE};
		io_context_t context = aio_begin(way, FILES);

		aio_warm(way, context);
		for (int kind = 0; kind < 2; kind++) {
			struct tally tally = {0};

			fill("first", 'a');
			fill("second", 'b');
			for (int round = 0; round < ROUNDS; round++)
				close_one_round(way, context, opcodes[kind], round, &tally);
			observe("%s %s: %d whole, %d other, %d strayed", way->name,
				kind ? "writes" : "reads", tally.whole, tally.other, tally.strayed);
		}
		aio_end(way, context);
	}
	return 0;
}
