/* differential: threads that submit, reap, cancel, destroy and fork at random; direct */
/*
 * usage: libaio_stress directory [rounds [seed]]
 *
 * Each worker owns a stripe of both files and knows what it wrote to each of its pages last, but
 * any thread may reap any request. A run that went wrong is repeated by giving its seed.
 */
#include "aio.h"

#include <stdatomic.h>

#define THREADS 4
#define SHIFTS 3
#define SLOTS 24
#define STRIPE 64
#define CONTEXTS 3
#define BATCH 16
#define FILES 2

struct slot {
	struct iocb iocb;
	char *memory;
	uint64_t content;
	int file, context;
	long page;
	int writes, is_poll;
	/* Given from the submitter to whoever reaps it, and back. */
	atomic_int busy;
};

struct worker {
	uint64_t random;
	int number;
	struct slot slots[SLOTS];
	unsigned char generation[FILES][STRIPE];
};

/* Many use a context at once; who ends it has it alone. */
struct shared {
	pthread_rwlock_t lock;
	const struct aio_way *way;
	io_context_t handle;
};

static struct worker workers[THREADS];
static struct shared contexts[CONTEXTS];
static int files[FILES];
static int idle_pipe[2];
static atomic_long wrong, submitted, ended;
static long rounds = 900;

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			observe("WRONG line %d: %s", __LINE__, #condition);                        \
			atomic_fetch_add(&wrong, 1);                                               \
		}                                                                                  \
	} while (0)

static uint64_t next(struct worker *worker, uint64_t below)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (worker->random >> 11) % below;
}

static uint64_t content(const struct worker *worker, int file, long page)
{
	return (((uint64_t)worker->number * FILES + (uint64_t)file) * STRIPE + (uint64_t)page) *
		       256 +
	       worker->generation[file][page];
}

static int is_busy(struct slot *slot)
{
	return atomic_load_explicit(&slot->busy, memory_order_acquire);
}

static void set_free(struct slot *slot)
{
	EXPECT(atomic_exchange_explicit(&slot->busy, 0, memory_order_acq_rel) == 1);
	atomic_fetch_add(&ended, 1);
}

/* An event of any thread's: what it says, and what is in the memory, must be right. */
static void finish(const struct io_event *event, int context)
{
	struct slot *slot = (struct slot *)event->obj;

	EXPECT(is_busy(slot) && event->data == (void *)slot && event->res2 == 0);
	EXPECT(slot->context == context);
	if (slot->is_poll)
		EXPECT(event->res == 0);
	else
		EXPECT((long)event->res == PAGE &&
		       pattern_matches(slot->memory, PAGE, slot->content, 0) == PAGE);
	set_free(slot);
}

/* A page of the stripe that no request under way touches, if chance finds one. */
static int prepare(struct worker *worker, struct slot *slot, int context)
{
	int file = (int)next(worker, FILES);
	long page = (long)next(worker, STRIPE);

	for (int index = 0; index < SLOTS; index++) {
		struct slot *other = &worker->slots[index];

		if (is_busy(other) && !other->is_poll && other->page == page && other->file == file)
			return 0;
	}
	slot->context = context;
	slot->file = file;
	slot->page = page;
	slot->is_poll = 0;
	slot->writes = next(worker, 3) == 0;
	if (slot->writes)
		worker->generation[file][page]++;
	slot->content = content(worker, file, page);
	if (slot->writes)
		pattern_fill(slot->memory, PAGE, slot->content, 0);
	else
		memset(slot->memory, 0, PAGE);
	aio_prepare(&slot->iocb, slot->writes ? IO_CMD_PWRITE : IO_CMD_PREAD, files[file],
		    slot->memory, PAGE, ((long)worker->number * STRIPE + page) * PAGE);
	return 1;
}

static void hand_over(struct slot *slot)
{
	slot->iocb.data = slot;
	atomic_fetch_add(&submitted, 1);
	EXPECT(atomic_exchange_explicit(&slot->busy, 1, memory_order_acq_rel) == 0);
}

