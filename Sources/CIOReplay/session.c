/*
 * A session: what the lanes share, and the thread that feeds them.
 *
 * Completion is known by sequence number in a window: done[] holds for each slot of it how many
 * laps are complete there, so that an entry never has to be reset. The reader stays within one
 * window of the oldest incomplete request, and everything older counts as complete.
 */
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay.h"

#define SHARED_BYTES_MAX ((size_t)64 << 20)

static struct iotrap_replay *caught;
static volatile int signal_flag;

static const struct engine *engine_of(uint32_t number)
{
	switch (number) {
	case IOTRAP_REPLAY_LIBAIO:
		return &iotrap_replay_libaio_engine;
	case IOTRAP_REPLAY_URING:
		return &iotrap_replay_uring_engine;
	case IOTRAP_REPLAY_POSIXAIO:
		return &iotrap_replay_posix_engine;
	default:
		return &iotrap_replay_sync_engine;
	}
}

void iotrap_replay_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec timeout = timespec_of(timeout_ns);

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, NULL, 0);
}

void iotrap_replay_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

bool iotrap_replay_is_done(const struct iotrap_replay *session, uint64_t sequence)
{
	uint32_t lap = (uint32_t)(sequence / IOTRAP_REPLAY_WINDOW) + 1;
	/* Pairs with the release in mark_done: what the request did is seen. */
	uint32_t done = load_acquire(&session->done[sequence % IOTRAP_REPLAY_WINDOW]);

	return (int32_t)(done - lap) >= 0;
}

void iotrap_replay_mark_done(struct iotrap_replay *session, uint64_t sequence)
{
	uint32_t lap = (uint32_t)(sequence / IOTRAP_REPLAY_WINDOW) + 1;

	store_release(&session->done[sequence % IOTRAP_REPLAY_WINDOW], lap);
	/* Either this sees the waiter, or the waiter, who looks again, sees the lap. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load_relaxed(&session->waiters) > 0) {
		__atomic_fetch_add(&session->epoch, 1, __ATOMIC_RELEASE);
		iotrap_replay_futex_wake(&session->epoch);
	}
}

/*
 * Memory that all requests share when nobody looks at what was read. Beyond 64 MiB the
 * same pages are mapped again and again.
 */
static char *shared_buffer(size_t bytes)
{
	char *buffer;
	int memory;

	if (bytes <= SHARED_BYTES_MAX) {
		buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		return buffer == MAP_FAILED ? NULL : buffer;
	}
	memory = memfd_create("replay", MFD_CLOEXEC);
	if (memory < 0 || ftruncate(memory, SHARED_BYTES_MAX) != 0)
		return NULL;
	buffer = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t at = 0; buffer != MAP_FAILED && at < bytes; at += SHARED_BYTES_MAX) {
		size_t part = bytes - at < SHARED_BYTES_MAX ? bytes - at : SHARED_BYTES_MAX;
		void *mapped = mmap(buffer + at, part, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, memory, 0);

		if (mapped == MAP_FAILED)
			buffer = MAP_FAILED;
	}
	close(memory);
	return buffer == MAP_FAILED ? NULL : buffer;
}

static int make_buffers(struct iotrap_replay *session)
{
	size_t bytes = (session->options.length_max + 4095) & ~(size_t)4095;
	uint64_t noise = 0x9e3779b97f4a7c15;

	if (session->options.verify_block)
		return 0;
	bytes = bytes ? bytes : 4096;
	session->buffer_bytes = bytes;
	session->read_buffer = shared_buffer(bytes);
	session->write_buffer = shared_buffer(bytes);
	if (!session->read_buffer || !session->write_buffer)
		return -ENOMEM;
	bytes = bytes < SHARED_BYTES_MAX ? bytes : SHARED_BYTES_MAX;
	/* Nothing that storage could compress or find twice. */
	for (size_t at = 0; at < bytes; at += 8) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		memcpy(session->write_buffer + at, &noise, 8);
	}
	return 0;
}

static int make_lane(struct iotrap_replay *session, uint32_t index)
{
	struct lane *lane = &session->lanes[index];
	uint32_t slots = session->options.slots;

	lane->session = session;
	lane->index = index;
	lane->engine = engine_of(session->options.engine);
	lane->queue = calloc(QUEUE, sizeof(*lane->queue));
	lane->slots = calloc(slots, sizeof(*lane->slots));
	lane->pending = calloc(slots, sizeof(*lane->pending));
	lane->deferred = calloc(DEFERRED_MAX, sizeof(*lane->deferred));
	lane->statistics = calloc(1, sizeof(*lane->statistics));
	if (!lane->queue || !lane->slots || !lane->pending || !lane->deferred || !lane->statistics)
		return -ENOMEM;
	for (uint32_t i = slots; i-- > 0;) {
		lane->slots[i].next = lane->free;
		lane->free = &lane->slots[i];
	}
	return 0;
}

