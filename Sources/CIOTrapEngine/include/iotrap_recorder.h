/*
 * Recording: what the hooks tell the recorder of the calls that they make, and what the recorder
 * asks of the kernel. Nothing here touches errno.
 */
#ifndef IOTRAP_RECORDER_H
#define IOTRAP_RECORDER_H

#include "iotrap_aio.h"
#include "iotrap_recording.h"

#pragma clang assume_nonnull begin

/* Nonzero while calls are recorded. */
extern uint32_t iotrap_recording;
static inline int iotrap_is_recording(void)
{
	return iotrap_recording != 0;
}
static inline void iotrap_recording_set(uint32_t on)
{
	iotrap_recording = on;
}

/*
 * What is known of a descriptor. Its file is 0 when that is not known, IOTRAP_RECORDED_NOT when it
 * is not recorded, else the number of the file + 2, and bits: opened with O_APPEND, and no regular
 * file. The rest is about its file position; see positions.c.
 */
#define IOTRAP_RECORDED_NOT 1u
#define IOTRAP_RECORDED_FIRST 2u
#define IOTRAP_RECORDED_APPEND 0x80000000u
#define IOTRAP_RECORDED_DEVICE 0x40000000u
#define IOTRAP_RECORDED_NUMBER_MAX 0x3ffffff0u

struct iotrap_recorded_slot {
	uint32_t file;
	uint32_t position; /* number of a file position that only this descriptor has, else 0 */
	uint32_t calls;    /* until the position is looked at */
	uint32_t interval; /* calls from the last look to the next */
	int64_t expected;  /* where the position should be; -1: not known */
	uint64_t looked_ns;
	int32_t user;         /* the thread that used the position last; 0: none */
	uint8_t is_exact;     /* every call looks where the position is */
	uint8_t is_used;      /* records speak of the position by its number */
	uint8_t is_contended; /* several threads have used it */
	uint8_t reserved;
	uint32_t doubt_ms; /* since when the position is off; 0: it is not */
	uint32_t wary;     /* calls that look beforehand as well */
	uint32_t inside;   /* exact calls under way */
	uint32_t entries;  /* exact calls ever begun */
	int64_t doubt;     /* how far off the position is */
};

/* By descriptor; leaves as in the table of descriptors. */
extern struct iotrap_recorded_slot *_Nullable iotrap_recorded_leaves[IOTRAP_DESCRIPTOR_LEAVES];
static inline struct iotrap_recorded_slot *_Nullable *_Nonnull iotrap_recorded_root(void)
{
	return iotrap_recorded_leaves;
}

/* NULL when nothing is known. */
static inline struct iotrap_recorded_slot *_Nullable iotrap_recorded_slot(int32_t fd)
{
	uint32_t index = (uint32_t)fd;
	struct iotrap_recorded_slot *leaf;

	if (index >= IOTRAP_DESCRIPTOR_LEAVES * IOTRAP_DESCRIPTOR_LEAF_SLOTS)
		return NULL;
	leaf = __atomic_load_n(&iotrap_recorded_leaves[index / IOTRAP_DESCRIPTOR_LEAF_SLOTS],
			       __ATOMIC_ACQUIRE);
	return leaf ? &leaf[index % IOTRAP_DESCRIPTOR_LEAF_SLOTS] : NULL;
}

static inline uint32_t iotrap_recorded_file(int32_t fd)
{
	struct iotrap_recorded_slot *slot = iotrap_recorded_slot(fd);

	if (slot)
		return __atomic_load_n(&slot->file, __ATOMIC_RELAXED);
	return (uint32_t)fd < IOTRAP_DESCRIPTOR_LEAVES * IOTRAP_DESCRIPTOR_LEAF_SLOTS
		       ? 0
		       : IOTRAP_RECORDED_NOT;
}

/* Says which file a descriptor is, of whose position nothing is known. 0: nothing is known. */
static inline void iotrap_recorded_set(struct iotrap_recorded_slot *slot, uint32_t file)
{
	/* Of a whole leaf most are like that: their pages stay untouched. */
	if (file == 0 && __atomic_load_n(&slot->file, __ATOMIC_RELAXED) == 0)
		return;
	__atomic_store_n(&slot->position, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->wary, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->inside, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->expected, -1, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->file, file, __ATOMIC_RELAXED);
}

/* A call under way, on the stack of its hook. */
struct iotrap_note {
	uint64_t started_ns;
	uint32_t file; /* as in the table */
};

