/*
 * libaio contexts and the rings of submitting threads: memory that several threads
 * use at once, laid out in C (see struct iotrap_group).
 */
#ifndef IOTRAP_LIBAIO_H
#define IOTRAP_LIBAIO_H

#include "iotrap_aio.h"

#pragma clang assume_nonnull begin

/*
 * A thread's ring for asynchronous requests. Only its thread submits; any thread may
 * take completions, with the lock held.
 */
struct iotrap_caller {
	uint64_t reserved;
	struct iotrap_ring *_Nullable ring; /* NULL: the thread is gone, or has none yet */
	uint32_t lock;
	uint32_t in_flight; /* submitted and not taken */
	int32_t thread_id;  /* 0: the record is free */
	uint32_t writes;    /* of those in flight, writes and syncs */
	int32_t error;      /* why there is no ring; 0: not tried */
	uint32_t strays;    /* waits elsewhere, with requests in flight */
	uint32_t waits;     /* for a context's word, in the ring */
	int32_t has_files;  /* a table of files in the ring: 0 not yet, -1 the kernel has none */
	uint64_t held;      /* a bit for each place in it that is taken */
	uint64_t left;      /* and for those whose requests have ended */
};

#define IOTRAP_CALLERS 512u
extern struct iotrap_caller iotrap_callers[IOTRAP_CALLERS];
static inline struct iotrap_caller *iotrap_caller_entry(uint32_t index)
{
	return &iotrap_callers[index];
}

/* context.flags */
#define IOTRAP_CONTEXT_OWN 1u    /* emulated: its ring is the engine's memory */
#define IOTRAP_CONTEXT_KERNEL 2u /* stays with the kernel for good; context.reason says why */
#define IOTRAP_CONTEXT_DEAD 4u   /* destroyed; users leave */
#define IOTRAP_CONTEXT_SHARED 8u /* several threads submit or take events */

struct iotrap_context {
	uint64_t reserved;
	uint64_t handle;  /* 0: the record is free, or being freed */
	uint64_t address; /* of the ring, as long as anybody uses the record */
	uint32_t lock;    /* of the finished list, and of reaping in user space */
	uint32_t flags;
	uint32_t users; /* threads inside a call, and not asleep in the kernel there */
	uint32_t capacity;
	uint32_t word;    /* changes when there is something to wake up for */
	uint32_t waiters; /* threads asleep on the word */
	/* habits, by which the policy goes */
	int32_t submitter;   /* the only thread that ever submitted; 0: none yet */
	uint32_t willing;    /* calls of io_getevents in a row that would have waited */
	uint32_t reason;     /* enum iotrap_reason of a context that stays with the kernel */
	uint32_t generation; /* changes when the record is given to another context */
	/* where its requests are */
	/* with the kernel's context, taken ones left out; of an emulated one, without an event yet
	 */
	uint32_t kernel_in_flight;
	uint32_t ring_in_flight; /* on a ring, or with the service thread */
	uint32_t finished_first; /* requests whose events wait to be taken: number + 1 */
	uint32_t finished_last;
	uint32_t finished_count;
	uint32_t turn;       /* which place events are taken from first */
	uint32_t known_head; /* of the kernel's ring, as far as calls have moved it */
	struct iotrap_caller *_Nullable caller;
	uint64_t ring_bytes; /* of an emulated ring */
	/* what a request of the kernel's took, one watched at a time */
	uint64_t watched_object;
	uint64_t watched_ns;
	/* how long the storage was busy for a request, smoothed; the last timed end, and how
	 * many requests ended since */
	uint64_t busy_ns;
	uint64_t last_end_ns;
	uint64_t ends;
	/* how long the kernel's io_submit takes for a request, smoothed */
	uint64_t kernel_submit_ns;
};

#define IOTRAP_CONTEXTS 1024u
extern struct iotrap_context iotrap_contexts[IOTRAP_CONTEXTS];
static inline struct iotrap_context *iotrap_context_entry(uint32_t index)
{
	return &iotrap_contexts[index];
}

/* Makes a record a new context's, except for its handle and its users. */
void iotrap_context_renew(struct iotrap_context *context, uint64_t address, uint32_t capacity,
			  uint32_t flags);

static inline struct iotrap_event *iotrap_aio_ring_event(struct iotrap_aio_ring *ring,
							 uint32_t index)
{
	return &ring->events[index];
}

/*
 * The calling thread is about to wait outside of the engine: waits until the requests on
 * its own rings have ended, for their completion would interrupt that wait.
 */
