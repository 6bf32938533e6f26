/*
 * The service thread and POSIX AIO: memory that several threads use at once, laid out
 * in C (see struct iotrap_group), and the contract between the hooks and the engine.
 */
#ifndef IOTRAP_POSIX_H
#define IOTRAP_POSIX_H

#include "iotrap_aio.h"

#pragma clang assume_nonnull begin

/* --- the service thread --------------------------------------------------------- */

/* service.queue: no thread runs; or it does and nothing is queued; or number + 1. */
#define IOTRAP_QUEUE_CLOSED 0u
#define IOTRAP_QUEUE_EMPTY 0xffffffffu

/* service.event: there was one, and the program took its number. */
#define IOTRAP_EVENT_LOST -1

/* service.phase */
#define IOTRAP_SERVICE_UNTRIED 0u
#define IOTRAP_SERVICE_STARTING 1u
#define IOTRAP_SERVICE_CHOSEN 2u  /* requests are ours; the thread runs when there are any */
#define IOTRAP_SERVICE_REFUSED 3u /* requests are the C library's, for good */

struct iotrap_service {
	/* queueing */
	uint64_t reserved;
	uint32_t queue; /* a stack of requests, last pushed first */
	uint32_t busy;  /* the thread holds requests that the kernel has not got */
	uint32_t bell;  /* 1: the thread sleeps, and wants to be woken by who queues */
	uint32_t phase;
	uint64_t rung; /* where a read of the eventfd goes */
	uint64_t line[4];
	/* starting and asking */
	uint32_t lock;
	uint32_t started; /* 0: not yet known; 1: the thread runs; 2: it has no ring */
	int32_t event;    /* eventfd + 1 of kernels without IORING_OP_FUTEX_WAIT; 0: none */
	uint32_t outside; /* odd: the thread is in a function of the C library */
	uint64_t another_line[6];
	/* finished requests of POSIX AIO */
	uint32_t finished;  /* changes when some have */
	uint32_t suspended; /* threads that wait for that */
	uint64_t notifying; /* aiocb whose signal is on its way: see AIO/PosixDelivery.swift */
	uint64_t last_line[6];
};
extern struct iotrap_service iotrap_service_storage;
static inline struct iotrap_service *iotrap_service(void)
{
	return &iotrap_service_storage;
}

/* Nonzero when requests were queued that the kernel may not have got yet. */
static inline int iotrap_aio_unsubmitted(void)
{
	const struct iotrap_service *service = &iotrap_service_storage;

	/* In this order: the thread says it is busy before it empties the queue. */
	return __atomic_load_n(&service->queue, __ATOMIC_ACQUIRE) + 1 > 1 ||
	       __atomic_load_n(&service->busy, __ATOMIC_ACQUIRE) != 0;
}

/* Nonzero while the thread runs: requests may be outstanding. */
static inline int iotrap_service_runs(void)
{
	return __atomic_load_n(&iotrap_service_storage.queue, __ATOMIC_RELAXED) !=
	       IOTRAP_QUEUE_CLOSED;
}

/*
 * The order of requests on one descriptor, see AIO/Lanes.swift: tables of lanes,
 * of 1024 descriptors each.
 */
struct iotrap_lane {
	uint32_t first; /* request number + 1 */
	uint32_t last;
	uint32_t on_rings; /* reads on rings of their threads, which have no order */
};
#define IOTRAP_LANE_TABLES 1024u
#define IOTRAP_LANE_TABLE_LANES 1024u
extern struct iotrap_lane *_Nullable iotrap_lane_tables[IOTRAP_LANE_TABLES];
extern struct iotrap_lane iotrap_lanes_shared[IOTRAP_LANE_TABLE_LANES];
static inline struct iotrap_lane *_Nullable *_Nonnull iotrap_lane_table(uint32_t index)
{
	return &iotrap_lane_tables[index];
}
static inline struct iotrap_lane *iotrap_lane_shared(uint32_t index)
{
	return &iotrap_lanes_shared[index % IOTRAP_LANE_TABLE_LANES];
}

/* request.flags: run by a plain system call of the service thread, as it cannot wait; */
#define IOTRAP_SUBMIT_PLAIN 4u
/* or tried by one that does not wait, before it goes to the ring. */
#define IOTRAP_SUBMIT_TRIED 8u
/* A write to the page cache: plain as long as such writes take no time. */
#define IOTRAP_SUBMIT_CACHED 32u

/*
 * Messages to the thread: requests with destination IOTRAP_TO_SERVICE and one of these
 * kinds. Who sent it waits on state, and finds the answer in length.
 */
