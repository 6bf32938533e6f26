/*
 * Reads whole files in the order of a list with a pool of threads: open, pread, close.
 *
 *	small_files LIST THREADS
 */
#include "file_list.h"

static struct {
	struct file_list files;
	_Atomic size_t next;
	_Atomic uint64_t bytes;
} job;

static void *work(void *argument)
{
	char *buffer = aligned_alloc(4096, FILE_BYTES_MAX);
	uint64_t bytes = 0;
	size_t index;

	check(buffer != NULL, "memory");
	while ((index = atomic_fetch_add(&job.next, 1)) < job.files.count) {
		int descriptor = open(job.files.paths[index], O_RDONLY | O_CLOEXEC);
		ssize_t got;

		check(descriptor >= 0, job.files.paths[index]);
		got = pread(descriptor, buffer, FILE_BYTES_MAX, 0);
		check(got >= 0, "pread");
		bytes += (uint64_t)got;
		close(descriptor);
	}
	atomic_fetch_add(&job.bytes, bytes);
	free(buffer);
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	unsigned int count;
	double before;
	uint64_t start;

	if (argc != 3) {
		fputs("usage: small_files LIST THREADS\n", stderr);
		return 2;
	}
	read_list(&job.files, argv[1]);
	count = (unsigned int)atoi(argv[2]);
	check(count >= 1 && count <= THREADS_MAX, "threads");
	before = processor_seconds();
	start = now_ns();
	for (unsigned int i = 0; i < count; i++) {
		errno = pthread_create(&threads[i], NULL, work, NULL);
		check(!errno, "pthread_create");
	}
	for (unsigned int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("operations_per_second %.3f\n",
	       (double)job.files.count * 1e9 / (double)(now_ns() - start));
	printf("cpu_microseconds %.3f\n",
	       (processor_seconds() - before) / (double)job.files.count * 1e6);
	printf("bytes %llu\n", (unsigned long long)job.bytes);
	return 0;
}
