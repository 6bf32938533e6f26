/*
 * The replayer's hot part: lanes (threads) that take requests from a queue each, hold them back
 * until their time, their dependencies and their depth allow, and run them by one of four engines.
 *
 * One thread makes a session, names its files, starts it, and pushes requests in the order of the
 * trace. All functions but iotrap_replay_stop are for that thread.
 */
#ifndef IOTRAP_REPLAY_H
#define IOTRAP_REPLAY_H

#include <features.h>
#include <stdint.h>
#include <sys/types.h>

/* Requests that can be between the oldest incomplete one and the newest; a power of two. */
#define IOTRAP_REPLAY_WINDOW 65536u
#define IOTRAP_REPLAY_LANES_MAX 256u
#define IOTRAP_REPLAY_SLOTS_MAX 1024u
#define IOTRAP_REPLAY_SOURCES_MAX 65536u
/* The most that the kernel moves in one call. */
#define IOTRAP_REPLAY_LENGTH_MAX 0x7ffff000u
/* Latency buckets as in struct iotrap_stats_histogram. */
#define IOTRAP_REPLAY_BUCKETS 1088u
#define IOTRAP_REPLAY_FAULTS_KEPT 64u
/* The content of a block that nobody can know. */
#define IOTRAP_REPLAY_VERSION_UNKNOWN 0xffffffffu

enum iotrap_replay_engine {
	IOTRAP_REPLAY_SYNC = 0,
	IOTRAP_REPLAY_LIBAIO = 1,
	IOTRAP_REPLAY_URING = 2,
	IOTRAP_REPLAY_POSIXAIO = 3
};

/* Classes of requests: reads and writes by size, syncs, and the rest. */
#define IOTRAP_REPLAY_SIZES 9u /* to 4K, 16K, 64K, 256K, 1M, 4M, 16M, 64M, above */
#define IOTRAP_REPLAY_CLASS_WRITE IOTRAP_REPLAY_SIZES
#define IOTRAP_REPLAY_CLASS_SYNC (2u * IOTRAP_REPLAY_SIZES)
#define IOTRAP_REPLAY_CLASS_OTHER (2u * IOTRAP_REPLAY_SIZES + 1u)
#define IOTRAP_REPLAY_CLASSES (2u * IOTRAP_REPLAY_SIZES + 2u)

/* Distances count back in the order of pushing; 0: none. */
struct iotrap_replay_request {
	uint64_t due_ns; /* since the start; 0: at once */
	uint64_t offset;
	uint32_t length;
	uint32_t file;
	uint32_t after; /* distances to requests that must be complete */
	uint32_t after2;
	uint32_t after_write;  /* distance to a write that must be complete with all before it */
	uint32_t write_before; /* of a write: distance to the one before it in the same file */
	uint32_t batch;        /* equal and not 0: submitted in one call */
	uint32_t depth;        /* in flight from its source, it included, at most; 0: no limit */
	uint32_t flags;        /* RWF_, or the mode of fallocate(2) */
	uint16_t source;       /* the recorded thread */
	uint8_t operation;     /* enum iotrap_trace_operation */
	uint8_t lane;
};

struct iotrap_replay_options {
	uint32_t engine;
	uint32_t lanes;
	uint32_t slots; /* requests in flight in one lane, at most */
	uint32_t files;
	uint32_t contents;     /* distinct files; several descriptors may share one */
	uint32_t verify_block; /* bytes of a block that describes itself; 0: no verification */
	uint32_t run;          /* written into such blocks */
	uint64_t length_max;   /* of a read or write */
	uint64_t memory_bytes; /* for buffers under verification */
	uint32_t is_timed;     /* requests have times: lanes are to wake up on the dot */
};

/* What a read or the last check found wrong. */
enum iotrap_replay_fault_kind {
	IOTRAP_REPLAY_FAULT_NONE = 0,
	IOTRAP_REPLAY_FAULT_LOST = 1,      /* an older version, or none, is there to stay */
	IOTRAP_REPLAY_FAULT_STALE = 2,     /* an older version; a second read gave the right one */
	IOTRAP_REPLAY_FAULT_TORN = 3,      /* parts of two versions */
	IOTRAP_REPLAY_FAULT_MISPLACED = 4, /* a block of another place */
	IOTRAP_REPLAY_FAULT_CORRUPT = 5    /* nothing that was ever written */
};

struct iotrap_replay_fault {
	uint32_t kind;
	uint32_t content;
	uint64_t offset;
	uint32_t expected;      /* version; 0: as prepared */
	uint32_t found;         /* version, or UNKNOWN */
	uint32_t second;        /* torn: the version of the end */
	uint32_t found_content; /* misplaced: where it belongs */
	uint64_t found_offset;
};

