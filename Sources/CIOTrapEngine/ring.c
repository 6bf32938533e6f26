/*
 * One io_uring instance, owned by one thread.
 *
 * Where the kernel can (Linux 6.5), the ring has no file descriptor at all:
 * IORING_SETUP_REGISTERED_FD_ONLY puts it in the task's own table of registered
 * rings, so the program cannot see, close, inherit or collide with it, and the
 * ring ends with its thread. Its memory is then ours (IORING_SETUP_NO_MMAP): one
 * page each for the queues and the entries, because kernels before 6.10 take only
 * physically contiguous memory. Older kernels get an ordinary descriptor, moved out
 * of the low numbers.
 *
 * Debian 12's liburing (2.3) knows neither flag; its struct io_uring is filled in
 * by hand, and its inline queue handling works on it unchanged.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "ring.h"

static const struct layout layout_small = {IOTRAP_RING_ENTRIES, 2 * IOTRAP_RING_ENTRIES, 1, 1};
/* Kernels before 6.10 refuse it: more than one page of a kind, which are not contiguous. */
static const struct layout layout_large = {256, 4096, 18, 4};

static size_t region_bytes(const struct layout *layout)
{
	return (size_t)(1 + layout->queue_pages + layout->entry_pages) * PAGE;
}

static long setup(unsigned int entries, struct io_uring_params *params)
{
	return iotrap_syscall(SYS_io_uring_setup, entries, (long)params, 0, 0, 0, 0);
}

long iotrap_ring_register(const struct iotrap_ring *ring, unsigned int opcode, void *argument,
			  unsigned int count)
{
	if (ring->descriptor < 0)
		opcode |= REGISTER_USE_REGISTERED_RING;
	return iotrap_syscall(SYS_io_uring_register, ring->uring.ring_fd, opcode, (long)argument,
			      count, 0, 0);
}

static void attach_queues(struct io_uring *uring, const struct io_uring_params *params,
			  char *queues, void *entries)
{
	struct io_uring_sq *sq = &uring->sq;
	struct io_uring_cq *cq = &uring->cq;

	sq->khead = (unsigned int *)(queues + params->sq_off.head);
	sq->ktail = (unsigned int *)(queues + params->sq_off.tail);
	sq->kflags = (unsigned int *)(queues + params->sq_off.flags);
	sq->kdropped = (unsigned int *)(queues + params->sq_off.dropped);
	sq->array = (unsigned int *)(queues + params->sq_off.array);
	sq->ring_mask = *(unsigned int *)(queues + params->sq_off.ring_mask);
	sq->ring_entries = *(unsigned int *)(queues + params->sq_off.ring_entries);
	sq->sqes = entries;
	sq->ring_ptr = queues;
	cq->khead = (unsigned int *)(queues + params->cq_off.head);
	cq->ktail = (unsigned int *)(queues + params->cq_off.tail);
	cq->koverflow = (unsigned int *)(queues + params->cq_off.overflow);
	cq->kflags = (unsigned int *)(queues + params->cq_off.flags);
	cq->cqes = (struct io_uring_cqe *)(queues + params->cq_off.cqes);
	cq->ring_mask = *(unsigned int *)(queues + params->cq_off.ring_mask);
	cq->ring_entries = *(unsigned int *)(queues + params->cq_off.ring_entries);
	cq->ring_ptr = queues;
	/* The identity mapping, written once: entry i of the array names sqe i. */
	for (unsigned int i = 0; i < sq->ring_entries; i++)
		sq->array[i] = i;
}

