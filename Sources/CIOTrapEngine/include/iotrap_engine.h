/*
 * The contract between the hooks (shim/, C) and the engine (Swift), which
 * implements what is declared here with @c.
 */
#ifndef IOTRAP_ENGINE_H
#define IOTRAP_ENGINE_H

#include <features.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "iotrap_stats.h"

#pragma clang assume_nonnull begin

/* thread.state: either the value of the guard word (active) or one of these. */
#define IOTRAP_STATE_UNATTACHED 0xffffffffu /* no call seen yet */
#define IOTRAP_STATE_NOBODY 0xfffffff0u     /* a guard value: never a thread's */
#define IOTRAP_STATE_BARE 0xfffffffeu /* straight to the kernel: inside the engine, or ending */

struct iotrap_ring;
struct iotrap_recording_window;
struct iotrap_caller;
struct iotrap_posix_ring;

/*
 * Per thread, in static TLS. The hot path compares state with the guard word,
 * which lives in a page that fork wipes: one comparison tells "attached, in this
 * process, not inside the engine".
 */
struct iotrap_thread {
	uint32_t state;
	uint32_t block_index;
	int32_t thread_id; /* of the task that attached: a clone may run on its variables */
	struct iotrap_stats_block *_Nullable block;
	struct iotrap_ring *_Nullable ring;
	int32_t ring_error;   /* why there is no ring; 0: not tried */
	uint32_t histograms;  /* bit by operation, then technique: memory is behind it */
	uint32_t vfork_depth; /* vfork children running on this thread's stack */
	uint32_t vfork_state; /* state to return to when they are gone */
	uint16_t countdown[IOTRAP_OP_COUNT]; /* calls until one is timed again */
	uint16_t interval[IOTRAP_OP_COUNT];  /* calls a timed one stands for */
	/* libaio; see AIO/Inside.swift */
	struct iotrap_caller *_Nullable caller;
	uintptr_t inside; /* stack address of the call in its critical part; 0: none */
	uint32_t *_Nullable inside_locks[2]; /* locks held there */
	uint32_t pages_epoch;
	uint64_t pages_readable[8]; /* by page number: seen to be there */
	uint64_t pages_writable[8];
	uint32_t flights; /* requests since one was timed */
	/* POSIX AIO; see AIO/PosixRing.swift */
	struct iotrap_posix_ring *_Nullable posix_ring;
	uint32_t suspends;    /* calls of aio_suspend that were willing to wait */
	uint32_t unsuspended; /* requests since the last of them */
	/* see Recorder/ */
	struct iotrap_recording_window *_Nullable window;
	uintptr_t recording; /* stack address of the record being written; 0: none */
};

extern __thread struct iotrap_thread iotrap_thread_state __attribute__((tls_model("initial-exec")));

/* Points to a word that differs from every active thread.state after a fork. */
extern const uint32_t *iotrap_guard;

static inline struct iotrap_thread *iotrap_self(void)
{
	return &iotrap_thread_state;
}

/* Element access: Swift sees C arrays as tuples. */
static inline uint16_t *iotrap_countdown(struct iotrap_thread *self, uint32_t operation)
{
	return &self->countdown[operation];
}

static inline uint16_t *iotrap_interval(struct iotrap_thread *self, uint32_t operation)
{
	return &self->interval[operation];
}

static inline uint64_t *iotrap_page_readable(struct iotrap_thread *self, uint64_t page)
{
	return &self->pages_readable[page % 8];
}

static inline uint64_t *iotrap_page_writable(struct iotrap_thread *self, uint64_t page)
{
	return &self->pages_writable[page % 8];
}

static inline struct iotrap_stats_operation *
iotrap_block_operation(struct iotrap_stats_block *block, uint32_t operation)
{
	return &block->operations[operation];
}

static inline struct iotrap_stats_technique *
iotrap_block_technique(struct iotrap_stats_block *block, uint32_t technique)
{
	return &block->techniques[technique];
}

/* The part of a block before its histograms, in bytes. */
static inline uint32_t iotrap_block_counters_bytes(void)
{
	return (uint32_t) __builtin_offsetof(struct iotrap_stats_block, operation_latency);
}

static inline uint64_t *iotrap_block_reason(struct iotrap_stats_block *block, uint32_t reason)
{
	return &block->reasons[reason];
}

static inline struct iotrap_stats_histogram *
iotrap_block_operation_latency(struct iotrap_stats_block *block, uint32_t operation)
{
	return &block->operation_latency[operation];
}

static inline struct iotrap_stats_histogram *
iotrap_block_technique_latency(struct iotrap_stats_block *block, uint32_t technique)
{
	return &block->technique_latency[technique];
}

static inline uint64_t *iotrap_histogram_bucket(struct iotrap_stats_histogram *histogram,
						uint32_t index)
{
	return &histogram->buckets[index];
}

/*
 * Zeroed static memory for the engine's process-wide state: it needs no
 * initialiser to run, and a fork copies it.
 */
