/* io_uring: one ring a lane, owned by its thread. */
#include <liburing.h>
#include <stdlib.h>

#include "replay.h"

/* Later than Debian's liburing 2.3 in name only. */
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct state {
	struct io_uring ring;
	bool is_enabled;
};

static int start(struct lane *lane)
{
	/* The ring belongs to the thread that enables it. Older kernels know fewer of the flags. */
	static const unsigned int flags[] = {
		IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN, IORING_SETUP_R_DISABLED};
	struct state *state = calloc(1, sizeof(*state));
	int error = -EINVAL;

	if (!state)
		return -ENOMEM;
	for (unsigned int i = 0; i < 3 && error == -EINVAL; i++)
		error = io_uring_queue_init(lane->session->options.slots, &state->ring, flags[i]);
	if (error) {
		free(state);
		return error;
	}
	lane->state = state;
	return 0;
}

static int enable(struct state *state)
{
	int error = io_uring_enable_rings(&state->ring);

	if (error)
		return error;
	/* Spares the look-up of the descriptor; it works without. */
	io_uring_register_ring_fd(&state->ring);
	state->is_enabled = true;
	return 0;
}

static void prepare(struct io_uring_sqe *sqe, struct slot *slot)
{
	const struct iotrap_replay_request *request = &slot->request;

	switch (request->operation) {
	case IOTRAP_TRACE_OP_READ:
		io_uring_prep_read(sqe, slot->descriptor, slot->buffer, request->length,
				   request->offset);
		sqe->rw_flags = (__kernel_rwf_t)request->flags;
		break;
	case IOTRAP_TRACE_OP_WRITE:
		io_uring_prep_write(sqe, slot->descriptor, slot->buffer, request->length,
				    request->offset);
		sqe->rw_flags = (__kernel_rwf_t)request->flags;
		break;
	default:
		io_uring_prep_fsync(sqe, slot->descriptor,
				    request->operation == IOTRAP_TRACE_OP_FDATASYNC
					    ? IORING_FSYNC_DATASYNC
					    : 0);
	}
	io_uring_sqe_set_data(sqe, slot);
}

static int submit(struct lane *lane)
{
	struct state *state = lane->state;
	uint32_t left = lane->pending_count;

	if (!state->is_enabled) {
		int error = enable(state);

		if (error)
			return error;
	}
	/* The ring has an entry for every slot. */
	for (uint32_t i = 0; i < lane->pending_count; i++)
		prepare(io_uring_get_sqe(&state->ring), lane->pending[i]);
	while (left > 0) {
		int count = io_uring_submit(&state->ring);

		if (count == -EINTR || count == -EAGAIN || count == -EBUSY)
			continue;
		if (count < 0)
			return count;
		left -= (uint32_t)count < left ? (uint32_t)count : left;
	}
	return 0;
}

static int reap(struct lane *lane, uint64_t timeout_ns)
{
	struct state *state = lane->state;
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;
	uint64_t now;

	if (io_uring_cq_ready(&state->ring) == 0) {
		struct __kernel_timespec timeout = {
			.tv_sec = (long long)(timeout_ns / 1000000000u),
			.tv_nsec = (long long)(timeout_ns % 1000000000u)};
		int error = timeout_ns == NO_TIMEOUT
				    ? io_uring_wait_cqe(&state->ring, &cqe)
				    : io_uring_wait_cqe_timeout(&state->ring, &cqe, &timeout);

		if (error == -ETIME || error == -EINTR || error == -EAGAIN)
			return 0;
		if (error)
			return error;
	}
	now = clock_ns();
	io_uring_for_each_cqe (&state->ring, head, cqe) {
		iotrap_replay_complete(lane, io_uring_cqe_get_data(cqe), cqe->res, now);
		count++;
	}
	io_uring_cq_advance(&state->ring, count);
	return 0;
}

static void stop(struct lane *lane)
{
	struct state *state = lane->state;

	io_uring_queue_exit(&state->ring);
	free(state);
}

const struct engine iotrap_replay_uring_engine = {start, submit, reap, stop, true};