static void submit(struct worker *worker, int context)
{
	struct shared *shared = &contexts[context];
	struct iocb *list[BATCH];
	long most = 1 + (long)next(worker, BATCH), count = 0, done = 0;

	for (int index = 0; index < SLOTS && count < most; index++) {
		struct slot *slot = &worker->slots[index];

		if (is_busy(slot) || !prepare(worker, slot, context))
			continue;
		hand_over(slot);
		list[count++] = &slot->iocb;
	}
	while (done < count) {
		int taken = shared->way->submit(shared->handle, count - done, list + done);

		/* There is room for all slots of all workers. */
		if (taken <= 0) {
			errno = -taken;
			give_up("io_submit", __LINE__);
		}
		done += taken;
	}
}

static int reap(int context, long least, long milliseconds)
{
	struct shared *shared = &contexts[context];
	struct timespec time = {0, milliseconds * 1000000L};
	struct io_event events[BATCH];
	int got = shared->way->getevents(shared->handle, least, BATCH, events, &time);

	EXPECT(got >= 0 && got <= BATCH);
	for (int index = 0; index < got; index++)
		finish(&events[index], context);
	return got;
}

/* A poll that nothing ends but its cancelling. */
static void cancel(struct worker *worker, int context)
{
	struct shared *shared = &contexts[context];
	struct io_event unused;
	struct iocb *list[1];
	int index = 0;

	while (index < SLOTS && is_busy(&worker->slots[index]))
		index++;
	if (index == SLOTS)
		return;
	worker->slots[index].context = context;
	worker->slots[index].is_poll = 1;
	list[0] = &worker->slots[index].iocb;
	aio_prepare(list[0], IO_CMD_POLL, idle_pipe[0], NULL, 0, 0);
	list[0]->u.poll.events = POLLIN;
	hand_over(&worker->slots[index]);
	EXPECT(shared->way->submit(shared->handle, 1, list) == 1);
	EXPECT(shared->way->cancel(shared->handle, list[0], &unused) == -EINPROGRESS);
}

/* Ends a context with requests under way: then they are over, and nobody sees their events. */
static void replace(struct worker *worker, int context)
{
	struct shared *shared = &contexts[context];

	NEED(pthread_rwlock_wrlock(&shared->lock) == 0);
	EXPECT(shared->way->destroy(shared->handle) == 0);
	/* Not twice: another thread's new context may be at the same address by now. */
	for (int number = 0; number < THREADS; number++) {
		for (int index = 0; index < SLOTS; index++) {
			struct slot *slot = &workers[number].slots[index];

			if (!is_busy(slot) || slot->context != context)
				continue;
			if (!slot->is_poll)
				EXPECT(pattern_matches(slot->memory, PAGE, slot->content, 0) ==
				       PAGE);
			set_free(slot);
		}
	}
	shared->way = &aio_ways[next(worker, AIO_WAYS)];
	shared->handle = aio_begin(shared->way, THREADS * SLOTS);
	NEED(pthread_rwlock_unlock(&shared->lock) == 0);
}

/* In the child the parent's context is none, and one of its own works. */
static void fork_one(struct worker *worker, int context)
{
	const struct aio_way *way = &aio_ways[next(worker, AIO_WAYS)];
	io_context_t handle = contexts[context].handle, own = NULL;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		static char page[PAGE] __attribute__((aligned(PAGE)));
		struct iocb request, *list[1] = {&request};
		struct io_event event;

		aio_prepare(&request, IO_CMD_PREAD, files[0], page, PAGE, 0);
		if (way->submit(handle, 1, list) != -EINVAL || way->destroy(handle) != -EINVAL)
			_exit(1);
		if (way->setup(4, &own) != 0)
			_exit(2);
		for (int round = 0; round < 8; round++)
			if (way->submit(own, 1, list) != 1 ||
			    way->getevents(own, 1, 1, &event, NULL) != 1 || (long)event.res != PAGE)
				_exit(3);
		/* Half of them end with a request under way. */
		if (worker->random % 2 && way->submit(own, 1, list) != 1)
			_exit(4);
		_exit(0);
	}
	NEED(pid > 0);
	while (waitpid(pid, &status, 0) == -1)
		NEED(errno == EINTR);
	if (status != 0)
		observe("child: status %x", (unsigned)status);
	EXPECT(status == 0);
}