#define IOTRAP_PROCESS_BYTES 32768u
extern uint64_t iotrap_process_storage[IOTRAP_PROCESS_BYTES / 8];
static inline void *iotrap_process_memory(void)
{
	return iotrap_process_storage;
}

/*
 * A group of concurrent syncs of one file; see Sync/GroupSync.swift. Laid out in C
 * because its words are used by several threads at once: taking the address of a
 * Swift field counts as an access to it.
 */
#define IOTRAP_GROUP_SLOTS 8u

/*
 * The words used without the lock do not come first: the thread sanitizer takes a
 * change of any field for a change at the structure's own address.
 */
struct iotrap_group_slot {
	int64_t result;
	int32_t leader;   /* the leader's descriptor */
	uint32_t waiters; /* callers that wait, or have still to read the outcome */
	uint32_t word;    /* what its waiters sleep on */
	uint32_t reserved;
};

struct iotrap_group {
	uint64_t started; /* number of the sync last led */
	uint32_t lock;
	uint8_t is_led;       /* a sync is being gathered for, or running */
	uint8_t is_gathering; /* it has not begun: callers may still join it */
	uint16_t reserved;
	uint32_t expected; /* callers inside when the last sync ended */
	uint32_t gathered; /* callers of the sync in hand */
	uint64_t sync_ns;  /* smoothed time of a sync */
	struct iotrap_group_slot slots[IOTRAP_GROUP_SLOTS];
};

static inline uint32_t *iotrap_group_lock(struct iotrap_group *group)
{
	return &group->lock;
}

static inline struct iotrap_group_slot *iotrap_group_slot(struct iotrap_group *group,
							  uint64_t number)
{
	return &group->slots[number % IOTRAP_GROUP_SLOTS];
}

static inline uint32_t *iotrap_group_word(struct iotrap_group_slot *slot)
{
	return &slot->word;
}

/* Two-level descriptor table: 1024 lazily made leaves of 1024 slots. */
#define IOTRAP_DESCRIPTOR_LEAVES 1024u
#define IOTRAP_DESCRIPTOR_LEAF_SLOTS 1024u
/* A slot's low bits: enum DescriptorKind of Descriptors/Slot.swift, and 8 for O_APPEND. */
#define IOTRAP_DESCRIPTOR_KINDS 16u
#define IOTRAP_DESCRIPTOR_KIND_MASK 7u
#define IOTRAP_DESCRIPTOR_KIND_ENGINE 5u
extern uint64_t *_Nullable iotrap_descriptor_leaves[IOTRAP_DESCRIPTOR_LEAVES];
static inline uint64_t *_Nullable *_Nonnull iotrap_descriptor_root(void)
{
	return iotrap_descriptor_leaves;
}

/* The slot of a descriptor as a word: 0 when nothing is known of it. */
static inline uint64_t iotrap_descriptor_slot(int32_t fd)
{
	uint32_t index = (uint32_t)fd;
	uint64_t *leaf;

	if (index >= IOTRAP_DESCRIPTOR_LEAVES * IOTRAP_DESCRIPTOR_LEAF_SLOTS)
		return 0;
	leaf = iotrap_descriptor_leaves[index / IOTRAP_DESCRIPTOR_LEAF_SLOTS];
	return leaf ? __atomic_load_n(&leaf[index % IOTRAP_DESCRIPTOR_LEAF_SLOTS], __ATOMIC_RELAXED)
		    : 0;
}

/* Nonzero when fd is the engine's own (a ring): the program does not know it exists. */
static inline int iotrap_descriptor_is_internal(int32_t fd)
{
	return (iotrap_descriptor_slot(fd) & IOTRAP_DESCRIPTOR_KIND_MASK) ==
	       IOTRAP_DESCRIPTOR_KIND_ENGINE;
}

/*
 * Answers of the policy that hold whatever the call: by operation and kind of
 * descriptor, the reason why it passes, or IOTRAP_QUICK_ASK. The engine works them
 * out at start; the hooks look them up instead of asking each time.
 */
#define IOTRAP_QUICK_ASK 0xffu
extern uint8_t iotrap_quick[IOTRAP_OP_COUNT][IOTRAP_DESCRIPTOR_KINDS];
static inline uint8_t *iotrap_quick_entry(uint32_t operation, uint32_t kind)
{
	return &iotrap_quick[operation][kind];
}

/* Owner thread by statistics block; 0: free. */
extern uint32_t iotrap_block_owners[IOTRAP_STATS_BLOCKS_MAX];
static inline uint32_t *iotrap_block_owner(uint32_t index)
{
	return &iotrap_block_owners[index];
}

/* Nonzero when hooks may do anything at all. */
extern uint32_t iotrap_active;
static inline void iotrap_active_set(void)
{
	iotrap_active = 1;
}

/* The guard, as one load for Swift; and its replacement at start and after fork. */
static inline uint32_t iotrap_guard_word(void)
{
	return *iotrap_guard;
}
/* From now on no thread counts as active. */
void iotrap_guard_close(void);
static inline void iotrap_guard_set(const uint32_t *guard)
{
	iotrap_guard = guard;
}

