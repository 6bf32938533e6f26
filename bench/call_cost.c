/*
 * What one call costs that has nothing to gain: nanoseconds per call, the best
 * of many short batches, so that interruptions do not count.
 *
 *	call_cost FILE CALL MILLISECONDS
 */
#include "measure.h"

#define CALLS_PER_BATCH 500

static struct {
	int file;
	int next;
	int shared;
	int zero;
	int null;
	char byte;
} job;

static long pread_zero(void)
{
	return pread(job.zero, &job.byte, 1, 0);
}

static long pread_cached(void)
{
	return pread(job.file, &job.byte, 1, 0);
}

static long read_zero(void)
{
	return read(job.zero, &job.byte, 1);
}

/* At the end of the file: the position stays where it is. */
static long read_end(void)
{
	return read(job.file, &job.byte, 1);
}

static long read_next(void)
{
	return read(job.next, &job.byte, 1);
}

/* A position that another descriptor has too. */
static long read_shared(void)
{
	return read(job.shared, &job.byte, 1);
}

static long write_null(void)
{
	return write(job.null, &job.byte, 1);
}

static long fcntl_bad(void)
{
	return fcntl(-1, F_GETFL);
}

static long close_bad(void)
{
	return close(-1);
}

static long open_bad(void)
{
	return openat(-1, "x", O_RDONLY);
}

static const struct {
	const char *name;
	long (*call)(void);
	long expected;
} calls[] = {
	{"pread-zero", pread_zero, 1}, {"pread-cached", pread_cached, 1},
	{"read-zero", read_zero, 1},   {"write-null", write_null, 1},
	{"fcntl-bad", fcntl_bad, -1},  {"close-bad", close_bad, -1},
	{"open-bad", open_bad, -1},    {"read-end", read_end, 0},
	{"read-next", read_next, 1},   {"read-shared", read_shared, 1},
};

static double best_ns(long (*call)(void), long expected, unsigned int milliseconds)
{
	uint64_t end = now_ns() + milliseconds * 1000000ull;
	uint64_t best = UINT64_MAX;

	while (now_ns() < end) {
		uint64_t start = now_ns();

		for (int i = 0; i < CALLS_PER_BATCH; i++)
			check(call() == expected, "call");
		start = now_ns() - start;
		if (start < best)
			best = start;
	}
	return (double)best / CALLS_PER_BATCH;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("usage: call_cost FILE CALL MILLISECONDS\n", stderr);
		return 2;
	}
	job.file = open(argv[1], O_RDONLY);
	check(job.file >= 0 && lseek(job.file, 0, SEEK_END) >= 0, argv[1]);
	job.next = open(argv[1], O_RDONLY);
	job.shared = open(argv[1], O_RDONLY);
	check(job.next >= 0 && job.shared >= 0 && dup(job.shared) >= 0, argv[1]);
	job.zero = open("/dev/zero", O_RDONLY);
	job.null = open("/dev/null", O_WRONLY);
	check(job.zero >= 0 && job.null >= 0, "/dev/zero, /dev/null");
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, argv[2]) == 0) {
			printf("nanoseconds_per_call %.3f\n",
			       best_ns(calls[i].call, calls[i].expected,
				       (unsigned int)atoi(argv[3])));
			return 0;
		}
	fprintf(stderr, "call_cost: unknown call '%s'\n", argv[2]);
	return 2;
}
