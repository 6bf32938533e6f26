/*
 * Layout of the statistics segment, version 3.
 *
 * One file per process, <directory>/<pid>, where <directory> is
 * /dev/shm/iotrap-<uid> (0700) or IOTRAP_STATS_DIR. It is a header, the paths of the
 * mount pools that are configured, if any, and thread blocks of equal size:
 *
 *	[ struct iotrap_stats_header, 4096 bytes ]
 *	[ struct iotrap_stats_path, path_bytes ] x path_count
 *	[ padding up to header_bytes, a multiple of 4096 ]
 *	[ struct iotrap_stats_block, block_bytes ] x block_count
 *
 * The records of paths are written by several threads with atomic adds. Each block
 * has one writer at a time, the thread that claimed it, which uses
 * plain stores. Every field is an aligned integer, so a reader sees whole values
 * but no consistent snapshot across fields. A block outlives its thread: the
 * next thread to claim it goes on counting, so sums over all blocks never
 * decrease. All numbers are little-endian host integers; times are nanoseconds
 * of CLOCK_MONOTONIC unless the name says realtime.
 */
#ifndef IOTRAP_STATS_H
#define IOTRAP_STATS_H

#include <features.h>
#include <stdint.h>
#include <sys/types.h>

#define IOTRAP_STATS_MAGIC 0x3153504152544f49ULL /* "IOTRAPS1" in memory */
#define IOTRAP_STATS_VERSION 3u
#define IOTRAP_STATS_BLOCKS_MAX 4096u
#define IOTRAP_STATS_HEADER_BYTES 4096u

/* Operations: what the program called. */
enum iotrap_operation {
	IOTRAP_OP_READ = 0,
	IOTRAP_OP_WRITE,
	IOTRAP_OP_PREAD,
	IOTRAP_OP_PWRITE,
	IOTRAP_OP_READV,
	IOTRAP_OP_WRITEV,
	IOTRAP_OP_PREADV,  /* preadv, preadv2 */
	IOTRAP_OP_PWRITEV, /* pwritev, pwritev2 */
	IOTRAP_OP_FSYNC,
	IOTRAP_OP_FDATASYNC,
	IOTRAP_OP_SYNC_FILE_RANGE,
	IOTRAP_OP_SYNC,     /* sync, syncfs */
	IOTRAP_OP_TRUNCATE, /* ftruncate */
	IOTRAP_OP_ALLOCATE, /* fallocate, posix_fallocate */
	IOTRAP_OP_OPEN,     /* open, openat, openat2, creat, fopen */
	IOTRAP_OP_CLOSE,    /* close, fclose */
	IOTRAP_OP_IO_SUBMIT,
	IOTRAP_OP_IO_GETEVENTS, /* io_getevents, io_pgetevents */
	IOTRAP_OP_AIO_READ,
	IOTRAP_OP_AIO_WRITE,
	IOTRAP_OP_AIO_FSYNC,
	IOTRAP_OP_AIO_SUSPEND,
	IOTRAP_OP_LIO_LISTIO,
	IOTRAP_OP_COUNT
};

/* Techniques: what the library may do with a call. */
enum iotrap_technique {
	IOTRAP_TECHNIQUE_RING = 0,
	IOTRAP_TECHNIQUE_SPLIT,
	IOTRAP_TECHNIQUE_GROUP_SYNC,
	IOTRAP_TECHNIQUE_LIBAIO,     /* io_submit on a ring */
	IOTRAP_TECHNIQUE_POSIX_AIO,  /* aio_read and its kin on a ring */
	IOTRAP_TECHNIQUE_OFFLOAD,    /* asynchronous requests run by kernel workers */
	IOTRAP_TECHNIQUE_MOUNT_POOL, /* requests spread over several mounts of one storage */
	IOTRAP_TECHNIQUE_COUNT
};