/* An event, or a request. */
struct iotrap_recorded {
	uint64_t submit_ns;   /* CLOCK_MONOTONIC */
	uint64_t complete_ns; /* of an event, and of an end */
	uint64_t offset;
	uint64_t length;
	uint64_t key; /* of a request: the address of its iocb or aiocb */
	int64_t result;
	uint32_t file; /* as in the table; 0: none */
	uint32_t flags;
	uint32_t batch;
	uint8_t kind; /* enum iotrap_recording_kind */
	uint8_t call;
	uint8_t operation;
};

/* Makes a thread ready to record: what a forked child has from its parent's table is not its own.
 */
void iotrap_record_enter(struct iotrap_thread *self);
/* Finds out what a descriptor is; its entry. */
uint32_t iotrap_record_resolve(struct iotrap_thread *self, int32_t fd);
/* The same for a path, of which there is no descriptor. */
uint32_t iotrap_record_resolve_path(struct iotrap_thread *self, const char *path);
/* What was known of descriptors no longer holds. */
void iotrap_record_forget(uint32_t first, uint32_t last);
/* Writes a record; what cannot be written is counted. */
void iotrap_record(struct iotrap_thread *self, const struct iotrap_recorded *record);
/* A number for the requests of one submission. */
uint32_t iotrap_record_batch(struct iotrap_thread *self);
/* Writes what this thread, and threads that have ended, have recorded; before exec and the end. */
void iotrap_record_flush(void);

/* The entry of a descriptor, 0 when it is not known. */
static inline uint32_t iotrap_record_known(struct iotrap_thread *self, int32_t fd)
{
	if (__builtin_expect(self->state != *iotrap_guard, 0))
		iotrap_record_enter(self);
	return iotrap_recorded_file(fd);
}

/* Notes the start of a call on a descriptor. */
static inline void iotrap_record_begin(struct iotrap_thread *self, struct iotrap_note *note,
				       int32_t fd)
{
	note->file = iotrap_record_known(self, fd);
	if (__builtin_expect(note->file == 0, 0))
		note->file = iotrap_record_resolve(self, fd);
	note->started_ns = note->file > IOTRAP_RECORDED_NOT ? iotrap_clock() : 0;
}

/* Notes its end; the result is a count of bytes, or -errno. */
static inline void iotrap_record_end(struct iotrap_thread *self, const struct iotrap_note *note,
				     uint8_t call, uint8_t operation, uint64_t offset,
				     uint64_t length, uint32_t flags, int64_t result)
{
	struct iotrap_recorded record;

	if (note->started_ns == 0)
		return;
	record.submit_ns = note->started_ns;
	record.complete_ns = iotrap_clock();
	record.offset = offset;
	record.length = length;
	record.key = 0;
	record.result = result;
	record.file = note->file;
	record.flags = flags;
	record.batch = 0;
	record.kind = IOTRAP_RECORD_EVENT;
	record.call = call;
	record.operation = operation;
	iotrap_record(self, &record);
}

/* --- calls at the file position; see positions.c ---------------------------------------- */

/* Between two looks: at most so many calls, and so much time if there are calls at all. */
#define IOTRAP_POSITION_LOOK_CALLS 32u
#define IOTRAP_POSITION_LOOK_NS 10000000u

struct iotrap_move {
	struct iotrap_recorded_slot *_Nullable slot;
	uint32_t position; /* nonzero: the record names the position, not the place */
	uint32_t entries;
	int32_t is_own; /* no other descriptor has this position */
	int32_t is_alone;
	int64_t expected;
	int64_t before; /* where it was; -1: not looked at */
};

/* A descriptor was opened, by no stream: its position is 0, and nobody else's. */
void iotrap_position_opened(int fd);
/* Others may move the position from now on. */
void iotrap_position_share(struct iotrap_thread *self, int fd);
void iotrap_positions_share(struct iotrap_thread *self, uint32_t first, uint32_t last);
/* A call moves the position in a way of its own, which is not recorded. */
void iotrap_position_disturb(struct iotrap_thread *self, int fd);
/* The program has moved the position, or asked for it. */
void iotrap_position_sought(struct iotrap_thread *self, int fd, uint64_t started, int64_t offset,
			    int whence, int64_t result);
/* Looks whether the position is where it is expected. */
void iotrap_position_look(struct iotrap_thread *self, struct iotrap_recorded_slot *slot, int fd,
			  uint32_t position, uint64_t now);
