/*
 * iotrap: queues, files, and batches of storage operations. Included by iotrap.h.
 *
 * A program opens files and a queue, adds operations, submits them, and takes completions. On
 * Linux 5.11 and later a queue is an io_uring instance. Where there is none (older kernel,
 * kernel.io_uring_disabled, container filter) the queue executes each operation with plain system
 * calls inside iotrap_queue_submit: the same results, one operation at a time.
 *
 * Results are >= 0 or -errno; errno is never touched. Memory is taken when a queue, file or batch
 * is made, never afterwards.
 *
 * Threads. Each function says which threads may call it:
 *   any    from any thread, at any time
 *   owner  from the thread that opened the queue (-EPERM from another). A queue opened with
 *          IOTRAP_QUEUE_UNBOUND has no owner: any thread, but one at a time
 *   one    from any thread, but one at a time
 * None of them may be called from a signal handler, except iotrap_queue_wake.
 *
 * After fork(2) the child's queues and batches are gone (-EBADF); its files stay usable.
 */
#ifndef IOTRAP_QUEUE_H
#define IOTRAP_QUEUE_H

#include <features.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct iotrap_queue;
struct iotrap_file;
struct iotrap_batch;
struct statx;

/* No timeout. */
#define IOTRAP_FOREVER UINT64_MAX

/* CLOCK_MONOTONIC in nanoseconds, the clock of deadlines. Threads: any. */
uint64_t iotrap_now(void);

/*
 * Misuse (a wrong thread, a closed or freed handle) prints what was wrong and aborts the process
 * instead of returning -errno, while on is nonzero. For debug builds. Threads: any.
 */
void iotrap_set_strict(int on);

/*
 * The mount pools of this process, as in IOTRAP_MOUNT_POOLS (see the README), for files opened
 * from now on. 0, or -EBUSY when pools are in use already, -EINVAL when the text is wrong (why
 * stands in error, if that is not NULL), -EOPNOTSUPP without io_uring. Threads: one.
 */
int iotrap_set_pools(const char *pools, char *error, size_t error_bytes);

/* --- files --------------------------------------------------------------------------- */

/* Whether a file is spread over the paths of a mount pool. */
#define IOTRAP_FILE_POOL_AUTO 0u     /* if it lies in one */
#define IOTRAP_FILE_POOL_NEVER 1u    /* by its own path only */
#define IOTRAP_FILE_POOL_REQUIRED 2u /* else -ENODEV */

struct iotrap_file_options {
	uint32_t struct_size; /* sizeof(struct iotrap_file_options) */
	uint32_t pool;        /* IOTRAP_FILE_POOL_* */
	uint64_t reserved[3]; /* 0 */
};

struct iotrap_file_info {
	uint32_t struct_size; /* in: sizeof; out: what was filled in */
	int32_t descriptor;
	uint32_t open_flags;       /* F_GETFL */
	uint32_t memory_alignment; /* of buffers, bytes; 1 when not O_DIRECT */
	uint32_t offset_alignment; /* of offsets and lengths, bytes; 1 when not O_DIRECT */
	uint32_t paths;            /* of its mount pool; 1: in none */
	uint64_t size;             /* bytes, now */
	uint64_t reserved[2];
};

/*
 * Opens a file with open(2)'s flags and mode; O_CLOEXEC is added. options may be NULL. 0 and
 * *file, or -errno. One file may be used by many threads and queues. Threads: any.
 */
int iotrap_file_open(const char *path, int flags, mode_t mode,
		     const struct iotrap_file_options *options, struct iotrap_file **file);

/* The same for an open descriptor, which belongs to the file from now on. Threads: any. */
int iotrap_file_adopt(int descriptor, const struct iotrap_file_options *options,
		      struct iotrap_file **file);

/*
 * Closes the file: 0, -EBADF when it is closed already, -EBUSY while operations on it are not
 * completed (added, in flight, or set in a slot of a queue), or what close(2) says. Threads: any.
 */
