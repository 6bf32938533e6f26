/*
 * Mount pools: the same files through several mounts of one storage. The configured
 * pools, and memory that several threads use at once, laid out in C (see struct
 * iotrap_group).
 */
#ifndef IOTRAP_POOL_H
#define IOTRAP_POOL_H

#include "iotrap_aio.h"

#pragma clang assume_nonnull begin

/* --- what is configured ----------------------------------------------------------- */

#define IOTRAP_POOLS_MAX 16u
#define IOTRAP_POOL_PATHS_MAX 64u    /* of one pool */
#define IOTRAP_POOL_PATHS_TOTAL 128u /* of all pools */
#define IOTRAP_POOL_NAME_BYTES 32u
#define IOTRAP_POOL_PATH_BYTES 512u

/* definition.flags */
#define IOTRAP_POOL_COHERENT 1u         /* caches of the mounts agree: buffered reads, too */
#define IOTRAP_POOL_SAME 2u             /* said to lead to the same files, whatever they show */
#define IOTRAP_POOL_BULK_OFF_PRIMARY 4u /* large transfers leave the primary path alone */

/* One path of a pool, as configured. */
struct iotrap_pool_path_definition {
	char text[IOTRAP_POOL_PATH_BYTES]; /* absolute, zero-terminated, without a trailing slash */
	uint32_t length;                   /* of text */
	uint32_t weight; /* expected speed, relative to the others, until it is measured; 1 */
};

struct iotrap_pool_definition {
	char name[IOTRAP_POOL_NAME_BYTES]; /* zero-terminated */
	uint32_t first_path;               /* in table.paths */
	uint32_t path_count;
	uint32_t primary;          /* of its paths: 0 is the first */
	uint32_t flags;            /* IOTRAP_POOL_* */
	uint64_t chunk_bytes;      /* greatest piece of a transfer: a multiple of 4096, 1 MiB */
	uint64_t answer_within_ns; /* a path that takes longer is left alone; 0: never */
	uint32_t hedge_tenths;     /* percentile in tenths (990: the 99th) after which a read is
				    * sent again elsewhere; 0: never */
	uint32_t protect;          /* enum iotrap_setting of log protection */
};

/* All pools. Filled once, at start, and never changed after that. */
struct iotrap_pool_table {
	uint32_t pool_count;
	uint32_t path_count;
	struct iotrap_pool_definition pools[IOTRAP_POOLS_MAX];
	struct iotrap_pool_path_definition paths[IOTRAP_POOL_PATHS_TOTAL];
};

static inline struct iotrap_pool_definition *iotrap_pool_entry(struct iotrap_pool_table *table,
							       uint32_t index)
{
	return &table->pools[index];
}

static inline struct iotrap_pool_path_definition *
iotrap_pool_path_entry(struct iotrap_pool_table *table, uint32_t index)
{
	return &table->paths[index];
}

static inline char *iotrap_pool_name(struct iotrap_pool_definition *pool)
{
	return pool->name;
}

static inline char *iotrap_pool_path_text(struct iotrap_pool_path_definition *path)
{
	return path->text;
}

/* --- paths, as they are doing ------------------------------------------------------- */

/*
 * What the threads of the program need to know of a path without asking the service
 * thread, by index in table.paths.
 */
struct iotrap_path_words {
	uint64_t reserved;
	uint32_t state;           /* enum iotrap_path_state of iotrap_stats.h */
	uint32_t plain_in_flight; /* calls that program threads make on it themselves */
	uint64_t plain_ns;        /* smoothed time of such a call */
	uint64_t queued_bytes;    /* in flight through the service thread */
	uint64_t durable_ns;      /* first path of a pool: its last small durable write */
	uint64_t progress_ns;     /* when such a call last began alone, or ended */
	uint64_t line[2];
};

/* --- paths, as they are counted ------------------------------------------------------ */

static inline char *iotrap_stats_path_pool(struct iotrap_stats_path *path)
{
	return path->pool;
}

static inline char *iotrap_stats_path_text(struct iotrap_stats_path *path)
{
	return path->path;
}

static inline struct iotrap_stats_histogram *
iotrap_stats_path_latency(struct iotrap_stats_path *path)
{
	return &path->latency;
}

