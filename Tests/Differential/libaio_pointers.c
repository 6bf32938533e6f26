/* differential: pointers given to libaio's calls that point nowhere, or to too little; direct */
#include "aio.h"

#include <limits.h>

#define GOOD (64 * KIB)

static char *memory;
/* A page of the caller's that ends where nothing begins, and one that may only be read. */
static char *border;
static char *fixed;
static char *closed;
static int file;

static void plain(struct iocb *request, uintptr_t data)
{
	aio_prepare(request, IO_CMD_PREAD, file, memory, PAGE, 0);
	request->data = (void *)data;
}

/* Submit a list, reap what was taken, and tell of both. */
static void submit(const struct aio_way *way, io_context_t context, long count, struct iocb **list,
		   const char *label)
{
	struct io_event events[8];
	int taken = ANSWER(way->submit(context, count, list), "%s", label);

	if (taken <= 0)
		return;
	aio_reap(way, context, taken, events);
	for (int index = 0; index < taken; index++)
		observe("  data %lu, res %s", (unsigned long)events[index].data,
			aio_text((long)events[index].res));
}

static void lists(const struct aio_way *way, io_context_t context)
{
	static struct iocb requests[4];
	struct iocb **edge = (struct iocb **)border - 2;
	struct iocb *straddling = (struct iocb *)(border - 24);
	struct iocb *list[4];

	for (size_t index = 0; index < 4; index++) {
		plain(&requests[index], index + 1);
		list[index] = &requests[index];
	}
	submit(way, context, 1, OPAQUE((struct iocb **)NULL), "list NULL");
	submit(way, context, 0, OPAQUE((struct iocb **)NULL), "list NULL of none");
	submit(way, context, -1, list, "count -1");
	submit(way, context, LONG_MIN, list, "count LONG_MIN");
	submit(way, context, -1, OPAQUE((struct iocb **)NULL), "list NULL of -1");
	submit(way, context, 2, OPAQUE((struct iocb **)1), "list at 1");
	submit(way, context, 1, OPAQUE((struct iocb **)closed), "list that cannot be read");
	submit(way, context, 1, OPAQUE((struct iocb **)-8), "list at the end of all");
	edge[0] = list[0];
	edge[1] = list[1];
	submit(way, context, 4, edge, "list that ends after two");
	submit(way, context, LONG_MAX, edge, "list that claims to be endless");
	submit(way, context, 2, edge + 1, "list that ends after one");
	submit(way, context, 1, edge + 2, "list that ends after none");
	submit(way, context, 1, (struct iocb **)((char *)border - 4), "list cut in a pointer");
	for (int at = 0; at < 3; at++) {
		static const uintptr_t wrong[] = {0, 1, 0xfffffffffffff000, (uintptr_t)1 << 47};

		for (size_t index = 0; index < 4; index++) {
			for (size_t other = 0; other < 3; other++)
				list[other] = &requests[other];
			list[at] = (struct iocb *)wrong[index];
			submit(way, context, 3, list, "a wrong iocb among three");
		}
		list[at] = (struct iocb *)closed;
		submit(way, context, 3, list, "an unreadable iocb among three");
		memcpy(straddling, &requests[0], 24);
		list[at] = straddling;
		submit(way, context, 3, list, "an iocb that ends too early among three");
		list[at] = (struct iocb *)fixed;
		submit(way, context, 3, list, "an iocb that cannot be written among three");
		list[at] = &requests[at];
	}
	/* Anywhere, as the kernel copies it. */
	memcpy(memory + 8 * PAGE + 3, &requests[0], sizeof(requests[0]));
	list[0] = (struct iocb *)(memory + 8 * PAGE + 3);
	submit(way, context, 1, list, "an iocb at an odd address");
}

static void buffers(const struct aio_way *way, io_context_t context, const char *state)
{
	char *wrong[] = {NULL,         (char *)8, closed,        border - PAGE,
			 border - 512, fixed,     (char *)-PAGE, (char *)(1UL << 63)};
	static const size_t lengths[] = {0, 512, PAGE, 4 * PAGE};
	struct iocb request;
	char label[128];

	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		for (size_t length = 0; length < 4; length++) {
			aio_prepare(&request, IO_CMD_PREAD, file, wrong[index], lengths[length], 0);
			snprintf(label, sizeof(label), "%s read into %zu of %zu", state, index,
				 lengths[length]);
			aio_one(way, context, &request, label);
			/* Far behind what is read, so that what a failed write leaves is no matter.
			 */
			aio_prepare(&request, IO_CMD_PWRITE, file, wrong[index], lengths[length],
				    GOOD + PAGE);
			snprintf(label, sizeof(label), "%s write from %zu of %zu", state, index,
				 lengths[length]);
			aio_one(way, context, &request, label);
		}
	}
}

