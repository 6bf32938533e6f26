/*
 * A lane: takes requests from its queue in their order, each when its time has come, what it
 * depends on is complete and its depth allows, and hands them to the engine.
 *
 * Nothing here allocates, but for verification.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "replay.h"

#define TENTH_NS 100000000u

/* What the head of the queue waits for. */
enum obstacle {
	NONE,
	EMPTY, /* a request from the reader */
	TIME,
	OTHERS, /* another request, perhaps of another lane */
	OWN     /* one of this lane */
};

static void sleep_for_reader(struct lane *lane)
{
	uint32_t tail = load_acquire(&lane->tail);

	store_relaxed(&lane->is_sleeping, 1);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load_acquire(&lane->tail) == lane->head && !load_acquire(&lane->session->is_closed) &&
	    !iotrap_replay_is_stopped(lane->session))
		iotrap_replay_futex_wait(&lane->tail, tail, TENTH_NS);
	store_relaxed(&lane->is_sleeping, 0);
}

/*
 * Whether a write and all writes of its file before it are complete. Goes back along them once,
 * however often it is asked.
 */
static bool are_writes_done(struct lane *lane, const struct queued *head)
{
	struct iotrap_replay *session = lane->session;
	uint64_t at = lane->walk ? lane->walk - 1 : head->sequence - head->request.after_write;

	for (;;) {
		uint32_t before;

		lane->walk = at + 1;
		if (at < load_acquire(&session->base))
			return true;
		if (!iotrap_replay_is_done(session, at))
			return false;
		before = load_relaxed(&session->write_before[at % IOTRAP_REPLAY_WINDOW]);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* The entry may be that of a later request, but only once the base has passed. */
		if (at < load_acquire(&session->base) || before == 0 || before > at)
			return true;
		at -= before;
	}
}

static bool is_dependency_done(const struct lane *lane, const struct queued *head,
			       uint32_t distance)
{
	if (distance == 0 || distance >= IOTRAP_REPLAY_WINDOW || distance > head->sequence)
		return true;
	return iotrap_replay_is_done(lane->session, head->sequence - distance);
}

static bool are_dependencies_done(struct lane *lane, const struct queued *head)
{
	const struct iotrap_replay_request *request = &head->request;

	if (!is_dependency_done(lane, head, request->after) ||
	    !is_dependency_done(lane, head, request->after2))
		return false;
	return request->after_write == 0 || request->after_write > head->sequence ||
	       are_writes_done(lane, head);
}

static enum obstacle obstacle_of(struct lane *lane, const struct queued *head)
{
	const struct iotrap_replay_request *request = &head->request;
	struct iotrap_replay *session = lane->session;

	if (request->due_ns > 0 && lane->now < session->start_ns + request->due_ns) {
		lane->now = clock_ns();
		if (lane->now < session->start_ns + request->due_ns)
			return TIME;
	}
	if (!lane->free)
		return OWN;
	if (!are_dependencies_done(lane, head))
		return OTHERS;
	if (request->depth > 0 && session->source_in_flight[request->source] >= request->depth)
		return OWN;
	return NONE;
}

static void note_start(struct lane *lane, const struct iotrap_replay_request *request)
{
	struct iotrap_replay_results *sums = &lane->statistics->sums;
	uint64_t due = lane->session->start_ns + request->due_ns;
	uint64_t late = lane->now > due ? lane->now - due : 0;

	if (request->due_ns == 0)
		return;
	/* A submitting call that blocks is the storage's doing, not the replayer's. */
	if (lane->is_held || due <= lane->submit_end_ns) {
		sums->held++;
		if (late > sums->held_ns_max)
			sums->held_ns_max = late;
		return;
	}
	sums->timed++;
	sums->drift_ns += late;
	if (late > sums->drift_ns_max)
		sums->drift_ns_max = late;
	lane->statistics->drift[iotrap_replay_bucket(late)]++;
}

static void pop(struct lane *lane)
{
	struct iotrap_replay *session = lane->session;

	/* Pairs with the reader's acquire: the entry may be overwritten. */
	store_release(&lane->head, lane->head + 1);
	lane->walk = 0;
	lane->is_held = false;
	if (load_relaxed(&lane->tail) - lane->head == QUEUE / 2) {
		__atomic_fetch_add(&session->reader_waits, 1, __ATOMIC_RELEASE);
		iotrap_replay_futex_wake(&session->reader_waits);
	}
}

static void count_completed(struct lane *lane)
{
	store_relaxed(&lane->completed, lane->completed + 1);
}

/* A commit holds nobody up: it is complete once what it depends on is. */
static bool defer(struct lane *lane, const struct queued *head)
{
	if (head->request.operation != IOTRAP_TRACE_OP_COMMIT || head->request.after_write > 0 ||
	    lane->deferred_count == DEFERRED_MAX)
		return false;
	lane->deferred[lane->deferred_count++] = *head;
	return true;
}

