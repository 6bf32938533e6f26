/*
 * Random pread or pwrite calls of one size by some threads on one file.
 *
 *	block_io FILE pread|pwrite cached|direct BYTES THREADS WARM_MS RUN_MS
 */
#include "measure.h"

static struct {
	int descriptor;
	int writes;
	size_t bytes;
	uint64_t blocks;
} job;

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t state = 0x9E3779B97F4A7C15u * (worker->index + 1);
	void *buffer = NULL;

	errno = posix_memalign(&buffer, 4096, job.bytes);
	check(!errno, "posix_memalign");
	memset(buffer, (int)worker->index, job.bytes);
	pthread_barrier_wait(&workers_start);
	do {
		off_t offset = (off_t)(next_random(&state) % job.blocks * job.bytes);
		ssize_t done = job.writes ? pwrite(job.descriptor, buffer, job.bytes, offset)
					  : pread(job.descriptor, buffer, job.bytes, offset);

		check(done == (ssize_t)job.bytes, job.writes ? "pwrite" : "pread");
	} while (worker_goes_on(worker));
	free(buffer);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int threads;
	off_t length;

	if (argc != 8) {
		fputs("usage: block_io FILE pread|pwrite cached|direct BYTES THREADS WARM_MS "
		      "RUN_MS\n",
		      stderr);
		return 2;
	}
	job.writes = strcmp(argv[2], "pwrite") == 0;
	job.descriptor = open(argv[1], O_RDWR | (strcmp(argv[3], "direct") ? 0 : O_DIRECT));
	check(job.descriptor >= 0, argv[1]);
	job.bytes = strtoul(argv[4], NULL, 10);
	length = lseek(job.descriptor, 0, SEEK_END);
	check(job.bytes > 0 && length >= (off_t)job.bytes, "file size");
	job.blocks = (uint64_t)length / job.bytes;
	threads = (unsigned int)atoi(argv[5]);
	printf("operations_per_second %.3f\n",
	       run_workers(work, NULL, threads, (unsigned int)atoi(argv[6]),
			   (unsigned int)atoi(argv[7])));
	return 0;
}
