/*
 * Blocks are found by a hash table and make room by the clock algorithm: the hand passes over
 * blocks that were used since it came by last, and takes the first that was not. Reads that are
 * missing go to the queue together; whoever needs a block that is on its way waits for that one.
 */
#include "block_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <iotrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { EMPTY, LOADING, READY };

struct block {
	uint64_t number;
	uint32_t next;  /* in its bucket: index + 1 */
	uint32_t bytes; /* valid ones: fewer in the last block of the file */
	uint8_t state;
	uint8_t was_used;
};

struct block_cache {
	struct iotrap_queue *queue;
	struct iotrap_file *file;
	char *memory;
	struct block *blocks;
	uint32_t *buckets; /* index + 1 of the first block */
	uint32_t bucket_mask;
	uint32_t count;
	uint32_t hand;
	uint32_t in_flight;
	uint32_t io_flags;
	size_t block_bytes;
	int failure; /* of a block that was read ahead, told to who needs it */
	struct block_cache_statistics counts;
	char error[512];
};

static uint32_t *bucket_of(struct block_cache *cache, uint64_t number)
{
	uint64_t mixed = number * 0x9E3779B97F4A7C15u;

	return &cache->buckets[(mixed >> 32) & cache->bucket_mask];
}

static struct block *find(struct block_cache *cache, uint64_t number)
{
	for (uint32_t at = *bucket_of(cache, number); at; at = cache->blocks[at - 1].next) {
		if (cache->blocks[at - 1].number == number)
			return &cache->blocks[at - 1];
	}
	return NULL;
}

static void forget(struct block_cache *cache, struct block *block)
{
	uint32_t index = (uint32_t)(block - cache->blocks) + 1;
	uint32_t *link = bucket_of(cache, block->number);

	while (*link != index)
		link = &cache->blocks[*link - 1].next;
	*link = block->next;
	block->state = EMPTY;
}

/* A block to be filled; NULL when all are on their way. */
static struct block *make_room(struct block_cache *cache)
{
	for (uint32_t steps = 0; steps < 2 * cache->count; steps++) {
		struct block *block = &cache->blocks[cache->hand];

		cache->hand = (cache->hand + 1) % cache->count;
		if (block->state == LOADING)
			continue;
		if (block->state == EMPTY)
			return block;
		if (!block->was_used) {
			forget(cache, block);
			cache->counts.evictions++;
			return block;
		}
		block->was_used = 0;
	}
	return NULL;
}

static int note_error(struct block_cache *cache, int code)
{
	if (iotrap_queue_error(cache->queue, cache->error, sizeof(cache->error)) == 0)
		snprintf(cache->error, sizeof(cache->error), "%s", strerror(-code));
	return code;
}

/* Asks for a block that is not there: 0, or -EAGAIN when there is no room for it now. */
static int fetch(struct block_cache *cache, uint64_t number)
{
	struct block *block = iotrap_queue_room(cache->queue) > 0 ? make_room(cache) : NULL;
	size_t index;
	struct iotrap_io io;
	int result;

	if (!block)
		return -EAGAIN;
	index = (size_t)(block - cache->blocks);
	iotrap_io_read(&io, cache->file, cache->memory + index * cache->block_bytes,
		       cache->block_bytes, (int64_t)(number * cache->block_bytes));
	io.user_data = index;
	io.flags = cache->io_flags;
	result = iotrap_queue_add(cache->queue, &io);
	if (result < 0)
		return note_error(cache, result);
	block->number = number;
	block->state = LOADING;
	block->was_used = 1;
	block->next = *bucket_of(cache, number);
	*bucket_of(cache, number) = (uint32_t)index + 1;
	cache->in_flight++;
	cache->counts.fetched++;
	return 0;
}

static void arrived(struct block_cache *cache, const struct iotrap_completion *completion)
{
	struct block *block = &cache->blocks[completion->user_data];

	cache->in_flight--;
	if (completion->result < 0) {
		iotrap_completion_text(completion, cache->error, sizeof(cache->error));
		cache->failure = (int)completion->result;
		forget(cache, block);
		return;
	}
	block->bytes = (uint32_t)completion->result;
	block->state = READY;
}

/* Takes completions: at least one, if `waits` and any is on its way. */
static int take(struct block_cache *cache, int waits)
{
	struct iotrap_completion completions[64];
	int count;

	do
		count = waits ? iotrap_queue_wait(cache->queue, completions, 1, 64, IOTRAP_FOREVER)
			      : iotrap_queue_poll(cache->queue, completions, 64);
	while (count == -EINTR);
	if (count < 0)
		return note_error(cache, count);
	for (int i = 0; i < count; i++)
		arrived(cache, &completions[i]);
	return count;
}

