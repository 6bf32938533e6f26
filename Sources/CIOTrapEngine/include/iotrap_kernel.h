/*
 * What the engine asks of the kernel: raw system calls that return -errno and
 * never touch errno, and one io_uring instance per thread.
 *
 * No _GNU_SOURCE here: the header is imported by Swift, whose Glibc module must
 * agree with it. GNU-only names stay in the .c files.
 */
#ifndef IOTRAP_KERNEL_H
#define IOTRAP_KERNEL_H

#include <features.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#pragma clang assume_nonnull begin

/* The bare system call, -errno on failure. Not a cancellation point. */
long iotrap_syscall(long number, long a, long b, long c, long d, long e, long f);

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
uint64_t iotrap_clock(void);
uint64_t iotrap_clock_realtime(void);

/* What the engine wants to know of an open file. */
struct iotrap_file_facts {
	uint64_t device;
	uint64_t inode;
	int64_t size;
	uint32_t mode;         /* st_mode */
	uint32_t status_flags; /* F_GETFL */
};

/*
 * What this machine knows of the file, without asking a server for it: 0 or -errno.
 * The size may be an old one where other machines, or other mounts, change it.
 */
int iotrap_file_facts(int fd, struct iotrap_file_facts *facts);
/* The same as fstat(2) has it: as fresh as the file system finds necessary. */
int iotrap_file_facts_now(int fd, struct iotrap_file_facts *facts);

/* F_GETFL, or -errno. */
int iotrap_status_flags(int fd);

/*
 * Nonzero for files of the kernel's own making (procfs, sysfs, cgroups and their
 * kin): regular by type only, and some take no offset.
 */
int iotrap_file_is_pseudo(int fd, uint64_t device);

/* Nonzero when the file is served by a FUSE daemon (fstatfs). */
int iotrap_file_is_fuse(int fd);

/* Nonzero for a file system with no block device of its own: a network's, a daemon's. */
int iotrap_device_is_virtual(uint64_t device);

long iotrap_pread_raw(int fd, void *_Nullable buffer, size_t count, int64_t offset);
long iotrap_pwrite_raw(int fd, const void *_Nullable buffer, size_t count, int64_t offset);
/* preadv(2), or pwritev(2) when writes is nonzero. */
long iotrap_vector_raw(int fd, const struct iovec *_Nullable iov, int count, int64_t offset,
		       int writes);
long iotrap_fsync_raw(int fd, int data_only);

/*
 * Reports, and marks as seen, a write-back error that this open file description
 * has not been told of yet. Waits for no more than the first page.
 * sync_file_range(2) with SYNC_FILE_RANGE_WAIT_BEFORE ends in
 * file_check_and_advance_wb_err(), the same check that ends an fsync.
 */
long iotrap_check_writeback_error(int fd);

/* RLIMIT_FSIZE in bytes, INT64_MAX when unlimited. */
int64_t iotrap_file_size_limit(void);
/* The lesser of RLIMIT_AS and RLIMIT_DATA, in the same way. */
int64_t iotrap_memory_limit(void);

int iotrap_process_id(void);
int iotrap_thread_id(void);

/* Zeroed private pages; NULL when refused. dont_fork keeps them out of children. */
void *_Nullable iotrap_pages(size_t bytes, int dont_fork);
void iotrap_pages_free(void *pages, size_t bytes);

/*
 * A page that every kind of fork (fork, _Fork, clone without CLONE_VM) gives to
 * the child filled with zeros (MADV_WIPEONFORK, Linux 4.14). NULL if refused.
 */
uint32_t *_Nullable iotrap_wipe_on_fork_page(void);

/*
 * Nonzero when bytes at address can be read: the kernel copies eight of each page in
 * a call that then fails for another reason (rt_sigprocmask with a bad "how").
 */
int iotrap_readable(const void *address, size_t bytes);

/*
 * Nonzero when all of a buffer can be read by the kernel, as far as can be told
 * beforehand: MADV_POPULATE_READ (Linux 5.14).
 */
int iotrap_buffer_readable(const void *_Nullable address, size_t bytes);
/* The same for all of it to be written (MADV_POPULATE_WRITE), which gives it its pages. */
int iotrap_buffer_writable(void *_Nullable address, size_t bytes);

/* Blocks every signal for this thread; the old mask goes to *saved. */
void iotrap_signals_block(uint64_t *saved);
void iotrap_signals_restore(const uint64_t *saved);

/* futex(2), private. Wait returns at once when *word != value. */
void iotrap_futex_wait(uint32_t *word, uint32_t value);
void iotrap_futex_wake(uint32_t *word, int waiters);