/* Another thread uses it than before. */
static inline void iotrap_position_taken(struct iotrap_recorded_slot *slot, int32_t thread)
{
	if (slot->user != 0)
		slot->is_contended = 1;
	slot->user = thread;
}
void iotrap_move_begin_exact(struct iotrap_note *note, struct iotrap_move *move, int fd);
/* Finds the place of a call that is over, and the kind of its record. */
void iotrap_move_end_exact(struct iotrap_move *move, int fd, struct iotrap_recorded *record);

/* Behind iotrap_record_begin. */
static inline void iotrap_move_begin(struct iotrap_thread *self, struct iotrap_note *note,
				     struct iotrap_move *move, int fd)
{
	struct iotrap_recorded_slot *slot = iotrap_recorded_slot(fd);

	if (note->started_ns == 0)
		return;
	move->slot = slot;
	move->position = slot ? __atomic_load_n(&slot->position, __ATOMIC_RELAXED) : 0;
	if (__builtin_expect(move->position == 0 || slot->is_exact, 0))
		iotrap_move_begin_exact(note, move, fd);
	else if (__builtin_expect(slot->user != self->thread_id, 0))
		iotrap_position_taken(slot, self->thread_id);
}

/* Behind the call, with a record in which its times, its place and its kind are missing. */
static inline void iotrap_move_end(struct iotrap_thread *self, const struct iotrap_note *note,
				   struct iotrap_move *move, int fd, struct iotrap_recorded *record)
{
	struct iotrap_recorded_slot *slot = move->slot;
	uint32_t calls;

	record->submit_ns = note->started_ns;
	record->file = note->file;
	record->key = 0;
	record->batch = 0;
	if (__builtin_expect(move->position == 0, 0)) {
		record->complete_ns = iotrap_clock();
		iotrap_move_end_exact(move, fd, record);
		iotrap_record(self, record);
		return;
	}
	record->complete_ns = iotrap_clock();
	/* Relaxed: several threads may be at it, but a look that is off is taken again. */
	if (record->result > 0)
		__atomic_fetch_add(&slot->expected, record->result, __ATOMIC_RELAXED);
	record->kind = IOTRAP_RECORD_MOVED;
	record->offset = move->position;
	iotrap_record(self, record);
	calls = __atomic_load_n(&slot->calls, __ATOMIC_RELAXED) - 1;
	__atomic_store_n(&slot->calls, calls, __ATOMIC_RELAXED);
	if (__builtin_expect((int32_t)calls <= 0 || record->complete_ns - slot->looked_ns >
							    IOTRAP_POSITION_LOOK_NS,
			     0))
		iotrap_position_look(self, slot, fd, move->position, record->complete_ns);
}

/* --- asynchronous requests ------------------------------------------------------------ */

/* Requests of one call that are looked at before it is made: afterwards their memory may have
 * another use. */
#define IOTRAP_RECORD_AHEAD 32u

struct iotrap_record_batch {
	uint64_t started_ns;
	uint32_t count;
	struct iotrap_recorded requests[IOTRAP_RECORD_AHEAD];
};

static inline struct iotrap_recorded *iotrap_record_ahead(struct iotrap_record_batch *batch,
							  uint32_t index)
{
	return &batch->requests[index];
}

/* Around io_submit, and behind io_getevents. */
void iotrap_record_submit_begin(struct iotrap_thread *self, struct iotrap_record_batch *batch,
				int64_t count, const uint64_t *_Nullable iocbs);
void iotrap_record_submit_end(struct iotrap_thread *self, struct iotrap_record_batch *batch,
			      const uint64_t *_Nullable iocbs, int64_t accepted);
void iotrap_record_events(struct iotrap_thread *self, const struct iotrap_event *_Nullable events,
			  int64_t count);

/* --- what the recorder asks of the kernel --------------------------------------------------- */

/* Maps a file of a directory, shared, writable and inherited by children; NULL when refused. */
void *_Nullable iotrap_map_control(const char *directory, size_t bytes);

/* The file position, or -errno. */
int64_t iotrap_position(int fd);

/* A descriptor that only names the file of a path, for a moment: it or -errno. */
int iotrap_open_name(const char *path);

/*
 * Writes header and payload at a place in a private file, which is made when `first` is nonzero:
 * 0, or -errno with nothing added.
 */
int iotrap_write_part(const char *path, int first, int64_t offset, const void *header,
		      size_t header_bytes, const void *payload, size_t payload_bytes);

/* CRC32C, as in traces. */
uint32_t iotrap_checksum(const void *bytes, size_t count);

#pragma clang assume_nonnull end
#endif
