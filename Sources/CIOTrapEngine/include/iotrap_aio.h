/*
 * Asynchronous I/O: the layouts that several threads share, and the contract between
 * the hooks of libaio and POSIX AIO and the engine.
 */
#ifndef IOTRAP_AIO_H
#define IOTRAP_AIO_H

#include <features.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "iotrap_engine.h"
#include "iotrap_kernel.h"

#pragma clang assume_nonnull begin

/* --- counters -------------------------------------------------------------------- */

static inline struct iotrap_stats_async *iotrap_block_async(struct iotrap_stats_block *block,
							    uint32_t interface)
{
	return &block->async[interface];
}

static inline uint64_t *iotrap_async_route_count(struct iotrap_stats_async *counts, uint32_t route)
{
	return &counts->routes[route];
}

static inline uint64_t *iotrap_async_depth_count(struct iotrap_stats_async *counts, uint32_t index)
{
	return &counts->depths[index];
}

static inline struct iotrap_stats_histogram *iotrap_block_flight(struct iotrap_stats_block *block,
								 uint32_t interface)
{
	return &block->flight[interface];
}

/* --- requests ---------------------------------------------------------------- */

/* Where a finished request goes. */
enum iotrap_request_destination {
	IOTRAP_TO_CONTEXT = 0, /* a libaio context */
	IOTRAP_TO_AIOCB,       /* an aiocb */
	IOTRAP_TO_SERVICE,     /* a message to the service thread: see iotrap_posix.h */
	IOTRAP_TO_CALLER,      /* a thread that waits for it: its state is 1, then 2 */
	IOTRAP_TO_POOL,        /* a piece of another request; see Pools/ */
	IOTRAP_TO_QUEUE        /* a queue of iotrap_queue.h: data is the operation's slot */
};

#define IOTRAP_REQUEST_SERIAL 1u  /* runs after those before it on its descriptor are done */
#define IOTRAP_REQUEST_BARRIER 2u /* a sync: after those before it, but others may follow */
#define IOTRAP_REQUEST_STORAGE 4u /* on a file or block device: it ends by itself */

/*
 * A request in flight or waiting to be. Requests live in the pool (AIO/RequestPool)
 * and are named by number + 1, so that lists of them can be taken without a lock.
 */
struct iotrap_request {
	uint32_t next;   /* in the list it is in; 0: the last */
	uint32_t number; /* its own */
	uint8_t kind;    /* enum iotrap_request_kind */
	uint8_t flags;   /* of the ring: IOTRAP_SUBMIT_* */
	uint8_t destination;
	uint8_t order; /* IOTRAP_REQUEST_* of an aiocb's; else 0 */
	int32_t descriptor;
	uint32_t rw_flags; /* RWF_*, or poll events */
	uint32_t priority;
	void *_Nullable address; /* buffer, or struct iovec array */
	uint32_t length;         /* bytes, or vectors */
	uint32_t comparison;     /* of the offload technique + 1; 0: takes no part */
	int64_t offset;
	void *_Nullable owner; /* context or aiocb */
	uint64_t data;         /* what the program gets back: aio_data */
	uint64_t object;       /* and the address of its iocb */
	uint64_t started_ns;
	uint32_t file; /* file record + 1 */
	uint32_t file_generation;
	uint32_t epoch;
	uint32_t lane_next; /* requests of the same descriptor, in the order they came */
	uint32_t lane_previous;
	uint32_t group; /* lio_listio call it belongs to + 1; 0: none */
	uint32_t state; /* of its destination's choice */
	uint32_t reserved;
	uint32_t pool_file; /* record of the mount pools + 1; 0: not in a pool */
	uint32_t pool_generation;
};
_Static_assert(sizeof(struct iotrap_request) <= 128, "two cache lines");

/*
 * The pool: chunks that are never given back, and a free list whose word holds a tag
 * (upper half, changed at every step, so that a request that was taken and given back
 * in between is noticed) and the first request's number + 1.
 */
#define IOTRAP_POOL_CHUNKS 512u
#define IOTRAP_POOL_CHUNK_REQUESTS 256u
struct iotrap_request_pool {
	uint64_t reserved; /* see struct iotrap_group_slot */
	uint64_t free;
	uint32_t chunk_count;
	uint32_t lock; /* of growing */
	struct iotrap_request *_Nullable chunks[IOTRAP_POOL_CHUNKS];
};
extern struct iotrap_request_pool iotrap_pool_storage;
static inline struct iotrap_request_pool *iotrap_pool(void)
{
	return &iotrap_pool_storage;
}
static inline struct iotrap_request *_Nullable *_Nonnull iotrap_pool_chunk(uint32_t index)
{
	return &iotrap_pool_storage.chunks[index];
}

/* --- rings for asynchronous requests ------------------------------------------ */

