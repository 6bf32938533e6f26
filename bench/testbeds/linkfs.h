/* What the parts of linkfs share; see linkfs.c. */
#ifndef LINKFS_H
#define LINKFS_H

#include <errno.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TRANSFER_BYTES_MAX (1u << 20)
#define REQUEST_BYTES_MAX (TRANSFER_BYTES_MAX + 8192)
#define NANOSECONDS 1000000000ull
#define MICROSECOND 1000ull

/* One request of the kernel, from its arrival to its answer. Times are of the link's clock. */
struct request {
	struct request *next; /* of the free ones */
	uint64_t due_ns;
	uint64_t link_end_ns;  /* when its data has crossed the link */
	uint64_t other_end_ns; /* when the other limits let it go */
	uint64_t sequence;
	size_t capacity; /* of message */
	_Alignas(8) char message[];
};

static inline struct fuse_in_header *header_of(struct request *request)
{
	return (struct fuse_in_header *)(void *)request->message;
}

static inline void *body_of(struct request *request)
{
	return request->message + sizeof(struct fuse_in_header);
}

/* ---- linkfs.c: the session --------------------------------------------------- */

void answer(struct request *request, int error, const void *data, size_t bytes);
void serve(struct request *request);
struct request *take_request(void);
void return_request(struct request *request);

static inline int result(int value)
{
	return value < 0 ? -errno : 0;
}

/* ---- linkfs_names.c: nodes, and the operations on names ----------------------- */

/* An inode that the kernel knows of; its address is the kernel's number for it. */
struct node {
	struct node *next;
	dev_t device;
	ino_t inode;
	int descriptor; /* O_PATH */
	uint64_t lookups;
};

bool open_root(const char *backing);
struct node *node_of(uint64_t number);
int reopen_node(const struct node *node, int flags);
bool serve_name(struct request *request);
void forget(struct request *request);

/* ---- linkfs_data.c: open files, and the operations on data -------------------- */

bool serve_data(struct request *request);
int backing_flags(uint32_t flags);
uint32_t open_flags(uint32_t flags);

/* ---- linkfs_overlay.c: writes that are acknowledged, but held in memory ------- */

void overlay_write(const struct node *node, const char *data, size_t bytes, uint64_t offset);
ssize_t overlay_read(const struct node *node, char *data, size_t wanted, ssize_t done,
		     uint64_t offset);
uint64_t overlay_end(const struct node *node);
int overlay_write_back(const struct node *node);
void overlay_write_back_all(void);
uint64_t overlay_bytes(void);

/* ---- linkfs_limits.c: what makes the link slow -------------------------------- */

enum failing { FAIL_READ, FAIL_WRITE, FAIL_SYNC, FAIL_KINDS };

/* Asynchronous requests that the kernel keeps under way; said to it when the link is mounted. */
extern uint16_t background_max;

bool limits_start(const char *shared_file);
bool must_wait(struct request *request); /* then it is queued, and served when it is due */
void serve_queue(void);
void set_rate(uint64_t bytes_per_second);
void set_shared_rate(uint64_t bytes_per_second);
void set_latency(uint64_t nanoseconds);
void set_operations(uint64_t per_second);
void set_stall(bool stalled);
void set_failing(enum failing kind, int error, uint32_t every);
int next_failure(enum failing kind);
size_t describe_limits(char *text, size_t bytes);

/* ---- linkfs_control.c: settings while it runs, and counters -------------------- */

enum counter {
	COUNT_READS,
	COUNT_WRITES,
	COUNT_READ_BYTES,
	COUNT_WRITE_BYTES,
	COUNT_SYNCS,
	COUNT_ERRORS,
	COUNT_IN_FLIGHT,
	COUNTERS
};

void count(enum counter counter, int64_t by);
bool is_volatile(void);
bool apply_setting(const char *text, char *reason, size_t reason_bytes);
bool control_start(const char *socket_file);
int control_client(const char *socket_file, int count, char **words);

#endif