static void one_step(struct worker *worker)
{
	int context = (int)next(worker, CONTEXTS);
	uint64_t kind = next(worker, 400);

	if (kind < 2) {
		replace(worker, context);
		return;
	}
	NEED(pthread_rwlock_rdlock(&contexts[context].lock) == 0);
	if (kind < 5)
		fork_one(worker, context);
	else if (kind < 20)
		cancel(worker, context);
	else if (kind < 200)
		submit(worker, context);
	else
		reap(context, (long)next(worker, 5), (long)next(worker, 3));
	NEED(pthread_rwlock_unlock(&contexts[context].lock) == 0);
}

static void *work(void *argument)
{
	for (long round = 0; round < rounds / SHIFTS; round++)
		one_step(argument);
	return NULL;
}

static void begin(uint64_t seed)
{
	pthread_rwlockattr_t kind;

	/* Who wants to end a context comes before those who want to use it. */
	NEED(pthread_rwlockattr_init(&kind) == 0);
	NEED(pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ==
	     0);
	NEED(pipe(idle_pipe) == 0);
	files[0] = open("direct", O_CREAT | O_RDWR | O_DIRECT, 0644);
	files[1] = open("buffered", O_CREAT | O_RDWR, 0644);
	for (int index = 0; index < CONTEXTS; index++) {
		contexts[index].way = &aio_ways[index % AIO_WAYS];
		contexts[index].handle = aio_begin(contexts[index].way, THREADS * SLOTS);
		NEED(pthread_rwlock_init(&contexts[index].lock, &kind) == 0);
	}
	for (int number = 0; number < THREADS; number++) {
		struct worker *worker = &workers[number];
		char *memory = pages(SLOTS * PAGE);

		worker->number = number;
		worker->random = seed * 0x9e3779b97f4a7c15ULL + (uint64_t)number + 1;
		for (int index = 0; index < SLOTS; index++)
			worker->slots[index].memory = memory + index * PAGE;
		for (int page = 0; page < FILES * STRIPE; page++) {
			int file = page / STRIPE, at = page % STRIPE;

			pattern_fill(memory, PAGE, content(worker, file, at), 0);
			NEED(pwrite(files[file], memory, PAGE,
				    ((long)number * STRIPE + at) * PAGE) == PAGE);
		}
	}
	NEED(fsync(files[0]) == 0 && fsync(files[1]) == 0);
}

/* Everything that is still under way, then every page of both files. */
static void end(void)
{
	char *page = pages(PAGE);
	int bad = 0;

	for (int context = 0; context < CONTEXTS; context++) {
		for (int idle = 0; atomic_load(&submitted) != atomic_load(&ended) && idle < 200;)
			idle = reap(context, 1, 10) > 0 ? 0 : idle + 1;
		aio_end(contexts[context].way, contexts[context].handle);
	}
	EXPECT(atomic_load(&submitted) == atomic_load(&ended));
	for (int number = 0; number < THREADS; number++) {
		for (int at = 0; at < FILES * STRIPE; at++) {
			struct worker *worker = &workers[number];
			long place = ((long)number * STRIPE + at % STRIPE) * PAGE;

			NEED(pread(files[at / STRIPE], page, PAGE, place) == PAGE);
			bad += pattern_matches(page, PAGE,
					       content(worker, at / STRIPE, at % STRIPE),
					       0) != PAGE;
		}
	}
	EXPECT(bad == 0);
}

int main(int count, char **arguments)
{
	pthread_t threads[THREADS];
	uint64_t seed = 1;

	observe_begin(count, arguments);
	require_direct();
	if (count > 2)
		rounds = atol(arguments[2]);
	if (count > 3)
		seed = strtoull(arguments[3], NULL, 10);
	observe("%ld rounds, seed %llu", rounds, (unsigned long long)seed);
	begin(seed);
	/* A thread leaves with requests under way, another takes its place. */
	for (int shift = 0; shift < SHIFTS; shift++) {
		for (int index = 0; index < THREADS; index++)
			NEED(pthread_create(&threads[index], NULL, work, &workers[index]) == 0);
		for (int index = 0; index < THREADS; index++)
			NEED(pthread_join(threads[index], NULL) == 0);
	}
	end();
	observe("%ld wrong", atomic_load(&wrong));
	unlink("direct");
	unlink("buffered");
	return atomic_load(&wrong) != 0;
}
