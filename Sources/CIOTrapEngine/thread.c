/*
 * Static storage of the engine, and a thread's end. The key is made at load, when few exist: glibc
 * keeps the values of the first 32 keys inside the thread descriptor, so setting
 * one later, possibly inside a signal handler, allocates nothing.
 */
#include <pthread.h>

#include "iotrap_engine.h"

__thread struct iotrap_thread iotrap_thread_state = {.state = IOTRAP_STATE_UNATTACHED};

/* No thread is ever in this state: every hook asks, before the start and when restricted. */
static const uint32_t guard_nobody = IOTRAP_STATE_NOBODY;
const uint32_t *iotrap_guard = &guard_nobody;

void iotrap_guard_close(void)
{
	__atomic_store_n(&iotrap_guard, &guard_nobody, __ATOMIC_RELEASE);
}

uint64_t iotrap_process_storage[IOTRAP_PROCESS_BYTES / 8] __attribute__((aligned(64)));
uint64_t *iotrap_descriptor_leaves[IOTRAP_DESCRIPTOR_LEAVES];
uint8_t iotrap_quick[IOTRAP_OP_COUNT][IOTRAP_DESCRIPTOR_KINDS];
uint32_t iotrap_active;
uint32_t iotrap_block_owners[IOTRAP_STATS_BLOCKS_MAX];

static pthread_key_t thread_end_key;
static int thread_end_key_made;

static void thread_end(void *value)
{
	(void)value;
	iotrap_thread_ended(iotrap_self());
}

void iotrap_thread_watch_start(void)
{
	if (!thread_end_key_made)
		thread_end_key_made = pthread_key_create(&thread_end_key, thread_end) == 0;
}

void iotrap_thread_watch(struct iotrap_thread *self)
{
	if (thread_end_key_made)
		pthread_setspecific(thread_end_key, self);
}
