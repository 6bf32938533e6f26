/* differential: clone() of processes that share memory, as vfork does and as threads do; direct */
#include "lives.h"

#include <sched.h>

static int body(void *argument)
{
	return live_one_life("child", (uint64_t)(intptr_t)argument);
}

/* The parent stands still while the child lives in its memory, on its thread's variables. */
static void as_vfork(int flags)
{
	for (int turn = 0; turn < 5; turn++) {
		char *stack = pages(256 * KIB);
		pid_t pid = clone(body, stack + 256 * KIB, flags | CLONE_VM | CLONE_VFORK | SIGCHLD,
				  (void *)(intptr_t)turn);

		observe_child("child", pid);
		observe("parent: %d", live_one_life("parent", 1));
		munmap(stack, 256 * KIB + PAGE);
	}
}

static void *in_thread(void *argument)
{
	as_vfork((int)(intptr_t)argument);
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t thread;
	pid_t pid;

	observe_begin(count, arguments);
	require_direct();
	observe("== before any I/O");
	as_vfork(0);
	observe("== after I/O");
	observe("parent: %d", live_one_life("parent", 1));
	as_vfork(0);
	as_vfork(CLONE_FILES);
	NEED(pthread_create(&thread, NULL, in_thread, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	pid = fork();
	if (pid == 0)
		_exit(live_one_life("child", 9));
	observe_child("fork afterwards", pid);
	return 0;
}