int iotrap_file_close(struct iotrap_file *file);

/* Forgets the file without closing it: its descriptor, or as iotrap_file_close. Threads: any. */
int iotrap_file_release(struct iotrap_file *file);

/* Its descriptor, valid until the file is closed; -EBADF. Threads: any. */
int iotrap_file_descriptor(const struct iotrap_file *file);

/* Its size in bytes now (fstat(2)); of block devices too. Threads: any. */
int64_t iotrap_file_size(const struct iotrap_file *file);

/* What is known of it. 0 or -errno. Threads: any. */
int iotrap_file_info(const struct iotrap_file *file, struct iotrap_file_info *info);

/* --- operations ---------------------------------------------------------------------- */

enum iotrap_io_kind {
	IOTRAP_IO_NOP = 0,
	IOTRAP_IO_READ,       /* pread(2): result is bytes, 0 at the end of the file */
	IOTRAP_IO_WRITE,      /* pwrite(2) */
	IOTRAP_IO_READV,      /* preadv(2): buffer is a struct iovec array, length its count */
	IOTRAP_IO_WRITEV,     /* pwritev(2); the array must stay until completion */
	IOTRAP_IO_FSYNC,      /* fsync(2): result 0 */
	IOTRAP_IO_FDATASYNC,  /* fdatasync(2) */
	IOTRAP_IO_OPEN,       /* openat(2): result is a descriptor; 0 with IOTRAP_IO_SLOT */
	IOTRAP_IO_STAT,       /* statx(2) of path, into buffer: result 0 */
	IOTRAP_IO_CLOSE,      /* close(2) of descriptor, or of the slot */
	IOTRAP_IO_READ_FILE,  /* opens path, reads once at offset, closes: result is bytes */
	IOTRAP_IO_WRITE_FILE, /* opens path, writes once at offset, closes: result is bytes */
	IOTRAP_IO_BATCH       /* in completions only: all of a batch */
};

/* The next operation starts after this one succeeded in full; else it ends with -ECANCELED. */
#define IOTRAP_IO_LINK 1u
/* The next operation starts after this one ended, however it ended. */
#define IOTRAP_IO_HARDLINK 2u
/* The target is the file in slot `slot` of the queue, not `file`. */
#define IOTRAP_IO_SLOT 4u
/* The target is `descriptor`, which nothing protects from being closed meanwhile. */
#define IOTRAP_IO_DESCRIPTOR 8u
/* buffer lies in registered buffer `buffer_index`; not for vectored operations. */
#define IOTRAP_IO_FIXED_BUFFER 16u
/*
 * Goes on after a short transfer until all is done. A read that meets the end of the file ends
 * with -ENODATA: the file is shorter than the caller knows. Not for vectored operations.
 */
#define IOTRAP_IO_WHOLE 32u
/* No completion unless it failed. */
#define IOTRAP_IO_QUIET 64u
/* A kernel worker runs it: for file systems that block in submission (IOSQE_ASYNC). */
#define IOTRAP_IO_WORKER 128u

struct iotrap_completion;
/*
 * Called by iotrap_queue_wait, _poll or _dispatch in place of handing the completion over. May add
 * and submit; must not wait, poll, dispatch or close (-EDEADLK).
 */
typedef void (*iotrap_callback)(const struct iotrap_completion *completion, void *context);