static void vectors(const struct aio_way *way, io_context_t context, const char *state)
{
	struct iovec good[3] = {{memory, PAGE}, {memory + PAGE, PAGE}, {memory + 2 * PAGE, PAGE}};
	struct iovec *edge = (struct iovec *)border - 1;
	void *wrong[] = {NULL, (void *)8, closed, edge, border - 8, (void *)-16};
	struct iocb request;
	char label[128];

	edge->iov_base = memory;
	edge->iov_len = PAGE;
	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		for (size_t elements = 0; elements < 10; elements += 1 + 3 * (elements > 1)) {
			aio_prepare(&request, IO_CMD_PREADV, file, wrong[index], elements, 0);
			snprintf(label, sizeof(label), "%s preadv of %zu from %zu", state, elements,
				 index);
			aio_one(way, context, &request, label);
		}
	}
	for (int at = 0; at < 3; at++) {
		void *bases[] = {NULL, closed, fixed, (void *)-PAGE, border - 512};

		for (size_t index = 0; index < 5; index++) {
			void *kept = good[at].iov_base;

			good[at].iov_base = bases[index];
			aio_prepare(&request, IO_CMD_PREADV, file, good, 3, 0);
			snprintf(label, sizeof(label), "%s element %d at %zu", state, at, index);
			aio_one(way, context, &request, label);
			aio_prepare(&request, IO_CMD_PWRITEV, file, good, 3, GOOD + PAGE);
			aio_one(way, context, &request, "  write");
			good[at].iov_base = kept;
		}
	}
}

/* The list and the iocb may go as soon as the call is over, and so may a vector. */
static void gone(const struct aio_way *way, io_context_t context)
{
	char *place = pages(PAGE);
	struct iovec *vector = (struct iovec *)place;
	struct iocb *request = (struct iocb *)(place + 512),
		    **list = (struct iocb **)(place + 1024);
	struct io_event event;

	vector[0].iov_base = memory;
	vector[0].iov_len = PAGE;
	vector[1].iov_base = memory + PAGE;
	vector[1].iov_len = GOOD - PAGE;
	memset(memory, 0, GOOD);
	aio_prepare(request, IO_CMD_PREADV, file, vector, 2, 0);
	list[0] = request;
	ANSWER(way->submit(context, 1, list), "an iocb that goes at once");
	NEED(mprotect(place, PAGE, PROT_NONE) == 0);
	aio_reap(way, context, 1, &event);
	observe("  res %s, obj %s, %zu as written", aio_text((long)event.res),
		event.obj == request ? "same" : "WRONG", pattern_matches(memory, GOOD, 4, 0));
	NEED(munmap(place, 2 * PAGE) == 0);
}

static void all(const struct aio_way *way, const char *state, int flags)
{
	io_context_t context = aio_begin(way, 8);

	make_file("pointers", GOOD, 4);
	file = open("pointers", O_RDWR | flags);
	NEED(file >= 0);
	NEED(mprotect(fixed, PAGE, PROT_READ | PROT_WRITE) == 0);
	plain((struct iocb *)fixed, 9);
	NEED(mprotect(fixed, PAGE, PROT_READ) == 0);
	aio_warm(way, context);
	lists(way, context);
	buffers(way, context, state);
	vectors(way, context, state);
	gone(way, context);
	aio_end(way, context);
	NEED(close(file) == 0);
	unlink("pointers");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	memory = pages(GOOD);
	border = pages(PAGE) + PAGE;
	fixed = pages(PAGE);
	closed = pages(PAGE);
	NEED(mprotect(closed, PAGE, PROT_NONE) == 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		observe("%s", aio_ways[index].name);
		all(&aio_ways[index], "buffered", 0);
		all(&aio_ways[index], "direct", O_DIRECT);
	}
	return 0;
}
