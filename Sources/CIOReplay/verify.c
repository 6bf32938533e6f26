/*
 * What must be in each block. A write gets a version; a read may show any one from the last that
 * was complete when it was submitted to the last that was issued when it ended. Writes that
 * overlap go one after the other, so that it is known which is the last. No file system promises
 * that a read shows a block that is just being written in one piece: such a block is not judged.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"

#define UNKNOWN IOTRAP_REPLAY_VERSION_UNKNOWN
#define KEPT_BYTES 65536u /* buffers up to this size stay with their slot */
#define CHECK_BYTES ((uint64_t)1 << 20)

int iotrap_replay_set_content(struct iotrap_replay *session, uint32_t number, uint64_t blocks,
			      uint64_t prepared)
{
	struct content *content = &session->contents[number];

	content->committed = malloc(blocks * sizeof(uint32_t) + 1);
	content->issued = malloc(blocks * sizeof(uint32_t) + 1);
	if (!content->committed || !content->issued)
		return -ENOMEM;
	content->blocks = blocks;
	for (uint64_t i = 0; i < blocks; i++)
		content->committed[i] = i < prepared ? 0 : UNKNOWN;
	memcpy(content->issued, content->committed, blocks * sizeof(uint32_t));
	return 0;
}

static struct content *content_of(const struct lane *lane, const struct slot *slot)
{
	struct iotrap_replay *session = lane->session;

	return &session->contents[session->files[slot->request.file].content];
}

struct range {
	uint64_t first, end;       /* blocks that are touched */
	uint64_t whole, whole_end; /* those of them that are covered */
};

static struct range range_of(const struct lane *lane, const struct slot *slot)
{
	uint64_t block = lane->session->options.verify_block;
	uint64_t start = slot->request.offset, end = start + slot->request.length;
	uint64_t blocks = content_of(lane, slot)->blocks;
	struct range range = {start / block, (end + block - 1) / block, (start + block - 1) / block,
			      end / block};

	if (range.end > blocks)
		range.end = blocks;
	if (range.whole_end > range.end)
		range.whole_end = range.end;
	if (range.whole_end < range.whole)
		range.whole_end = range.whole;
	return range;
}

/* A buffer and, for reads, floors. False: there is no memory as long as others have theirs. */
static bool has_memory(struct lane *lane, struct slot *slot, struct range range)
{
	size_t bytes = (slot->request.length + 4095) & ~(size_t)4095;
	size_t floors = (range.whole_end - range.whole) * sizeof(uint32_t);
	uint64_t limit = lane->session->options.memory_bytes / lane->session->options.lanes;

	bytes = bytes ? bytes : 4096;
	if (slot->buffer_bytes < bytes) {
		/* Alone in flight it may be as large as it must. */
		if (lane->buffer_bytes + bytes > limit && lane->in_flight > 0) {
			lane->statistics->sums.memory_waits += !lane->is_held;
			return false;
		}
		free(slot->buffer);
		free(slot->floors);
		lane->buffer_bytes -= slot->buffer_bytes;
		slot->buffer_bytes = 0;
		slot->buffer = aligned_alloc(4096, bytes);
		slot->floors = malloc(floors > 512 ? floors : 512);
		if (!slot->buffer || !slot->floors)
			return false;
		memset(slot->buffer, 0, bytes);
		slot->buffer_bytes = bytes;
		lane->buffer_bytes += bytes;
	}
	return true;
}

static bool is_written(const struct content *content, struct range range)
{
	for (uint64_t i = range.first; i < range.end; i++) {
		if (content->committed[i] != content->issued[i])
			return true;
	}
	return false;
}

static void begin_write(struct lane *lane, struct slot *slot, struct content *content,
			struct range range)
{
	slot->version = ++lane->session->last_version;
	for (uint64_t i = range.first; i < range.end; i++) {
		content->issued[i] = slot->version;
		if (i < range.whole || i >= range.whole_end)
			content->committed[i] = UNKNOWN;
	}
}

