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
 * The files that descriptors are, by descriptor: 0 not known, IOTRAP_RECORDED_NOT for what is not
 * recorded, else the number of the file + 2, and a bit for O_APPEND. Leaves as in the table of
 * descriptors.
 */
#define IOTRAP_RECORDED_NOT 1u
#define IOTRAP_RECORDED_FIRST 2u
#define IOTRAP_RECORDED_APPEND 0x80000000u
extern uint32_t *_Nullable iotrap_recorded_leaves[IOTRAP_DESCRIPTOR_LEAVES];
static inline uint32_t *_Nullable *_Nonnull iotrap_recorded_root(void)
{
	return iotrap_recorded_leaves;
}

static inline uint32_t iotrap_recorded_file(int32_t fd)
{
	uint32_t index = (uint32_t)fd;
	uint32_t *leaf;

	if (index >= IOTRAP_DESCRIPTOR_LEAVES * IOTRAP_DESCRIPTOR_LEAF_SLOTS)
		return IOTRAP_RECORDED_NOT;
	leaf = __atomic_load_n(&iotrap_recorded_leaves[index / IOTRAP_DESCRIPTOR_LEAF_SLOTS],
			       __ATOMIC_ACQUIRE);
	return leaf ? __atomic_load_n(&leaf[index % IOTRAP_DESCRIPTOR_LEAF_SLOTS], __ATOMIC_RELAXED)
		    : 0;
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
