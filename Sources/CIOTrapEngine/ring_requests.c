/*
 * Asynchronous requests on a ring. The queues are handled here instead of by liburing's
 * functions: several conditions end one wait, and who submits is not who takes completions.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "ring.h"

#define ENTER_EXT_ARG (1u << 3)
#define ENTER_REGISTERED_RING (1u << 4)
#define SQ_CQ_OVERFLOW (1u << 1)
#define SQ_TASKRUN (1u << 2)
#define FUTEX2_U32_PRIVATE (2 | 128)

static void prepare(struct io_uring_sqe *sqe, const struct iotrap_request *request)
{
	const struct iotrap_request *r = request;
	uint64_t offset = (uint64_t)r->offset;

	switch (r->kind) {
	case IOTRAP_REQUEST_READ:
		io_uring_prep_read(sqe, r->descriptor, r->address, r->length, offset);
		break;
	case IOTRAP_REQUEST_WRITE:
		io_uring_prep_write(sqe, r->descriptor, r->address, r->length, offset);
		break;
	case IOTRAP_REQUEST_READV:
		io_uring_prep_readv(sqe, r->descriptor, r->address, r->length, offset);
		break;
	case IOTRAP_REQUEST_WRITEV:
		io_uring_prep_writev(sqe, r->descriptor, r->address, r->length, offset);
		break;
	case IOTRAP_REQUEST_POLL:
		io_uring_prep_poll_add(sqe, r->descriptor, r->rw_flags);
		return;
	case IOTRAP_REQUEST_FSYNC:
		io_uring_prep_fsync(sqe, r->descriptor, 0);
		return;
	default:
		io_uring_prep_fsync(sqe, r->descriptor, IORING_FSYNC_DATASYNC);
		return;
	}
	sqe->rw_flags = (int)r->rw_flags;
	sqe->ioprio = (uint16_t)r->priority;
}

int iotrap_ring_queue_request(struct iotrap_ring *ring, const struct iotrap_request *request)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return 0;
	prepare(sqe, request);
	if (request->flags & IOTRAP_SUBMIT_OFFLOAD)
		sqe->flags |= IOSQE_ASYNC;
	if (request->flags & IOTRAP_SUBMIT_DRAIN)
		sqe->flags |= IOSQE_IO_DRAIN;
	if (request->flags & IOTRAP_SUBMIT_HELD) {
		sqe->flags |= IOSQE_FIXED_FILE;
		sqe->fd = (int)request->file - 1;
	}
	sqe->user_data = (uint64_t)request->number + 1;
	return 1;
}

int iotrap_ring_queue_wake(struct iotrap_ring *ring, uint64_t *word, uint32_t value, int event,
			   uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return 0;
	if (event >= 0) {
		io_uring_prep_read(sqe, event, word, sizeof(*word), 0);
	} else {
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IOTRAP_OPCODE_FUTEX_WAIT;
		sqe->fd = FUTEX2_U32_PRIVATE;
		sqe->addr = (uint64_t)(uintptr_t)word;
		sqe->off = value;
		sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
	}
	sqe->user_data = user_data;
	return 1;
}

int iotrap_ring_queue_cancel(struct iotrap_ring *ring, uint32_t number, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return 0;
	io_uring_prep_cancel64(sqe, (uint64_t)number + 1, 0);
	sqe->user_data = user_data;
	return 1;
}

int iotrap_ring_knows(struct iotrap_ring *ring, uint32_t opcode)
{
	_Alignas(struct io_uring_probe) char
		memory[sizeof(struct io_uring_probe) + 64 * sizeof(struct io_uring_probe_op)];
	struct io_uring_probe *probe = (struct io_uring_probe *)memory;

	memset(memory, 0, sizeof(memory));
	if (iotrap_ring_register(ring, IORING_REGISTER_PROBE, memory, 64) < 0)
		return 0;
	return opcode < 64 && opcode <= probe->last_op &&
	       (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED);
}

int iotrap_ring_hold_files(struct iotrap_ring *ring, uint32_t count)
{
	int none[IOTRAP_RING_FILES_MAX];

	for (uint32_t index = 0; index < IOTRAP_RING_FILES_MAX; index++)
		none[index] = -1;
	return (int)iotrap_ring_register(ring, IORING_REGISTER_FILES, none, count);
}

int iotrap_ring_hold_file(struct iotrap_ring *ring, uint32_t slot, int fd)
{
	struct io_uring_files_update update = {.offset = slot, .fds = (uint64_t)(uintptr_t)&fd};

	return (int)iotrap_ring_register(ring, IORING_REGISTER_FILES_UPDATE, &update, 1);
}

uint32_t iotrap_ring_queued(const struct iotrap_ring *ring)
{
	const struct io_uring_sq *sq = &ring->uring.sq;

	return sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
}

int iotrap_ring_unqueue_last(struct iotrap_ring *ring, uint64_t *user_data)
{
	struct io_uring_sq *sq = &ring->uring.sq;

	if (!iotrap_ring_queued(ring))
		return 0;
	sq->sqe_tail--;
	sq->sqe_head = sq->sqe_tail;
	*user_data = sq->sqes[sq->sqe_tail & sq->ring_mask].user_data;
	__atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
	return 1;
}

int iotrap_ring_enter(struct iotrap_ring *ring, uint32_t wait_for, uint64_t timeout_ns,
		      const uint64_t *sigmask)
{
	struct io_uring_sq *sq = &ring->uring.sq;
	struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / 1000000000u),
					    .tv_nsec = (long long)(timeout_ns % 1000000000u)};
	struct io_uring_getevents_arg argument = {
		.sigmask = (uint64_t)(uintptr_t)sigmask,
		.sigmask_sz = sizeof(*sigmask),
		.ts = timeout_ns == UINT64_MAX ? 0 : (uint64_t)(uintptr_t)&timeout,
	};
	unsigned int flags = ENTER_EXT_ARG;
	uint32_t queued = iotrap_ring_queued(ring);

	if (ring->descriptor < 0)
		flags |= ENTER_REGISTERED_RING;
	if (wait_for || iotrap_ring_needs_enter(ring))
		flags |= IORING_ENTER_GETEVENTS;
	IOTRAP_RING_SUBMITS(ring);
	/* releasing: pairs with the kernel's acquiring load; it sees the entries before the tail */
	__atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
	sq->sqe_head = sq->sqe_tail;
	return (int)iotrap_syscall(SYS_io_uring_enter, ring->uring.ring_fd, queued, wait_for, flags,
				   (long)&argument, sizeof(argument));
}

int iotrap_ring_has_completions(const struct iotrap_ring *ring)
{
	const struct io_uring_cq *cq = &ring->uring.cq;

	/* The head is moved by whoever takes completions. */
	return __atomic_load_n(cq->khead, __ATOMIC_RELAXED) !=
	       __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE);
}

int iotrap_ring_needs_enter(const struct iotrap_ring *ring)
{
	return (__atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
		(SQ_CQ_OVERFLOW | SQ_TASKRUN)) != 0 ||
	       (ring->features & IOTRAP_RING_FEATURE_DEFER_TASKRUN);
}
