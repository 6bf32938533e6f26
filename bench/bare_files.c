/*
 * Reads whole files in the order of a list with one thread and a bare ring: open in place, read
 * through the ring, close. The least that reading cold files so takes, without any library.
 *
 *	bare_files LIST DEPTH
 */
#include <liburing.h>
#include <sys/resource.h>

#include "measure.h"

#define FILE_BYTES_MAX (1 << 16)
#define DEPTH_MAX 256

static struct {
	struct io_uring ring;
	char **paths;
	size_t count;
	size_t next;
	uint64_t bytes;
	char *buffers;
	int descriptors[DEPTH_MAX];
	unsigned int free[DEPTH_MAX];
	unsigned int free_count;
} job;

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
		line[strcspn(line, "\n")] = 0;
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

static void start(void)
{
	unsigned int slot = job.free[--job.free_count];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&job.ring);
	const char *path = job.paths[job.next++];
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);

	check(sqe != NULL, "room in the ring");
	check(descriptor >= 0, path);
	job.descriptors[slot] = descriptor;
	io_uring_prep_read(sqe, descriptor, job.buffers + (size_t)slot * FILE_BYTES_MAX,
			   FILE_BYTES_MAX, 0);
	sqe->user_data = slot;
}

static size_t take(void)
{
	struct io_uring_cqe *completions[DEPTH_MAX];
	unsigned int count = io_uring_peek_batch_cqe(&job.ring, completions, DEPTH_MAX);

	for (unsigned int i = 0; i < count; i++) {
		unsigned int slot = (unsigned int)completions[i]->user_data;

		errno = completions[i]->res < 0 ? -completions[i]->res : 0;
		check(!errno, "read");
		job.bytes += (uint64_t)completions[i]->res;
		close(job.descriptors[slot]);
		job.free[job.free_count++] = slot;
	}
	io_uring_cq_advance(&job.ring, count);
	return count;
}

int main(int argc, char **argv)
{
	struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER |
						      IORING_SETUP_DEFER_TASKRUN};
	unsigned int depth;
	double before;
	uint64_t begun;

	if (argc != 3) {
		fputs("usage: bare_files LIST DEPTH\n", stderr);
		return 2;
	}
	read_list(argv[1]);
	depth = (unsigned int)atoi(argv[2]);
	check(depth >= 1 && depth <= DEPTH_MAX, "depth");
	errno = -io_uring_queue_init_params(depth * 2, &job.ring, &parameters);
	check(!errno, "io_uring");
	job.buffers = aligned_alloc(4096, (size_t)depth * FILE_BYTES_MAX);
	check(job.buffers != NULL, "memory");
	memset(job.buffers, 0, (size_t)depth * FILE_BYTES_MAX);
	while (job.free_count < depth) {
		job.free[job.free_count] = job.free_count;
		job.free_count++;
	}
	before = processor_seconds();
	begun = now_ns();
	for (size_t done = 0; done < job.count; done += take()) {
		while (job.free_count > 0 && job.next < job.count)
			start();
		io_uring_submit_and_wait(&job.ring, 1);
	}
	printf("operations_per_second %.3f\n",
	       (double)job.count * 1e9 / (double)(now_ns() - begun));
	printf("cpu_microseconds %.3f\n", (processor_seconds() - before) / (double)job.count * 1e6);
	printf("bytes %llu\n", (unsigned long long)job.bytes);
	return 0;
}