/* One operation, filled in by the caller and copied when added. What is not used is 0. */
struct iotrap_io {
	uint16_t kind;            /* enum iotrap_io_kind */
	uint16_t priority;        /* ioprio_set(2): IOPRIO_PRIO_VALUE(class, level); 0: none */
	uint32_t flags;           /* IOTRAP_IO_* */
	struct iotrap_file *file; /* unless SLOT or DESCRIPTOR */
	void *buffer;             /* bytes, struct iovec array, or struct statx */
	uint64_t length;          /* bytes (at most 0x7ffff000), or vectors (at most 1024) */
	int64_t offset;           /* bytes */
	uint64_t user_data;       /* comes back in the completion; names it to cancel */
	uint64_t deadline_ns;     /* on iotrap_now's clock; 0: none */
	iotrap_callback callback; /* or NULL */
	void *context;            /* for the callback */
	const char *path;         /* OPEN, STAT, *_FILE; must stay until completion */
	int32_t descriptor;       /* with DESCRIPTOR; CLOSE; or where path begins: AT_FDCWD */
	uint32_t slot;            /* with SLOT */
	uint32_t buffer_index;    /* with FIXED_BUFFER */
	uint32_t rw_flags;        /* RWF_* of preadv2(2) */
	uint32_t open_flags;      /* open(2), or AT_* of STAT */
	uint32_t mode;            /* of a file made, or the mask of STAT */
	uint64_t reserved[3];
};

/*
 * Deadlines. An operation that has not started by then ends with -ETIME. One that the kernel can
 * call back is cancelled, with -ETIME as well. What a device is working on cannot be called back:
 * it ends when it ends, with its own result and IOTRAP_COMPLETION_LATE, and its memory is in use
 * until then. Those linked to an operation that ended with -ETIME end with -ECANCELED.
 */
#define IOTRAP_COMPLETION_LATE 1u
/* It was spread over, or served by, the paths of a mount pool. */
#define IOTRAP_COMPLETION_POOL 2u

struct iotrap_completion {
	uint64_t user_data;
	int64_t result;           /* as the kind says, or -errno */
	uint32_t operation;       /* enum iotrap_io_kind */
	uint32_t flags;           /* IOTRAP_COMPLETION_* */
	struct iotrap_file *file; /* or NULL */
	const char *path;         /* of OPEN, STAT, *_FILE; or NULL */
	int64_t offset;
	uint64_t length;
	struct iotrap_batch *batch; /* IOTRAP_IO_BATCH, or NULL */
};

/*
 * Writes what happened to a completion as one line: operation, file, reason, and remedy if there
 * is one. Zero-terminated, cut at bytes. Returns its length. Threads: any.
 */
size_t iotrap_completion_text(const struct iotrap_completion *completion, char *text, size_t bytes);

/* --- queues -------------------------------------------------------------------------- */

#define IOTRAP_QUEUE_UNBOUND 1u  /* no owner: any thread, one at a time; a little slower */
#define IOTRAP_QUEUE_PLAIN 2u    /* plain system calls, no io_uring */
#define IOTRAP_QUEUE_RING 4u     /* without io_uring fail with its -errno, no plain system calls */
#define IOTRAP_QUEUE_STRICT 8u   /* iotrap_set_strict(1) */
#define IOTRAP_QUEUE_NO_WAKE 16u /* nobody wakes it: waits for several completions sleep once */

struct iotrap_queue_options {
	uint32_t struct_size;   /* sizeof(struct iotrap_queue_options) */
	uint32_t flags;         /* IOTRAP_QUEUE_* */
	uint32_t depth;         /* operations added and not yet taken, 1...16384; 0: 128 */
	uint32_t file_slots;    /* for registered files, at most 16384 */
	uint32_t buffer_slots;  /* for registered buffers, at most 16384 */
	uint32_t reserved_word; /* 0 */
	uint64_t reserved[3];   /* 0 */
};

/* Opens a queue, which belongs to the calling thread. options may be NULL. 0 or -errno. */
int iotrap_queue_open(const struct iotrap_queue_options *options, struct iotrap_queue **queue);

/*
 * Cancels what can be cancelled, waits for all that is in flight, drops what was not submitted and
 * completions that were not taken, and closes the queue. 0, -EBADF, -EPERM. Threads: owner.
 */
int iotrap_queue_close(struct iotrap_queue *queue);