#define IOTRAP_SUBMIT_OFFLOAD 1u /* IOSQE_ASYNC: a kernel worker runs it */
#define IOTRAP_SUBMIT_DRAIN 2u   /* IOSQE_IO_DRAIN: after all submitted before it */
#define IOTRAP_SUBMIT_HELD 16u   /* of the file held in slot request.file - 1 */

/*
 * Like iotrap_ring_create, with more room. deferred: only the creating thread submits
 * and waits, and completions reach it there (IORING_SETUP_DEFER_TASKRUN, Linux 6.1).
 * Otherwise the kernel completes requests in the creating thread whenever it enters
 * the kernel (IORING_SETUP_COOP_TASKRUN, 5.19), and other threads see them.
 */
struct iotrap_ring *_Nullable iotrap_ring_create_async(int hidden, int deferred, int *error);

/* How many kernel workers may be busy with its thread's storage requests at once (Linux 5.15). */
void iotrap_ring_allow_workers(struct iotrap_ring *ring, uint32_t count);

/*
 * Takes the descriptor off a ring that has one: its thread goes on by the number in the
 * task's table of rings (Linux 5.18), and nobody can take it away any more. 0 or -errno.
 */
int iotrap_ring_hide(struct iotrap_ring *ring);

/* Queues a request; user_data is its number + 1. 1, or 0 when the queue is full. */
int iotrap_ring_queue_request(struct iotrap_ring *ring, const struct iotrap_request *request);

/*
 * Queues a wait for *word to differ from value or be woken (IORING_OP_FUTEX_WAIT, Linux
 * 6.7), completing with user_data; event >= 0: a read of that eventfd into *word instead.
 */
int iotrap_ring_queue_wake(struct iotrap_ring *ring, uint64_t *word, uint32_t value, int event,
			   uint64_t user_data);

/* Queues the cancellation of a request (IORING_OP_ASYNC_CANCEL), completing with user_data. */
int iotrap_ring_queue_cancel(struct iotrap_ring *ring, uint32_t number, uint64_t user_data);

/*
 * Files that the ring holds on to, so that a request can be made of one whose descriptor
 * was closed: makes room for some, and puts the file of a descriptor (-1: none) in a slot.
 * Negative when that cannot be done.
 */
#define IOTRAP_RING_FILES_MAX 64u
int iotrap_ring_hold_files(struct iotrap_ring *ring, uint32_t count);
int iotrap_ring_hold_file(struct iotrap_ring *ring, uint32_t slot, int fd);

/* Nonzero when the running kernel knows an IORING_OP_*, asked through this ring. */
int iotrap_ring_knows(struct iotrap_ring *ring, uint32_t opcode);
#define IOTRAP_OPCODE_FUTEX_WAIT 51u

/*
 * Submits what is queued and waits until wait_for completions are there (0: not at all)
 * or timeout_ns (UINT64_MAX: none) is over. sigmask, if not NULL: eight bytes in force
 * while waiting. The number submitted, or -errno (-EINTR, -ETIME, ...).
 */
int iotrap_ring_enter(struct iotrap_ring *ring, uint32_t wait_for, uint64_t timeout_ns,
		      const uint64_t *_Nullable sigmask);

/* Takes back the request queued last, if the kernel has not taken it: 1 and its user_data, or 0. */
int iotrap_ring_unqueue_last(struct iotrap_ring *ring, uint64_t *user_data);

/* Requests queued and not yet submitted. */
uint32_t iotrap_ring_queued(const struct iotrap_ring *ring);
/* Nonzero when completions are there to be taken. */
int iotrap_ring_has_completions(const struct iotrap_ring *ring);
/* Nonzero when the kernel has completions that it hands over at the next enter. */
int iotrap_ring_needs_enter(const struct iotrap_ring *ring);

/* --- the kernel's libaio -------------------------------------------------------- */

/* struct iocb and struct io_event of linux/aio_abi.h, under names of our own. */
struct iotrap_iocb {
	uint64_t data;
	uint32_t key;
	uint32_t rw_flags;
	uint16_t opcode;
	int16_t priority;
	uint32_t descriptor;
	uint64_t buffer;
	uint64_t bytes;
	int64_t offset;
	uint64_t reserved2;
	uint32_t flags;
	uint32_t eventfd;
};
_Static_assert(sizeof(struct iotrap_iocb) == 64, "the kernel's layout");

#define IOTRAP_IOCB_PREAD 0u
#define IOTRAP_IOCB_PWRITE 1u
#define IOTRAP_IOCB_FSYNC 2u
#define IOTRAP_IOCB_FDSYNC 3u
#define IOTRAP_IOCB_POLL 5u
#define IOTRAP_IOCB_NOOP 6u
#define IOTRAP_IOCB_PREADV 7u
#define IOTRAP_IOCB_PWRITEV 8u
#define IOTRAP_IOCB_FLAG_RESFD 1u
#define IOTRAP_IOCB_FLAG_IOPRIO 2u

