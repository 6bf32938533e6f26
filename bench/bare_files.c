/*
 * Reads whole files in the order of a list with one thread and a bare ring: open in place, read
 * through the ring, close. The least that reading cold files so takes, without any library.
 *
 *	bare_files LIST DEPTH
 */
#include <liburing.h>

#include "file_list.h"

#define DEPTH_MAX 256

static struct {
	struct io_uring ring;
	struct file_list files;
	size_t next;
	uint64_t bytes;
	char *buffers;
	int descriptors[DEPTH_MAX];
	unsigned int free[DEPTH_MAX];
	unsigned int free_count;
} job;

static void start(void)
{
	unsigned int slot = job.free[--job.free_count];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&job.ring);
	const char *path = job.files.paths[job.next++];
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
	read_list(&job.files, argv[1]);
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
	for (size_t done = 0; done < job.files.count; done += take()) {
		while (job.free_count > 0 && job.next < job.files.count)
			start();
		io_uring_submit_and_wait(&job.ring, 1);
	}
	printf("operations_per_second %.3f\n",
	       (double)job.files.count * 1e9 / (double)(now_ns() - begun));
	printf("cpu_microseconds %.3f\n",
	       (processor_seconds() - before) / (double)job.files.count * 1e6);
	printf("bytes %llu\n", (unsigned long long)job.bytes);
	return 0;
}