struct iotrap_replay *iotrap_replay_create(const struct iotrap_replay_options *options, int *error)
{
	struct iotrap_replay *session = aligned_alloc(CACHE_LINE, sizeof(*session));

	*error = -ENOMEM;
	if (!session)
		return NULL;
	memset(session, 0, sizeof(*session));
	session->options = *options;
	pthread_mutex_init(&session->verify_lock, NULL);
	session->files = calloc(options->files + 1, sizeof(*session->files));
	session->contents = calloc(options->contents + 1, sizeof(*session->contents));
	session->lanes = aligned_alloc(CACHE_LINE, options->lanes * sizeof(*session->lanes));
	session->total = calloc(1, sizeof(*session->total));
	session->source_in_flight = calloc(IOTRAP_REPLAY_SOURCES_MAX, sizeof(uint32_t));
	session->done = calloc(IOTRAP_REPLAY_WINDOW, sizeof(uint32_t));
	session->write_before = calloc(IOTRAP_REPLAY_WINDOW, sizeof(uint32_t));
	if (session->lanes)
		memset(session->lanes, 0, options->lanes * sizeof(*session->lanes));
	if (!session->files || !session->contents || !session->lanes || !session->total ||
	    !session->source_in_flight || !session->done || !session->write_before)
		goto fail;
	for (uint32_t i = 0; i < options->lanes; i++) {
		if (make_lane(session, i) != 0)
			goto fail;
	}
	if (make_buffers(session) != 0)
		goto fail;
	*error = 0;
	return session;
fail:
	iotrap_replay_destroy(session);
	return NULL;
}

static void free_lane(struct lane *lane, uint32_t slots)
{
	for (uint32_t i = 0; lane->slots && i < slots; i++) {
		/* Without verification it is the session's. */
		if (lane->slots[i].buffer_bytes)
			free(lane->slots[i].buffer);
		free(lane->slots[i].floors);
	}
	free(lane->queue);
	free(lane->slots);
	free(lane->pending);
	free(lane->deferred);
	free(lane->statistics);
}

void iotrap_replay_destroy(struct iotrap_replay *session)
{
	if (caught == session)
		iotrap_replay_catch_signals(NULL);
	for (uint32_t i = 0; session->lanes && i < session->options.lanes; i++)
		free_lane(&session->lanes[i], session->options.slots);
	for (uint32_t i = 0; session->contents && i < session->options.contents; i++) {
		free(session->contents[i].committed);
		free(session->contents[i].issued);
	}
	if (session->read_buffer)
		munmap(session->read_buffer, session->buffer_bytes);
	if (session->write_buffer)
		munmap(session->write_buffer, session->buffer_bytes);
	pthread_mutex_destroy(&session->verify_lock);
	free(session->files);
	free(session->contents);
	free(session->lanes);
	free(session->total);
	free(session->source_in_flight);
	free(session->done);
	free(session->write_before);
	free(session);
}

void iotrap_replay_set_file(struct iotrap_replay *session, uint32_t file, int descriptor,
			    uint32_t content)
{
	session->files[file].descriptor = descriptor;
	session->files[file].content = content;
}