IOTRAP_WORD(stats_path, uint32_t, state)
IOTRAP_WORD(stats_path, uint32_t, files)
IOTRAP_WORD(stats_path, uint64_t, requests)
IOTRAP_WORD(stats_path, uint64_t, read_bytes)
IOTRAP_WORD(stats_path, uint64_t, write_bytes)
IOTRAP_WORD(stats_path, uint64_t, syncs)
IOTRAP_WORD(stats_path, uint64_t, errors)
IOTRAP_WORD(stats_path, uint64_t, reissued)
IOTRAP_WORD(stats_path, uint64_t, ejections)
IOTRAP_WORD(stats_path, uint64_t, returns)
IOTRAP_WORD(stats_path, uint64_t, hedges)
IOTRAP_WORD(stats_path, uint64_t, hedges_won)
IOTRAP_WORD(stats_path, uint64_t, in_flight_bytes)
IOTRAP_WORD(stats_path, uint64_t, window_bytes)
IOTRAP_WORD(stats_path, uint64_t, rate_bytes)
IOTRAP_WORD(stats_path, uint64_t, latency_ns)
IOTRAP_WORD(stats_histogram, uint64_t, count)
IOTRAP_WORD(stats_histogram, uint64_t, sum_ns)
IOTRAP_WORD(stats_histogram, uint64_t, max_ns)

/* --- files ------------------------------------------------------------------------- */

#define IOTRAP_POOL_FILES 1024u
#define IOTRAP_POOL_NAME_MAX 1024u

/* file.restricted: why only the program's own descriptor is used */
#define IOTRAP_POOL_MAPPED 1u
#define IOTRAP_POOL_LOCKED 2u /* buffered files only */

/*
 * One file of a pool, by what the program has open: device, inode and the flags that
 * matter. Records are found by index + 1 and generation, which descriptors' slots hold.
 */
struct iotrap_pool_file {
	uint64_t reserved;
	uint64_t device; /* of the program's descriptor */
	uint64_t inode;
	uint32_t generation;   /* changes when the record is given to another file; 0: never used */
	uint32_t users;        /* calls and requests that rely on the record */
	uint32_t status_flags; /* access mode, O_DIRECT, O_SYNC, O_DSYNC of all its descriptors */
	uint32_t pool;         /* in table.pools */
	uint32_t home;         /* which of the pool's paths the program opened it through */
	uint32_t restricted;   /* IOTRAP_POOL_MAPPED, ... */
	uint64_t usable;       /* a bit for each path that requests may go to, home included */
	uint64_t dirty;        /* a bit for each path that carried a write no sync has covered */
	uint64_t syncing;      /* a bit for each path of which a sync is under way */
	int32_t lost;          /* -errno that the next sync reports; 0: none */
	uint32_t name_bytes;
	int64_t known_size; /* the file was at least that long */
	uint64_t used_ns;   /* last time */
	uint64_t asked_ns;  /* when the other paths were last asked for */
	uint32_t last_generation;
	uint32_t home_writes; /* nonzero: written on the home path */
	uint64_t readable; /* paths that have shown the same file; and those proven for writing */
	uint64_t proven;
	uint64_t hurry_ns;  /* until then bulk waits for other paths to be opened and proven */
	int64_t stream_end; /* of the last piece that was not cut; the service thread's */
	uint32_t stream_path;
	uint32_t lost_told; /* what syncfs(2) has reported of lost */
	uint32_t home_lost; /* nonzero: a sync told that the home path's mount is gone */
	uint32_t reserved3;
	char name[IOTRAP_POOL_NAME_MAX]; /* below each path of the pool, zero-terminated */
};

IOTRAP_WORD(path_words, uint32_t, state)
IOTRAP_WORD(path_words, uint32_t, plain_in_flight)
IOTRAP_WORD(path_words, uint64_t, plain_ns)
IOTRAP_WORD(path_words, uint64_t, queued_bytes)
IOTRAP_WORD(path_words, uint64_t, durable_ns)
IOTRAP_WORD(path_words, uint64_t, progress_ns)
IOTRAP_WORD(pool_file, uint32_t, users)
IOTRAP_WORD(pool_file, uint32_t, generation)
IOTRAP_WORD(pool_file, uint32_t, restricted)
IOTRAP_WORD(pool_file, uint64_t, usable)
IOTRAP_WORD(pool_file, uint64_t, dirty)
IOTRAP_WORD(pool_file, uint64_t, syncing)
IOTRAP_WORD(pool_file, int32_t, lost)
IOTRAP_WORD(pool_file, uint32_t, lost_told)
IOTRAP_WORD(pool_file, uint32_t, home_lost)
IOTRAP_WORD(pool_file, int64_t, known_size)
IOTRAP_WORD(pool_file, uint64_t, used_ns)
IOTRAP_WORD(pool_file, uint64_t, asked_ns)
IOTRAP_WORD(pool_file, uint64_t, proven)
IOTRAP_WORD(pool_file, uint32_t, home_writes)

static inline char *iotrap_pool_file_name(struct iotrap_pool_file *file)
{
	return file->name;
}

/* --- the service thread's own -------------------------------------------------------- */

/* sibling.state: how far a file has come through one more path */
#define IOTRAP_SIBLING_NONE 0u
#define IOTRAP_SIBLING_OPENING 1u  /* being opened, looked at or sampled */
#define IOTRAP_SIBLING_READABLE 2u /* shows the same file; not proven for writing */
#define IOTRAP_SIBLING_PROVEN 3u
#define IOTRAP_SIBLING_REFUSED 4u /* another file, or none */