static int create_hidden(struct iotrap_ring *ring, unsigned int running)
{
	const struct layout *layout = &ring->layout;
	char *queues = (char *)ring + PAGE;
	char *entries = queues + (size_t)layout->queue_pages * PAGE;
	struct io_uring_params params = {
		.flags = IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
			 SETUP_NO_MMAP | SETUP_REGISTERED_FD_ONLY | running,
		.cq_entries = layout->completions,
	};
	long index;

	/* Named user_addr since Linux 6.5; the same word in older headers. */
	params.sq_off.resv2 = (uint64_t)(uintptr_t)entries;
	params.cq_off.resv2 = (uint64_t)(uintptr_t)queues;
	index = setup(layout->entries, &params);
	if (index < 0)
		return (int)index;
	attach_queues(&ring->uring, &params, queues, entries);
	ring->uring.flags = params.flags;
	ring->uring.features = params.features;
	ring->uring.ring_fd = (int)index;
	ring->uring.enter_ring_fd = (int)index;
	ring->uring.int_flags = INT_FLAG_REG_RING;
	ring->descriptor = -1;
	ring->features = IOTRAP_RING_FEATURE_HIDDEN;
	if (running & SETUP_DEFER_TASKRUN)
		ring->features |= IOTRAP_RING_FEATURE_DEFER_TASKRUN;
	return 0;
}

/*
 * Out of the way of programs that expect the lowest free number from open(2). Not
 * to the very top of a large table: the kernel would grow it to that size.
 */
static int move_up(int fd)
{
	struct rlimit limit = {.rlim_cur = 1024};
	long low, moved = -EMFILE;

	iotrap_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	low = limit.rlim_cur > 32768 ? 32768 : (long)limit.rlim_cur - 16;
	for (; low > fd && moved < 0; low /= 2)
		moved = iotrap_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low, 0, 0, 0);
	iotrap_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return (int)moved;
}

static int create_with_descriptor(struct iotrap_ring *ring, unsigned int running)
{
	const unsigned int flags[] = {running, 0};
	int result = -EINVAL;

	for (unsigned int i = 0; i < 2 && result == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | flags[i],
			.cq_entries = ring->layout.completions,
		};

		memset(&ring->uring, 0, sizeof(ring->uring));
		result = io_uring_queue_init_params(ring->layout.entries, &ring->uring, &params);
		ring->features = flags[i] & SETUP_DEFER_TASKRUN ? IOTRAP_RING_FEATURE_DEFER_TASKRUN
								: 0;
	}
	if (result < 0)
		return result;
	/* A child shares neither the queues nor, being wiped, the knowledge of them. */
	io_uring_ring_dontfork(&ring->uring);
	result = move_up(ring->uring.ring_fd);
	if (result < 0) {
		ring->uring.ring_fd = ring->uring.enter_ring_fd = -1;
		io_uring_queue_exit(&ring->uring);
		return result;
	}
	for (unsigned int i = 0; i < ring->uring.sq.ring_entries; i++)
		ring->uring.sq.array[i] = i;
	ring->uring.ring_fd = ring->uring.enter_ring_fd = result;
	ring->descriptor = result;
	return 0;
}

struct iotrap_ring *iotrap_ring_create_sized(const struct layout *layout, int hidden,
					     unsigned int running, int *error)
{
	size_t bytes = region_bytes(layout);
	struct iotrap_ring *ring = iotrap_pages(bytes, 1);

	*error = -ENOMEM;
	if (!ring)
		return NULL;
	ring->layout = *layout;
	*error = -EINVAL;
	if (hidden && sysconf(_SC_PAGESIZE) == PAGE)
		*error = create_hidden(ring, running);
	if (*error && layout == &layout_large && hidden) {
		iotrap_pages_free(ring, bytes);
		return iotrap_ring_create_sized(&layout_small, hidden, running, error);
	}
	if (*error)
		*error = create_with_descriptor(ring, running);
	if (*error) {
		iotrap_pages_free(ring, bytes);
		return NULL;
	}
	/* Files that cannot be read without blocking go to kernel workers, by default
	 * at most four per processor: too few to keep a slow volume busy. */
	iotrap_ring_allow_workers(ring, WORKERS_PER_TASK);
	return ring;
}

