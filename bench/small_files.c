/*
 * Reads whole files in the order of a list with a pool of threads: open, pread, close.
 *
 *	small_files LIST THREADS
 */
#include <sys/resource.h>

#include "measure.h"

#define FILE_BYTES_MAX (1 << 16)

static struct {
	char **paths;
	size_t count;
	_Atomic size_t next;
	_Atomic uint64_t bytes;
} job;

static void *work(void *argument)
{
	char *buffer = aligned_alloc(4096, FILE_BYTES_MAX);
	uint64_t bytes = 0;
	size_t index;

	check(buffer != NULL, "memory");
	while ((index = atomic_fetch_add(&job.next, 1)) < job.count) {
		int descriptor = open(job.paths[index], O_RDONLY | O_CLOEXEC);
		ssize_t got;

		check(descriptor >= 0, job.paths[index]);
		got = pread(descriptor, buffer, FILE_BYTES_MAX, 0);
		check(got >= 0, "pread");
		bytes += (uint64_t)got;
		close(descriptor);
	}
	atomic_fetch_add(&job.bytes, bytes);
	free(buffer);
	return argument;
}

static void read_list(const char *path)
{
	FILE *list = fopen(path, "r");
	size_t room = 0, capacity = 0;
	char *line = NULL;
	ssize_t length;

	check(list != NULL, path);
	while ((length = getline(&line, &capacity, list)) > 0) {
		if (job.count == room) {
			room = room ? room * 2 : 1024;
			job.paths = realloc(job.paths, room * sizeof(*job.paths));
			check(job.paths != NULL, "memory");
		}
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		job.paths[job.count++] = strdup(line);
	}
	free(line);
	fclose(list);
}

static double processor_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
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
	read_list(argv[1]);
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
	       (double)job.count * 1e9 / (double)(now_ns() - start));
	printf("cpu_microseconds %.3f\n", (processor_seconds() - before) / (double)job.count * 1e6);
	printf("bytes %llu\n", (unsigned long long)job.bytes);
	return 0;
}