/*
 * Adds an operation; nothing starts before the next submit or wait. 0, or
 *   -EAGAIN  the queue is full: take completions first
 *   -EINVAL  a field is wrong, or O_DIRECT and buffer, offset or length misaligned
 *   -EBADF   the file is closed, or is not a file
 *   -EFAULT  outside the registered buffer
 *   -EPERM   wrong thread
 * iotrap_queue_error says more. Threads: owner.
 */
int iotrap_queue_add(struct iotrap_queue *queue, const struct iotrap_io *io);

/* The same for several, all or none. A link may not lead out of them. Threads: owner. */
int iotrap_queue_add_many(struct iotrap_queue *queue, const struct iotrap_io *ios, uint32_t count);

/* Adds a batch, all or none; user_data is that of the batch's own completion. Threads: owner. */
int iotrap_queue_add_batch(struct iotrap_queue *queue, struct iotrap_batch *batch,
			   uint64_t user_data);

/* Operations that can be added now. Threads: owner. */
int iotrap_queue_room(struct iotrap_queue *queue);

/* Starts all that was added: their number, or -errno. Threads: owner. */
int iotrap_queue_submit(struct iotrap_queue *queue);

/*
 * Submits, and waits until `minimum` completions are there, timeout_ns nanoseconds passed
 * (IOTRAP_FOREVER: never), the queue was woken, or nothing is in flight any more. Takes at most
 * `maximum`, callbacks that it calls included. The number put at completions, which may be 0, or
 * -EINTR when a signal handler ran and nothing was taken. Threads: owner.
 */
int iotrap_queue_wait(struct iotrap_queue *queue, struct iotrap_completion *completions,
		      uint32_t minimum, uint32_t maximum, uint64_t timeout_ns);

/*
 * The same, idle queue included: waits although nothing is in flight, until the queue is woken.
 * For event loops that other threads give work to. Threads: owner.
 */
int iotrap_queue_wait_idle(struct iotrap_queue *queue, struct iotrap_completion *completions,
			   uint32_t minimum, uint32_t maximum, uint64_t timeout_ns);

/* Takes at most `maximum` completions without waiting: their number. Threads: owner. */
int iotrap_queue_poll(struct iotrap_queue *queue, struct iotrap_completion *completions,
		      uint32_t maximum);

/*
 * As iotrap_queue_wait with a minimum of one, for callbacks: calls those of at most `maximum`
 * completions; completions without one stay for wait and poll. The number called. Threads: owner.
 */
int iotrap_queue_dispatch(struct iotrap_queue *queue, uint32_t maximum, uint64_t timeout_ns);

/*
 * Ends the wait that the owner is in, or else the next one, before it has what it waits for.
 * Async-signal-safe. The queue must not be closed meanwhile. 0, -EBADF, -EINVAL when the queue was
 * opened with IOTRAP_QUEUE_NO_WAKE. Threads: any.
 */
int iotrap_queue_wake(struct iotrap_queue *queue);

/*
 * A descriptor that is readable when completions may be there, or the queue was woken: for epoll.
 * Read its eight bytes, then poll until 0. It is the queue's; -EMFILE and the like. Submitting
 * stays the owner's matter. Threads: owner.
 */
int iotrap_queue_eventfd(struct iotrap_queue *queue);

/*
 * Asks for the cancellation of operations added with this user_data: how many were found. They
 * complete as ever: with -ECANCELED, or with their result when it was too late; those that are only
 * added do at the next submit or wait. user_data of a batch means all of it. Threads: owner.
 */
int iotrap_queue_cancel(struct iotrap_queue *queue, uint64_t user_data);

/*
 * Puts a file in a slot, which makes operations on it cheaper (IOTRAP_IO_SLOT); NULL empties the
 * slot. 0, -EINVAL (no such slot), -EBUSY (in use), -EBADF, or what the kernel says. Threads:
 * owner.
 */
int iotrap_queue_set_file(struct iotrap_queue *queue, uint32_t slot, struct iotrap_file *file);

/*
 * Registers memory (IOTRAP_IO_FIXED_BUFFER), which the kernel then keeps in memory; NULL gives it
 * up. 0, -EINVAL, -EBUSY (in use), -ENOMEM (RLIMIT_MEMLOCK), -EFAULT. Threads: owner.
 */
