/* What pool_io.c writes and expects to read: every sector says where it is and how new it is. */
#ifndef POOL_CONTENT_H
#define POOL_CONTENT_H

#include "measure.h"

#define SECTOR 512u

static inline void fail(const char *path, const char *what, uint64_t offset, const char *reason)
{
	fprintf(stderr, "pool_io: %s: %s at %llu: %s\n", path, what, (unsigned long long)offset,
		reason);
	exit(1);
}

/* No two sectors hold the same, and none what it held a generation before. */
static inline uint64_t stamp_of(uint64_t sector, uint32_t generation)
{
	uint64_t value = (sector ^ (uint64_t)generation << 40) + 0x9E3779B97F4A7C15u;

	value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
	value = (value ^ value >> 27) * 0x94D049BB133111EBu;
	return value ^ value >> 31;
}

static inline void write_content(void *buffer, size_t bytes, uint64_t offset, uint32_t generation)
{
	uint64_t *words = buffer;

	for (size_t at = 0; at < bytes; at += SECTOR, words += SECTOR / 8) {
		uint64_t stamp = stamp_of((offset + at) / SECTOR, generation);

		for (unsigned int i = 0; i < SECTOR / 8; i++)
			words[i] = stamp + i;
	}
}

static inline void check_content(const char *path, const void *buffer, size_t bytes,
				 uint64_t offset, uint32_t generation)
{
	const uint64_t *words = buffer;

	for (size_t at = 0; at < bytes; at += SECTOR, words += SECTOR / 8) {
		uint64_t stamp = stamp_of((offset + at) / SECTOR, generation), wrong = 0;

		for (unsigned int i = 0; i < SECTOR / 8; i++)
			wrong |= words[i] ^ (stamp + i);
		if (!wrong)
			continue;
		for (uint32_t older = 0; older < generation; older++)
			if (words[0] == stamp_of((offset + at) / SECTOR, older))
				fail(path, "content", offset + at, "older than what was written");
		fail(path, "content", offset + at, "not what was written");
	}
}

static inline char *make_buffer(size_t bytes)
{
	void *buffer = NULL;

	errno = posix_memalign(&buffer, 4096, bytes);
	check(!errno, "posix_memalign");
	memset(buffer, 0, bytes);
	return buffer;
}

#endif
