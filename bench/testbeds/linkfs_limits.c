/*
 * linkfs, what makes a link slow: its rate, latency, operations a second, a rate shared with
 * other links, stalls, and errors.
 *
 * A transfer occupies the link for bytes/rate after the one before it, in the order of
 * arrival; latency is added after that, to all requests at once. Every request gets the
 * time when it is due on arrival and waits in a heap. The link has a clock of its own that
 * stands still during a stall: afterwards everything goes on at the rate it had.
 */
#include "linkfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* An idle link may be behind by this much: the lateness of a timer costs no bandwidth. */
#define CREDIT_NS 1000000ull
#define SLOTS_MAX 65536

/* Of all links over one bottleneck, in a file that they map. */
struct bottleneck {
	_Atomic uint64_t bytes_per_second; /* 0: there is none */
	_Atomic uint64_t free_ns;          /* of the real clock */
};

/* Guarded by lock, but for the failures. */
static struct link {
	uint64_t bytes_per_second;      /* 0: unlimited */
	uint64_t operations_per_second; /* 0: unlimited */
	uint64_t latency_ns;
	uint64_t free_ns;           /* when the link has carried all that arrived */
	uint64_t free_operation_ns; /* the same, of operations */
	bool stalled;
	uint64_t stall_start_ns; /* real clock */
	uint64_t stalled_ns;     /* all stalls that ended */
	uint64_t arrivals;
} link_state;

static struct failure {
	_Atomic int error; /* negative; 0: none */
	_Atomic uint32_t every;
	_Atomic uint32_t counter;
} failures[FAIL_KINDS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t first_is_due; /* one thread waits for the first request's time */
static pthread_cond_t leader_is_wanted = PTHREAD_COND_INITIALIZER;
static bool has_leader;
static struct request *heap[SLOTS_MAX];
static size_t heap_count;
static struct bottleneck *bottleneck;

static uint64_t real_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static uint64_t link_now(void)
{
	return (link_state.stalled ? link_state.stall_start_ns : real_now()) -
	       link_state.stalled_ns;
}

bool limits_start(const char *shared_file)
{
	int descriptor = open(shared_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	pthread_condattr_t attributes;

	if (descriptor < 0 || ftruncate(descriptor, sizeof(*bottleneck)) < 0)
		return false;
	bottleneck = mmap(NULL, sizeof(*bottleneck), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor,
			  0);
	close(descriptor);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&first_is_due, &attributes);
	return bottleneck != MAP_FAILED;
}

/* ---- the heap: the request that is due first ----------------------------------- */

static bool is_before(const struct request *one, const struct request *other)
{
	return one->due_ns != other->due_ns ? one->due_ns < other->due_ns
					    : one->sequence < other->sequence;
}

static void sift_up(size_t index)
{
	struct request *moved = heap[index];

	while (index > 0 && is_before(moved, heap[(index - 1) / 2])) {
		heap[index] = heap[(index - 1) / 2];
		index = (index - 1) / 2;
	}
	heap[index] = moved;
}

static void sift_down(size_t index)
{
	struct request *moved = heap[index];

	for (;;) {
		size_t child = 2 * index + 1;

		if (child + 1 < heap_count && is_before(heap[child + 1], heap[child]))
			child++;
		if (child >= heap_count || !is_before(heap[child], moved))
			break;
		heap[index] = heap[child];
		index = child;
	}
	heap[index] = moved;
}

static struct request *pop_first(void)
{
	struct request *first = heap[0];

	heap[0] = heap[--heap_count];
	if (heap_count)
		sift_down(0);
	return first;
}

/* ---- when a request is due ------------------------------------------------------- */

static uint64_t transfer_bytes(struct request *request)
{
	switch (header_of(request)->opcode) {
	case FUSE_READ:
		return ((const struct fuse_read_in *)body_of(request))->size;
	case FUSE_WRITE:
		return ((const struct fuse_write_in *)body_of(request))->size;
	default:
		return 0;
	}
}

static uint64_t later(uint64_t one, uint64_t other)
{
	return one > other ? one : other;
}

/* The end of something that takes so long on a way that serves one after another. */
static uint64_t occupy(uint64_t *free_ns, uint64_t now_ns, uint64_t taken_ns)
{
	*free_ns = later(*free_ns, now_ns - CREDIT_NS) + taken_ns;
	return *free_ns;
}

/* In the clock of the link. The links agree on an order by the exchange alone: what is due
 * is a time, and no other memory depends on it. */
static uint64_t occupy_bottleneck(uint64_t bytes)
{
	uint64_t rate = atomic_load_explicit(&bottleneck->bytes_per_second, memory_order_relaxed);
	uint64_t now = real_now(), seen, end;

	if (!rate)
		return 0;
	seen = atomic_load_explicit(&bottleneck->free_ns, memory_order_relaxed);
	do {
		end = seen;
		occupy(&end, now, bytes * NANOSECONDS / rate);
	} while (!atomic_compare_exchange_weak_explicit(
		&bottleneck->free_ns, &seen, end, memory_order_relaxed, memory_order_relaxed));
	return end - link_state.stalled_ns;
}

static void give_times(struct request *request, uint64_t now)
{
	uint64_t bytes = transfer_bytes(request);

	request->sequence = link_state.arrivals++;
	request->link_end_ns = now;
	request->other_end_ns = now;
	if (bytes) {
		if (link_state.bytes_per_second)
			request->link_end_ns = occupy(&link_state.free_ns, now,
						      bytes * NANOSECONDS /
							      link_state.bytes_per_second);
		if (link_state.operations_per_second)
			request->other_end_ns = occupy(&link_state.free_operation_ns, now,
						       NANOSECONDS /
							       link_state.operations_per_second);
		request->other_end_ns = later(request->other_end_ns, occupy_bottleneck(bytes));
	}
	request->due_ns = later(later(request->link_end_ns, request->other_end_ns), now) +
			  link_state.latency_ns;
}

static void wake_for_first(void)
{
	pthread_cond_signal(has_leader ? &first_is_due : &leader_is_wanted);
}

bool must_wait(struct request *request)
{
	uint64_t now;
	bool waits;

	pthread_mutex_lock(&lock);
	now = link_now();
	give_times(request, now);
	waits = (link_state.stalled || request->due_ns > now) && heap_count < SLOTS_MAX;
	if (waits) {
		heap[heap_count++] = request;
		sift_up(heap_count - 1);
		if (heap[0] == request)
			wake_for_first();
	}
	pthread_mutex_unlock(&lock);
	return waits;
}

/* ---- what waits ------------------------------------------------------------------- */

/* Called and returns with the lock held. */
static void wait_for_first(void)
{
	uint64_t due = heap[0]->due_ns + link_state.stalled_ns;
	struct timespec until = {.tv_sec = (time_t)(due / NANOSECONDS),
				 .tv_nsec = (long)(due % NANOSECONDS)};

	has_leader = true;
	if (link_state.stalled)
		pthread_cond_wait(&first_is_due, &lock);
	else
		pthread_cond_timedwait(&first_is_due, &lock, &until);
	has_leader = false;
}

/* One thread waits for the first request to be due, the others for becoming that thread. */
void serve_queue(void)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		struct request *request;

		if (heap_count == 0 || has_leader) {
			pthread_cond_wait(&leader_is_wanted, &lock);
			continue;
		}
		if (link_state.stalled || heap[0]->due_ns > link_now()) {
			wait_for_first();
			continue;
		}
		request = pop_first();
		if (heap_count)
			pthread_cond_signal(&leader_is_wanted);
		pthread_mutex_unlock(&lock);
		serve(request);
		return_request(request);
		pthread_mutex_lock(&lock);
	}
}