int iotrap_queue_set_buffer(struct iotrap_queue *queue, uint32_t index, void *address,
			    size_t bytes);

struct iotrap_queue_statistics {
	uint32_t struct_size; /* in: sizeof; out: what was filled in */
	uint32_t ring;        /* 1: io_uring; 0: plain system calls */
	uint32_t depth;
	uint32_t added;     /* now: waiting for submit */
	uint32_t in_flight; /* now */
	uint32_t in_flight_maximum;
	uint64_t submitted; /* operations, since the queue was opened */
	uint64_t completed;
	uint64_t failed;    /* of these, with -errno, cancelled ones included */
	uint64_t cancelled; /* of these, with -ECANCELED or -ETIME */
	uint64_t late;
	uint64_t pooled; /* served through mount pools */
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t enters; /* io_uring_enter(2) */
	uint64_t wakes;
};

/* 0 or -errno. Threads: owner. */
int iotrap_queue_statistics(struct iotrap_queue *queue, struct iotrap_queue_statistics *statistics);

/*
 * Why the last call on the queue that failed did so, as one line: operation, file, reason, remedy.
 * Returns its length, 0 when none has failed. Threads: owner.
 */
size_t iotrap_queue_error(struct iotrap_queue *queue, char *text, size_t bytes);

/* --- batches ------------------------------------------------------------------------- */

/*
 * One completion for the whole batch (IOTRAP_IO_BATCH), after all of its operations: its result
 * is 0, or that of the first in the batch that failed. Without this each operation completes by
 * itself, and that of the batch comes last.
 */
#define IOTRAP_BATCH_ONE 1u

/* Makes an empty batch for at most capacity (1...16384) operations. 0 or -errno. Threads: any. */
int iotrap_batch_create(uint32_t capacity, uint32_t flags, struct iotrap_batch **batch);

/* Appends an operation; fields are checked when the batch is added to a queue. 0, -ENOSPC, -EBUSY
 * while it is in a queue, -EBADF when freed. Threads: one. */
int iotrap_batch_add(struct iotrap_batch *batch, const struct iotrap_io *io);

/* A write, and an fdatasync that starts when all of it is written ("durable append"): both or
 * none are added. user_data is that of both. Threads: one. */
int iotrap_batch_add_durable_write(struct iotrap_batch *batch, struct iotrap_file *file,
				   const void *buffer, uint64_t length, int64_t offset,
				   uint64_t user_data);

/* A deadline for all operations that have none of their own; 0: none. Threads: one. */
int iotrap_batch_set_deadline(struct iotrap_batch *batch, uint64_t deadline_ns);

/* A priority for all operations that have none of their own. Threads: one. */
int iotrap_batch_set_priority(struct iotrap_batch *batch, uint16_t priority);

/* Operations in it, or -EBADF. Threads: one. */
int iotrap_batch_count(const struct iotrap_batch *batch);

/* The result of an operation; -EINPROGRESS until it ended, -EINVAL. Threads: one. */
int64_t iotrap_batch_result(const struct iotrap_batch *batch, uint32_t index);

/* Empties it, for new operations. 0, -EBUSY, -EBADF. Threads: one. */
int iotrap_batch_reset(struct iotrap_batch *batch);

/* Frees it. 0, -EBUSY while it is in a queue, -EBADF when it was freed before. Threads: one. */
int iotrap_batch_free(struct iotrap_batch *batch);

/* --- filling in ---------------------------------------------------------------------- */

/* The defaults. */
static inline void iotrap_queue_options_init(struct iotrap_queue_options *options)
{
	memset(options, 0, sizeof(*options));
	options->struct_size = sizeof(*options);
#if !defined(NDEBUG) && !defined(__swift__)
	/* As assert(3). */
	options->flags = IOTRAP_QUEUE_STRICT;
#endif
}

