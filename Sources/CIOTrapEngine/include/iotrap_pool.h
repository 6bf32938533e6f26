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
	uint64_t line[4];
};

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
	int32_t lost;          /* -errno that the next sync reports; 0: none */
	uint32_t name_bytes;
	int64_t known_size; /* the file was at least that long */
	uint64_t used_ns;   /* last time */
	uint64_t line[4];
	char name[IOTRAP_POOL_NAME_MAX]; /* below each path of the pool, zero-terminated */
};

IOTRAP_WORD(path_words, uint32_t, state)
IOTRAP_WORD(path_words, uint32_t, plain_in_flight)
IOTRAP_WORD(path_words, uint64_t, plain_ns)
IOTRAP_WORD(path_words, uint64_t, queued_bytes)
IOTRAP_WORD(pool_file, uint32_t, users)
IOTRAP_WORD(pool_file, uint32_t, generation)
IOTRAP_WORD(pool_file, uint32_t, restricted)
IOTRAP_WORD(pool_file, uint64_t, usable)
IOTRAP_WORD(pool_file, uint64_t, dirty)
IOTRAP_WORD(pool_file, int32_t, lost)
IOTRAP_WORD(pool_file, int64_t, known_size)
IOTRAP_WORD(pool_file, uint64_t, used_ns)

static inline char *iotrap_pool_file_name(struct iotrap_pool_file *file)
{
	return file->name;
}

/* --- what the hooks report ------------------------------------------------------------ */

/* Nonzero when pools are configured and in use. */
extern uint32_t iotrap_pools_active;

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
