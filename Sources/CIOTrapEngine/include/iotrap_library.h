/*
 * Behind iotrap_queue.h: the layouts of queues, files and batches, and what their ring can do
 * besides iotrap_aio.h.
 *
 * Handles that programs hold are addresses of records aligned to 1024 bytes, with the record's
 * generation in the low bits. Records are never unmapped, and each has a new generation after it
 * was given back, so a handle that is used too long is noticed.
 */
#ifndef IOTRAP_LIBRARY_H
#define IOTRAP_LIBRARY_H

#include "iotrap.h"
#include "iotrap_aio.h"

#pragma clang assume_nonnull begin

#define IOTRAP_HANDLE_BYTES 1024u
#define IOTRAP_HANDLE_GENERATIONS 1024u
#define IOTRAP_CHUNK_RECORDS 64u

/* The upper half of a record's word: what it is now. The lower half is its generation. */
enum iotrap_handle_kind {
	IOTRAP_HANDLE_FREE = 0,
	IOTRAP_HANDLE_FILE,
	IOTRAP_HANDLE_CLOSING, /* a file that is being closed */
	IOTRAP_HANDLE_BATCH,
	IOTRAP_HANDLE_QUEUE
};

/* Every record begins with it. */
struct iotrap_record {
	uint64_t reserved; /* see struct iotrap_group_slot */
	uint32_t word;
	uint32_t process;                     /* iotrap_library_process when it was made */
	struct iotrap_record *_Nullable next; /* among those that are free */
};

/* In a page that fork wipes: a child begins with none, and with a lock that nobody holds. */
struct iotrap_library {
	uint64_t reserved;
	uint32_t lock;
	uint32_t fresh_count; /* records of the chunk in hand, never used */
	struct iotrap_record *_Nullable fresh;
	struct iotrap_record *_Nullable free_first; /* given back first, used again first */
	struct iotrap_record *_Nullable free_last;
	uint32_t free_count;
	uint32_t process; /* 0 in a child that has not noticed */
};

/* What the child of a fork keeps. */
struct iotrap_library_statics {
	uint64_t reserved;
	struct iotrap_library *_Nullable library;
	uint32_t processes; /* the number given out last */
	uint32_t strict;
	uint32_t start_lock;
	uint32_t started; /* the environment was looked at */
	uint32_t queue_number;
};
extern struct iotrap_library_statics iotrap_library_storage;
static inline struct iotrap_library_statics *iotrap_library_statics(void)
{
	return &iotrap_library_storage;
}

/* --- files ------------------------------------------------------------------------------ */

/* Queues count their operations on a file apart, so that they do not share a cache line. */
#define IOTRAP_FILE_STRIPES 8u
#define IOTRAP_FILE_PATH_BYTES 384u

struct iotrap_file_stripe {
	uint64_t users;
	uint64_t rest[7];
};

struct iotrap_file_core {
	struct iotrap_record record;
	int32_t descriptor;
	uint32_t open_flags;
	uint32_t memory_alignment; /* that the kernel asks for; 1: nothing to check */
	uint32_t offset_alignment;
	uint32_t pool;   /* IOTRAP_FILE_POOL_* */
	uint32_t pooled; /* its requests are shown to the pools */
	uint32_t is_block_device;
	uint32_t path_length;
	struct iotrap_file_stripe stripes[IOTRAP_FILE_STRIPES];
	char path[IOTRAP_FILE_PATH_BYTES]; /* its end, if it is longer */
};
_Static_assert(sizeof(struct iotrap_file_core) <= IOTRAP_HANDLE_BYTES, "a record");

static inline uint64_t *iotrap_file_users(struct iotrap_file_core *file, uint32_t queue)
{
	return &file->stripes[queue % IOTRAP_FILE_STRIPES].users;
}

static inline char *iotrap_file_path(struct iotrap_file_core *file)
{
	return file->path;
}

