/*
 * A cache of the blocks of one large file, in memory of a fixed size, with O_DIRECT behind it: for
 * readers that know better than the page cache what they need, and must not grow.
 *
 * One thread at a time. Results are >= 0 or -errno.
 */
#ifndef BLOCK_CACHE_H
#define BLOCK_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct block_cache;

struct block_cache_statistics {
	uint64_t hits;      /* blocks that were there, or on their way */
	uint64_t misses;    /* blocks that a read had to ask for */
	uint64_t fetched;   /* blocks read from storage, ahead of time or not */
	uint64_t evictions; /* blocks that made room */
	uint32_t is_ring;   /* 0: io_uring is not to be had, one block is read at a time */
};

/*
 * block_bytes: a power of two of at least 4096; blocks: how many are kept, at least 4; depth: how
 * many reads are in flight at most.
 */
int block_cache_open(const char *path, size_t block_bytes, uint32_t blocks, uint32_t depth,
		     struct block_cache **cache);
void block_cache_close(struct block_cache *cache);

/* Starts to fetch a range, as far as there is room, and does not wait. */
int block_cache_prefetch(struct block_cache *cache, int64_t offset, size_t length);

/* pread(2): the number of bytes, fewer at the end of the file. */
ssize_t block_cache_read(struct block_cache *cache, void *buffer, size_t length, int64_t offset);

/* What went wrong last, as one line; "" when nothing has. */
const char *block_cache_error(const struct block_cache *cache);

void block_cache_count(struct block_cache *cache, struct block_cache_statistics *statistics);

#endif