struct iotrap_replay_class {
	uint64_t count;
	uint64_t bytes;
	uint64_t errors;
	uint64_t shorts; /* moved less than was asked for */
	uint64_t latency_ns;
	uint64_t latency_ns_max;
};

struct iotrap_replay_results {
	struct iotrap_replay_class classes[IOTRAP_REPLAY_CLASSES];
	uint64_t elapsed_ns;
	uint64_t submit_ns;     /* inside submitting calls */
	uint64_t flight_ns;     /* of requests, from submission to completion */
	uint64_t submissions;   /* calls */
	uint64_t in_flight_max; /* of one lane */
	uint64_t timed;         /* requests that went at their own time */
	uint64_t drift_ns;      /* by which these were late, in all */
	uint64_t drift_ns_max;
	uint64_t
		held; /* requests that waited for others, or a submitting call, beyond their time */
	uint64_t held_ns_max;  /* by which these were late */
	uint64_t memory_waits; /* times that buffers for verification were short */
	uint64_t blocks_checked;
	uint64_t blocks_unknown; /* read, but not to be known */
	uint64_t faults;
	uint32_t faults_kept;
	int32_t first_error; /* -errno of a request, 0 if none failed */
	uint32_t first_error_file;
	int32_t failure; /* -errno of the replayer itself, 0 if none */
	uint64_t first_error_offset;
};

struct iotrap_replay;

/* Makes a session; NULL with *error set to -errno. */
struct iotrap_replay *iotrap_replay_create(const struct iotrap_replay_options *options, int *error);
void iotrap_replay_destroy(struct iotrap_replay *session);

/* Names the descriptor of a file, which stays the caller's, and its content. */
void iotrap_replay_set_file(struct iotrap_replay *session, uint32_t file, int descriptor,
			    uint32_t content);
/* Blocks of a content, and how many of them, from the first, are as prepared. Returns -errno. */
int iotrap_replay_set_content(struct iotrap_replay *session, uint32_t content, uint64_t blocks,
			      uint64_t prepared);

/* Starts the lanes; -errno if an engine cannot be had. */
int iotrap_replay_start(struct iotrap_replay *session);
/* Hands over a request: 0; -EAGAIN when there was no room for a tenth of a second; -ECANCELED once
 * the session was stopped. */
int iotrap_replay_push(struct iotrap_replay *session, const struct iotrap_replay_request *request);
/* No more requests will come. */
void iotrap_replay_close(struct iotrap_replay *session);
/* Waits for the lanes to end, so many milliseconds at most: 1 when they have. */
int iotrap_replay_wait(struct iotrap_replay *session, unsigned int milliseconds);
/* From now on nothing more is submitted. May be called in a signal handler. */
void iotrap_replay_stop(struct iotrap_replay *session);
int iotrap_replay_is_stopped(const struct iotrap_replay *session);
/* Requests that are complete. */
uint64_t iotrap_replay_completed(const struct iotrap_replay *session);
/* Reads a content from end to end and checks every block that is known. 0 or -errno. */
int iotrap_replay_check_content(struct iotrap_replay *session, int descriptor, uint32_t content);

/* Sums up what the lanes counted; only once they have ended. */
void iotrap_replay_collect(struct iotrap_replay *session, struct iotrap_replay_results *results);
const uint64_t *iotrap_replay_buckets(const struct iotrap_replay *session, uint32_t class_number);
const uint64_t *iotrap_replay_drift_buckets(const struct iotrap_replay *session);
const struct iotrap_replay_fault *iotrap_replay_fault_at(const struct iotrap_replay *session,
							 uint32_t index);

/* Makes one block that says where it belongs; bytes is a multiple of 512. */
void iotrap_replay_fill_block(void *block, uint32_t bytes, uint32_t run, uint32_t content,
			      uint64_t offset, uint32_t version);
/* Compares a block with what may be there: versions floor to ceiling. Returns the kind, and says
 * more in *fault unless that is NONE. An older version counts as lost. */
uint32_t iotrap_replay_check_block(const void *block, uint32_t bytes, uint32_t run,
				   uint32_t content, uint64_t offset, uint32_t floor,
				   uint32_t ceiling, struct iotrap_replay_fault *fault);
/* Writes prepared content, blocks of version 0 if run is not 0, else noise, from one offset to
 * another. 0, -errno, or -EINTR once *stop is not 0. */
int iotrap_replay_prepare(int descriptor, uint64_t from, uint64_t to, uint32_t verify_block,
			  uint32_t run, uint32_t content, const volatile int *stop);
/* Lets one session be stopped by SIGINT and SIGTERM; NULL ends that. Preparation, too, looks at the
 * flag. */
void iotrap_replay_catch_signals(struct iotrap_replay *session);
const volatile int *iotrap_replay_signal_flag(void);

#endif
