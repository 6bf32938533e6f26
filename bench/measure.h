/*
 * What the benchmark programs share. Each measures one thing inside one
 * process and prints lines of "name value"; the runner does the comparing.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 256

static inline void check(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* One worker per cache line, so that counting costs the threads nothing. */
struct worker {
	_Alignas(128) pthread_t thread;
	unsigned int index;
	_Atomic uint64_t operations; /* written by its thread only */
	void *context;
};

static atomic_int workers_stop;
static pthread_barrier_t workers_start;

static inline int worker_goes_on(struct worker *worker)
{
	uint64_t done = atomic_load_explicit(&worker->operations, memory_order_relaxed);

	atomic_store_explicit(&worker->operations, done + 1, memory_order_relaxed);
	return !atomic_load_explicit(&workers_stop, memory_order_relaxed);
}

static inline uint64_t workers_sum(struct worker *workers, unsigned int count)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += atomic_load_explicit(&workers[i].operations, memory_order_relaxed);
	return sum;
}

static inline void wait_ms(unsigned int milliseconds)
{
	struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* Waits for an operation to end, so that windows begin and end between slow ones. */
static inline uint64_t next_edge_ns(struct worker *workers, unsigned int count, uint64_t *done)
{
	uint64_t before = workers_sum(workers, count);
	struct timespec moment = {0, 50000};

	for (int tries = 0; tries < 20000; tries++) {
		nanosleep(&moment, NULL);
		*done = workers_sum(workers, count);
		if (*done != before)
			break;
	}
	return now_ns();
}

/*
 * Runs body in count threads for warm_ms + run_ms and returns the operations
 * per second of the second part. The body waits on workers_start first.
 */
static inline double run_workers(void *(*body)(void *), void *context, unsigned int count,
				 unsigned int warm_ms, unsigned int run_ms)
{
	static struct worker workers[THREADS_MAX];
	uint64_t start, end, before = 0, after = 0;

	check(count >= 1 && count <= THREADS_MAX, "threads");
	pthread_barrier_init(&workers_start, NULL, count + 1);
	for (unsigned int i = 0; i < count; i++) {
		workers[i].index = i;
		workers[i].context = context;
		errno = pthread_create(&workers[i].thread, NULL, body, &workers[i]);
		check(!errno, "pthread_create");
	}
	pthread_barrier_wait(&workers_start);
	wait_ms(warm_ms);
	start = next_edge_ns(workers, count, &before);
	wait_ms(run_ms);
	end = next_edge_ns(workers, count, &after);
	atomic_store(&workers_stop, 1);
	for (unsigned int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	return (double)(after - before) * 1e9 / (double)(end - start);
}

#endif
