/* differential: threads that submit, suspend, cancel, fork and close POSIX AIO at random; direct */
#include "posix_aio.h"

/*
 * Arguments after the directory: rounds of each thread (60), then the seed (1). What is printed
 * does not depend on what happened to be cancelled or closed in time. Built with a sanitizer, the
 * sanitizer's library goes before the preloaded one; the thread sanitizer cannot stand the C
 * library's helper threads, so under it the run must be on a ring.
 */
#define THREADS 5
#define SLOTS 24
#define SLOT_BYTES 4096
#define REGION ((off_t)SLOTS * SLOT_BYTES)

enum slot_state { FREE, READING, WRITING, WAITING };

struct slot {
	struct aiocb request;
	enum slot_state state;
	uint64_t seed;  /* what the request writes */
	uint64_t there; /* what the file holds, when known */
	int known;
	char *block;
};

struct worker {
	pthread_t thread;
	int number;
	int rounds;
	uint64_t random;
	int fd;     /* of this thread alone, and so is the file: requests come and go with it */
	int shared; /* one descriptor of one file for all, each in a region of its own */
	int pipe[2];
	long wrong;
	struct slot slots[SLOTS];
	struct aiocb waiting;
	char waiting_bytes[16];
};

static int ring;  /* whether requests are sure to be served by one */
static long told; /* by notification threads */

static uint64_t next_random(struct worker *worker)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return worker->random;
}

static int chance(struct worker *worker, unsigned int one_in)
{
	return next_random(worker) % one_in == 0;
}

/* The first failure says what it was; the run fails at its end. */
static void expect(struct worker *worker, int right, const char *what, long long seen)
{
	if (!right && worker->wrong++ == 0)
		observe("thread %d: %s: %lld", worker->number, what, seen);
}

static void count_told(union sigval value)
{
	__atomic_add_fetch((long *)value.sival_ptr, 1, __ATOMIC_SEQ_CST);
}

static off_t place(const struct worker *worker, int index)
{
	return worker->number * REGION + (off_t)index * SLOT_BYTES;
}

/* Even slots belong to the descriptor of the thread, odd ones to the one that all share. */
static int descriptor(const struct worker *worker, int index)
{
	return index & 1 ? worker->shared : worker->fd;
}

static void settle(struct worker *worker, int index)
{
	struct slot *slot = &worker->slots[index];
	int error = aio_error(&slot->request);
	ssize_t result = aio_return(&slot->request);

	expect(worker, error == 0 || error == ECANCELED || error == EBADF, "error", error);
	expect(worker, result == (error ? -1 : SLOT_BYTES), "result", result);
	if (slot->state == WRITING) {
		/* One that was refused before it began left the file as it was. */
		if (error == 0) {
			slot->there = slot->seed;
			slot->known = 1;
		}
	} else if (error == 0 && slot->known) {
		size_t good = pattern_matches(slot->block, SLOT_BYTES, slot->there,
					      (uint64_t)place(worker, index));

		expect(worker, good == SLOT_BYTES, "content", (long long)good);
	}
	memset(&slot->request, 0xa5, sizeof(slot->request));
	slot->state = FREE;
}

static void submit(struct worker *worker, int index)
{
	struct slot *slot = &worker->slots[index];
	struct aiocb *request = &slot->request;
	struct aiocb *list[2] = {NULL, request};
	int writing = chance(worker, 2);

	aio_prepare(request, descriptor(worker, index), slot->block, SLOT_BYTES,
		    place(worker, index));
	slot->state = writing ? WRITING : READING;
	if (writing) {
		slot->seed = next_random(worker);
		pattern_fill(slot->block, SLOT_BYTES, slot->seed, (uint64_t)place(worker, index));
	} else {
		memset(slot->block, 0, SLOT_BYTES);
	}
	if (chance(worker, 16)) {
		request->aio_sigevent.sigev_notify = SIGEV_THREAD;
		request->aio_sigevent.sigev_notify_function = count_told;
		request->aio_sigevent.sigev_value.sival_ptr = &told;
	} else if (chance(worker, 8)) {
		request->aio_sigevent.sigev_notify = SIGEV_SIGNAL;
		request->aio_sigevent.sigev_signo = SIGRTMIN;
	}
	if (chance(worker, 6)) {
		request->aio_lio_opcode = writing ? LIO_WRITE : LIO_READ;
		if (chance(worker, 2))
			expect(worker, lio_listio(LIO_NOWAIT, list, 2, NULL) == 0, "list", errno);
		else
			lio_listio(LIO_WAIT, list, 2, NULL);
	} else if (writing) {
		expect(worker, aio_write(request) == 0, "aio_write", errno);
	} else {
		expect(worker, aio_read(request) == 0, "aio_read", errno);
	}
}

