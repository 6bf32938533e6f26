/*
 * The kernel's libaio: one context a lane. Through syscall(2), which the preload library takes as
 * well as the functions of libaio.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay.h"

struct state {
	aio_context_t context;
	struct io_event *events;
	struct iocb **iocbs;
};

static void free_state(struct state *state)
{
	free(state->events);
	free(state->iocbs);
	free(state);
}

static int start(struct lane *lane)
{
	uint32_t slots = lane->session->options.slots;
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	state->events = calloc(slots, sizeof(*state->events));
	state->iocbs = calloc(slots, sizeof(*state->iocbs));
	if (!state->events || !state->iocbs) {
		free_state(state);
		return -ENOMEM;
	}
	if (syscall(SYS_io_setup, slots, &state->context) < 0) {
		int error = -errno;

		free_state(state);
		return error;
	}
	lane->state = state;
	return 0;
}

static void prepare(struct slot *slot)
{
	const struct iotrap_replay_request *request = &slot->request;

	slot->iocb = (struct iocb){
		.aio_data = (uintptr_t)slot,
		.aio_fildes = (uint32_t)slot->descriptor,
	};
	if (moves_data(request)) {
		slot->iocb.aio_lio_opcode = request->operation == IOTRAP_TRACE_OP_READ
						    ? IOCB_CMD_PREAD
						    : IOCB_CMD_PWRITE;
		slot->iocb.aio_buf = (uintptr_t)slot->buffer;
		slot->iocb.aio_nbytes = request->length;
		slot->iocb.aio_offset = (int64_t)request->offset;
		slot->iocb.aio_rw_flags = (__kernel_rwf_t)request->flags;
	} else {
		slot->iocb.aio_lio_opcode = request->operation == IOTRAP_TRACE_OP_FSYNC
						    ? IOCB_CMD_FSYNC
						    : IOCB_CMD_FDSYNC;
	}
}

static int reap(struct lane *lane, uint64_t timeout_ns)
{
	struct state *state = lane->state;
	struct timespec timeout = timespec_of(timeout_ns == NO_TIMEOUT ? 0 : timeout_ns);
	long count = syscall(SYS_io_getevents, state->context, 1L,
			     (long)lane->session->options.slots, state->events,
			     timeout_ns == NO_TIMEOUT ? NULL : &timeout);
	uint64_t now = clock_ns();

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (long i = 0; i < count; i++) {
		struct slot *slot = (struct slot *)(uintptr_t)state->events[i].data;

		iotrap_replay_complete(lane, slot, state->events[i].res, now);
	}
	return 0;
}

static int submit(struct lane *lane)
{
	struct state *state = lane->state;
	uint32_t next = 0;

	for (uint32_t i = 0; i < lane->pending_count; i++) {
		prepare(lane->pending[i]);
		state->iocbs[i] = &lane->pending[i]->iocb;
	}
	while (next < lane->pending_count) {
		long count = syscall(SYS_io_submit, state->context,
				     (long)(lane->pending_count - next), &state->iocbs[next]);

		if (count > 0) {
			next += (uint32_t)count;
		} else if (count < 0 && errno == EAGAIN &&
			   lane->in_flight > lane->pending_count - next) {
			/* The kernel is out of room until something ends. */
			int error = reap(lane, 10000000);

			if (error)
				return error;
		} else if (count < 0 && errno != EINTR) {
			/* It is about the first one. */
			iotrap_replay_complete(lane, lane->pending[next++], -errno, 0);
		}
	}
	return 0;
}

static void stop(struct lane *lane)
{
	struct state *state = lane->state;

	syscall(SYS_io_destroy, state->context);
	free_state(state);
}

const struct engine iotrap_replay_libaio_engine = {start, submit, reap, stop, true};
