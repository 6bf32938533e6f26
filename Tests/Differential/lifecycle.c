/* differential: I/O before main, after it, and when threads end; direct */
#include "lives.h"

static pthread_key_t key;
static int ready;

/* Before main nothing says where the scratch directory is: the argument list does. */
static __attribute__((constructor)) void before_main(int count, char **arguments)
{
	if (count < 2)
		return;
	NEED(chdir(arguments[1]) == 0);
	observe("constructor: %d", live_one_life("constructor", 1));
	ready = 1;
}

static __attribute__((destructor)) void after_main(void)
{
	if (ready)
		observe("destructor: %d", live_one_life("destructor", 2));
}

static void at_exit(void)
{
	observe("atexit: %d", live_one_life("atexit", 3));
}

/* Runs once more for each time it sets its key again, as a thread ends. */
static void at_thread_exit(void *value)
{
	intptr_t turn = (intptr_t)value;

	observe("thread destructor %ld: %d", (long)turn, live_one_life("thread", 4));
	if (turn < 3)
		pthread_setspecific(key, (void *)(turn + 1));
}

static void *first_call_in_destructor(void *argument)
{
	pthread_setspecific(key, (void *)1);
	return argument;
}

static void *calls_before_too(void *argument)
{
	observe("thread: %d", live_one_life("thread", 5));
	pthread_setspecific(key, (void *)1);
	return argument;
}

static void *leave_by_exit(void *argument)
{
	observe("last thread: %d", live_one_life("thread", 6));
	exit((int)(intptr_t)argument);
}

static void child(const char *name, void (*end)(int))
{
	pid_t pid = fork();

	if (pid == 0) {
		observe("%s: %d", name, live_one_life("child", 7));
		end(4);
		pause();
	}
	observe_child(name, pid);
}

static void by_signal(int status)
{
	raise(SIGTERM + 0 * status);
}

static void by_abort(int status)
{
	(void)status;
	abort();
}

static void by_system_call(int status)
{
	syscall(SYS_exit_group, status);
}

static void by_thread_exit(int status)
{
	(void)status;
	pthread_exit(NULL);
}

int main(int count, char **arguments)
{
	void *(*const bodies[])(void *) = {first_call_in_destructor, calls_before_too};
	pthread_t thread;

	if (count < 2 || !ready)
		return 2;
	arguments[1] = ".";
	observe_begin(count, arguments);
	require_direct();
	NEED(atexit(at_exit) == 0);
	NEED(pthread_key_create(&key, at_thread_exit) == 0);
	for (int index = 0; index < 2; index++) {
		NEED(pthread_create(&thread, NULL, bodies[index], NULL) == 0);
		NEED(pthread_join(thread, NULL) == 0);
	}
	child("exit", exit);
	child("_exit", _exit);
	child("quick_exit", quick_exit);
	child("exit_group", by_system_call);
	child("signal", by_signal);
	child("abort", by_abort);
	child("pthread_exit of the main thread", by_thread_exit);
	NEED(pthread_create(&thread, NULL, leave_by_exit, (void *)6) == 0);
	pthread_exit(NULL);
}
