/* differential: several threads at one context, in turn and at once; direct */
#include "aio.h"

#include <stdatomic.h>

#define THREADS 4
#define DEPTH 8
#define ROUNDS 300
#define FILE_PAGES 512

static const struct aio_way *way;
static io_context_t context;
static int file;
/* How often each request has been seen; data is its number from 1 on. */
static _Atomic unsigned char seen[THREADS * DEPTH * ROUNDS + 1];
static atomic_long submitted, reaped, wrong;

/* A request with its memory and what it must be full of. */
struct request {
	struct iocb iocb;
	char *memory;
	long page;
};

static void prepare(struct request *request, long number)
{
	request->page = number * 37 % FILE_PAGES;
	memset(request->memory, 0, 64);
	aio_prepare(&request->iocb, IO_CMD_PREAD, file, request->memory, PAGE,
		    request->page * PAGE);
	request->iocb.data = (void *)number;
}

static void check(const struct io_event *event)
{
	struct request *request = (struct request *)event->obj;
	size_t number = (size_t)event->data;

	if (number == 0 || number >= sizeof(seen) || atomic_fetch_add(&seen[number], 1) != 0)
		atomic_fetch_add(&wrong, 1);
	if ((long)event->res != PAGE || event->data != request->iocb.data ||
	    pattern_matches(request->memory, PAGE, 3, (uint64_t)request->page * PAGE) != PAGE)
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_add(&reaped, 1);
}

static struct request *requests(long count)
{
	struct request *all = calloc((size_t)count, sizeof(*all));
	char *memory = pages((size_t)count * PAGE);

	NEED(all != NULL);
	for (long index = 0; index < count; index++)
		all[index].memory = memory + index * PAGE;
	return all;
}

static void give_back(struct request *all, long count)
{
	NEED(munmap(all[0].memory, (size_t)(count + 1) * PAGE) == 0);
	free(all);
}

static void submit(struct request *all, long count)
{
	struct iocb *list[DEPTH * THREADS];
	long done = 0;

	for (long index = 0; index < count; index++)
		list[index] = &all[index].iocb;
	while (done < count) {
		int taken = way->submit(context, count - done, list + done);

		NEED(taken > 0);
		done += taken;
	}
	atomic_fetch_add(&submitted, count);
}

static long reap(long least, long most)
{
	struct io_event events[DEPTH * THREADS];
	int got = way->getevents(context, least, most, events, NULL);

	NEED(got >= least && got <= most);
	for (int index = 0; index < got; index++)
		check(&events[index]);
	return got;
}

static void begin(void)
{
	memset((void *)seen, 0, sizeof(seen));
	atomic_store(&submitted, 0);
	atomic_store(&reaped, 0);
	atomic_store(&wrong, 0);
	context = aio_begin(way, THREADS * DEPTH);
}

static void end(const char *what)
{
	struct timespec some = {0, 1000000};
	struct io_event event;

	observe("%s %s: %ld submitted, %ld reaped, %ld wrong, left %s", way->name, what,
		atomic_load(&submitted), atomic_load(&reaped), atomic_load(&wrong),
		aio_text(way->getevents(context, 1, 1, &event, &some)));
	aio_end(way, context);
}

/* Each thread submits its own and reaps whatever comes, the others' included. */
static void *submit_and_reap(void *argument)
{
	long thread = (long)argument, number = thread * DEPTH * ROUNDS + 1;
	struct request *all = requests(DEPTH * ROUNDS);

	for (int round = 0; round < ROUNDS; round++, number += DEPTH) {
		for (int index = 0; index < DEPTH; index++)
			prepare(&all[round * DEPTH + index], number + index);
		submit(all + round * DEPTH, DEPTH);
		/* As many as it submitted, so that all threads together get all. */
		for (long left = DEPTH; left > 0;)
			left -= reap(1, left);
	}
	return all;
}