static void look_at_deferred(struct lane *lane)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < lane->deferred_count; i++) {
		const struct queued *entry = &lane->deferred[i];

		if (is_dependency_done(lane, entry, entry->request.after) &&
		    is_dependency_done(lane, entry, entry->request.after2)) {
			iotrap_replay_mark_done(lane->session, entry->sequence);
			count_completed(lane);
		} else {
			lane->deferred[kept++] = *entry;
		}
	}
	lane->deferred_count = kept;
}

int64_t iotrap_replay_run_plain(const struct slot *slot)
{
	const struct iotrap_replay_request *request = &slot->request;
	struct iovec vector = {slot->buffer, request->length};
	off_t offset = (off_t)request->offset, length = (off_t)request->length;
	int fd = slot->descriptor;
	ssize_t result = 0;

	switch (request->operation) {
	case IOTRAP_TRACE_OP_READ:
		result = request->flags ? preadv2(fd, &vector, 1, offset, (int)request->flags)
					: pread(fd, vector.iov_base, vector.iov_len, offset);
		break;
	case IOTRAP_TRACE_OP_WRITE:
		result = request->flags ? pwritev2(fd, &vector, 1, offset, (int)request->flags)
					: pwrite(fd, vector.iov_base, vector.iov_len, offset);
		break;
	case IOTRAP_TRACE_OP_FSYNC:
		result = fsync(fd);
		break;
	case IOTRAP_TRACE_OP_FDATASYNC:
		result = fdatasync(fd);
		break;
	case IOTRAP_TRACE_OP_SYNC_FILE_RANGE:
		result = sync_file_range(fd, offset, length, request->flags);
		break;
	case IOTRAP_TRACE_OP_SYNC:
		result = syncfs(fd);
		break;
	case IOTRAP_TRACE_OP_TRUNCATE:
		result = ftruncate(fd, offset);
		break;
	case IOTRAP_TRACE_OP_ALLOCATE:
		result = fallocate(fd, (int)request->flags, offset, length);
		break;
	case IOTRAP_TRACE_OP_DISCARD:
		result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
		break;
	default:
		return 0;
	}
	return result < 0 ? -errno : result;
}

static void give_back(struct lane *lane, struct slot *slot)
{
	slot->next = lane->free;
	lane->free = slot;
}

void iotrap_replay_complete(struct lane *lane, struct slot *slot, int64_t result, uint64_t now)
{
	const struct iotrap_replay_request *request = &slot->request;
	struct iotrap_replay_results *sums = &lane->statistics->sums;
	unsigned int number = iotrap_replay_class_of(request);
	struct iotrap_replay_class *class = &sums->classes[number];
	uint64_t latency = (now ? now : clock_ns()) - slot->submit_ns;

	/* Opens, closes and commits are no I/O here. */
	if (request->operation <= IOTRAP_TRACE_OP_DISCARD) {
		class->count++;
		class->latency_ns += latency;
		sums->flight_ns += latency;
		if (latency > class->latency_ns_max)
			class->latency_ns_max = latency;
		lane->statistics->buckets[number][iotrap_replay_bucket(latency)]++;
	}
	if (result < 0) {
		class->errors++;
		if (sums->first_error == 0) {
			sums->first_error = (int32_t)result;
			sums->first_error_file = request->file;
			sums->first_error_offset = request->offset;
		}
	} else if (moves_data(request)) {
		class->bytes += (uint64_t)result;
		class->shorts += result < request->length;
	}
	if (lane->session->options.verify_block)
		iotrap_replay_verify_end(lane, slot, result);
	lane->session->source_in_flight[request->source]--;
	lane->in_flight--;
	iotrap_replay_mark_done(lane->session, slot->sequence);
	count_completed(lane);
	give_back(lane, slot);
}

static void submit_pending(struct lane *lane)
{
	struct iotrap_replay_results *sums = &lane->statistics->sums;
	uint64_t before = clock_ns();
	int error;

	for (uint32_t i = 0; i < lane->pending_count; i++)
		lane->pending[i]->submit_ns = before;
	lane->now = before;
	error = lane->engine->submit(lane);
	lane->pending_count = 0;
	lane->now = clock_ns();
	lane->submit_end_ns = lane->now;
	sums->submit_ns += lane->now - before;
	sums->submissions++;
	if (error) {
		store_relaxed(&lane->session->failure, error);
		iotrap_replay_stop(lane->session);
	}
}

/* Takes the head of the queue into a slot; false when verification says to wait. */
static bool take(struct lane *lane, const struct queued *head)
{
	struct iotrap_replay *session = lane->session;
	struct slot *slot = lane->free;

	slot->request = head->request;
	slot->sequence = head->sequence;
	slot->descriptor = session->files[head->request.file].descriptor;
	if (!lane->engine->has_flags && moves_data(&slot->request))
		slot->request.flags = 0;
	if (session->options.verify_block) {
		if (!iotrap_replay_verify_begin(lane, slot))
			return false;
	} else {
		slot->buffer = slot->request.operation == IOTRAP_TRACE_OP_READ
				       ? session->read_buffer
				       : session->write_buffer;
	}
	lane->free = slot->next;
	lane->in_flight++;
	if (lane->in_flight > lane->statistics->sums.in_flight_max)
		lane->statistics->sums.in_flight_max = lane->in_flight;
	session->source_in_flight[slot->request.source]++;
	if (slot->request.operation <= IOTRAP_TRACE_OP_FDATASYNC) {
		lane->pending[lane->pending_count++] = slot;
	} else {
		slot->submit_ns = clock_ns();
		iotrap_replay_complete(lane, slot, iotrap_replay_run_plain(slot), 0);
	}
	return true;
}

