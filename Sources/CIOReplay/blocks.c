/*
 * Blocks that say where they belong: a head, words that follow from it, and a tail, so that a
 * block of which only a part was written shows both versions.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"

#define HEAD_MAGIC 0x31444145484b4c42ULL
#define TAIL_MAGIC 0x4c415442u
#define PREPARE_BYTES ((uint64_t)1 << 20)

struct head {
	uint64_t magic;
	uint32_t run;
	uint32_t content;
	uint64_t offset;
	uint32_t version;
	uint32_t bytes;
};

struct tail {
	uint32_t version;
	uint32_t magic;
};

static uint64_t seed_of(const struct head *head)
{
	uint64_t seed = head->offset ^ ((uint64_t)head->version << 32) ^
			((uint64_t)head->content << 17) ^ head->run;

	seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
	return (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
}

static uint64_t next_word(uint64_t word)
{
	return word * 6364136223846793005u + 1442695040888963407u;
}

void iotrap_replay_fill_block(void *block, uint32_t bytes, uint32_t run, uint32_t content,
			      uint64_t offset, uint32_t version)
{
	struct head head = {HEAD_MAGIC, run, content, offset, version, bytes};
	struct tail tail = {version, TAIL_MAGIC};
	uint64_t word = seed_of(&head);
	char *to = block;

	memcpy(to, &head, sizeof(head));
	for (size_t at = sizeof(head); at < bytes - sizeof(tail); at += 8) {
		word = next_word(word);
		memcpy(to + at, &word, 8);
	}
	memcpy(to + bytes - sizeof(tail), &tail, sizeof(tail));
}

static bool is_body_whole(const char *from, uint32_t bytes, const struct head *head)
{
	uint64_t word = seed_of(head), found;

	for (size_t at = sizeof(*head); at < bytes - sizeof(struct tail); at += 8) {
		word = next_word(word);
		memcpy(&found, from + at, 8);
		if (found != word)
			return false;
	}
	return true;
}

static bool is_zero(const char *from, uint32_t bytes)
{
	return from[0] == 0 && memcmp(from, from + 1, bytes - 1) == 0;
}

uint32_t iotrap_replay_check_block(const void *block, uint32_t bytes, uint32_t run,
				   uint32_t content, uint64_t offset, uint32_t floor,
				   uint32_t ceiling, struct iotrap_replay_fault *fault)
{
	struct head head;
	struct tail tail;
	bool has_head, has_tail;

	memcpy(&head, block, sizeof(head));
	memcpy(&tail, (const char *)block + bytes - sizeof(tail), sizeof(tail));
	*fault = (struct iotrap_replay_fault){
		.content = content,
		.offset = offset,
		.expected = ceiling,
		.found = IOTRAP_REPLAY_VERSION_UNKNOWN,
		.second = IOTRAP_REPLAY_VERSION_UNKNOWN,
	};
	has_head = head.magic == HEAD_MAGIC && head.run == run && head.bytes == bytes;
	has_tail = tail.magic == TAIL_MAGIC;
	if (!has_head) {
		if (is_zero(block, bytes))
			return fault->kind = IOTRAP_REPLAY_FAULT_LOST;
		if (has_tail)
			fault->second = tail.version;
		return fault->kind = has_tail ? IOTRAP_REPLAY_FAULT_TORN
					      : IOTRAP_REPLAY_FAULT_CORRUPT;
	}
	fault->found = head.version;
	if (!has_tail || tail.version != head.version || !is_body_whole(block, bytes, &head)) {
		if (has_tail && tail.version != head.version)
			fault->second = tail.version;
		/* A block of two parts, of which the second may be from before all versions. */
		return fault->kind = has_tail && tail.version == head.version
					     ? IOTRAP_REPLAY_FAULT_CORRUPT
					     : IOTRAP_REPLAY_FAULT_TORN;
	}
	if (head.content != content || head.offset != offset) {
		fault->found_content = head.content;
		fault->found_offset = head.offset;
		return fault->kind = IOTRAP_REPLAY_FAULT_MISPLACED;
	}
	if (head.version < floor)
		fault->kind = IOTRAP_REPLAY_FAULT_LOST;
	else if (head.version > ceiling)
		fault->kind = IOTRAP_REPLAY_FAULT_CORRUPT;
	else
		fault->kind = IOTRAP_REPLAY_FAULT_NONE;
	return fault->kind;
}

static void fill_piece(char *buffer, uint64_t at, uint64_t bytes, uint32_t block, uint32_t run,
		       uint32_t content)
{
	static uint64_t noise = 0x2545f4914f6cdd1d;

	if (block == 0) {
		for (uint64_t i = 0; i < bytes; i += 8) {
			noise ^= noise << 13;
			noise ^= noise >> 7;
			noise ^= noise << 17;
			memcpy(buffer + i, &noise, 8);
		}
		return;
	}
	for (uint64_t i = 0; i + block <= bytes; i += block)
		iotrap_replay_fill_block(buffer + i, block, run, content, at + i, 0);
	/* The end of a file that is no whole block stays zero. */
	memset(buffer + bytes / block * block, 0, bytes % block);
}

int iotrap_replay_prepare(int descriptor, uint64_t from, uint64_t to, uint32_t verify_block,
			  uint32_t run, uint32_t content, const volatile int *stop)
{
	char *buffer = aligned_alloc(4096, PREPARE_BYTES + 4096);
	int error = 0;

	if (!buffer)
		return -ENOMEM;
	from -= from % PREPARE_BYTES;
	for (uint64_t at = from; at < to && error == 0; at += PREPARE_BYTES) {
		uint64_t bytes = to - at < PREPARE_BYTES ? to - at : PREPARE_BYTES;
		uint64_t done = 0;

		fill_piece(buffer, at, bytes, verify_block, run, content);
		while (done < bytes && error == 0) {
			ssize_t count = pwrite(descriptor, buffer + done, bytes - done,
					       (off_t)(at + done));

			if (*stop)
				error = -EINTR;
			else if (count < 0 && errno != EINTR)
				error = -errno;
			else if (count > 0)
				done += (uint64_t)count;
		}
	}
	free(buffer);
	return error;
}
