/*
 * What blocks of a file hold in these programs: where they belong, which write put them
 * there, and a sum of both with everything else in them.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BLOCK 4096u
#define WORDS (BLOCK / sizeof(uint64_t))
#define CONTENT static __attribute__((unused))

struct stamp {
	uint64_t offset;
	uint64_t sequence;
	uint64_t sum;
};

CONTENT uint64_t content_word(const struct stamp *stamp, size_t index)
{
	uint64_t word = stamp->offset + stamp->sequence * 0x9e3779b97f4a7c15u + index;

	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
	return word ^ (word >> 27);
}

/* The words behind the stamp, as a sum. */
CONTENT uint64_t content_sum(const uint64_t *block)
{
	uint64_t sum = 0x1234;

	for (size_t index = 3; index < WORDS; index++)
		sum = (sum ^ block[index]) * 0x100000001b3u;
	return sum ^ block[0] ^ (block[1] << 1);
}

CONTENT void content_fill(char *buffer, size_t bytes, uint64_t offset, uint64_t sequence)
{
	for (size_t position = 0; position < bytes; position += BLOCK) {
		uint64_t *block = (uint64_t *)(void *)(buffer + position);
		struct stamp stamp = {.offset = offset + position, .sequence = sequence};

		block[0] = stamp.offset;
		block[1] = stamp.sequence;
		for (size_t index = 3; index < WORDS; index++)
			block[index] = content_word(&stamp, index);
		block[2] = content_sum(block);
	}
}

/* False, with the reason in text, for a block that no single write put there. */
CONTENT bool content_check(const char *buffer, uint64_t offset, uint64_t *sequence, char *text,
			   size_t text_bytes)
{
	const uint64_t *block = (const uint64_t *)(const void *)buffer;

	*sequence = block[1];
	if (block[0] == offset && block[2] == content_sum(block))
		return true;
	snprintf(text, text_bytes, "block at %llu holds offset %llu, sequence %llu, sum %s",
		 (unsigned long long)offset, (unsigned long long)block[0],
		 (unsigned long long)block[1], block[2] == content_sum(block) ? "right" : "wrong");
	return false;
}

#endif