void iotrap_settle(struct iotrap_thread *self);
static inline void iotrap_settle_rings(void)
{
	struct iotrap_thread *self = iotrap_self();

	if (__builtin_expect(self->caller || self->posix_ring, 0))
		iotrap_settle(self);
}

/* Changes when memory of the program may have gone. */
extern uint32_t iotrap_memory_epoch;
static inline void iotrap_memory_changed(void)
{
	__atomic_fetch_add(&iotrap_memory_epoch, 1, __ATOMIC_RELAXED);
}

/* Forgets which pages may be touched, if memory has gone since. */
static inline void iotrap_pages_refresh(struct iotrap_thread *self)
{
	uint32_t epoch = __atomic_load_n(&iotrap_memory_epoch, __ATOMIC_RELAXED);

	if (__builtin_expect(self->pages_epoch == epoch, 1))
		return;
	self->pages_epoch = epoch;
	for (int i = 0; i < 8; i++)
		self->pages_readable[i] = self->pages_writable[i] = 0;
}

/* An address in the calling function's frame. */
static inline uintptr_t iotrap_frame(void)
{
	return (uintptr_t)__builtin_frame_address(0);
}

static inline uint32_t *_Nullable *_Nonnull iotrap_inside_lock(struct iotrap_thread *self,
							       uint32_t index)
{
	return &self->inside_locks[index];
}

/* Processors the kernel reckons with (num_possible_cpus), by which it shares out a context. */
uint32_t iotrap_possible_processors(void);

/* Nonzero when all of the given memory can be written, told without changing any of it. */
int iotrap_writable(const void *address, size_t bytes);

/* Stores four bytes of zeros as the kernel stores an iocb's key: 0 or -EFAULT. */
int iotrap_store_zero(uint64_t address);

/* Nonzero when this code runs on an alternate signal stack. */
int iotrap_on_signal_stack(void);

/* ppoll(2) of nothing: sleeps, with a signal mask in force. 0, or -EINTR after a handler. */
int iotrap_poll_nothing(uint64_t timeout_ns, const uint64_t *_Nullable sigmask);

/* A copy of a descriptor, close-on-exec and out of the way, or -errno. */
int iotrap_duplicate_up(int fd);

/* Nonzero when a descriptor is an eventfd. */
int iotrap_is_eventfd(int fd);

/* Adds one to an eventfd, unless it is full: the kernel itself never waits for room there. */
void iotrap_signal_eventfd(int fd);

/* poll(2) of one descriptor without waiting: POLL* bits, 0 when there are none, or -errno. */
int iotrap_poll_now(int fd, uint16_t events);

/* Nonzero when a file can tell when it becomes ready; zero for those that always are. */
int iotrap_can_poll(int fd);

/* Nonzero for terminals, and for the masters of pseudo-terminals. */
int iotrap_is_terminal(int fd);

/* 0, or -errno where the kernel would refuse an I/O priority to this process (ioprio_check_cap). */
int iotrap_priority_error(int priority);

/* pwritev2(2) and preadv2(2) with flags. */
long iotrap_vector_flags_raw(int fd, const struct iovec *iov, int count, int64_t offset,
			     uint32_t flags, int writes);

IOTRAP_WORD(caller, uint32_t, lock)
IOTRAP_WORD(caller, uint32_t, in_flight)
IOTRAP_WORD(caller, uint32_t, writes)
IOTRAP_WORD(caller, int32_t, thread_id)
IOTRAP_WORD(caller, uint32_t, waits)
IOTRAP_WORD(caller, uint64_t, left)
IOTRAP_WORD(context, uint32_t, lock)
IOTRAP_WORD(context, uint32_t, flags)
IOTRAP_WORD(context, uint32_t, users)
IOTRAP_WORD(context, uint32_t, word)
IOTRAP_WORD(context, uint32_t, waiters)
IOTRAP_WORD(context, uint32_t, kernel_in_flight)
IOTRAP_WORD(context, uint32_t, ring_in_flight)
IOTRAP_WORD(context, uint32_t, finished_count)
IOTRAP_WORD(context, uint32_t, turn)
IOTRAP_WORD(context, uint32_t, known_head)
IOTRAP_WORD(context, uint32_t, reason)
IOTRAP_WORD(context, uint64_t, busy_ns)
IOTRAP_WORD(context, struct iotrap_caller *_Nullable, caller)
IOTRAP_WORD(context, uint64_t, handle)
IOTRAP_WORD(context, int32_t, submitter)

#pragma clang assume_nonnull end
#endif