/* An operation of any kind. */
static inline void iotrap_io_prepare(struct iotrap_io *io, enum iotrap_io_kind kind,
				     struct iotrap_file *file, const void *buffer, uint64_t length,
				     int64_t offset)
{
	memset(io, 0, sizeof(*io));
	io->kind = (uint16_t)kind;
	io->file = file;
	io->buffer = (void *)(uintptr_t)buffer;
	io->length = length;
	io->offset = offset;
	io->descriptor = -100; /* AT_FDCWD */
}

/* IOTRAP_IO_READ */
static inline void iotrap_io_read(struct iotrap_io *io, struct iotrap_file *file, void *buffer,
				  uint64_t length, int64_t offset)
{
	iotrap_io_prepare(io, IOTRAP_IO_READ, file, buffer, length, offset);
}

/* IOTRAP_IO_WRITE */
static inline void iotrap_io_write(struct iotrap_io *io, struct iotrap_file *file,
				   const void *buffer, uint64_t length, int64_t offset)
{
	iotrap_io_prepare(io, IOTRAP_IO_WRITE, file, buffer, length, offset);
}

/* IOTRAP_IO_READV */
static inline void iotrap_io_readv(struct iotrap_io *io, struct iotrap_file *file,
				   const struct iovec *vectors, uint32_t count, int64_t offset)
{
	iotrap_io_prepare(io, IOTRAP_IO_READV, file, vectors, count, offset);
}

/* IOTRAP_IO_WRITEV */
static inline void iotrap_io_writev(struct iotrap_io *io, struct iotrap_file *file,
				    const struct iovec *vectors, uint32_t count, int64_t offset)
{
	iotrap_io_prepare(io, IOTRAP_IO_WRITEV, file, vectors, count, offset);
}

/* IOTRAP_IO_FDATASYNC, or IOTRAP_IO_FSYNC when data_only is 0 */
static inline void iotrap_io_sync(struct iotrap_io *io, struct iotrap_file *file, int data_only)
{
	iotrap_io_prepare(io, data_only ? IOTRAP_IO_FDATASYNC : IOTRAP_IO_FSYNC, file, 0, 0, 0);
}

/* IOTRAP_IO_OPEN */
static inline void iotrap_io_open(struct iotrap_io *io, const char *path, int flags, mode_t mode)
{
	iotrap_io_prepare(io, IOTRAP_IO_OPEN, 0, 0, 0, 0);
	io->path = path;
	io->open_flags = (uint32_t)flags;
	io->mode = mode;
}

/* IOTRAP_IO_STAT */
static inline void iotrap_io_stat(struct iotrap_io *io, const char *path, int flags, uint32_t mask,
				  struct statx *status)
{
	iotrap_io_prepare(io, IOTRAP_IO_STAT, 0, status, 0, 0);
	io->path = path;
	io->open_flags = (uint32_t)flags;
	io->mode = mask;
}

/* IOTRAP_IO_CLOSE of a descriptor */
static inline void iotrap_io_close(struct iotrap_io *io, int descriptor)
{
	iotrap_io_prepare(io, IOTRAP_IO_CLOSE, 0, 0, 0, 0);
	io->descriptor = descriptor;
}

/* IOTRAP_IO_READ_FILE */
static inline void iotrap_io_read_file(struct iotrap_io *io, const char *path, void *buffer,
				       uint64_t length)
{
	iotrap_io_prepare(io, IOTRAP_IO_READ_FILE, 0, buffer, length, 0);
	io->path = path;
}

/* IOTRAP_IO_WRITE_FILE */
static inline void iotrap_io_write_file(struct iotrap_io *io, const char *path, int flags,
					mode_t mode, const void *buffer, uint64_t length)
{
	iotrap_io_prepare(io, IOTRAP_IO_WRITE_FILE, 0, buffer, length, 0);
	io->path = path;
	io->open_flags = (uint32_t)flags; /* O_WRONLY is added */
	io->mode = mode;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