/* Why a call went straight to the kernel. Names: see iotrap_reason_names. */
enum iotrap_reason {
	IOTRAP_REASON_NO_TECHNIQUE = 0, /* nothing here applies to this kind of call */
	IOTRAP_REASON_POLICY,           /* mode observe, or the technique is switched off */
	IOTRAP_REASON_BUFFERED,         /* page-cache I/O: a ring would only add cost */
	IOTRAP_REASON_FILE_POSITION,    /* read/write: moves the shared file offset */
	IOTRAP_REASON_NOT_REGULAR,      /* pipe, socket, terminal, device, directory, O_PATH */
	IOTRAP_REASON_APPEND,           /* O_APPEND: pieces could land in another order */
	IOTRAP_REASON_SINGLE_REQUEST,   /* one request: nothing to put in flight beside it */
	IOTRAP_REASON_COMPARED,         /* the live comparison says plain is at least as fast */
	IOTRAP_REASON_ALONE,            /* a sync of a file that no other thread syncs */
	IOTRAP_REASON_FLAGS,            /* RWF_* flags given */
	IOTRAP_REASON_UNALIGNED,        /* offset, length or address unfit for O_DIRECT pieces */
	IOTRAP_REASON_SIZE_LIMIT, /* zero, over 2 GiB, over IOV_MAX or RLIMIT_FSIZE, bad address */
	IOTRAP_REASON_EXTENDS_FILE,         /* a write beyond the end of the file */
	IOTRAP_REASON_IO_URING_UNAVAILABLE, /* io_uring_disabled, seccomp, kernel, memlock */
	IOTRAP_REASON_BAD_DESCRIPTOR,       /* closed or negative */
	IOTRAP_REASON_TABLE_FULL,           /* descriptor or file table limit reached */
	IOTRAP_REASON_RETRIED,        /* the ring's answer was dropped and the kernel asked again */
	IOTRAP_REASON_UNDECIDED,      /* a context whose threads' habits are not known yet */
	IOTRAP_REASON_SHARED_CONTEXT, /* one thread submits, another reaps */
	IOTRAP_REASON_EVENTFD,      /* IOCB_FLAG_RESFD: such programs may read the kernel's ring */
	IOTRAP_REASON_ORDERED,      /* the kernel runs it inside io_submit, in order */
	IOTRAP_REASON_OPCODE,       /* polls and syncs, which the kernel runs as well */
	IOTRAP_REASON_PRIMARY_PATH, /* of a pool: the path the program opened is as good as any */
	IOTRAP_REASON_UNPROVEN, /* other paths of the pool are not known to lead to the same file */
	IOTRAP_REASON_MAPPED, /* of a pool: the file is mapped, or locked and read through caches */
	IOTRAP_REASON_COUNT
};

/*
 * Log-linear buckets of nanoseconds. Values below 64 have a bucket each; above,
 * every power of two is cut in 32, so a bucket is at most 1/32 of its lower
 * bound wide and its middle is off by at most 1.6 %. The last bucket takes
 * everything from 2^38 ns (4.6 minutes) up.
 *
 *	v < 64:  index = v
 *	else:    e = floor(log2 v); index = 64 + (e - 6) * 32 + ((v >> (e - 5)) - 32)
 */
#define IOTRAP_STATS_BUCKETS 1088u

struct iotrap_stats_histogram {
	uint64_t count; /* sum of weights: a sampled call stands for several */
	uint64_t sum_ns;
	uint64_t max_ns; /* of the calls that were timed */
	uint64_t buckets[IOTRAP_STATS_BUCKETS];
};

struct iotrap_stats_operation {
	uint64_t calls;
	uint64_t bytes; /* transferred, not asked for */
	uint64_t errors;
	uint64_t accelerated; /* calls a technique served */
};

struct iotrap_stats_technique {
	uint64_t calls; /* program calls served */
	uint64_t bytes;
	uint64_t requests; /* ring entries, or syncs asked for */
	uint64_t batches;  /* submissions, or real syncs done */
	uint64_t trials;   /* calls served as part of a live comparison */
	uint64_t engaged;  /* times a comparison switched the technique on */
	uint64_t dropped;  /* times it switched it off again */
	uint64_t errors;
};

/* The interfaces by which programs ask for asynchronous I/O. */
enum iotrap_async_interface { IOTRAP_ASYNC_LIBAIO = 0, IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_COUNT };

/* Who ran an asynchronous request. */
enum iotrap_async_route {
	IOTRAP_ASYNC_ROUTE_KERNEL = 0, /* the kernel's libaio, or glibc's threads */
	IOTRAP_ASYNC_ROUTE_RING,       /* the submitting thread's own ring */
	IOTRAP_ASYNC_ROUTE_SERVICE,    /* the ring of the library's service thread */
	IOTRAP_ASYNC_ROUTE_INLINE,     /* done inside the submitting call: its data was cached */
	IOTRAP_ASYNC_ROUTE_COUNT
};

/* In-flight depth d after a submission: index 0 for 0, else 1 + floor(log2 d), 17 from 65536 up. */
#define IOTRAP_STATS_DEPTHS 18u

struct iotrap_stats_async {
	uint64_t submit_calls;   /* io_submit; aio_read and its kin; lio_listio */
	uint64_t submitted;      /* requests accepted */
	uint64_t submit_ns;      /* time inside submit_calls; sampled calls stand for several */
	uint64_t reap_calls;     /* io_getevents, aio_suspend */
	uint64_t reaped;         /* requests whose end the program was told of */
	uint64_t reaped_in_user; /* of these, without a system call */
	uint64_t flight_ns;      /* from submission to completion, over flight_requests */
	uint64_t flight_requests;
	uint64_t cancelled;
	uint64_t errors; /* requests that ended with an error, cancelled ones left out */
	uint64_t bytes;  /* moved by requests */
	uint64_t routes[IOTRAP_ASYNC_ROUTE_COUNT]; /* requests, by who ran them */
	uint64_t depths[IOTRAP_STATS_DEPTHS];      /* submissions, by in-flight depth */
};

