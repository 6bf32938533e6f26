/*
 * File positions. Where a call at the file position has moved its bytes, only the kernel knows, and
 * asking it costs more than all the rest of a record. So a position that nobody else can move is
 * followed: records say by how much a call moved it, and finishing the recording adds that up.
 * Now and then, and before anything that could change this, the recorder looks where the position
 * really is. Finishing takes what was recorded between two looks only when they agree, and a
 * position that was found elsewhere is followed no longer.
 *
 * A position that others may move too is looked at behind every call. What a call moved is its
 * own when it was alone, or when it accounts for the whole way from an earlier look.
 */
#include "iotrap_recorder.h"

#include <stdio.h>

/* A position that several threads use seems to be elsewhere while a call of another one is being
 * recorded; not for so long. */
#define DOUBT_MS 1000u
/* Calls that look beforehand once one could not be told from others. */
#define WARY_CALLS 64u

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static uint32_t positions_made;
/* Beyond the greatest descriptor that ever had a position of its own. */
static uint32_t descriptors_end;

/* What is known of a recorded file; NULL where nothing may be noted. */
static struct iotrap_recorded_slot *known_slot(struct iotrap_thread *self, int fd)
{
	if (self->state == IOTRAP_STATE_BARE ||
	    iotrap_record_known(self, fd) <= IOTRAP_RECORDED_NOT)
		return NULL;
	return iotrap_recorded_slot(fd);
}