static void reap(struct worker *worker)
{
	for (int index = 0; index < SLOTS; index++)
		if (worker->slots[index].state != FREE &&
		    aio_error(&worker->slots[index].request) != EINPROGRESS)
			settle(worker, index);
}

static void suspend(struct worker *worker)
{
	const struct timespec span = {0, 2000000};
	const struct aiocb *list[SLOTS];
	int count = 0;

	for (int index = 0; index < SLOTS; index++)
		if (worker->slots[index].state != FREE)
			list[count++] = &worker->slots[index].request;
	if (aio_suspend(list, count, chance(worker, 2) ? &span : NULL) != 0)
		expect(worker, errno == EAGAIN || errno == EINTR, "aio_suspend", errno);
	reap(worker);
}

static void drain(struct worker *worker)
{
	for (int index = 0; index < SLOTS; index++) {
		if (worker->slots[index].state == FREE)
			continue;
		aio_wait(&worker->slots[index].request);
		settle(worker, index);
	}
}

/*
 * The C library forgets what is queued behind a single request that is cancelled before it is
 * taken up, so without a ring it is all of a descriptor or nothing.
 */
static void cancel(struct worker *worker)
{
	int index = (int)(next_random(worker) % SLOTS);
	struct slot *slot = &worker->slots[index];
	int answer;

	if (chance(worker, 3) || !ring) {
		answer = aio_cancel(worker->fd, NULL);
	} else if (slot->state != FREE) {
		answer = aio_cancel(descriptor(worker, index), &slot->request);
		if (answer == AIO_CANCELED)
			expect(worker, aio_error(&slot->request) == ECANCELED, "cancelled",
			       aio_error(&slot->request));
		if (answer == AIO_ALLDONE)
			expect(worker, aio_error(&slot->request) != EINPROGRESS, "all done", 0);
	} else {
		return;
	}
	expect(worker, answer == AIO_CANCELED || answer == AIO_NOTCANCELED || answer == AIO_ALLDONE,
	       "aio_cancel", answer);
}

static void sync_both(struct worker *worker)
{
	struct aiocb sync;

	for (int shared = 0; shared < 2; shared++) {
		aio_prepare(&sync, shared ? worker->shared : worker->fd, NULL, 0, 0);
		expect(worker, aio_fsync(shared ? O_SYNC : O_DSYNC, &sync) == 0, "aio_fsync",
		       errno);
		expect(worker, aio_wait(&sync) == 0, "sync", aio_error(&sync));
	}
}

/* A child that looks at copies of requests and goes; nothing it does may reach the parent's. */
static void fork_one(struct worker *worker)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(7);
	expect(worker, child > 0, "fork", errno);
	while (child > 0 && waitpid(child, &status, 0) != child)
		expect(worker, errno == EINTR, "waitpid", errno);
	expect(worker, status == 7 << 8, "child", status);
}

static void open_own(struct worker *worker)
{
	char path[32];

	snprintf(path, sizeof(path), "stress%d", worker->number);
	worker->fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | (chance(worker, 2) ? O_DIRECT : 0),
			  0644);
	NEED(worker->fd >= 0);
}

/*
 * Closed under its requests, which end one way or another before it is opened again: the number
 * may be another thread's by then, so only a ring is asked to survive that.
 */
static void close_own(struct worker *worker)
{
	if (!ring)
		drain(worker);
	NEED(close(worker->fd) == 0);
	drain(worker);
	open_own(worker);
}