struct iotrap_event {
	uint64_t data;
	uint64_t object;
	int64_t result;
	int64_t result2;
};

#define IOTRAP_AIO_MAGIC 0xa10a10a1u

/* The completion ring behind a context's handle, as fs/aio.c maps it. */
struct iotrap_aio_ring {
	uint32_t id;
	uint32_t count; /* events it has room for */
	uint32_t head;
	uint32_t tail;
	uint32_t magic;
	uint32_t compat_features;
	uint32_t incompat_features;
	uint32_t header_length;
	struct iotrap_event events[];
};

long iotrap_io_setup_raw(unsigned int events, uint64_t *handle);
long iotrap_io_destroy_raw(uint64_t handle);
long iotrap_io_submit_raw(uint64_t handle, long count, const void *_Nullable iocbs);
long iotrap_io_getevents_raw(uint64_t handle, long minimum, long count, void *_Nullable events,
			     const void *_Nullable timeout);
long iotrap_io_pgetevents_raw(uint64_t handle, long minimum, long count, void *_Nullable events,
			      const void *_Nullable timeout, const void *_Nullable mask);
long iotrap_io_cancel_raw(uint64_t handle, void *_Nullable iocb, void *_Nullable event);

/* What a hook is to do when the engine does not serve the call. */
#define IOTRAP_AIO_DECLINED INT64_MIN

/*
 * The calls of libaio: results as of the system calls (>= 0 or -errno), or
 * IOTRAP_AIO_DECLINED: make the system call. They may be interrupted by signal
 * handlers that call them again.
 */
int64_t iotrap_io_setup(uint32_t events, uint64_t *_Nullable handle);
int64_t iotrap_io_destroy(uint64_t handle);
int64_t iotrap_io_submit(uint64_t handle, int64_t count, const uint64_t *_Nullable iocbs);
/*
 * mask: argument of io_pgetevents(2) (struct __aio_sigset), or NULL. by_library: as
 * libaio's function, which answers 0 by itself when there are no events and the timeout
 * is zero, whatever the other arguments are.
 */
int64_t iotrap_io_getevents(uint64_t handle, int64_t minimum, int64_t count,
			    struct iotrap_event *_Nullable events, const void *_Nullable timeout,
			    const void *_Nullable mask, int by_library);
int64_t iotrap_io_cancel(uint64_t handle, uint64_t iocb, struct iotrap_event *_Nullable event);

/* --- the service thread --------------------------------------------------------- */

/* iotrap_signals_block for longer waits: libc's own signal for seteuid(2) stays open. */
void iotrap_signals_block_program(uint64_t *saved);

/*
 * Starts a detached thread with every signal blocked and a small stack that runs
 * iotrap_service_run. 0 or an error number.
 */
int iotrap_service_start_thread(uint64_t argument);
/* The service thread's body, in the engine. */
void iotrap_service_run(uint64_t argument);

/*
 * futex(2) wait of a calling thread, private. timeout_ns UINT64_MAX: none. 0, -EAGAIN,
 * -ETIMEDOUT, or -EINTR when a signal handler ran, even one with SA_RESTART: a wait
 * with a timeout is never restarted after a handler.
 */
int iotrap_futex_wait_for(uint32_t *word, uint32_t value, uint64_t timeout_ns);

int iotrap_eventfd(void);
long iotrap_write_raw(int fd, const void *_Nullable buffer, size_t bytes);

/* --- end of process and descriptors ---------------------------------------------- */

/*
 * The program is about to close first...last: requests that name them and are not
 * submitted yet are submitted first; those that wait their turn are cancelled.
 */
void iotrap_aio_closing(uint32_t first, uint32_t last);
/* exec, exit: waits until the writes in flight have reached the kernel. */
void iotrap_aio_drain(void);

/*
 * Words that several threads use at once, for Swift: taking the address of a Swift field
 * counts as an access to it, and to the thread sanitizer as a change (see struct
 * iotrap_group).
 */
#define IOTRAP_WORD(structure, type, field)                                                        \
	static inline type *_Nonnull iotrap_##structure##_##field(struct iotrap_##structure *of)   \
	{                                                                                          \
		return &of->field;                                                                 \
	}

IOTRAP_WORD(request, uint32_t, next)
IOTRAP_WORD(request, uint32_t, state)
IOTRAP_WORD(request, uint32_t, length)
IOTRAP_WORD(request, void *_Nullable, owner)
IOTRAP_WORD(request_pool, uint64_t, free)
IOTRAP_WORD(request_pool, uint32_t, lock)
IOTRAP_WORD(request_pool, uint32_t, chunk_count)
IOTRAP_WORD(aio_ring, uint32_t, head)
IOTRAP_WORD(aio_ring, uint32_t, tail)
IOTRAP_WORD(aio_ring, uint32_t, magic)

#pragma clang assume_nonnull end
#endif
