/* Batches of libaio in several threads: libaio_calls DIRECTORY THREADS ROUNDS [DEPTH]. */
#include <libaio.h>

#include "calls.h"

#define BLOCK 4096
#define BLOCKS 256

static int rounds, depth = 8;

static void round_trip(io_context_t context, int fd, const char *name, int number, char *buffers)
{
	struct iocb requests[128], *list[128];
	struct io_event events[128];
	int got = 0;

	for (int i = 0; i < depth; i++) {
		long place = (long)((number * depth + i) * 7 % BLOCKS) * BLOCK;

		list[i] = &requests[i];
		if (number % 2)
			io_prep_pwrite(list[i], fd, buffers + i * BLOCK, BLOCK, place);
		else
			io_prep_pread(list[i], fd, buffers + i * BLOCK, BLOCK, place);
	}
	check(io_submit(context, depth, list) == depth, "io_submit");
	while (got < depth) {
		int result = io_getevents(context, 1, depth - got, events + got, NULL);

		check(result > 0, "io_getevents");
		got += result;
	}
	for (int i = 0; i < depth; i++)
		said(events[i].obj->aio_lio_opcode == IO_CMD_PREAD ? "read" : "write", name,
		     events[i].obj->u.c.offset, BLOCK, (long)events[i].res);
}

static void *work(void *path)
{
	const char *name = strrchr(path, '/') + 1;
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);
	io_context_t context = NULL;
	char *buffers;

	check(fd >= 0, "open");
	said("open", name, 0, 0, 0);
	check(ftruncate(fd, BLOCKS * BLOCK) == 0, "ftruncate");
	said("truncate", name, BLOCKS * BLOCK, 0, 0);
	buffers = aligned_alloc(BLOCK, 128 * BLOCK);
	check(buffers != NULL, "memory");
	memset(buffers, 5, 128 * BLOCK);
	check(io_setup(128, &context) == 0, "io_setup");
	for (int i = 0; i < rounds; i++)
		round_trip(context, fd, name, i, buffers);
	io_destroy(context);
	close(fd);
	said("close", name, 0, 0, 0);
	return NULL;
}

int main(int count, char **arguments)
{
	int threads = count > 3 ? atoi(arguments[2]) : 1;
	pthread_t thread[64];
	char path[64][512];

	check(count > 3 && threads <= 64, "libaio_calls DIRECTORY THREADS ROUNDS");
	rounds = atoi(arguments[3]);
	if (count > 4)
		depth = atoi(arguments[4]);
	for (int i = 0; i < threads; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/aio%d.dat", arguments[1], i);
		check(pthread_create(&thread[i], NULL, work, path[i]) == 0, "pthread_create");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