/* What the kernel wants of buffers and offsets of an open file: STATX_DIOALIGN (Linux 6.1). */
struct iotrap_alignment {
	uint32_t memory; /* bytes; 0: the kernel does not say */
	uint32_t offset;
};
void iotrap_file_alignment(int fd, struct iotrap_alignment *alignment);
/* The size of a file or block device in bytes, or -errno. */
int64_t iotrap_file_size_now(int fd, int is_block_device);
/* Opens, with O_CLOEXEC: descriptor or -errno. */
int iotrap_open_raw(int directory, const char *path, uint32_t flags, uint32_t mode);
int iotrap_file_close_raw(int fd);
/* Nonzero for the reading of a whole file whose open does no more than to open. */
int iotrap_opens_plainly(const struct iotrap_io *io);
/* Opens for reading without waiting for another program or machine: descriptor or -errno. */
int iotrap_open_quickly(const char *path, uint32_t flags);
/* The hash of the folder in a path, the lowest bit clear, and the folder's length in bytes. */
uint64_t iotrap_folder_hash(const char *path, uint32_t *length);
/*
 * 1: a folder is on a local block device; 0: not; -errno: not known without waiting, or the kernel
 * cannot say (before 5.12).
 */
int iotrap_folder_is_local(const char *path, uint32_t length);
/* Half of the descriptors that the process may have. */
int iotrap_descriptor_half(void);
long iotrap_statx_raw(int directory, const char *path, uint32_t flags, uint32_t mask, void *status);
/* Writes down the name of an open file, its end if it does not fit; returns its length. */
uint32_t iotrap_file_name(int fd, const char *_Nullable path, char *name, size_t bytes);

/* --- queues ----------------------------------------------------------------------------- */

enum iotrap_slot_state {
	IOTRAP_SLOT_FREE = 0,
	IOTRAP_SLOT_ADDED, /* waits for submit */
	IOTRAP_SLOT_HELD,  /* waits for the one it is linked to */
	IOTRAP_SLOT_RING,  /* the kernel's */
	IOTRAP_SLOT_POOL,  /* the service thread's */
	IOTRAP_SLOT_BATCH, /* the batch's own: waits for all of its operations */
	IOTRAP_SLOT_DONE   /* has its result */
};

/* slot.notes */
#define IOTRAP_NOTE_CANCELLED 1u /* asked for before its deadline */
#define IOTRAP_NOTE_RETRIED 2u   /* by a kernel worker, after -EAGAIN */
#define IOTRAP_NOTE_POOL 4u
#define IOTRAP_NOTE_LATE 8u
#define IOTRAP_NOTE_FOREIGN 16u /* of a file's users: counted in its queue's stripe */
#define IOTRAP_NOTE_QUICK 32u   /* a *_FILE whose file is open as descriptor io.slot */

struct iotrap_batch_core;

/* An operation from its adding until its completion is taken. */
struct iotrap_slot {
	struct iotrap_io io;
	struct iotrap_batch_core *_Nullable batch;
	struct iotrap_file_core *_Nullable file;
	uint64_t moved; /* bytes, of a transfer that goes on after a short part */
	int64_t result;
	int64_t timeout[2]; /* its deadline as the kernel wants it */
	uint32_t next;      /* in the list it is in: index + 1 */
	uint32_t successor; /* held until this one ends: index + 1 */
	uint32_t batch_index;
	uint8_t state;
	uint8_t notes;
	uint16_t generation; /* changes when the slot is given back: late completions are told apart
			      */
};
_Static_assert(sizeof(struct iotrap_slot) == 192, "three cache lines");

struct iotrap_list {
	uint32_t first; /* index + 1 */
	uint32_t last;
};

/* A slot of registered files, or a registered buffer. */
struct iotrap_registered {
	struct iotrap_file_core *_Nullable file;
	uint64_t address;
	uint64_t bytes;
	uint32_t users; /* operations not completed */
	uint32_t reserved;
};

/* The last call that failed. */
struct iotrap_refusal {
	int32_t code; /* -errno; 0: none */
	uint32_t why; /* enum iotrap_refusal_reason */
	uint32_t operation;
	uint32_t has_file;
	uint64_t length;
	int64_t offset;
	uint64_t address;
	uint64_t limit; /* what would have been right */
	char path[256];
};

