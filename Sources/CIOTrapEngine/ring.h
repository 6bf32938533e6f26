/* What ring.c (making rings) and ring_requests.c (using them) share. */
#ifndef IOTRAP_RING_H
#define IOTRAP_RING_H

#include <liburing.h>

#include "iotrap_aio.h"

#define SETUP_COOP_TASKRUN (1u << 8)
#define SETUP_TASKRUN_FLAG (1u << 9)
#define SETUP_SINGLE_ISSUER (1u << 12)
#define SETUP_DEFER_TASKRUN (1u << 13)
#define SETUP_NO_MMAP (1u << 14)
#define SETUP_REGISTERED_FD_ONLY (1u << 15)
#define SETUP_NO_SQARRAY (1u << 16)
#define REGISTER_USE_REGISTERED_RING (1u << 31)
#define INT_FLAG_REG_RING 1u /* liburing 2.3, src/int_flags.h */

#define PAGE 4096u
#define WORKERS_PER_TASK 32u

/* What a kind of ring is made of: struct iotrap_ring, then queues and entries in pages. */
struct layout {
	unsigned int entries;
	unsigned int completions;
	unsigned int queue_pages;
	unsigned int entry_pages;
};

struct iotrap_ring {
	struct io_uring uring;
	uint32_t features;
	int descriptor; /* -1: hidden */
	struct layout layout;
};

/*
 * A ring of any size, of the calling thread only. hidden: without a descriptor if that can be had.
 * running: IORING_SETUP_* that older kernels are spared.
 */
struct iotrap_ring *iotrap_ring_create_sized(const struct layout *layout, int hidden,
					     unsigned int running, int *error);

/* io_uring_register(2) on the ring, by its descriptor or its number. */
long iotrap_ring_register(const struct iotrap_ring *ring, unsigned int opcode, void *argument,
			  unsigned int count);

/*
 * What was done before a request was submitted comes before what is done after its
 * completion was taken, be it in another thread. The kernel sees to that, and the thread
 * sanitizer does not see the kernel.
 */
#define IOTRAP_RING_SUBMITS(ring)
#define IOTRAP_RING_COMPLETED(ring)
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
void __tsan_acquire(void *);
void __tsan_release(void *);
#undef IOTRAP_RING_SUBMITS
#undef IOTRAP_RING_COMPLETED
#define IOTRAP_RING_SUBMITS(ring) __tsan_release(ring)
#define IOTRAP_RING_COMPLETED(ring) __tsan_acquire(ring)
#endif
#endif

_Static_assert(sizeof(struct iotrap_ring) <= PAGE, "the ring's own state fits its page");

#endif