static void at_once(void)
{
	pthread_t threads[THREADS];
	void *all[THREADS];

	begin();
	for (long index = 0; index < THREADS; index++)
		NEED(pthread_create(&threads[index], NULL, submit_and_reap, (void *)index) == 0);
	for (int index = 0; index < THREADS; index++)
		NEED(pthread_join(threads[index], &all[index]) == 0);
	end("at once");
	for (int index = 0; index < THREADS; index++)
		give_back(all[index], DEPTH * ROUNDS);
}

static void *reap_all(void *argument)
{
	for (long left = (long)argument; left > 0;)
		left -= reap(1, left < DEPTH ? left : DEPTH);
	return NULL;
}

/* One submits, another reaps, who started waiting before there was anything. */
static void divided(void)
{
	struct request *all = requests(DEPTH * ROUNDS);
	pthread_t thread;

	begin();
	NEED(pthread_create(&thread, NULL, reap_all, (void *)(DEPTH * ROUNDS)) == 0);
	for (long done = 0; done < DEPTH * ROUNDS; done += DEPTH) {
		for (int index = 0; index < DEPTH; index++)
			prepare(&all[done + index], done + index + 1);
		/* No more than there is room for. */
		while (done - atomic_load(&reaped) > DEPTH)
			pause_microseconds(50);
		submit(all + done, DEPTH);
	}
	NEED(pthread_join(thread, NULL) == 0);
	end("divided");
	give_back(all, DEPTH * ROUNDS);
}

/* One works alone for long, then another takes over reaping while the first waits for it. */
static void handed_over(void)
{
	struct request *all = requests(DEPTH);
	pthread_t thread;
	long number = 1;

	begin();
	for (int round = 0; round < 1000; round++) {
		prepare(&all[0], number++);
		submit(all, 1);
		reap(1, DEPTH);
	}
	for (int round = 0; round < 20; round++) {
		for (int index = 0; index < DEPTH; index++)
			prepare(&all[index], number++);
		submit(all, DEPTH);
		NEED(pthread_create(&thread, NULL, reap_all, (void *)DEPTH) == 0);
		NEED(pthread_join(thread, NULL) == 0);
		prepare(&all[0], number++);
		submit(all, 1);
		reap(1, 1);
	}
	end("handed over");
	give_back(all, DEPTH);
}

struct leaving {
	struct request *all;
	long number;
};

static void *submit_and_leave(void *argument)
{
	struct leaving *leaving = argument;

	for (int index = 0; index < DEPTH; index++)
		prepare(&leaving->all[index], leaving->number + index);
	submit(leaving->all, DEPTH);
	return NULL;
}

static void *work_and_leave(void *argument)
{
	struct leaving *leaving = argument;

	/* Long enough for the library to notice it. */
	for (int round = 0; round < 12; round++) {
		prepare(&leaving->all[0], leaving->number++);
		submit(leaving->all, 1);
		reap(1, 1);
	}
	return submit_and_leave(leaving);
}

/* What a thread submitted is still to come when it is gone. */
static void left_behind(void *(*work)(void *), const char *what)
{
	struct leaving leaving = {requests(DEPTH), 1};
	pthread_t thread;

	begin();
	for (int round = 0; round < 30; round++, leaving.number += DEPTH) {
		NEED(pthread_create(&thread, NULL, work, &leaving) == 0);
		NEED(pthread_join(thread, NULL) == 0);
		for (long left = DEPTH; left > 0;)
			left -= reap(round % 2 ? left : 1, left);
	}
	end(what);
	give_back(leaving.all, DEPTH);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	make_file("threads", FILE_PAGES * PAGE, 3);
	for (int index = 0; index < AIO_WAYS; index++) {
		way = &aio_ways[index];
		for (int flags = 0; flags <= O_DIRECT; flags += O_DIRECT) {
			file = open("threads", O_RDONLY | flags);
			NEED(file >= 0);
			at_once();
			divided();
			handed_over();
			left_behind(submit_and_leave, "left behind");
			left_behind(work_and_leave, "left behind by a worker");
			NEED(close(file) == 0);
		}
	}
	unlink("threads");
	return 0;
}