enum iotrap_message {
	IOTRAP_MESSAGE_CANCEL = 0,     /* owner: one aiocb, or NULL for all of descriptor */
	IOTRAP_MESSAGE_CLOSE,          /* descriptor to length: about to be closed */
	IOTRAP_MESSAGE_DRAIN,          /* until no write or sync of storage is outstanding */
	IOTRAP_MESSAGE_RETIRE,         /* end, if nothing is outstanding */
	IOTRAP_MESSAGE_FINISHED,       /* a request whose result is in offset; nobody waits */
	IOTRAP_MESSAGE_CANCEL_REQUEST, /* length: number of one in the ring; nobody waits */
	IOTRAP_MESSAGE_ATTACH          /* open pool_file through its other paths; nobody waits */
};
#define IOTRAP_MESSAGE_SENT 0u
#define IOTRAP_MESSAGE_ANSWERED 1u
#define IOTRAP_MESSAGE_ABANDONED 2u

/*
 * Type bits of st_mode, or -errno. Does not ask a server or daemon behind the file, as
 * fstat(2) may do at each call.
 */
int iotrap_file_type(int fd);

long iotrap_read_raw(int fd, void *_Nullable buffer, size_t bytes);

/*
 * A thread's ring for reads of its own. Only its thread submits; any thread may take
 * completions with the lock held, unless the thread waits in the ring. See
 * AIO/PosixRing.swift.
 */
struct iotrap_posix_ring {
	uint64_t reserved;
	struct iotrap_ring *_Nullable ring; /* NULL: the thread is gone, or has none */
	uint32_t lock;                      /* held with signals blocked */
	uint32_t in_flight;                 /* submitted and not taken */
	uint32_t thread_id;                 /* 0: the record is free */
	uint32_t waits;                     /* its thread waits in it */
	uint32_t submitting;                /* its thread does; a signal handler must not */
	uint32_t has_futex;                 /* it can wait for a word: IORING_OP_FUTEX_WAIT */
	uint32_t is_armed;                  /* it does, for service.finished */
};
#define IOTRAP_POSIX_RINGS 256u
extern struct iotrap_posix_ring iotrap_posix_rings[IOTRAP_POSIX_RINGS];
static inline struct iotrap_posix_ring *iotrap_posix_ring_entry(uint32_t index)
{
	return &iotrap_posix_rings[index];
}

/* preadv2(2) of one buffer with RWF_NOWAIT: bytes, or -EAGAIN and the like. */
long iotrap_read_now(int fd, void *_Nullable buffer, size_t bytes, int64_t offset);

/*
 * futex(2) wait with or without a time limit, private: as iotrap_futex_wait_for, but
 * without one the kernel goes on waiting after a handler with SA_RESTART.
 */
int iotrap_futex_wait_signals(uint32_t *word, uint32_t value, const uint64_t *_Nullable timeout_ns);

/* --- POSIX AIO ------------------------------------------------------------------ */

/* struct aiocb of glibc, private members included; checked against it in posix.c. */
struct iotrap_aiocb {
	int32_t descriptor;
	int32_t opcode;
	int32_t priority;
	int32_t padding;
	void *_Nullable address;
	uint64_t bytes;
	uint64_t notify_value;
	int32_t notify_signal;
	int32_t notify;
	uint64_t notify_function; /* its lower half is the thread of SIGEV_THREAD_ID */
	uint64_t notify_attributes;
	uint64_t notify_rest[4];
	uint64_t number; /* of the request + 1 */
	int32_t absolute_priority;
	uint32_t ring; /* it is on, as an index + 1; 0: the service thread's */
	uint32_t error;
	int32_t padding2;
	int64_t result;
	int64_t offset;
};

/* What to tell when requests have ended: the members of struct sigevent. */
struct iotrap_notice {
	int32_t notify;
	int32_t signal;
	uint64_t value;
	uint64_t function;
	uint64_t attributes;
};

#define IOTRAP_EINPROGRESS 115u
#define IOTRAP_NOTIFY_SIGNAL 0
#define IOTRAP_NOTIFY_NONE 1
#define IOTRAP_NOTIFY_THREAD 2
#define IOTRAP_NOTIFY_THREAD_ID 4

/* Sends the signal of a notice, to the process or a thread of it: 0 or -errno. */
int iotrap_notify_signal(const struct iotrap_notice *notice);
/*
 * Makes the thread of a notice. The request, which nobody else uses, carries what the
 * thread needs and is given back by it, or at once when no thread can be made.
 */
void iotrap_notify_thread(const struct iotrap_notice *notice, struct iotrap_request *request);
/* Gives a request back to the pool. */
void iotrap_request_give(struct iotrap_request *request);

/* aio_read, aio_write, aio_fsync: 0, -errno or IOTRAP_AIO_DECLINED: the C library's own function.
 */
