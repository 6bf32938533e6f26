/* POSIX AIO, as the C library (or a library before it) has it. */
#include <fcntl.h>
#include <stdlib.h>

#include "replay.h"

struct state {
	struct slot **slots; /* in flight */
	const struct aiocb **list;
	uint32_t count;
};

static int start(struct lane *lane)
{
	uint32_t slots = lane->session->options.slots;
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	lane->state = state;
	state->slots = calloc(slots, sizeof(*state->slots));
	state->list = calloc(slots, sizeof(*state->list));
	if (state->slots && state->list)
		return 0;
	lane->engine->stop(lane);
	return -ENOMEM;
}

static int start_request(struct slot *slot)
{
	const struct iotrap_replay_request *request = &slot->request;

	slot->aiocb = (struct aiocb){
		.aio_fildes = slot->descriptor,
		.aio_buf = slot->buffer,
		.aio_nbytes = request->length,
		.aio_offset = (off_t)request->offset,
		.aio_sigevent.sigev_notify = SIGEV_NONE,
	};
	switch (request->operation) {
	case IOTRAP_TRACE_OP_READ:
		return aio_read(&slot->aiocb);
	case IOTRAP_TRACE_OP_WRITE:
		return aio_write(&slot->aiocb);
	case IOTRAP_TRACE_OP_FSYNC:
		return aio_fsync(O_SYNC, &slot->aiocb);
	default:
		return aio_fsync(O_DSYNC, &slot->aiocb);
	}
}

static int submit(struct lane *lane)
{
	struct state *state = lane->state;

	for (uint32_t i = 0; i < lane->pending_count; i++) {
		struct slot *slot = lane->pending[i];

		if (start_request(slot) < 0)
			iotrap_replay_complete(lane, slot, -errno, 0);
		else
			state->slots[state->count++] = slot;
	}
	return 0;
}

/* Completes what is done; returns how many. */
static uint32_t collect(struct lane *lane)
{
	struct state *state = lane->state;
	uint32_t kept = 0, found;

	for (uint32_t i = 0; i < state->count; i++) {
		struct slot *slot = state->slots[i];
		int error = aio_error(&slot->aiocb);

		if (error == EINPROGRESS) {
			state->slots[kept++] = slot;
			continue;
		}
		iotrap_replay_complete(lane, slot, error ? -error : aio_return(&slot->aiocb), 0);
	}
	found = state->count - kept;
	state->count = kept;
	return found;
}

static int reap(struct lane *lane, uint64_t timeout_ns)
{
	struct state *state = lane->state;
	struct timespec timeout = timespec_of(timeout_ns == NO_TIMEOUT ? 0 : timeout_ns);

	if (collect(lane) > 0 || state->count == 0)
		return 0;
	for (uint32_t i = 0; i < state->count; i++)
		state->list[i] = &state->slots[i]->aiocb;
	if (aio_suspend(state->list, (int)state->count,
			timeout_ns == NO_TIMEOUT ? NULL : &timeout) < 0 &&
	    errno != EAGAIN && errno != EINTR)
		return -errno;
	collect(lane);
	return 0;
}

static void stop(struct lane *lane)
{
	struct state *state = lane->state;

	free(state->slots);
	free(state->list);
	free(state);
}

const struct engine iotrap_replay_posix_engine = {start, submit, reap, stop, false};
