/*
 * Resident memory in KiB, in this order: of one thread after buffered I/O, of
 * some more threads after theirs, and of these after calls that a technique
 * can take. The runner subtracts the plain program's.
 *
 *	resident FILE THREADS
 */
#include "measure.h"

#include <sys/uio.h>

#define LARGE_BYTES (1u << 20)
#define PARTS 8

static int direct_descriptor, buffered_descriptor;
static pthread_barrier_t moment;

static long resident_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *rollup = fopen("/proc/self/smaps_rollup", "re");

	check(rollup != NULL, "smaps_rollup");
	while (fgets(line, sizeof(line), rollup))
		if (sscanf(line, "Rss: %ld", &kib) == 1)
			break;
	fclose(rollup);
	return kib;
}

static void buffered_calls(void)
{
	char block[4096];

	for (int i = 0; i < 1000; i++)
		check(pread(buffered_descriptor, block, sizeof(block), 0) == sizeof(block),
		      "pread");
}

/* One large call, one vectored call and syncs: each technique sees its kind. */
static void eligible_calls(char *buffer)
{
	struct iovec parts[PARTS];

	for (int i = 0; i < PARTS; i++) {
		parts[i].iov_base = buffer + i * 65536;
		parts[i].iov_len = 65536;
	}
	for (int i = 0; i < 16; i++) {
		check(pread(direct_descriptor, buffer, LARGE_BYTES, 0) == LARGE_BYTES, "pread");
		check(preadv(direct_descriptor, parts, PARTS, 0) == PARTS * 65536, "preadv");
	}
	check(pwrite(buffered_descriptor, buffer, 4096, 0) == 4096, "pwrite");
	check(fdatasync(buffered_descriptor) == 0, "fdatasync");
}

static void *work(void *buffer)
{
	buffered_calls();
	pthread_barrier_wait(&moment); /* all threads have done buffered I/O */
	pthread_barrier_wait(&moment);
	eligible_calls(buffer);
	pthread_barrier_wait(&moment); /* all have done eligible calls, none has left */
	pthread_barrier_wait(&moment);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int threads = argc == 3 ? (unsigned int)atoi(argv[2]) : 0;
	pthread_t ids[THREADS_MAX];
	void *buffer = NULL;

	if (!threads || threads > THREADS_MAX) {
		fputs("usage: resident FILE THREADS\n", stderr);
		return 2;
	}
	direct_descriptor = open(argv[1], O_RDWR | O_DIRECT);
	buffered_descriptor = open(argv[1], O_RDWR);
	check(direct_descriptor >= 0 && buffered_descriptor >= 0, argv[1]);
	/* One buffer for all: what the threads read into it is never looked at. */
	check(posix_memalign(&buffer, 4096, LARGE_BYTES) == 0, "posix_memalign");
	memset(buffer, 1, LARGE_BYTES);
	resident_kib(); /* stdio's own memory, once */
	buffered_calls();
	printf("rest_kib %ld\n", resident_kib());
	pthread_barrier_init(&moment, NULL, threads + 1);
	for (unsigned int i = 0; i < threads; i++)
		check(pthread_create(&ids[i], NULL, work, buffer) == 0, "pthread_create");
	pthread_barrier_wait(&moment);
	printf("threads_rest_kib %ld\n", resident_kib());
	pthread_barrier_wait(&moment);
	pthread_barrier_wait(&moment);
	printf("threads_kib %ld\n", resident_kib());
	pthread_barrier_wait(&moment);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