struct iotrap_stats_block {
	uint32_t thread_id; /* of the present owner; 0: free */
	uint32_t reserved;
	uint64_t reasons[IOTRAP_REASON_COUNT];
	struct iotrap_stats_operation operations[IOTRAP_OP_COUNT];
	struct iotrap_stats_technique techniques[IOTRAP_TECHNIQUE_COUNT];
	struct iotrap_stats_async async[IOTRAP_ASYNC_COUNT];
	struct iotrap_stats_histogram operation_latency[IOTRAP_OP_COUNT];
	struct iotrap_stats_histogram technique_latency[IOTRAP_TECHNIQUE_COUNT];
	struct iotrap_stats_histogram flight[IOTRAP_ASYNC_COUNT]; /* submission to completion */
};

#define IOTRAP_STATS_PATHS_MAX 128u

enum iotrap_path_state {
	IOTRAP_PATH_UNUSED = 0, /* no file was opened through it yet */
	IOTRAP_PATH_UP,
	IOTRAP_PATH_STALLED, /* requests on it have gone without an answer for too long */
	IOTRAP_PATH_EJECTED  /* requests on it failed; it is probed now and then */
};

/* One path of a mount pool. Transfers cut in pieces count as several requests. */
struct iotrap_stats_path {
	char pool[32];  /* name of the pool, zero-terminated */
	char path[224]; /* as configured, zero-terminated, cut at the front */
	uint32_t state; /* enum iotrap_path_state */
	uint32_t files; /* open through it now */
	uint64_t requests;
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t syncs;
	uint64_t errors;     /* requests that failed on it */
	uint64_t reissued;   /* of its requests, those sent again on another path */
	uint64_t ejections;  /* times it was taken out, for errors or for want of an answer */
	uint64_t returns;    /* times it came back */
	uint64_t hedges;     /* slow reads of it that were sent again on another path */
	uint64_t hedges_won; /* of these, those that the other path answered first */
	uint64_t in_flight_bytes;
	uint64_t window_bytes; /* bulk transfers in flight at most; 0: no limit now */
	uint64_t rate_bytes;   /* estimate, a second */
	uint64_t latency_ns;   /* smoothed */
	struct iotrap_stats_histogram latency;
};

/* Block size in the file: the structure rounded up to whole pages. */
#define IOTRAP_STATS_BLOCK_BYTES                                                                   \
	((uint32_t)((sizeof(struct iotrap_stats_block) + 4095u) & ~(size_t)4095u))

#define IOTRAP_STATS_FLAG_KEEP 1u  /* asked to stay after exit */
#define IOTRAP_STATS_FLAG_ENDED 2u /* the process said goodbye */

/* header.ring: what became of io_uring in this process */
enum iotrap_ring_state {
	IOTRAP_RING_UNUSED = 0, /* no eligible call yet */
	IOTRAP_RING_WORKING = 1,
	IOTRAP_RING_REFUSED = 2 /* header.ring_errno says why */
};

struct iotrap_stats_header {
	uint64_t magic; /* written last */
	uint32_t version;
	uint32_t header_bytes;
	uint32_t block_bytes;
	uint32_t block_count; /* grows */
	uint32_t operation_count;
	uint32_t technique_count;
	uint32_t reason_count;
	uint32_t bucket_count;
	uint32_t process_id;
	uint32_t flags;
	uint32_t mode; /* enum iotrap_mode */
	uint32_t ring;
	uint32_t ring_errno;
	uint32_t reserved;
	uint64_t started_realtime_ns;
	uint64_t started_ns;
	uint64_t ended_ns;             /* 0 while running */
	uint64_t threads_uncounted;    /* threads that found no block */
	uint8_t technique_settings[8]; /* enum iotrap_setting by technique */
	uint32_t path_count;
	uint32_t path_bytes;
	char program[256]; /* /proc/self/exe, NUL-terminated, cut at the front */
};

enum iotrap_mode {
	IOTRAP_MODE_OFF = 0,
	IOTRAP_MODE_OBSERVE = 1,
	IOTRAP_MODE_AUTO = 2,
	IOTRAP_MODE_FORCE = 3
};

enum iotrap_setting {
	IOTRAP_SETTING_OFF = 0,
	IOTRAP_SETTING_ON = 1,
	IOTRAP_SETTING_AUTO = 2,
};

#endif