struct iotrap_pool_sibling {
	uint16_t slot; /* in the ring's files + 1; 0: none */
	uint8_t state;
	uint8_t attempts;
	int32_t error;       /* why it was refused: -errno, or 0 for another file */
	uint64_t again_ns;   /* not before */
	int64_t changed_ns;  /* of the file, when it was first compared */
	uint32_t syncs;      /* of it that are under way */
	uint32_t is_virtual; /* nonzero: on no block device of its own */
};

/* transfer.flags */
#define IOTRAP_TRANSFER_GONE 1u /* its descriptor was closed: not usable any more */
#define IOTRAP_TRANSFER_WRITES 2u
#define IOTRAP_TRANSFER_MISFIT 4u /* the whole is run again on the program's descriptor */
#define IOTRAP_TRANSFER_VECTOR 8u

/* A request of the program that was given to a pool. */
struct iotrap_pool_transfer {
	uint32_t next;    /* free ones: index + 1 */
	uint32_t request; /* number + 1; 0: free */
	uint32_t file;    /* record */
	uint32_t pieces;  /* that have not ended */
	uint64_t moved;
	int64_t stop_position; /* of the first piece that fell short; INT64_MAX: none */
	int32_t stop_result;
	uint32_t flags;
	uint32_t buffer; /* that holds a copy of its vector + 1 */
	uint32_t reserved[5];
};
_Static_assert(sizeof(struct iotrap_pool_transfer) == 64, "a cache line");

/* What is compared of two files. */
struct iotrap_pool_look {
	uint64_t inode;
	int64_t size;
	int64_t modified_ns;
	int64_t changed_ns;
	uint64_t device;
	uint32_t mode;
	uint32_t reserved;
};

/* Room for struct statx. */
struct iotrap_pool_statx {
	uint64_t words[32];
};
void iotrap_pool_look(const struct iotrap_pool_statx *from, struct iotrap_pool_look *to);

/*
 * Files without descriptors, in the ring's own table: makes room for at most count (RLIMIT_NOFILE
 * bounds it); how many there are, or -errno.
 */
int iotrap_ring_make_files(struct iotrap_ring *ring, uint32_t count);
/* Queues the opening of a file into a slot (IORING_OP_OPENAT, Linux 5.15): 1, or 0: full. */
int iotrap_ring_queue_open(struct iotrap_ring *ring, const char *path, uint32_t flags,
			   uint32_t slot, uint64_t user_data);
/* Queues statx(2), past all caches, of a path, or of a descriptor when path is NULL. */
int iotrap_ring_queue_statx(struct iotrap_ring *ring, int fd, const char *_Nullable path,
			    struct iotrap_pool_statx *to, uint64_t user_data);

/* The name of an open file, without a terminating zero: its length, or -errno. */
int iotrap_descriptor_path(int fd, char *buffer, uint32_t bytes);
/*
 * A path without symbolic links in front of its last component, zero-terminated. The last
 * one is not touched: it may be a mount that does not answer. Its length, or -errno.
 */
int iotrap_canonical_path(const char *path, char *buffer, uint32_t bytes);
/* Drops pages of a file from the page cache, as a direct write to it does. */
void iotrap_drop_cached(int fd, int64_t offset, int64_t bytes);
/* Copies to memory of the program, which may be gone: 0, or -errno. */
int iotrap_copy_out(void *to, const void *from, uint64_t bytes);
/* Nonzero when the main thread has ended, or seems so: the process may wait for its last one. */
int iotrap_main_thread_ended(void);
/* Nonzero when the file lies on a mount that nobody can write to. */
int iotrap_on_read_only_mount(int fd);

/*
 * A call that passed on the path the program opened, and failed: its result by another
 * path, or IOTRAP_DECLINED when there is none or the error says nothing of the path.
 */
int64_t iotrap_pool_again(struct iotrap_thread *self, struct iotrap_call *call, int error);

/* --- what the hooks report ------------------------------------------------------------ */

/* Nonzero when pools are configured and in use. */
extern uint32_t iotrap_pools_active;
static inline uint32_t *iotrap_pools_active_word(void)
{
	return &iotrap_pools_active;
}

/* The program maps a file, or locks a part of it. */
void iotrap_pool_mapped(int fd);
void iotrap_pool_locked(int fd);
/* The file behind a descriptor changed its size (ftruncate, fallocate). */
void iotrap_pool_resized(int fd);
/* Some file changed its size by name. */
void iotrap_pool_resized_any(void);
/* syncfs(2) on a descriptor succeeded: what other paths of its pool hold is synced, too: 0 or
 * -errno. */
int64_t iotrap_pool_sync_all(int fd);

#pragma clang assume_nonnull end
#endif