static void fill_write(struct lane *lane, struct slot *slot, struct range range)
{
	const struct iotrap_replay_options *options = &lane->session->options;
	uint32_t number = lane->session->files[slot->request.file].content;

	for (uint64_t i = range.whole; i < range.whole_end; i++) {
		uint64_t offset = i * options->verify_block;

		iotrap_replay_fill_block(slot->buffer + (offset - slot->request.offset),
					 options->verify_block, options->run, number, offset,
					 slot->version);
	}
}

/* What changes a file without writing makes all of it unknown. */
static void forget(struct content *content)
{
	for (uint64_t i = 0; i < content->blocks; i++) {
		if (content->issued[i] == content->committed[i])
			content->issued[i] = UNKNOWN;
		content->committed[i] = UNKNOWN;
	}
}

bool iotrap_replay_verify_begin(struct lane *lane, struct slot *slot)
{
	struct iotrap_replay *session = lane->session;
	struct content *content = content_of(lane, slot);
	struct range range = range_of(lane, slot);
	bool is_read = slot->request.operation == IOTRAP_TRACE_OP_READ;
	bool may_go = true;

	if (!moves_data(&slot->request)) {
		if (slot->request.operation >= IOTRAP_TRACE_OP_TRUNCATE &&
		    slot->request.operation <= IOTRAP_TRACE_OP_DISCARD) {
			pthread_mutex_lock(&session->verify_lock);
			forget(content);
			pthread_mutex_unlock(&session->verify_lock);
		}
		return true;
	}
	if (!has_memory(lane, slot, range))
		return false;
	pthread_mutex_lock(&session->verify_lock);
	if (is_read) {
		for (uint64_t i = range.whole; i < range.whole_end; i++)
			slot->floors[i - range.whole] = content->committed[i];
	} else if (is_written(content, range)) {
		may_go = false;
	} else {
		begin_write(lane, slot, content, range);
	}
	pthread_mutex_unlock(&session->verify_lock);
	if (may_go && !is_read)
		fill_write(lane, slot, range);
	return may_go;
}

static void note_fault(struct iotrap_replay *session, const struct iotrap_replay_fault *fault,
		       struct iotrap_replay_results *sums)
{
	sums->faults++;
	pthread_mutex_lock(&session->verify_lock);
	if (session->faults_kept < IOTRAP_REPLAY_FAULTS_KEPT)
		session->faults[session->faults_kept++] = *fault;
	pthread_mutex_unlock(&session->verify_lock);
}

/* An older version may be there to stay, or have come from a cache: a second read tells. */
static void look_again(const struct iotrap_replay *session, int descriptor,
		       struct iotrap_replay_fault *fault, uint32_t floor, uint32_t ceiling)
{
	uint32_t bytes = session->options.verify_block;
	struct iotrap_replay_fault second;
	char *buffer = aligned_alloc(4096, (bytes + 4095) & ~4095u);

	if (buffer && pread(descriptor, buffer, bytes, (off_t)fault->offset) == (ssize_t)bytes &&
	    iotrap_replay_check_block(buffer, bytes, session->options.run, fault->content,
				      fault->offset, floor, ceiling, &second) == 0)
		fault->kind = IOTRAP_REPLAY_FAULT_STALE;
	free(buffer);
}

/*
 * Whether a block may be two of the versions that a read may show: its head and its tail are those
 * of such versions. Its words may be of either.
 */
static bool is_mixture(const struct iotrap_replay_fault *fault, uint32_t floor, uint32_t ceiling)
{
	uint32_t second = fault->second == UNKNOWN ? fault->found : fault->second;

	return (fault->kind == IOTRAP_REPLAY_FAULT_TORN ||
		fault->kind == IOTRAP_REPLAY_FAULT_CORRUPT) &&
	       fault->found >= floor && fault->found <= ceiling && second >= floor &&
	       second <= ceiling;
}

