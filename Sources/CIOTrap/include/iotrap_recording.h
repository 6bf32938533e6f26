/*
 * Layout of a recording: what iotrap record and the recorded processes share, and what they leave
 * behind until it is made a trace. Explained in docs/trace-format.md.
 *
 *	BUFFERS/control	struct iotrap_recording_control, in memory
 *	BUFFERS/NAME.K	groups of windows of a process, in memory: the records not yet in a part
 *	PARTS/NAME	a part: what one process recorded
 *
 * A part has the header of a trace with a magic number of its own, and chunks of records with the
 * chunk header of traces: raw, `first_event` is the number of the chunk in its stream, and
 * `base_ns` the time that the first record counts from.
 */
#ifndef IOTRAP_RECORDING_H
#define IOTRAP_RECORDING_H

#include <stdint.h>

#include "iotrap_trace.h"

#pragma clang assume_nonnull begin

#define IOTRAP_RECORDING_CONTROL_MAGIC 0x314c544350415254ULL /* "TRAPCTL1" in memory */
#define IOTRAP_RECORDING_PART_MAGIC 0x3152504152544f49ULL    /* "IOTRAPR1" in the file */
#define IOTRAP_RECORDING_VERSION 2u
#define IOTRAP_RECORDING_CHUNK 128u /* kind of a chunk of records */

/* Nonzero for a path on a tmpfs: only there can a mapped file not fail under a store. */
int iotrap_is_in_memory(const char *path);

/* Why events were dropped. */
enum iotrap_recording_drop {
	IOTRAP_DROP_FULL = 0,    /* the recording reached its greatest size */
	IOTRAP_DROP_DISK = 1,    /* a part could not be written: disk or quota full, RLIMIT_FSIZE */
	IOTRAP_DROP_ACCESS = 2,  /* a part, or memory for records, could not be made */
	IOTRAP_DROP_HANDLER = 3, /* a signal handler interrupted the recorder */
	IOTRAP_DROP_COUNT
};

#define IOTRAP_RECORDING_PATH_BYTES 4096u
#define IOTRAP_RECORDING_FILTER_BYTES 8192u

struct iotrap_recording_control {
	uint64_t magic;
	uint32_t version;
	uint32_t control_bytes; /* of this structure */
	uint64_t started_ns;    /* CLOCK_MONOTONIC; times of records count from it */
	uint64_t started_realtime_ns;
	uint64_t bytes_max; /* of all parts; 0: no bound */
	uint32_t filter_bytes;
	uint32_t ended;         /* nothing is recorded any more */
	uint64_t bytes_written; /* of all parts */
	uint32_t processes;     /* named so far */
	uint32_t reserved;
	uint64_t dropped[IOTRAP_DROP_COUNT];
	char parts[IOTRAP_RECORDING_PATH_BYTES]; /* the directory of the parts */
	/* Paths to record, each a pattern that ends in a zero; none: all. A pattern without a slash
	 * is for the last component. */
	char filters[IOTRAP_RECORDING_FILTER_BYTES];
};

/* The directory of the parts. Swift has no names for long arrays. */
static inline char *iotrap_control_parts(struct iotrap_recording_control *control)
{
	return control->parts;
}

/* The patterns, one behind the other. */
static inline char *iotrap_control_filters(struct iotrap_recording_control *control)
{
	return control->filters;
}

/* The count of events that were dropped for a reason. */
static inline uint64_t *iotrap_control_dropped(struct iotrap_recording_control *control,
					       uint32_t reason)
{
	return &control->dropped[reason];
}

/* A window: the records of a stream that are in no part yet. */
#define IOTRAP_RECORDING_WINDOW_BYTES 65536u
#define IOTRAP_RECORDING_WINDOW_HEADER 128u
#define IOTRAP_RECORDING_WINDOW_MAGIC 0x574f444e49575254ULL
#define IOTRAP_RECORDING_GROUP_WINDOWS 16u

struct iotrap_recording_window {
	uint64_t magic; /* 0: never used */
	uint32_t process_id;
	uint32_t stream;
	uint64_t chunk; /* chunks of the stream that went before: a part that has one of this
			 * number has these records already */
	uint64_t base_ns;
	uint64_t last_ns; /* submit time that the next record counts from */
	uint32_t record_count;
	uint32_t used;     /* bytes of whole records */
	uint32_t owner;    /* thread; 0: free */
	uint32_t patience; /* records to drop before a part is tried again */
	uint32_t thread;   /* thread of the last record; 0: not said in this chunk */
	uint32_t failure;  /* why it was not written: enum iotrap_recording_drop */
	uint32_t batch;    /* number last given to a submission */
	uint32_t reserved[15];
	uint8_t bytes[IOTRAP_RECORDING_WINDOW_BYTES - IOTRAP_RECORDING_WINDOW_HEADER];
};

/* The records of a window. */
static inline uint8_t *iotrap_window_bytes(struct iotrap_recording_window *window)
{
	return window->bytes;
}

/*
 * Records. Numbers are varints as in traces, s: signed. `time` is the difference to that of the
 * record before it.
 */
enum iotrap_recording_kind {
	/* thread: what follows is this one's */
	IOTRAP_RECORD_THREAD = 1,
	/* number, flags, open flags, mode, size, length of the path, path: as in a trace. The path
	 * is absolute and has its "/" */
	IOTRAP_RECORD_FILE = 2,
	/* call, operation (a byte each), s time, file + 1, offset, length, flags, latency,
	 * s result: a call that is over */
	IOTRAP_RECORD_EVENT = 3,
	/* call, operation, s time, file + 1, offset, length, flags, batch, key: a request that was
	 * submitted */
	IOTRAP_RECORD_SUBMIT = 4,
	/* s time, key, s result: the end of the first request with that key that has not ended */
	IOTRAP_RECORD_DONE = 5,
	/* As an event, but `offset` is the number of the file position at which the call was made:
	 * its place follows from the calls before it */
	IOTRAP_RECORD_MOVED = 6,
	/* As an event: other calls moved the same file position meanwhile, and its place may be
	 * that of one of them */
	IOTRAP_RECORD_ASSUMED = 7,
	/* As an event without call, operation and file: a file position, `offset` its number,
	 * `length` where it is, `flags` below, `result` how far a seek has just moved it */
	IOTRAP_RECORD_POSITION = 8
};

/* Flags of such a record. */
#define IOTRAP_RECORD_POSITION_SET 1u  /* a seek: it does not matter where it was before */
#define IOTRAP_RECORD_POSITION_LAST 2u /* no other record speaks of this number */

/* Bytes of a record at most, but for the path. */
#define IOTRAP_RECORD_BYTES_MAX 96u

#pragma clang assume_nonnull end

#endif