void iotrap_ring_allow_workers(struct iotrap_ring *ring, uint32_t count)
{
	/* The second are those for what is not storage: left as they are. */
	unsigned int workers[2] = {count, 0};

	iotrap_ring_register(ring, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
}

struct iotrap_ring *iotrap_ring_create(int hidden, int *error)
{
	return iotrap_ring_create_sized(&layout_small, hidden,
					SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN, error);
}

struct iotrap_ring *iotrap_ring_create_async(int hidden, int deferred, int *error)
{
	return iotrap_ring_create_sized(
		&layout_large, hidden,
		SETUP_SINGLE_ISSUER |
			(deferred ? SETUP_DEFER_TASKRUN : SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG),
		error);
}

int iotrap_ring_hide(struct iotrap_ring *ring)
{
	struct io_uring_rsrc_update ours = {.offset = UINT32_MAX};

	if (ring->descriptor < 0)
		return 0;
	ours.data = (uint64_t)ring->descriptor;
	if (iotrap_ring_register(ring, IORING_REGISTER_RING_FDS, &ours, 1) != 1)
		return -EINVAL;
	iotrap_syscall(SYS_close, ring->descriptor, 0, 0, 0, 0, 0);
	ring->uring.ring_fd = ring->uring.enter_ring_fd = (int)ours.offset;
	ring->uring.int_flags |= INT_FLAG_REG_RING;
	ring->descriptor = -1;
	return 0;
}

/* What liburing mapped for a ring that has lost its descriptor since. */
static void unmap_queues(const struct io_uring *uring)
{
	if (uring->sq.ring_sz == 0)
		return;
	iotrap_pages_free(uring->sq.sqes, uring->sq.ring_entries * sizeof(struct io_uring_sqe));
	if (uring->cq.ring_ptr != uring->sq.ring_ptr)
		iotrap_pages_free(uring->cq.ring_ptr, uring->cq.ring_sz);
	iotrap_pages_free(uring->sq.ring_ptr, uring->sq.ring_sz);
}

void iotrap_ring_destroy(struct iotrap_ring *ring)
{
	if (ring->descriptor < 0) {
		struct io_uring_rsrc_update ours = {.offset = (uint32_t)ring->uring.ring_fd};

		/* Before Linux 6.3 that takes a descriptor; the thread's end does it then. */
		iotrap_ring_register(ring, IORING_UNREGISTER_RING_FDS, &ours, 1);
		unmap_queues(&ring->uring);
	} else {
		io_uring_queue_exit(&ring->uring);
	}
	iotrap_pages_free(ring, region_bytes(&ring->layout));
}

uint32_t iotrap_ring_features(const struct iotrap_ring *ring)
{
	return ring->features;
}

int iotrap_ring_descriptor(const struct iotrap_ring *ring)
{
	return ring->descriptor;
}

int iotrap_ring_queue(struct iotrap_ring *ring, uint32_t kind, int fd, void *address,
		      uint32_t length, int64_t offset, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return 0;
	switch (kind) {
	case IOTRAP_REQUEST_READ:
		io_uring_prep_read(sqe, fd, address, length, (uint64_t)offset);
		break;
	case IOTRAP_REQUEST_WRITE:
		io_uring_prep_write(sqe, fd, address, length, (uint64_t)offset);
		break;
	case IOTRAP_REQUEST_FSYNC:
		io_uring_prep_fsync(sqe, fd, 0);
		break;
	default:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->user_data = user_data;
	return 1;
}

int iotrap_ring_submit_and_wait(struct iotrap_ring *ring)
{
	return io_uring_submit_and_wait(&ring->uring, 1);
}

int iotrap_ring_reap(struct iotrap_ring *ring, uint64_t *user_data, int32_t *result)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe (&ring->uring, head, cqe) {
		IOTRAP_RING_COMPLETED(ring);
		*user_data = cqe->user_data;
		*result = cqe->res;
		seen = 1;
		break;
	}
	io_uring_cq_advance(&ring->uring, seen);
	return (int)seen;
}

uint32_t iotrap_ring_unqueue(struct iotrap_ring *ring)
{
	struct io_uring_sq *sq = &ring->uring.sq;
	/* The kernel has taken everything below its head; the rest is still ours. */
	unsigned int head = __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
	unsigned int waiting = sq->sqe_tail - head;

	sq->sqe_head = sq->sqe_tail = head;
	__atomic_store_n(sq->ktail, head, __ATOMIC_RELEASE);
	return waiting;
}
