/* measured: resident memory before any eligible call, and with threads that each made some */
#include "observe.h"

#define THREADS 32

static int fd;
static pthread_barrier_t done;
static pthread_barrier_t leave;

/* The kernel's running count is approximate; a walk over the maps is exact. */
static long resident_kib(void)
{
	char text[4096];
	long kib = 0;
	int roll = open("/proc/self/smaps_rollup", O_RDONLY);
	ssize_t result;
	char *line;

	NEED(roll >= 0);
	result = read(roll, text, sizeof(text) - 1);
	NEED(result > 0);
	text[result] = 0;
	line = strstr(text, "Rss:");
	NEED(line && sscanf(line, "Rss: %ld", &kib) == 1);
	close(roll);
	return kib;
}

static void *body(void *argument)
{
	static char blocks[THREADS][2 * PAGE] __attribute__((aligned(PAGE)));
	char *mine = blocks[(intptr_t)argument];
	struct iovec two[2] = {{mine, PAGE}, {mine + PAGE, PAGE}};

	for (int round = 0; round < 20; round++) {
		NEED(pread(fd, mine, 2 * PAGE, 0) == 2 * PAGE);
		NEED(preadv(fd, two, 2, 0) == 2 * PAGE);
		NEED(pwrite(fd, mine, PAGE, 0) == PAGE);
		NEED(fdatasync(fd) == 0);
	}
	pthread_barrier_wait(&done);
	pthread_barrier_wait(&leave);
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t threads[THREADS];
	char text[100];
	int plain;

	observe_begin(count, arguments);
	make_file("resident", 1 * MIB, 1);
	plain = open("resident", O_RDONLY);
	NEED(pread(plain, text, sizeof(text), 0) == sizeof(text));
	observe("before %ld", resident_kib());
	fd = open("resident", O_RDWR | O_DIRECT);
	if (fd < 0)
		skip("the scratch file system refuses O_DIRECT");
	NEED(pthread_barrier_init(&done, NULL, THREADS + 1) == 0);
	NEED(pthread_barrier_init(&leave, NULL, THREADS + 1) == 0);
	for (intptr_t index = 0; index < THREADS; index++)
		NEED(pthread_create(&threads[index], NULL, body, (void *)index) == 0);
	pthread_barrier_wait(&done);
	observe("threads %d", THREADS);
	observe("after %ld", resident_kib());
	pthread_barrier_wait(&leave);
	for (int index = 0; index < THREADS; index++)
		NEED(pthread_join(threads[index], NULL) == 0);
	return 0;
}
