/*
 * Processes that begin and end in every way: lives DIRECTORY WAY. Each writes 10 blocks to a file
 * of its own and says so. "block FILE" is what a program that was executed does.
 */
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/resource.h>

#include "calls.h"

extern char **environ;

static const char *directory, *program;

static void blocks(const char *name, int count)
{
	char path[512], buffer[512] = {1};
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	check(fd >= 0, path);
	said("open", name, 0, 0, 0);
	for (int i = 0; i < count; i++)
		said("write", name, i * 512L, 512, pwrite(fd, buffer, 512, i * 512L));
}

static void wait_for(pid_t child, int signal)
{
	int status;

	check(child > 0 && waitpid(child, &status, 0) == child, "child");
	check(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal
		     : WIFEXITED(status) && WEXITSTATUS(status) == 0,
	      "end of the child");
}

/* The parts of the parent and of its child must not be mixed up. */
static void forks(void)
{
	char name[32], path[512];
	int inherited;

	blocks("before", 10);
	snprintf(path, sizeof(path), "%s/before", directory);
	inherited = open(path, O_RDWR);
	said("open", "before", 0, 0, 0);
	for (int i = 0; i < 5; i++) {
		pid_t child = fork();

		if (child == 0) {
			/* The first call of a child, on what its parent opened. */
			said("write", "before", i, 7, pwrite(inherited, "content", 7, i));
			snprintf(name, sizeof(name), "child%d", i);
			blocks(name, 10 + i);
			if (i == 0)
				exit(0);
			if (i == 1)
				_exit(0);
			if (i == 2)
				syscall(SYS_exit_group, 0);
			raise(i == 3 ? SIGKILL : SIGTERM);
		}
		wait_for(child, i < 3 ? 0 : i == 3 ? SIGKILL : SIGTERM);
	}
	blocks("after", 10);
}

static void executes(void)
{
	char *words[] = {(char *)program, (char *)directory, "block", "executed", NULL};
	char *none[] = {"PATH=/usr/bin", NULL};
	pid_t child;

	blocks("before", 10);
	/* A failed one changes nothing. */
	check(execv("/nonexistent", words) < 0, "execv");
	blocks("between", 10);
	words[3] = "spawned";
	check(posix_spawn(&child, program, NULL, NULL, words, environ) == 0, "posix_spawn");
	wait_for(child, 0);
	words[3] = "vforked";
	child = vfork();
	if (child == 0) {
		execve(program, words, none);
		_exit(1);
	}
	wait_for(child, 0);
	words[3] = "executed";
	execve(program, words, none);
	check(0, "execve");
}

static void *one_of_many(void *argument)
{
	char name[32];

	snprintf(name, sizeof(name), "thread%ld", (long)(intptr_t)argument);
	blocks(name, 10);
	return NULL;
}

/* More threads than windows are made for at a time, one after the other and at once. */
static void threads(void)
{
	pthread_t thread[40];

	for (long i = 0; i < 200; i++) {
		check(pthread_create(&thread[0], NULL, one_of_many, (void *)i) == 0, "thread");
		pthread_join(thread[0], NULL);
	}
	for (long i = 0; i < 40; i++)
		check(pthread_create(&thread[i], NULL, one_of_many, (void *)(200 + i)) == 0,
		      "thread");
	for (int i = 0; i < 40; i++)
		pthread_join(thread[i], NULL);
}

/* Files may not grow beyond 150 KiB, those of the recorder neither: reads are not hindered. */
static void limited(void)
{
	struct rlimit limit = {150 << 10, 150 << 10};
	char path[512], buffer[512];
	long bytes = 0;
	int fd;

	blocks("limited", 10);
	snprintf(path, sizeof(path), "%s/limited", directory);
	fd = open(path, O_RDONLY);
	check(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
	for (int i = 0; i < 50000; i++)
		bytes += pread(fd, buffer, 512, 0);
	check(bytes == 50000 * 512L, "reads");
	printf("reads 50000\n");
}

int main(int count, char **arguments)
{
	check(count > 2, "lives DIRECTORY WAY");
	program = arguments[0];
	directory = arguments[1];
	if (strcmp(arguments[2], "block") == 0) {
		blocks(arguments[3], 10);
	} else if (strcmp(arguments[2], "forks") == 0) {
		forks();
	} else if (strcmp(arguments[2], "executes") == 0) {
		executes();
	} else if (strcmp(arguments[2], "threads") == 0) {
		threads();
	} else if (strcmp(arguments[2], "limited") == 0) {
		limited();
	} else {
		blocks("many", 5000);
		if (strcmp(arguments[2], "kill") == 0)
			raise(SIGKILL);
		if (strcmp(arguments[2], "crash") == 0)
			abort();
		if (strcmp(arguments[2], "status") == 0)
			return 42;
		/* Waits to be killed. */
		printf("ready %d\n", getpid());
		fflush(stdout);
		pause();
	}
	return 0;
}