int block_cache_prefetch(struct block_cache *cache, int64_t offset, size_t length)
{
	uint64_t first = (uint64_t)offset / cache->block_bytes;
	uint64_t end = ((uint64_t)offset + length + cache->block_bytes - 1) / cache->block_bytes;
	int result = 0;

	if (offset < 0)
		return -EINVAL;
	for (uint64_t number = first; number < end && result == 0; number++) {
		if (!find(cache, number))
			result = fetch(cache, number);
	}
	if (result < 0 && result != -EAGAIN)
		return result;
	result = iotrap_queue_submit(cache->queue);
	return result < 0 ? note_error(cache, result) : 0;
}

/* Waits until a block is there; NULL and *code when it cannot be had. */
static struct block *need(struct block_cache *cache, uint64_t number, int *code)
{
	struct block *block = find(cache, number);

	if (block)
		cache->counts.hits++;
	else
		cache->counts.misses++;
	for (;;) {
		block = find(cache, number);
		if (block && block->state == READY) {
			block->was_used = 1;
			return block;
		}
		cache->failure = 0;
		*code = block ? 0 : fetch(cache, number);
		if (*code < 0 && *code != -EAGAIN)
			return NULL;
		*code = take(cache, 1);
		if (*code < 0)
			return NULL;
		if (cache->failure && !find(cache, number)) {
			*code = cache->failure;
			return NULL;
		}
	}
}

ssize_t block_cache_read(struct block_cache *cache, void *buffer, size_t length, int64_t offset)
{
	size_t done = 0;

	if (offset < 0)
		return -EINVAL;
	while (done < length) {
		uint64_t at = (uint64_t)offset + done;
		size_t inside = at % cache->block_bytes, bytes;
		struct block *block;
		int code = block_cache_prefetch(cache, (int64_t)at, length - done);

		if (code < 0)
			return code;
		block = need(cache, at / cache->block_bytes, &code);
		if (!block)
			return code;
		if (inside >= block->bytes)
			break;
		bytes = block->bytes - inside;
		if (bytes > length - done)
			bytes = length - done;
		memcpy((char *)buffer + done,
		       cache->memory + (size_t)(block - cache->blocks) * cache->block_bytes +
			       inside,
		       bytes);
		done += bytes;
		if (block->bytes < cache->block_bytes && done < length)
			break;
	}
	take(cache, 0);
	return (ssize_t)done;
}

const char *block_cache_error(const struct block_cache *cache)
{
	return cache->error;
}

void block_cache_count(struct block_cache *cache, struct block_cache_statistics *statistics)
{
	struct iotrap_queue_statistics counts = {.struct_size = sizeof(counts)};

	*statistics = cache->counts;
	if (iotrap_queue_statistics(cache->queue, &counts) == 0)
		statistics->is_ring = counts.ring;
}

static int open_queue(struct block_cache *cache, uint32_t depth)
{
	struct iotrap_queue_options options;
	int result;

	iotrap_queue_options_init(&options);
	options.depth = depth;
	options.buffer_slots = 1;
	result = iotrap_queue_open(&options, &cache->queue);
	if (result < 0)
		return result;
	/* Where the limit on locked memory is too low, reads cost a little more. */
	if (iotrap_queue_set_buffer(cache->queue, 0, cache->memory,
				    cache->count * cache->block_bytes) == 0)
		cache->io_flags = IOTRAP_IO_FIXED_BUFFER;
	return 0;
}

static int allocate(struct block_cache *cache)
{
	uint32_t buckets = 1;
	void *memory = NULL;

	while (buckets < 2 * cache->count)
		buckets *= 2;
	cache->bucket_mask = buckets - 1;
	cache->buckets = calloc(buckets, sizeof(*cache->buckets));
	cache->blocks = calloc(cache->count, sizeof(*cache->blocks));
	if (posix_memalign(&memory, 4096, cache->count * cache->block_bytes))
		memory = NULL;
	cache->memory = memory;
	return cache->buckets && cache->blocks && cache->memory ? 0 : -ENOMEM;
}

int block_cache_open(const char *path, size_t block_bytes, uint32_t blocks, uint32_t depth,
		     struct block_cache **out)
{
	struct block_cache *cache;
	int result;

	if (block_bytes < 4096 || block_bytes > 1u << 30 || block_bytes & (block_bytes - 1) ||
	    blocks < 4 || blocks > 1u << 30 || depth < 1 || depth > 16384)
		return -EINVAL;
	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->count = blocks;
	cache->block_bytes = block_bytes;
	result = allocate(cache);
	if (result == 0)
		result = open_queue(cache, depth);
	if (result == 0)
		result = iotrap_file_open(path, O_RDONLY | O_DIRECT, 0, NULL, &cache->file);
	/* Some file systems have no O_DIRECT; the page cache is used then. */
	if (result == -EINVAL)
		result = iotrap_file_open(path, O_RDONLY, 0, NULL, &cache->file);
	if (result < 0) {
		block_cache_close(cache);
		return result;
	}
	*out = cache;
	return 0;
}

void block_cache_close(struct block_cache *cache)
{
	if (cache->queue)
		iotrap_queue_close(cache->queue);
	if (cache->file)
		iotrap_file_close(cache->file);
	free(cache->memory);
	free(cache->blocks);
	free(cache->buckets);
	free(cache);
}
