/*
 * Starts a program again and again, with vfork and execve, and waits for it:
 * milliseconds per start, the median, so that interruptions do not count.
 *
 *	exec_loop PROGRAM COUNT
 */
#include "measure.h"

#include <sys/wait.h>

static int by_size(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	unsigned int count = argc == 3 ? (unsigned int)atoi(argv[2]) : 0;
	uint64_t *durations = calloc(count + 1, sizeof(*durations));
	extern char **environ;

	if (!count || !durations) {
		fputs("usage: exec_loop PROGRAM COUNT\n", stderr);
		return 2;
	}
	for (unsigned int i = 0; i < count; i++) {
		char *const arguments[] = {argv[1], NULL};
		uint64_t start = now_ns();
		int status = -1;
		pid_t child = vfork();

		if (child == 0) {
			execve(argv[1], arguments, environ);
			_exit(127);
		}
		check(child > 0, "vfork");
		check(waitpid(child, &status, 0) == child && status == 0, argv[1]);
		durations[i] = now_ns() - start;
	}
	qsort(durations, count, sizeof(*durations), by_size);
	printf("milliseconds_per_start %.6f\n", (double)durations[count / 2] / 1e6);
	free(durations);
	return 0;
}