enum iotrap_refusal_reason {
	IOTRAP_REFUSED_OTHER = 0,
	IOTRAP_REFUSED_FULL,
	IOTRAP_REFUSED_THREAD,
	IOTRAP_REFUSED_CLOSED,
	IOTRAP_REFUSED_KIND,
	IOTRAP_REFUSED_FLAGS,
	IOTRAP_REFUSED_RESERVED,
	IOTRAP_REFUSED_LENGTH,
	IOTRAP_REFUSED_OFFSET,
	IOTRAP_REFUSED_BUFFER_ALIGNMENT,
	IOTRAP_REFUSED_OFFSET_ALIGNMENT,
	IOTRAP_REFUSED_LENGTH_ALIGNMENT,
	IOTRAP_REFUSED_TARGET,
	IOTRAP_REFUSED_SLOT,
	IOTRAP_REFUSED_BUFFER_INDEX,
	IOTRAP_REFUSED_BUFFER_RANGE,
	IOTRAP_REFUSED_LINK,
	IOTRAP_REFUSED_BATCH_BUSY,
	IOTRAP_REFUSED_BATCH_FREED,
	IOTRAP_REFUSED_CALLBACK,
	IOTRAP_REFUSED_IN_USE,
	IOTRAP_REFUSED_NULL
};

/* Whether files are opened by the owner's thread, instead of by kernel workers. */
struct iotrap_quick_opens {
	uint64_t folders[8]; /* hashes of paths; the lowest bit: on a local block device */
	uint64_t used_ns;    /* beyond what workers would have cost */
	uint32_t next_folder;
	uint32_t pause; /* opens that kernel workers get before the next try */
	uint32_t pause_next;
	uint32_t in_row;
	int32_t descriptor_limit; /* higher ones are left to the program */
	uint32_t open_count;
};

struct iotrap_queue_core {
	struct iotrap_record record;
	/* words that other threads use */
	uint32_t woken;
	uint32_t sleeping;
	uint32_t pool_ended; /* slots that the service thread is done with: index + 1 */
	uint32_t notifiers;  /* threads that may still write to the descriptors below */
	int32_t wake_event;
	int32_t completion_event; /* -1: not asked for */
	/* the owner's */
	uint32_t flags; /* IOTRAP_QUEUE_* */
	uint32_t depth;
	uint32_t number; /* of its stripe in files */
	uint32_t is_awake_armed;
	void *_Nullable owner;
	struct iotrap_ring *_Nullable ring;
	struct iotrap_slot *slots;
	uint64_t wake_count;
	uint32_t free_slots; /* a list: index + 1 */
	uint32_t used;
	struct iotrap_list added;
	struct iotrap_list done;
	uint32_t added_count;
	uint32_t done_count;
	uint32_t in_ring;
	uint32_t in_pool;
	uint32_t in_callback;
	uint32_t is_closing;
	uint32_t file_slots;
	uint32_t buffer_slots;
	struct iotrap_registered *_Nullable registered; /* files, then buffers */
	uint32_t inner_files; /* registered slots behind the program's, for *_FILE */
	uint32_t free_inner;  /* a list through inner_next: index + 1 */
	uint32_t *_Nullable inner_next;
	uint64_t region_bytes;  /* at slots: the slots, then the two arrays */
	uint32_t is_held_back;  /* what was added waits for a registered slot */
	uint32_t plain_buffers; /* the kernel takes no sparse table: they are used as ordinary ones
				 */
	struct iotrap_quick_opens quick;
	struct iotrap_queue_statistics counts;
	struct iotrap_refusal refusal;
};
_Static_assert(sizeof(struct iotrap_queue_core) <= IOTRAP_HANDLE_BYTES, "a record");

/* --- batches ---------------------------------------------------------------------------- */

struct iotrap_batch_core {
	struct iotrap_record record;
	uint32_t capacity;
	uint32_t count;
	uint32_t flags; /* IOTRAP_BATCH_* */
	uint32_t left;  /* operations not completed, in a queue */
	uint32_t is_busy;
	uint32_t first_failed; /* index + 1 */
	uint32_t priority;
	uint64_t deadline_ns;
	uint64_t region_bytes;
	struct iotrap_io *ios;
	int64_t *results;
};
_Static_assert(sizeof(struct iotrap_batch_core) <= IOTRAP_HANDLE_BYTES, "a record");

/* --- the ring of a queue ---------------------------------------------------------------- */

/*
 * Makes a ring for `entries` submissions and twice as many completions. bound: of the calling
 * thread only. NULL and *error.
 */
struct iotrap_ring *_Nullable iotrap_ring_create_queue(uint32_t entries, int bound, int *error);

/* Nonzero when the kernel starts a linked operation's file late enough for *_FILE (5.18). */
int iotrap_ring_opens_slots(const struct iotrap_ring *ring);