int iotrap_replay_start(struct iotrap_replay *session)
{
	sigset_t all, before;
	int error = 0;

	session->start_ns = clock_ns();
	/* Signals are for the thread that feeds. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; i < session->options.lanes && error == 0; i++) {
		struct lane *lane = &session->lanes[i];

		error = lane->engine->start(lane);
		if (error)
			break;
		__atomic_fetch_add(&session->running, 1, __ATOMIC_RELAXED);
		error = -pthread_create(&lane->thread, NULL, iotrap_replay_lane_main, lane);
		if (error) {
			lane->engine->stop(lane);
			__atomic_fetch_sub(&session->running, 1, __ATOMIC_RELAXED);
		} else {
			lane->is_started = true;
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		iotrap_replay_stop(session);
		while (!iotrap_replay_wait(session, 100))
			;
	}
	return error;
}

/* Moves the base up over all that is complete. */
static void advance(struct iotrap_replay *session)
{
	uint64_t base = session->base;

	while (base < session->sequence && iotrap_replay_is_done(session, base))
		base++;
	store_release(&session->base, base);
}

/* Lets a lane see what was written to its queue. */
static void publish(struct lane *lane)
{
	if (lane->tail == lane->written)
		return;
	/* Pairs with the lane's acquire: it sees whole requests. */
	store_release(&lane->tail, lane->written);
	/* Either this sees that the lane sleeps, or the lane, who looks again, sees the tail. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load_relaxed(&lane->is_sleeping))
		iotrap_replay_futex_wake(&lane->tail);
}

static void publish_all(struct iotrap_replay *session)
{
	for (uint32_t i = 0; i < session->options.lanes; i++)
		publish(&session->lanes[i]);
}

static bool has_room(struct iotrap_replay *session, struct lane *lane)
{
	if (lane->written - load_acquire(&lane->head) >= QUEUE)
		return false;
	if (session->sequence - session->base < IOTRAP_REPLAY_WINDOW)
		return true;
	advance(session);
	return session->sequence - session->base < IOTRAP_REPLAY_WINDOW;
}

/* Until there is room: lanes wake the reader when half of a full queue is used up. */
static int wait_for_room(struct iotrap_replay *session, struct lane *lane)
{
	uint64_t until = clock_ns() + 100000000;

	/* What is held back may be what the others wait for. */
	publish_all(session);
	while (!has_room(session, lane)) {
		uint32_t epoch = load_acquire(&session->reader_waits);

		if (iotrap_replay_is_stopped(session))
			return -ECANCELED;
		if (clock_ns() > until)
			return -EAGAIN;
		if (lane->written - load_acquire(&lane->head) >= QUEUE)
			iotrap_replay_futex_wait(&session->reader_waits, epoch, 20000000);
		else
			usleep(100);
	}
	return 0;
}

int iotrap_replay_push(struct iotrap_replay *session, const struct iotrap_replay_request *request)
{
	struct lane *lane = &session->lanes[request->lane];
	struct queued *queued;

	if (iotrap_replay_is_stopped(session))
		return -ECANCELED;
	if (!has_room(session, lane)) {
		int error = wait_for_room(session, lane);

		if (error)
			return error;
	}
	/* A batch is seen whole, or the lane would submit its parts. */
	if (lane->written != lane->tail && request->batch != lane->last_batch)
		publish(lane);
	queued = &lane->queue[lane->written++ % QUEUE];
	queued->request = *request;
	queued->sequence = session->sequence++;
	store_relaxed(&session->write_before[queued->sequence % IOTRAP_REPLAY_WINDOW],
		      request->write_before);
	lane->last_batch = request->batch;
	if (request->batch == 0)
		publish(lane);
	return 0;
}

void iotrap_replay_close(struct iotrap_replay *session)
{
	publish_all(session);
	store_release(&session->is_closed, 1);
	for (uint32_t i = 0; i < session->options.lanes; i++)
		iotrap_replay_futex_wake(&session->lanes[i].tail);
}

int iotrap_replay_wait(struct iotrap_replay *session, unsigned int milliseconds)
{
	uint64_t until = clock_ns() + (uint64_t)milliseconds * 1000000;
	uint32_t running;

	while ((running = load_acquire(&session->running)) > 0) {
		uint64_t now = clock_ns();

		if (now >= until)
			return 0;
		iotrap_replay_futex_wait(&session->running, running, until - now);
	}
	for (uint32_t i = 0; i < session->options.lanes; i++) {
		if (session->lanes[i].is_started)
			pthread_join(session->lanes[i].thread, NULL);
		session->lanes[i].is_started = false;
	}
	return 1;
}

void iotrap_replay_stop(struct iotrap_replay *session)
{
	store_release(&session->stop, 1);
}

int iotrap_replay_is_stopped(const struct iotrap_replay *session)
{
	return load_acquire(&session->stop);
}

uint64_t iotrap_replay_completed(const struct iotrap_replay *session)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < session->options.lanes; i++)
		sum += load_relaxed(&session->lanes[i].completed);
	return sum;
}

static void on_signal(int number)
{
	(void)number;
	signal_flag = 1;
	if (caught)
		iotrap_replay_stop(caught);
}

const volatile int *iotrap_replay_signal_flag(void)
{
	return &signal_flag;
}

void iotrap_replay_catch_signals(struct iotrap_replay *session)
{
	/* The second one ends the process. */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigset_t wanted;

	caught = session;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGTERM);
	/* A parent may have left them blocked. */
	pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (session && signal_flag)
		iotrap_replay_stop(session);
}
