/* differential: memory that was good for libaio and then is not: unmapped, protected, moved */
#include <sys/mman.h>

#include "aio.h"

#define ROUNDS 8

static const struct aio_way *way;
static char data[4096] __attribute__((aligned(4096)));

static void *page(void)
{
	void *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NEED(made != MAP_FAILED);
	return made;
}

/* Takes a page away in one of several ways. */
static void take_away(void *address, int how)
{
	switch (how) {
	case 0:
		NEED(munmap(address, 4096) == 0);
		break;
	case 1:
		NEED(mprotect(address, 4096, PROT_NONE) == 0);
		break;
	case 2:
		NEED(mremap(address, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page()) !=
		     MAP_FAILED);
		break;
	case 3:
		NEED(syscall(SYS_munmap, address, 4096) == 0);
		break;
	default:
		NEED(syscall(SYS_mprotect, address, 4096, PROT_NONE) == 0);
		break;
	}
}

static void rounds(io_context_t context, struct iocb **list, struct io_event *events)
{
	for (int round = 0; round < ROUNDS; round++) {
		NEED(way->submit(context, 1, list) == 1);
		NEED(way->getevents(context, 1, 1, events, NULL) == 1);
		NEED(events[0].res == sizeof(data));
	}
}

static void gone(int fd, int how)
{
	io_context_t context = aio_begin(way, 4);
	struct iocb *iocb = page();
	struct iocb **list = page();
	struct io_event *events = page();
	struct io_event kept[1];

	memset(iocb, 0, sizeof(*iocb));
	io_prep_pread(iocb, fd, data, sizeof(data), 0);
	list[0] = iocb;
	rounds(context, list, events);
	NEED(way->submit(context, 1, list) == 1);
	take_away(events, how);
	ANSWER(way->getevents(context, 1, 1, events, NULL), "%s %d events gone", way->name, how);
	ANSWER(way->getevents(context, 1, 1, kept, NULL), "%s %d events kept", way->name, how);
	take_away(iocb, how);
	ANSWER(way->submit(context, 1, list), "%s %d iocb gone", way->name, how);
	take_away(list, how);
	ANSWER(way->submit(context, 1, list), "%s %d list gone", way->name, how);
	aio_end(way, context);
}

int main(int count, char **arguments)
{
	int fd;

	observe_begin(count, arguments);
	make_file("gone", sizeof(data), 3);
	fd = open("gone", O_RDONLY);
	NEED(fd >= 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		way = &aio_ways[index];
		for (int how = 0; how < 5; how++)
			gone(fd, how);
	}
	NEED(close(fd) == 0);
	unlink("gone");
	return 0;
}
