/* differential: five thousand threads that come, do I/O and go, and leave nothing behind; direct */
#include "lives.h"

#include <dirent.h>

#define THREADS 5000
#define TOGETHER 8
#define MEMORY_KIB_MAX 4096 /* growth over the second half of all threads */

static int fd;

static void *body(void *argument)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	off_t at = (off_t)(intptr_t)argument % 256 * PAGE;
	intptr_t wrong = 0;

	NEED(page != MAP_FAILED);
	memset(page, 1 + (int)(at / PAGE % 100), PAGE);
	wrong += pwrite(fd, page, PAGE, at) != PAGE;
	wrong += pread(fd, page, PAGE, at) != PAGE;
	wrong += page[17] != (char)(1 + at / PAGE % 100);
	wrong += ((intptr_t)argument % 8 ? fdatasync(fd) : fsync(fd)) != 0;
	munmap(page, PAGE);
	return (void *)wrong;
}

static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	NEED(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static long resident_kib(void)
{
	FILE *stream = fopen("/proc/self/status", "r");
	char line[200];
	long kib = -1;

	NEED(stream);
	while (fgets(line, sizeof(line), stream))
		sscanf(line, "VmRSS: %ld", &kib);
	fclose(stream);
	return kib;
}

static int mappings(void)
{
	FILE *stream = fopen("/proc/self/maps", "r");
	char line[500];
	int count = 0;

	NEED(stream);
	while (fgets(line, sizeof(line), stream))
		count++;
	fclose(stream);
	return count;
}

static long run_threads(int threads)
{
	long wrong = 0;

	for (int index = 0; index < threads; index += TOGETHER) {
		pthread_t together[TOGETHER];
		void *answer;

		for (intptr_t one = 0; one < TOGETHER; one++)
			NEED(pthread_create(&together[one], NULL, body, (void *)(index + one)) ==
			     0);
		for (int one = 0; one < TOGETHER; one++) {
			NEED(pthread_join(together[one], &answer) == 0);
			wrong += (long)answer;
		}
	}
	return wrong;
}

int main(int count, char **arguments)
{
	int descriptors_before;
	int mappings_before;
	long resident_before;
	long grown;

	observe_begin(count, arguments);
	require_direct();
	make_file("churn", 256 * PAGE, 1);
	fd = open("churn", O_RDWR | O_DIRECT);
	NEED(fd >= 0);
	observe("first half: %ld wrong", run_threads(THREADS / 2));
	descriptors_before = descriptors();
	mappings_before = mappings();
	resident_before = resident_kib();
	observe("second half: %ld wrong", run_threads(THREADS / 2));
	observe("descriptors leaked: %d", descriptors() - descriptors_before);
	grown = resident_kib() - resident_before;
	observe("memory bounded: %d", grown <= MEMORY_KIB_MAX);
	if (grown > MEMORY_KIB_MAX)
		observe("grown by %ld KiB", grown);
	/* A few may come and go with the allocator; five thousand rings may not. */
	observe("mappings bounded: %d", mappings() - mappings_before < 100);
	observe("afterwards: %d", live_one_life("life", 1));
	observe_file("churn");
	return 0;
}
