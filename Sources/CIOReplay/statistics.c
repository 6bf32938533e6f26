/* What the lanes count, and the sum of it. */
#include <string.h>

#include "replay.h"

unsigned int iotrap_replay_class_of(const struct iotrap_replay_request *request)
{
	static const uint32_t limits[] = {4096,    16384,   65536,    262144,
					  1048576, 4194304, 16777216, 67108864};
	unsigned int size = 0;

	if (request->operation > IOTRAP_TRACE_OP_SYNC)
		return IOTRAP_REPLAY_CLASS_OTHER;
	if (!moves_data(request))
		return IOTRAP_REPLAY_CLASS_SYNC;
	while (size < IOTRAP_REPLAY_SIZES - 1 && request->length > limits[size])
		size++;
	return size + (request->operation == IOTRAP_TRACE_OP_WRITE ? IOTRAP_REPLAY_CLASS_WRITE : 0);
}

unsigned int iotrap_replay_bucket(uint64_t ns)
{
	unsigned int exponent, index;

	if (ns < 64)
		return (unsigned int)ns;
	exponent = 63 - (unsigned int)__builtin_clzll(ns);
	index = 64 + (exponent - 6) * 32 + (unsigned int)(ns >> (exponent - 5)) - 32;
	return index < IOTRAP_REPLAY_BUCKETS ? index : IOTRAP_REPLAY_BUCKETS - 1;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void merge_sums(struct iotrap_replay_results *into, const struct iotrap_replay_results *from)
{
	into->submit_ns += from->submit_ns;
	into->flight_ns += from->flight_ns;
	into->submissions += from->submissions;
	into->in_flight_max = larger(into->in_flight_max, from->in_flight_max);
	into->timed += from->timed;
	into->drift_ns += from->drift_ns;
	into->drift_ns_max = larger(into->drift_ns_max, from->drift_ns_max);
	into->held += from->held;
	into->held_ns_max = larger(into->held_ns_max, from->held_ns_max);
	into->memory_waits += from->memory_waits;
	into->blocks_checked += from->blocks_checked;
	into->blocks_unknown += from->blocks_unknown;
	into->faults += from->faults;
	if (into->first_error == 0) {
		into->first_error = from->first_error;
		into->first_error_file = from->first_error_file;
		into->first_error_offset = from->first_error_offset;
	}
}

void iotrap_replay_merge(struct statistics *into, const struct statistics *from)
{
	for (unsigned int i = 0; i < IOTRAP_REPLAY_CLASSES; i++) {
		struct iotrap_replay_class *a = &into->sums.classes[i];
		const struct iotrap_replay_class *b = &from->sums.classes[i];

		a->count += b->count;
		a->bytes += b->bytes;
		a->errors += b->errors;
		a->shorts += b->shorts;
		a->latency_ns += b->latency_ns;
		a->latency_ns_max = larger(a->latency_ns_max, b->latency_ns_max);
		for (unsigned int k = 0; k < IOTRAP_REPLAY_BUCKETS; k++)
			into->buckets[i][k] += from->buckets[i][k];
	}
	for (unsigned int k = 0; k < IOTRAP_REPLAY_BUCKETS; k++)
		into->drift[k] += from->drift[k];
	merge_sums(&into->sums, &from->sums);
}

void iotrap_replay_collect(struct iotrap_replay *session, struct iotrap_replay_results *results)
{
	for (uint32_t i = 0; i < session->options.lanes; i++) {
		iotrap_replay_merge(session->total, session->lanes[i].statistics);
		memset(session->lanes[i].statistics, 0, sizeof(struct statistics));
	}
	*results = session->total->sums;
	results->elapsed_ns = session->end_ns - session->start_ns;
	results->failure = session->failure;
	results->faults_kept = session->faults_kept;
}

const uint64_t *iotrap_replay_buckets(const struct iotrap_replay *session, uint32_t class_number)
{
	return session->total->buckets[class_number];
}

const uint64_t *iotrap_replay_drift_buckets(const struct iotrap_replay *session)
{
	return session->total->drift;
}

const struct iotrap_replay_fault *iotrap_replay_fault_at(const struct iotrap_replay *session,
							 uint32_t index)
{
	return &session->faults[index];
}
