/* differential: io_uring refused by a seccomp filter, early or late; direct */
#include "lives.h"
#include "seccomp.h"

static void *thread_life(void *argument)
{
	return (void *)(intptr_t)live_one_life(argument, 3);
}

static void lives(const char *moment)
{
	pthread_t thread;
	void *answer;
	pid_t pid;

	observe("%s: %d", moment, live_one_life("life", 1));
	NEED(pthread_create(&thread, NULL, thread_life, "thread") == 0);
	NEED(pthread_join(thread, &answer) == 0);
	observe("%s thread: %ld", moment, (long)(intptr_t)answer);
	pid = fork();
	if (pid == 0)
		_exit(live_one_life("child", 4));
	observe_child(moment, pid);
}

/* The filter comes first, then a program under it starts. */
static void start_refused(char *self, int error, const char *moment)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *words[] = {self, ".", "again", (char *)moment, NULL};

		refuse_io_uring(error);
		execv("/proc/self/exe", words);
		_exit(97);
	}
	observe_child(moment, pid);
}

/* The filter comes between two calls of a process that had the use of io_uring. */
static void refuse_later(int error, const char *moment)
{
	pid_t pid = fork();

	if (pid == 0) {
		lives("before the filter");
		refuse_io_uring(error);
		lives(moment);
		_exit(0);
	}
	observe_child(moment, pid);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	if (count > 3) {
		lives(arguments[3]);
		return 0;
	}
	require_direct();
	start_refused(arguments[0], EPERM, "refused with EPERM");
	start_refused(arguments[0], ENOSYS, "refused with ENOSYS");
	start_refused(arguments[0], EACCES, "refused with EACCES");
	start_refused(arguments[0], ENOMEM, "refused with ENOMEM");
	refuse_later(EPERM, "refused later with EPERM");
	refuse_later(ENOSYS, "refused later with ENOSYS");
	lives("allowed again");
	return 0;
}