void iotrap_position_opened(int fd)
{
	struct iotrap_recorded_slot *slot = iotrap_recorded_slot(fd);
	uint32_t file = slot ? LOAD(slot->file) : 0;
	uint32_t end = LOAD(descriptors_end);

	if (file <= IOTRAP_RECORDED_NOT)
		return;
	/* An append goes where the file ends, and reads of a device by several threads may
	 * overlap: what they moved does not add up. */
	slot->is_exact = (file & (IOTRAP_RECORDED_APPEND | IOTRAP_RECORDED_DEVICE)) != 0;
	slot->is_used = 0;
	slot->calls = 1;
	slot->interval = 1;
	slot->looked_ns = 0;
	slot->user = 0;
	slot->is_contended = 0;
	slot->doubt_ms = 0;
	while (end <= (uint32_t)fd &&
	       !__atomic_compare_exchange_n(&descriptors_end, &end, (uint32_t)fd + 1, 0,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	STORE(slot->expected, 0);
	STORE(slot->position, __atomic_add_fetch(&positions_made, 1, __ATOMIC_RELAXED));
}

static void tell(struct iotrap_thread *self, uint32_t position, uint64_t started, int64_t place,
		 uint32_t flags, int64_t distance)
{
	struct iotrap_recorded record = {
		.submit_ns = started,
		.complete_ns = iotrap_clock(),
		.offset = position,
		.length = (uint64_t)place,
		.flags = flags,
		.result = distance,
		.kind = IOTRAP_RECORD_POSITION,
	};

	iotrap_record(self, &record);
}

/* No more records speak of the position; the last one says where it is. */
static void leave(struct iotrap_thread *self, struct iotrap_recorded_slot *slot, int fd,
		  uint32_t position)
{
	uint64_t now;
	int64_t place;

	if (!slot->is_used)
		return;
	slot->is_used = 0;
	now = iotrap_clock();
	place = iotrap_position(fd);
	if (place < 0)
		return;
	STORE(slot->expected, place);
	tell(self, position, now, place, IOTRAP_RECORD_POSITION_LAST, 0);
}

static void share(struct iotrap_thread *self, struct iotrap_recorded_slot *slot, int fd)
{
	uint32_t position = __atomic_exchange_n(&slot->position, 0, __ATOMIC_RELAXED);

	if (position == 0)
		return;
	STORE(slot->wary, WARY_CALLS);
	if (!slot->is_exact)
		leave(self, slot, fd, position);
}

void iotrap_position_share(struct iotrap_thread *self, int fd)
{
	struct iotrap_recorded_slot *slot = known_slot(self, fd);

	if (slot)
		share(self, slot, fd);
}

void iotrap_positions_share(struct iotrap_thread *self, uint32_t first, uint32_t last)
{
	uint32_t end = LOAD(descriptors_end);

	if (self->state == IOTRAP_STATE_BARE)
		return;
	/* In a child, what its parent had is forgotten first. */
	iotrap_record_known(self, 0);
	for (uint32_t index = first; index < end && index <= last; index++) {
		struct iotrap_recorded_slot *slot = iotrap_recorded_slot((int)index);

		if (!slot)
			index |= IOTRAP_DESCRIPTOR_LEAF_SLOTS - 1;
		else if (LOAD(slot->position) != 0)
			share(self, slot, (int)index);
	}
}

void iotrap_position_disturb(struct iotrap_thread *self, int fd)
{
	struct iotrap_recorded_slot *slot = known_slot(self, fd);
	uint32_t position = slot ? LOAD(slot->position) : 0;

	if (position == 0 || slot->is_exact)
		return;
	/* First: no record may speak of the position after the last one that does. */
	slot->is_exact = 1;
	leave(self, slot, fd, position);
}

void iotrap_position_sought(struct iotrap_thread *self, int fd, uint64_t started, int64_t offset,
			    int whence, int64_t result)
{
	struct iotrap_recorded_slot *slot = known_slot(self, fd);
	uint32_t position;

	if (!slot)
		return;
	STORE(slot->expected, result);
	position = LOAD(slot->position);
	if (position == 0 || slot->is_exact)
		return;
	slot->is_used = 1;
	if (whence == SEEK_CUR)
		tell(self, position, started, result, 0, offset);
	else
		tell(self, position, started, result, IOTRAP_RECORD_POSITION_SET, 0);
}

void iotrap_position_look(struct iotrap_thread *self, struct iotrap_recorded_slot *slot, int fd,
			  uint32_t position, uint64_t now)
{
	uint32_t now_ms = (uint32_t)(now / 1000000u) | 1;
	int is_late = (int32_t)LOAD(slot->calls) > 0;
	int64_t place = iotrap_position(fd);
	int64_t doubt;

	/* Closed meanwhile, or shared, which looks as well. */
	if (place < 0 || LOAD(slot->position) != position)
		return;
	slot->is_used = 1;
	slot->looked_ns = now;
	tell(self, position, now, place, 0, 0);
	doubt = place - LOAD(slot->expected);
	if (is_late)
		slot->interval = 1;
	else if (slot->interval < IOTRAP_POSITION_LOOK_CALLS)
		slot->interval *= 2;
	STORE(slot->calls, slot->interval);
	if (doubt == 0) {
		slot->doubt_ms = 0;
	} else if (slot->is_contended && (slot->doubt_ms == 0 || doubt != slot->doubt)) {
		slot->doubt = doubt;
		slot->doubt_ms = now_ms;
	} else if (!slot->is_contended || now_ms - slot->doubt_ms > DOUBT_MS) {
		share(self, slot, fd);
	}
}

void iotrap_move_begin_exact(struct iotrap_note *note, struct iotrap_move *move, int fd)
{
	struct iotrap_recorded_slot *slot = move->slot;

	move->is_own = move->position != 0;
	move->position = 0;
	move->is_alone = 0;
	move->expected = -1;
	move->before = -1;
	if (slot) {
		move->is_alone = __atomic_fetch_add(&slot->inside, 1, __ATOMIC_RELAXED) == 0;
		move->entries = __atomic_add_fetch(&slot->entries, 1, __ATOMIC_RELAXED);
		move->expected = LOAD(slot->expected);
	}
	if (move->is_own || (move->expected >= 0 && LOAD(slot->wary) == 0))
		return;
	move->before = iotrap_position(fd);
	note->started_ns = iotrap_clock();
}

void iotrap_move_end_exact(struct iotrap_move *move, int fd, struct iotrap_recorded *record)
{
	struct iotrap_recorded_slot *slot = move->slot;
	int64_t moved = record->result > 0 ? record->result : 0;
	int64_t place = iotrap_position(fd);
	int is_its_own = 0, follows;

	follows = move->expected >= 0 && move->expected + moved == place;
	if (follows || (move->before >= 0 && move->before + moved == place))
		is_its_own = 1;
	if (slot) {
		if (move->is_own && move->is_alone && LOAD(slot->entries) == move->entries)
			is_its_own = 1;
		__atomic_fetch_sub(&slot->inside, 1, __ATOMIC_RELAXED);
		STORE(slot->expected, place);
		if (!follows)
			STORE(slot->wary, WARY_CALLS);
		else if (LOAD(slot->wary) > 0)
			STORE(slot->wary, LOAD(slot->wary) - 1);
	}
	record->kind = place >= 0 && is_its_own ? IOTRAP_RECORD_EVENT : IOTRAP_RECORD_ASSUMED;
	record->offset = (uint64_t)(place >= moved ? place - moved : place < 0 ? 0 : place);
}
