#ifndef REPLAY_H
#define REPLAY_H

#include <aio.h>
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "iotrap_replay.h"
#include "iotrap_trace.h"

#define QUEUE 4096u /* requests between the reader and a lane; a power of two */
#define DEFERRED_MAX 1024u
#define CACHE_LINE 64
#define NO_TIMEOUT UINT64_MAX

/* Unlike plain counters these are read by other threads while they change. */
#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

struct queued {
	struct iotrap_replay_request request;
	uint64_t sequence;
};

/* A request in flight. */
struct slot {
	struct iotrap_replay_request request;
	uint64_t sequence;
	uint64_t submit_ns;
	int descriptor;
	uint32_t version; /* of a write under verification */
	char *buffer;
	size_t buffer_bytes; /* 0: the session's own */
	uint32_t *floors;    /* of a read under verification: what each block must be at least */
	struct slot *next;
	int64_t result; /* of an engine that keeps it here */
	bool is_done;
	union {
		struct iocb iocb;
		struct aiocb aiocb;
	};
};

struct lane;

struct engine {
	int (*start)(struct lane *lane);
	/* Submits lane->pending[0 .. pending_count) in as few calls as it can. 0 or -errno. */
	int (*submit)(struct lane *lane);
	/* Completes what is done; waits for at least one until the timeout. 0 or -errno. */
	int (*reap)(struct lane *lane, uint64_t timeout_ns);
	void (*stop)(struct lane *lane);
	bool has_flags; /* passes RWF_ flags on */
};

extern const struct engine iotrap_replay_uring_engine;
extern const struct engine iotrap_replay_libaio_engine;
extern const struct engine iotrap_replay_posix_engine;
extern const struct engine iotrap_replay_sync_engine;

struct statistics {
	struct iotrap_replay_results sums;
	uint64_t buckets[IOTRAP_REPLAY_CLASSES][IOTRAP_REPLAY_BUCKETS];
	uint64_t drift[IOTRAP_REPLAY_BUCKETS];
};

struct lane {
	struct iotrap_replay *session;
	const struct engine *engine;
	void *state; /* of the engine */
	pthread_t thread;
	bool is_started;
	uint32_t index;

	struct slot *slots;
	struct slot *free;
	struct slot **pending;
	uint32_t pending_count;
	uint32_t in_flight;     /* pending ones included */
	uint64_t now;           /* of the last look at the clock */
	uint64_t submit_end_ns; /* of the last submitting call */
	uint64_t buffer_bytes;

	/* Where the head of the queue stands. */
	uint64_t walk; /* the write whose completion it waits for, plus 1; 0: not begun */
	bool is_held;

	struct queued *deferred; /* commits whose dependencies are not complete */
	uint32_t deferred_count;
	struct statistics *statistics;

	_Alignas(CACHE_LINE) uint64_t completed;
	_Alignas(CACHE_LINE) uint32_t tail; /* written by the reader */
	uint32_t is_sleeping;
	uint32_t written;    /* the reader's own: not all of it is seen by the lane yet */
	uint32_t last_batch; /* the reader's own */
	_Alignas(CACHE_LINE) uint32_t head; /* written by the lane */
	struct queued *queue;
};

struct content {
	uint64_t blocks;
	uint32_t *committed; /* version that is there; UNKNOWN if nobody can know */
	uint32_t *issued;    /* that of a write in flight, else the same */
};

struct file {
	int descriptor;
	uint32_t content;
};

struct iotrap_replay {
	struct iotrap_replay_options options;
	struct file *files;
	struct content *contents;
	struct lane *lanes;
	struct statistics *total;
	uint32_t *source_in_flight;
	char *read_buffer;
	char *write_buffer;
	size_t buffer_bytes;
	uint64_t start_ns;
	uint64_t end_ns;

	/* One entry a sequence number, modulo the window: laps completed, and the write before. */
	uint32_t *done;
	uint32_t *write_before;
	uint64_t sequence;                  /* of the next request; the reader's */
	_Alignas(CACHE_LINE) uint64_t base; /* all before it are complete */
	_Alignas(CACHE_LINE) uint32_t epoch;
	uint32_t waiters;
	uint32_t reader_waits;
	uint32_t is_closed;
	uint32_t running; /* lanes */
	int stop;
	int failure;

	pthread_mutex_t verify_lock;
	uint32_t last_version;
	uint32_t faults_kept;
	struct iotrap_replay_fault faults[IOTRAP_REPLAY_FAULTS_KEPT];
};

static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u)};
}

void iotrap_replay_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
void iotrap_replay_futex_wake(uint32_t *word);

bool iotrap_replay_is_done(const struct iotrap_replay *session, uint64_t sequence);
void iotrap_replay_mark_done(struct iotrap_replay *session, uint64_t sequence);
void *iotrap_replay_lane_main(void *argument);
/* Ends a request, whose slot is free from then on. now: 0 asks for a look at the clock. */
void iotrap_replay_complete(struct lane *lane, struct slot *slot, int64_t result, uint64_t now);
/* Runs a request by a plain call; the result or -errno. */
int64_t iotrap_replay_run_plain(const struct slot *slot);
unsigned int iotrap_replay_class_of(const struct iotrap_replay_request *request);
unsigned int iotrap_replay_bucket(uint64_t ns);
void iotrap_replay_merge(struct statistics *into, const struct statistics *from);

/* Verification. False: it cannot go yet. */
bool iotrap_replay_verify_begin(struct lane *lane, struct slot *slot);
void iotrap_replay_verify_end(struct lane *lane, struct slot *slot, int64_t result);

static inline bool moves_data(const struct iotrap_replay_request *request)
{
	return request->operation <= IOTRAP_TRACE_OP_WRITE;
}

#endif
