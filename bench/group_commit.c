/*
 * The commit of a log: each thread overwrites its own 4K block of one file and
 * makes it durable, over and over.
 *
 *	group_commit FILE fdatasync|fsync shared|own THREADS WARM_MS RUN_MS
 *
 * shared: one descriptor for all threads; own: each thread opens the file.
 */
#include "measure.h"

#define BLOCK_BYTES 4096

static struct {
	const char *path;
	int shared_descriptor; /* -1: each thread opens its own */
	int data_only;
} job;

static void *work(void *argument)
{
	struct worker *worker = argument;
	off_t offset = (off_t)worker->index * BLOCK_BYTES;
	int descriptor = job.shared_descriptor;
	char block[BLOCK_BYTES];
	uint64_t count = 0;

	memset(block, (int)worker->index, sizeof(block));
	if (descriptor < 0)
		descriptor = open(job.path, O_RDWR);
	check(descriptor >= 0, job.path);
	pthread_barrier_wait(&workers_start);
	do {
		memcpy(block, &count, sizeof(count));
		count++;
		check(pwrite(descriptor, block, sizeof(block), offset) == BLOCK_BYTES, "pwrite");
		check((job.data_only ? fdatasync(descriptor) : fsync(descriptor)) == 0, "sync");
	} while (worker_goes_on(worker));
	if (descriptor != job.shared_descriptor)
		close(descriptor);
	return NULL;
}

int main(int argc, char **argv)
{
	static char zeros[THREADS_MAX * BLOCK_BYTES];
	int descriptor;

	if (argc != 7) {
		fputs("usage: group_commit FILE fdatasync|fsync shared|own THREADS WARM_MS "
		      "RUN_MS\n",
		      stderr);
		return 2;
	}
	job.path = argv[1];
	job.data_only = strcmp(argv[2], "fdatasync") == 0;
	/* Allocated and written first: only overwrites are measured. */
	descriptor = open(job.path, O_RDWR | O_CREAT, 0666);
	check(descriptor >= 0, job.path);
	check(pwrite(descriptor, zeros, sizeof(zeros), 0) == sizeof(zeros), "pwrite");
	check(fsync(descriptor) == 0, "fsync");
	job.shared_descriptor = strcmp(argv[3], "own") ? descriptor : -1;
	printf("operations_per_second %.3f\n",
	       run_workers(work, NULL, (unsigned int)atoi(argv[4]), (unsigned int)atoi(argv[5]),
			   (unsigned int)atoi(argv[6])));
	return 0;
}
