/*
 * Plain calls. What was recorded one at a time runs in the lane's thread; what was in flight
 * together goes to threads that are made as they are needed, and stay.
 */
#include <stdlib.h>

#include "replay.h"

#define WORKERS_MAX 256u

struct state {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct slot *first, *last; /* to be done, in order */
	struct slot *finished;
	uint32_t idle;
	uint32_t count;
	bool is_over;
	pthread_t workers[WORKERS_MAX];
};

static int start(struct lane *lane)
{
	struct state *state = calloc(1, sizeof(*state));
	pthread_condattr_t attributes;

	if (!state)
		return -ENOMEM;
	pthread_mutex_init(&state->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&state->work, NULL);
	pthread_cond_init(&state->done, &attributes);
	pthread_condattr_destroy(&attributes);
	lane->state = state;
	return 0;
}

static void *work(void *argument)
{
	struct state *state = argument;

	pthread_mutex_lock(&state->lock);
	for (;;) {
		struct slot *slot = state->first;

		if (!slot) {
			if (state->is_over)
				break;
			state->idle++;
			pthread_cond_wait(&state->work, &state->lock);
			state->idle--;
			continue;
		}
		state->first = slot->next;
		pthread_mutex_unlock(&state->lock);
		slot->result = iotrap_replay_run_plain(slot);
		pthread_mutex_lock(&state->lock);
		slot->next = state->finished;
		state->finished = slot;
		pthread_cond_signal(&state->done);
	}
	pthread_mutex_unlock(&state->lock);
	return NULL;
}

static int hand_over(struct state *state, struct slot *slot)
{
	int error = 0;

	pthread_mutex_lock(&state->lock);
	slot->next = NULL;
	if (state->first)
		state->last->next = slot;
	else
		state->first = slot;
	state->last = slot;
	if (state->idle == 0 && state->count < WORKERS_MAX) {
		error = pthread_create(&state->workers[state->count], NULL, work, state);
		if (error == 0)
			state->count++;
	}
	pthread_cond_signal(&state->work);
	pthread_mutex_unlock(&state->lock);
	/* Those that are there will do it. */
	return state->count > 0 ? 0 : -error;
}

static int submit(struct lane *lane)
{
	struct state *state = lane->state;
	int error = 0;

	for (uint32_t i = 0; i < lane->pending_count && error == 0; i++) {
		struct slot *slot = lane->pending[i];

		if (slot->request.depth == 1)
			iotrap_replay_complete(lane, slot, iotrap_replay_run_plain(slot), 0);
		else
			error = hand_over(state, slot);
	}
	return error;
}

static int reap(struct lane *lane, uint64_t timeout_ns)
{
	struct state *state = lane->state;
	struct slot *finished;
	struct timespec until;

	if (timeout_ns == NO_TIMEOUT)
		timeout_ns = 1000000000;
	until = timespec_of(clock_ns() + timeout_ns);
	pthread_mutex_lock(&state->lock);
	while (!state->finished) {
		if (pthread_cond_timedwait(&state->done, &state->lock, &until) == ETIMEDOUT)
			break;
	}
	finished = state->finished;
	state->finished = NULL;
	pthread_mutex_unlock(&state->lock);
	while (finished) {
		struct slot *next = finished->next;

		iotrap_replay_complete(lane, finished, finished->result, 0);
		finished = next;
	}
	return 0;
}

static void stop(struct lane *lane)
{
	struct state *state = lane->state;

	pthread_mutex_lock(&state->lock);
	state->is_over = true;
	pthread_cond_broadcast(&state->work);
	pthread_mutex_unlock(&state->lock);
	for (uint32_t i = 0; i < state->count; i++)
		pthread_join(state->workers[i], NULL);
	pthread_mutex_destroy(&state->lock);
	pthread_cond_destroy(&state->work);
	pthread_cond_destroy(&state->done);
	free(state);
}

const struct engine iotrap_replay_sync_engine = {start, submit, reap, stop, true};