static void blocked_read(struct worker *worker)
{
	if (aio_error(&worker->waiting) != EINPROGRESS) {
		memset(worker->waiting_bytes, 0, sizeof(worker->waiting_bytes));
		aio_prepare(&worker->waiting, worker->pipe[0], worker->waiting_bytes, 8, 0);
		expect(worker, aio_read(&worker->waiting) == 0, "pipe", errno);
	}
	if (chance(worker, 2)) {
		NEED(write(worker->pipe[1], "eightby", 8) == 8);
		expect(worker, aio_wait(&worker->waiting) == 0, "pipe", 0);
		expect(worker, aio_return(&worker->waiting) == 8, "pipe",
		       aio_return(&worker->waiting));
		expect(worker, memcmp(worker->waiting_bytes, "eightby", 8) == 0, "pipe", 0);
	}
}

static void one_step(struct worker *worker)
{
	int index = (int)(next_random(worker) % SLOTS);

	switch (next_random(worker) % 64) {
	case 0:
		fork_one(worker);
		break;
	case 1:
		close_own(worker);
		break;
	case 2:
		sync_both(worker);
		break;
	case 3:
	case 4:
		blocked_read(worker);
		break;
	case 5 ... 9:
		cancel(worker);
		break;
	case 10 ... 17:
		suspend(worker);
		break;
	case 18 ... 20:
		reap(worker);
		break;
	default:
		if (worker->slots[index].state == FREE)
			submit(worker, index);
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	NEED(pipe2(worker->pipe, O_CLOEXEC) == 0);
	aio_prepare(&worker->waiting, -1, NULL, 0, 0);
	for (int index = 0; index < SLOTS; index++)
		worker->slots[index].block = pages(SLOT_BYTES);
	open_own(worker);
	NEED(ftruncate(worker->fd, THREADS * REGION) == 0);
	for (int round = 0; round < worker->rounds; round++) {
		for (int step = 0; step < 64; step++)
			one_step(worker);
		if (chance(worker, 4))
			drain(worker);
	}
	drain(worker);
	if (aio_error(&worker->waiting) == EINPROGRESS)
		NEED(write(worker->pipe[1], "eightby", 8) == 8);
	aio_wait(&worker->waiting);
	for (int index = 0; index < SLOTS; index++) {
		struct slot *slot = &worker->slots[index];

		if (!slot->known)
			continue;
		NEED(pread(descriptor(worker, index), slot->block, SLOT_BYTES,
			   place(worker, index)) == SLOT_BYTES);
		expect(worker,
		       pattern_matches(slot->block, SLOT_BYTES, slot->there,
				       (uint64_t)place(worker, index)) == SLOT_BYTES,
		       "file", index);
	}
	return NULL;
}

int main(int count, char **arguments)
{
	static struct worker workers[THREADS];
	uint64_t seed = count > 3 ? strtoull(arguments[3], NULL, 0) : 1;
	int rounds = count > 2 ? atoi(arguments[2]) : 60;
	long wrong = 0;
	int shared;

	observe_begin(count, arguments);
	require_direct();
	ring = aio_ring_expected();
	handle_signal(SIGRTMIN, SIG_IGN, 0);
	observe("seed %llu, %d rounds", (unsigned long long)seed, rounds);
	shared = open("shared", O_CREAT | O_RDWR | O_CLOEXEC | O_DIRECT, 0644);
	NEED(shared >= 0 && ftruncate(shared, THREADS * REGION) == 0);
	for (int number = 0; number < THREADS; number++) {
		struct worker *worker = &workers[number];

		worker->number = number;
		worker->rounds = rounds;
		worker->random = (seed * THREADS + (uint64_t)number + 1) * 0x9e3779b97f4a7c15ULL;
		worker->shared = shared;
		NEED(pthread_create(&worker->thread, NULL, work, worker) == 0);
	}
	for (int number = 0; number < THREADS; number++) {
		char path[32];

		NEED(pthread_join(workers[number].thread, NULL) == 0);
		wrong += workers[number].wrong;
		snprintf(path, sizeof(path), "stress%d", number);
		unlink(path);
	}
	unlink("shared");
	observe("wrong %ld", wrong);
	return wrong != 0;
}