/* nanosleep(2) of a bounded pause inside a retry loop. */
void iotrap_pause_ns(uint64_t nanoseconds);

/* Nonzero when a seccomp filter is in effect (prctl(PR_GET_SECCOMP) == 2). */
int iotrap_seccomp_filtered(void);

/* --- files of the library's own ---------------------------------------------- */

/*
 * Opens a directory of the caller's own for private files: made with mode 0700 if
 * missing, refused (-EACCES) when it is a link, another user's, or writable by
 * others. The descriptor, or -errno.
 */
int iotrap_private_directory(const char *path);

/* Makes a new file (0600, never through a link, never an old one) of the given size: descriptor
 * or -errno. */
int iotrap_private_file(int directory, const char *name, int64_t bytes);
/* Opens one made before, for growing it. */
int iotrap_private_file_again(int directory, const char *name);
int iotrap_grow_file(int fd, int64_t bytes);
void iotrap_remove_file(int directory, const char *name);
void iotrap_close_raw(int fd);

/* Maps a part of a file, shared and writable; NULL when refused. Not inherited by children. */
void *_Nullable iotrap_map_shared(int fd, int64_t offset, size_t bytes);

/*
 * Makes sure that every page of a mapping has memory behind it, so that no later
 * store can raise SIGBUS on a full tmpfs: MADV_POPULATE_WRITE (Linux 5.14), or
 * fallocate through fd when that is not negative. 0 or -errno.
 */
int iotrap_reserve(void *address, size_t bytes, int fd, int64_t offset);

/* The same for a part that is not aligned to pages; MADV_POPULATE_WRITE only. */
int iotrap_reserve_pages(void *address, size_t bytes);

/* Appends one line to a log file made private to the user; failures are ignored. */
void iotrap_append_line(const char *path, const char *line, size_t bytes);

/*
 * Reads a whole regular file without ever waiting for a writer: bytes read, or -errno. -EFBIG when
 * it is longer than the buffer, -EINVAL or -EISDIR when it is no regular file.
 */
long iotrap_read_file(const char *path, void *buffer, size_t bytes);

/* The path of the running program, zero-terminated, the front cut off if it is too long. */
void iotrap_program_path(char *buffer, size_t bytes);
uint32_t iotrap_effective_user(void);

/* --- one io_uring instance -------------------------------------------------- */

struct iotrap_ring;

#define IOTRAP_RING_ENTRIES 64u

/* Bits of what io_uring_setup granted, for reports. */
#define IOTRAP_RING_FEATURE_DEFER_TASKRUN 1u /* Linux 6.1 */
#define IOTRAP_RING_FEATURE_HIDDEN 2u        /* no descriptor at all, Linux 6.5 */

/*
 * Creates a ring for the calling thread. hidden asks for a ring without a file
 * descriptor where the kernel can do that; otherwise its descriptor is moved out
 * of the low numbers and marked close-on-exec. NULL and *error = -errno when
 * io_uring is not to be had.
 */
struct iotrap_ring *_Nullable iotrap_ring_create(int hidden, int *error);
void iotrap_ring_destroy(struct iotrap_ring *ring);
uint32_t iotrap_ring_features(const struct iotrap_ring *ring);
/* The ring's file descriptor, -1 when it has none. */
int iotrap_ring_descriptor(const struct iotrap_ring *ring);

enum iotrap_request_kind {
	IOTRAP_REQUEST_READ = 0,
	IOTRAP_REQUEST_WRITE,
	IOTRAP_REQUEST_FSYNC,
	IOTRAP_REQUEST_FDATASYNC,
	IOTRAP_REQUEST_READV,
	IOTRAP_REQUEST_WRITEV,
	IOTRAP_REQUEST_POLL
};

/* Queues one request: 1, or 0 when the submission queue is full. */
int iotrap_ring_queue(struct iotrap_ring *ring, uint32_t kind, int fd, void *_Nullable address,
		      uint32_t length, int64_t offset, uint64_t user_data);

/* Submits all that is queued and waits for at least one completion: requests submitted, or
 * -errno. */
int iotrap_ring_submit_and_wait(struct iotrap_ring *ring);

/* Takes one completion off the queue: 1, or 0 when there is none. */
int iotrap_ring_reap(struct iotrap_ring *ring, uint64_t *user_data, int32_t *result);

/* Takes back requests that were queued and not submitted; returns their number. */
uint32_t iotrap_ring_unqueue(struct iotrap_ring *ring);

#pragma clang assume_nonnull end
#endif