/* ---- settings --------------------------------------------------------------------- */

/* What is on its way goes on at the new rate, from now. */
void set_rate(uint64_t bytes_per_second)
{
	uint64_t now, old;

	pthread_mutex_lock(&lock);
	now = link_now();
	old = link_state.bytes_per_second;
	link_state.bytes_per_second = bytes_per_second;
	for (size_t index = 0; index < heap_count; index++) {
		struct request *request = heap[index];

		if (request->link_end_ns <= now)
			continue;
		request->link_end_ns =
			!bytes_per_second
				? now
				: now + (uint64_t)((double)(request->link_end_ns - now) *
						   (double)old / (double)bytes_per_second);
		request->due_ns = later(request->link_end_ns, request->other_end_ns) +
				  link_state.latency_ns;
	}
	if (link_state.free_ns > now)
		link_state.free_ns = !bytes_per_second
					     ? now
					     : now + (uint64_t)((double)(link_state.free_ns - now) *
								(double)old /
								(double)bytes_per_second);
	for (size_t index = heap_count / 2; index-- > 0;)
		sift_down(index);
	wake_for_first();
	pthread_mutex_unlock(&lock);
}

void set_shared_rate(uint64_t bytes_per_second)
{
	atomic_store_explicit(&bottleneck->bytes_per_second, bytes_per_second,
			      memory_order_relaxed);
}

void set_latency(uint64_t nanoseconds)
{
	pthread_mutex_lock(&lock);
	link_state.latency_ns = nanoseconds;
	pthread_mutex_unlock(&lock);
}

void set_operations(uint64_t per_second)
{
	pthread_mutex_lock(&lock);
	link_state.operations_per_second = per_second;
	pthread_mutex_unlock(&lock);
}

void set_stall(bool stalled)
{
	pthread_mutex_lock(&lock);
	if (stalled && !link_state.stalled) {
		link_state.stall_start_ns = real_now();
	} else if (!stalled && link_state.stalled) {
		link_state.stalled_ns += real_now() - link_state.stall_start_ns;
	}
	link_state.stalled = stalled;
	wake_for_first();
	pthread_mutex_unlock(&lock);
}

/* The error is 0 or a negative number of errno. */
void set_failing(enum failing kind, int error, uint32_t every)
{
	struct failure *failure = &failures[kind];

	atomic_store(&failure->error, 0);
	atomic_store(&failure->every, every);
	atomic_store(&failure->counter, 0);
	atomic_store(&failure->error, error);
}

/* What the next request of a kind fails with, negative; 0 when it does not. */
int next_failure(enum failing kind)
{
	struct failure *failure = &failures[kind];
	int error = atomic_load(&failure->error);

	if (!error || (atomic_fetch_add(&failure->counter, 1) + 1) % atomic_load(&failure->every))
		return 0;
	count(COUNT_ERRORS, 1);
	return error;
}

size_t describe_limits(char *text, size_t bytes)
{
	int length;

	pthread_mutex_lock(&lock);
	length = snprintf(
		text, bytes, "rate=%g\nlatency-us=%g\niops=%llu\nstall=%s\nshared=%g\nqueued=%zu\n",
		(double)link_state.bytes_per_second / (1 << 20),
		(double)link_state.latency_ns / MICROSECOND,
		(unsigned long long)link_state.operations_per_second,
		link_state.stalled ? "on" : "off",
		(double)atomic_load(&bottleneck->bytes_per_second) / (1 << 20), heap_count);
	pthread_mutex_unlock(&lock);
	return (size_t)length;
}
