/* differential: children whose first calls come from several threads at once; direct */
#include "lives.h"

#define FORKS 40
#define THREADS 6

static pthread_barrier_t start;

static void *thread_life(void *argument)
{
	char path[] = "thread0";

	path[6] += (char)(intptr_t)argument;
	pthread_barrier_wait(&start);
	return (void *)(intptr_t)live_one_life(path, 3);
}

static int child(void)
{
	pthread_t threads[THREADS];
	intptr_t wrong = 0;
	void *answer;

	NEED(pthread_barrier_init(&start, NULL, THREADS) == 0);
	for (intptr_t index = 0; index < THREADS; index++)
		NEED(pthread_create(&threads[index], NULL, thread_life, (void *)index) == 0);
	for (int index = 0; index < THREADS; index++) {
		NEED(pthread_join(threads[index], &answer) == 0);
		wrong += (intptr_t)answer;
	}
	return wrong != 0;
}

int main(int count, char **arguments)
{
	int bad = 0;

	observe_begin(count, arguments);
	require_direct();
	observe("parent: %d", live_one_life("parent", 1));
	for (int turn = 0; turn < FORKS; turn++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			_exit(child());
		NEED(waitpid(pid, &status, 0) == pid);
		if (status != 0 && !bad++)
			observe_status("first bad child", status);
	}
	observe("bad children %d, parent %d", bad, live_one_life("parent", 2));
	return 0;
}