/* Submits as much as may go. Returns what keeps the next request back. */
static enum obstacle advance(struct lane *lane)
{
	uint32_t tail = load_acquire(&lane->tail);

	while (lane->head != tail) {
		const struct queued *head = &lane->queue[lane->head % QUEUE];
		enum obstacle obstacle;

		if (lane->pending_count > 0 &&
		    (head->request.batch == 0 ||
		     head->request.batch != lane->pending[0]->request.batch))
			submit_pending(lane);
		if (iotrap_replay_is_stopped(lane->session))
			return EMPTY;
		obstacle = obstacle_of(lane, head);
		if (obstacle == OTHERS && defer(lane, head)) {
			pop(lane);
			continue;
		}
		if (obstacle == NONE) {
			note_start(lane, &head->request);
			if (!take(lane, head))
				obstacle = OTHERS;
		}
		if (obstacle != NONE) {
			lane->is_held |= obstacle != TIME;
			return obstacle;
		}
		pop(lane);
	}
	return EMPTY;
}

static void wait_idle(struct lane *lane, enum obstacle obstacle)
{
	struct iotrap_replay *session = lane->session;
	const struct queued *head = &lane->queue[lane->head % QUEUE];
	uint64_t due;
	uint32_t epoch;

	switch (obstacle) {
	case TIME:
		lane->now = clock_ns();
		due = session->start_ns + head->request.due_ns;
		if (due > lane->now) {
			due = due - lane->now > TENTH_NS ? lane->now + TENTH_NS : due;
			struct timespec until = timespec_of(due);

			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		}
		break;
	case EMPTY:
		if (lane->deferred_count == 0) {
			sleep_for_reader(lane);
			break;
		}
		/* fall through */
	default:
		__atomic_fetch_add(&session->waiters, 1, __ATOMIC_SEQ_CST);
		epoch = load_acquire(&session->epoch);
		if (lane->deferred_count > 0)
			look_at_deferred(lane);
		else if (obstacle == OTHERS && are_dependencies_done(lane, head))
			epoch--; /* Differs: the wait returns at once. */
		iotrap_replay_futex_wait(&session->epoch, epoch, 1000000);
		__atomic_fetch_sub(&session->waiters, 1, __ATOMIC_RELAXED);
	}
}

static int wait_in_flight(struct lane *lane, enum obstacle obstacle)
{
	/* What is in flight ends, also when the session is stopped. */
	uint64_t timeout = NO_TIMEOUT;

	if (obstacle == OTHERS || (obstacle == EMPTY && !load_acquire(&lane->session->is_closed))) {
		timeout = 100000;
	} else if (obstacle == TIME) {
		const struct queued *head = &lane->queue[lane->head % QUEUE];
		uint64_t due = lane->session->start_ns + head->request.due_ns;

		lane->now = clock_ns();
		timeout = due > lane->now ? due - lane->now : 0;
		timeout = timeout < TENTH_NS ? timeout : TENTH_NS;
	}
	return lane->engine->reap(lane, timeout);
}

/*
 * Linux 6.12 and later let a thread ask for short turns on the processor, which it then gets
 * sooner: without them one that wakes up may wait 3 ms for its neighbour's turn to end. Older
 * kernels take no notice.
 */
static void ask_for_short_turns(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = {.size = 48, .flags = SCHED_FLAG_KEEP_POLICY, .runtime = 100000};

	attributes.nice = getpriority(PRIO_PROCESS, 0);
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void *iotrap_replay_lane_main(void *argument)
{
	struct lane *lane = argument;
	struct iotrap_replay *session = lane->session;
	int error = 0;

	/* Times are kept to better than the usual 50 us. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	if (session->options.is_timed)
		ask_for_short_turns();
	for (;;) {
		enum obstacle obstacle = advance(lane);
		bool is_last;

		if (lane->pending_count > 0)
			submit_pending(lane);
		if (lane->deferred_count > 0)
			look_at_deferred(lane);
		is_last = iotrap_replay_is_stopped(session) ||
			  (obstacle == EMPTY && load_acquire(&session->is_closed) &&
			   load_acquire(&lane->tail) == lane->head && lane->deferred_count == 0);
		if (is_last && lane->in_flight == 0)
			break;
		if (lane->in_flight == 0)
			wait_idle(lane, obstacle);
		else
			error = wait_in_flight(lane, is_last ? OWN : obstacle);
		if (error) {
			store_relaxed(&session->failure, error);
			iotrap_replay_stop(session);
			break;
		}
	}
	lane->engine->stop(lane);
	store_relaxed(&session->end_ns, clock_ns());
	__atomic_fetch_sub(&session->running, 1, __ATOMIC_RELEASE);
	iotrap_replay_futex_wake(&session->running);
	return NULL;
}