static void check(struct iotrap_replay *session, struct iotrap_replay_results *sums,
		  const char *bytes, int descriptor, uint32_t number, uint64_t block,
		  uint32_t floor, uint32_t ceiling)
{
	uint32_t size = session->options.verify_block;
	struct iotrap_replay_fault fault;

	if (floor == UNKNOWN || ceiling == UNKNOWN) {
		sums->blocks_unknown++;
		return;
	}
	if (iotrap_replay_check_block(bytes, size, session->options.run, number, block * size,
				      floor, ceiling, &fault) == 0) {
		sums->blocks_checked++;
		return;
	}
	if (floor != ceiling && is_mixture(&fault, floor, ceiling)) {
		sums->blocks_unknown++;
		return;
	}
	sums->blocks_checked++;
	if (fault.kind == IOTRAP_REPLAY_FAULT_LOST)
		look_again(session, descriptor, &fault, floor, ceiling);
	fault.expected = floor;
	note_fault(session, &fault, sums);
}

static void end_read(struct lane *lane, struct slot *slot, int64_t result)
{
	struct iotrap_replay *session = lane->session;
	struct content *content = content_of(lane, slot);
	struct range range = range_of(lane, slot);
	uint32_t number = session->files[slot->request.file].content;
	uint64_t size = session->options.verify_block;

	for (uint64_t i = range.whole; i < range.whole_end; i++) {
		uint64_t at = i * size - slot->request.offset;
		uint32_t ceiling;

		if ((int64_t)(at + size) > result)
			break;
		pthread_mutex_lock(&session->verify_lock);
		/* While a part of it is written, or after that, nobody knows. */
		ceiling = content->committed[i] == UNKNOWN ? UNKNOWN : content->issued[i];
		pthread_mutex_unlock(&session->verify_lock);
		check(session, &lane->statistics->sums, slot->buffer + at, slot->descriptor, number,
		      i, slot->floors[i - range.whole], ceiling);
	}
}

static void end_write(struct lane *lane, struct slot *slot, int64_t result)
{
	struct content *content = content_of(lane, slot);
	struct range range = range_of(lane, slot);
	bool is_whole = result == slot->request.length;

	pthread_mutex_lock(&lane->session->verify_lock);
	for (uint64_t i = range.first; i < range.end; i++) {
		bool is_known = is_whole && i >= range.whole && i < range.whole_end &&
				content->issued[i] == slot->version;

		content->committed[i] = is_known ? slot->version : UNKNOWN;
		content->issued[i] = content->committed[i];
	}
	pthread_mutex_unlock(&lane->session->verify_lock);
}

void iotrap_replay_verify_end(struct lane *lane, struct slot *slot, int64_t result)
{
	if (slot->request.operation == IOTRAP_TRACE_OP_READ)
		end_read(lane, slot, result);
	else if (slot->request.operation == IOTRAP_TRACE_OP_WRITE)
		end_write(lane, slot, result);
	if (slot->buffer_bytes > KEPT_BYTES) {
		lane->buffer_bytes -= slot->buffer_bytes;
		free(slot->buffer);
		free(slot->floors);
		slot->buffer = NULL;
		slot->floors = NULL;
		slot->buffer_bytes = 0;
	}
}

int iotrap_replay_check_content(struct iotrap_replay *session, int descriptor, uint32_t number)
{
	const struct content *content = &session->contents[number];
	uint64_t size = session->options.verify_block;
	uint64_t bytes = content->blocks * size;
	char *buffer = aligned_alloc(4096, CHECK_BYTES);
	int error = buffer ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && error == 0; at += CHECK_BYTES) {
		ssize_t count = pread(descriptor, buffer, CHECK_BYTES, (off_t)at);
		uint64_t blocks = (bytes - at < CHECK_BYTES ? bytes - at : CHECK_BYTES) / size;

		if (count < 0)
			error = -errno;
		for (uint64_t i = 0; error == 0 && i < blocks; i++) {
			uint32_t version = content->committed[at / size + i];

			/* What the file is too short for was lost. */
			if ((uint64_t)count < (i + 1) * size)
				memset(buffer + i * size, 0, size);
			if (version != UNKNOWN)
				check(session, &session->total->sums, buffer + i * size, descriptor,
				      number, at / size + i, version, version);
		}
	}
	free(buffer);
	return error;
}