int64_t iotrap_posix_transfer(uint32_t operation, struct iotrap_aiocb *request);
int64_t iotrap_posix_sync(int data_only, struct iotrap_aiocb *request);
/* lio_listio with a valid mode; notice NULL: none. */
int64_t iotrap_posix_list(int wait, struct iotrap_aiocb *_Nullable const *_Nonnull list, int count,
			  const struct iotrap_notice *_Nullable notice);
/* aio_cancel of one request, or all of a descriptor: what it returns, or -errno. */
int64_t iotrap_posix_cancel(int fd, struct iotrap_aiocb *_Nullable request);
/* The request's end was told of. */
void iotrap_posix_returned(void);
/* Waits while the signal of a request that seems to be in progress is on its way. */
void iotrap_posix_settle(const struct iotrap_aiocb *request);

/* Takes what has ended on the ring that a request is on. */
void iotrap_posix_look(const struct iotrap_aiocb *request);

/*
 * aio_suspend in parts, because the wait is a cancellation point. begin: nonzero when
 * the engine serves it. Then, until ready says so: join, ready again, wait in the way it
 * says, leave.
 */
#define IOTRAP_SUSPEND_ASLEEP 0 /* on service.finished, with the value that join returned */
#define IOTRAP_SUSPEND_READY 1
#define IOTRAP_SUSPEND_IN_RING 2  /* in the thread's own ring, where all of the list is */
#define IOTRAP_SUSPEND_WATCHFUL 3 /* asleep, for a millisecond at most: rings are in play */
#define IOTRAP_SUSPEND_IN_BOTH 4  /* in the ring, which waits for service.finished too */
int iotrap_suspend_begin(void);
int iotrap_suspend_ready(const struct iotrap_aiocb *_Nullable const *_Nonnull list, int count);
uint32_t iotrap_suspend_join(int way);
void iotrap_suspend_leave(int way);
void iotrap_suspend_end(int failed, int willing);
/* Waits in the thread's ring: 0, -EINTR or -ETIME. */
int iotrap_suspend_in_ring(uint64_t timeout_ns);

/* CLOCK_MONOTONIC after a time; UINT64_MAX for one that nobody lives to see. */
uint64_t iotrap_deadline(int64_t seconds, int64_t nanoseconds);

/*
 * Nonzero when a wait goes on that the kernel has ended with -EINTR: no signal has a
 * handler, or, where the wait has no time limit, all are ones with SA_RESTART.
 */
int iotrap_wait_goes_on(int has_limit);

/* aio_error: async-signal-safe, and as good as a load. */
static inline uint32_t iotrap_posix_error(const struct iotrap_aiocb *request)
{
	uint32_t error = __atomic_load_n(&request->error, __ATOMIC_ACQUIRE);

	if (error != IOTRAP_EINPROGRESS)
		return error;
	if (request->ring)
		iotrap_posix_look(request);
	if (__atomic_load_n(&iotrap_service_storage.notifying, __ATOMIC_SEQ_CST) ==
	    (uint64_t)(uintptr_t)request)
		iotrap_posix_settle(request);
	/* Again, for a handler: its signal may have been sent between the two loads. */
	return __atomic_load_n(&request->error, __ATOMIC_ACQUIRE);
}

/* Nonzero when requests are the engine's. */
static inline int iotrap_posix_is_ours(void)
{
	return __atomic_load_n(&iotrap_service_storage.phase, __ATOMIC_ACQUIRE) ==
	       IOTRAP_SERVICE_CHOSEN;
}

IOTRAP_WORD(service, uint32_t, queue)
IOTRAP_WORD(service, uint32_t, busy)
IOTRAP_WORD(service, uint32_t, bell)
IOTRAP_WORD(service, uint32_t, phase)
IOTRAP_WORD(service, uint32_t, lock)
IOTRAP_WORD(service, uint32_t, started)
IOTRAP_WORD(service, uint32_t, outside)
IOTRAP_WORD(service, uint32_t, finished)
IOTRAP_WORD(service, uint32_t, suspended)
IOTRAP_WORD(service, uint64_t, rung)
IOTRAP_WORD(service, uint64_t, notifying)
IOTRAP_WORD(service, int32_t, event)
IOTRAP_WORD(lane, uint32_t, first)
IOTRAP_WORD(lane, uint32_t, on_rings)
IOTRAP_WORD(aiocb, uint32_t, error)
IOTRAP_WORD(posix_ring, uint32_t, lock)
IOTRAP_WORD(posix_ring, uint32_t, in_flight)
IOTRAP_WORD(posix_ring, uint32_t, thread_id)
IOTRAP_WORD(posix_ring, uint32_t, waits)

#pragma clang assume_nonnull end
#endif