/* Entries of the submission queue that are free. */
uint32_t iotrap_ring_room(const struct iotrap_ring *ring);

/* Entries that an operation takes. */
uint32_t iotrap_ring_entries_of(const struct iotrap_slot *slot);

/* Low half of user_data: the slot's index. Above: four bits, and the slot's generation. */
#define IOTRAP_PART_MAIN 0u
#define IOTRAP_PART_OPEN 1u
#define IOTRAP_PART_CLOSE 2u
#define IOTRAP_PART_IGNORED 3u
#define IOTRAP_PART_WAKE 4u

/*
 * Queues an operation. fd: its descriptor, or a registered slot. ends_chain: it is linked to
 * nothing behind it. There must be room.
 */
void iotrap_ring_queue_slot(struct iotrap_ring *ring, struct iotrap_slot *slot, uint32_t index,
			    int fd, int is_registered, int ends_chain);
/* The read of the wake-up eventfd into *word. 1, or 0: no room. */
int iotrap_ring_queue_event(struct iotrap_ring *ring, int event, uint64_t *word);
int iotrap_ring_queue_slot_cancel(struct iotrap_ring *ring, const struct iotrap_slot *slot,
				  uint32_t index);

struct iotrap_ring_event {
	uint32_t index;
	uint16_t part;
	uint16_t generation;
	int32_t result;
};
/* Takes at most count completions off the ring. */
uint32_t iotrap_ring_take(struct iotrap_ring *ring, struct iotrap_ring_event *events,
			  uint32_t count);
/* Nonzero when completions wait inside the kernel for this thread to come by. */
int iotrap_ring_has_work(const struct iotrap_ring *ring);

/* 0 or -errno. */
int iotrap_ring_register_event(struct iotrap_ring *ring, int event);
int iotrap_ring_register_files(struct iotrap_ring *ring, uint32_t count);
int iotrap_ring_register_file(struct iotrap_ring *ring, uint32_t slot, int fd);
int iotrap_ring_register_buffers(struct iotrap_ring *ring, uint32_t count);
int iotrap_ring_register_buffer(struct iotrap_ring *ring, uint32_t index, void *_Nullable address,
				size_t bytes);

/* --- without a ring --------------------------------------------------------------------- */

/* Executes an operation on fd with plain system calls: its result or -errno. */
int64_t iotrap_slot_execute(struct iotrap_slot *slot, int fd);
int iotrap_eventfd_nonblocking(void);
/* poll(2) for the eventfd, and its reset: 1 when it was rung, 0, or -EINTR. */
int iotrap_event_wait(int event, uint64_t timeout_ns);

/* --- text ------------------------------------------------------------------------------- */

size_t iotrap_refusal_text(const struct iotrap_refusal *refusal, char *text, size_t bytes);
/* `path`: of the file, or NULL. */
size_t iotrap_result_text(uint32_t operation, int64_t result, const char *_Nullable path,
			  int64_t offset, uint64_t length, char *text, size_t bytes);
/* Prints a misuse and ends the process. */
void iotrap_misuse_abort(const char *text) __attribute__((noreturn));
/*
 * Starts the engine, which nobody has started, with the environment. always: even if that names no
 * mount pools.
 */
void iotrap_library_start_engine(int always);
/* Notes the name of the file that a refusal is about. */
void iotrap_refusal_set_path(struct iotrap_refusal *refusal, const char *path);

IOTRAP_WORD(record, uint32_t, word)
IOTRAP_WORD(library, uint32_t, lock)
IOTRAP_WORD(library, uint32_t, process)
IOTRAP_WORD(queue_core, uint32_t, woken)
IOTRAP_WORD(queue_core, uint32_t, sleeping)
IOTRAP_WORD(queue_core, uint32_t, pool_ended)
IOTRAP_WORD(queue_core, uint32_t, notifiers)
IOTRAP_WORD(queue_core, int32_t, completion_event)
IOTRAP_WORD(library_statics, struct iotrap_library *_Nullable, library)
IOTRAP_WORD(library_statics, uint32_t, strict)
IOTRAP_WORD(library_statics, uint32_t, start_lock)
IOTRAP_WORD(library_statics, uint32_t, started)
IOTRAP_WORD(library_statics, uint32_t, processes)
IOTRAP_WORD(library_statics, uint32_t, queue_number)

#pragma clang assume_nonnull end
#endif