/* One intercepted call, on the caller's stack. */
struct iotrap_call {
	uint32_t operation; /* enum iotrap_operation */
	int32_t descriptor;
	const struct iovec *_Nullable iov;
	int32_t iov_count;
	uint32_t flags; /* RWF_* */
	int64_t offset;
	/* the engine's own notes between iotrap_serve and iotrap_completed */
	uint64_t started_ns; /* 0: not timed */
	uint32_t weight;     /* calls this one stands for in the histogram */
	uint32_t file;       /* file record + 1, 0: none */
	uint32_t file_generation;
	uint32_t comparison;
	uint32_t epoch;
	uint32_t population; /* threads that sync the file lately */
	uint64_t bytes;      /* asked for */
};

enum iotrap_route {
	IOTRAP_ROUTE_PASS = 0, /* make the real call, then iotrap_passed() */
	IOTRAP_ROUTE_BARE = 1, /* make the real call and nothing else */
	IOTRAP_ROUTE_SERVE = 2 /* fill a struct iotrap_call and ask iotrap_serve() */
};

/* Returned by iotrap_serve: make the real call, then iotrap_completed(). */
#define IOTRAP_DECLINED INT64_MIN

/*
 * Decides about one call in a few nanoseconds and counts it. bytes is what was
 * asked for (0 for calls that move no data).
 */
uint32_t iotrap_route(struct iotrap_thread *self, uint32_t operation, int32_t fd, uint64_t bytes);

/* Serves a routed call: its result, -errno, or IOTRAP_DECLINED. */
int64_t iotrap_serve(struct iotrap_thread *self, struct iotrap_call *call);

/* Reports the outcome (result or -errno) of a call that iotrap_serve declined. */
void iotrap_completed(struct iotrap_thread *self, struct iotrap_call *call, int64_t result);

/*
 * The usual case without leaving the hook: counts a call that passes for a reason
 * known beforehand. NULL: ask iotrap_route(). `operation` is a constant where this is
 * used, so the counters are at fixed offsets.
 */
static inline struct iotrap_stats_operation *_Nullable iotrap_pass_quickly(
	struct iotrap_thread *self, uint32_t operation, uint64_t slot)
{
	struct iotrap_stats_block *block = self->block;
	uint32_t kind = (uint32_t)slot & (IOTRAP_DESCRIPTOR_KINDS - 1);
	uint32_t reason = iotrap_quick[operation][kind];

	if (__builtin_expect(self->state != *iotrap_guard || !block || reason == IOTRAP_QUICK_ASK ||
				     self->countdown[operation] <= 1,
			     0))
		return NULL;
	self->countdown[operation]--;
	block->operations[operation].calls++;
	block->reasons[reason]++;
	return &block->operations[operation];
}

/* The outcome of a call that passed quickly: bytes moved, or -1. */
static inline void iotrap_passed_quickly(struct iotrap_stats_operation *counts, int64_t result)
{
	if (__builtin_expect(result >= 0, 1))
		counts->bytes += (uint64_t)result;
	else
		counts->errors++;
}

/* Reports the outcome of a passed call: bytes moved, or -1. */
static inline void iotrap_passed(struct iotrap_thread *self, uint32_t operation, int64_t result)
{
	struct iotrap_stats_operation *counts;

	if (!self->block)
		return;
	counts = &self->block->operations[operation];
	if (result > 0)
		counts->bytes += (uint64_t)result;
	else if (result < 0)
		counts->errors += 1;
}

/* --- descriptors ------------------------------------------------------------ */

/* A descriptor came from open(2) and its kin with these flags. */
void iotrap_descriptor_opened(int32_t fd, uint32_t flags);
/* What was known of a descriptor no longer holds: call before close, after dup2 and F_SETFL. */
void iotrap_descriptor_forget(int32_t fd);
void iotrap_descriptors_forget(uint32_t first, uint32_t last);
/* The lowest engine descriptor in first...last, or -1. */
int32_t iotrap_descriptor_internal_from(uint32_t first, uint32_t last);
/* The program is about to take this number (dup2): the engine lets go of it. */
void iotrap_descriptor_surrender(int32_t fd);

/* --- process ---------------------------------------------------------------- */

/* Reads the configuration from the environment. Called once, from the constructor. */
void iotrap_start(char *_Nullable const *_Nullable environment, int secure);
/* The process ends in an orderly way: removes or closes the statistics segment. */
void iotrap_finish(void);
/* A thread ends: gives back its block and its ring. */
void iotrap_thread_ended(struct iotrap_thread *self);
/* Nonzero when the environment is to be carried over exec. */
int iotrap_follows_exec(void);
/* The program installed a seccomp filter of its own: make no new kind of system call. */
void iotrap_restrict(void);

/* The thread-end callback is registered by C code that can own a pthread key. */
void iotrap_thread_watch(struct iotrap_thread *self);
void iotrap_thread_watch_start(void);

#pragma clang assume_nonnull end
#endif
