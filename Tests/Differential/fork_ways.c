/* differential: fork by every means, and I/O on both sides of it; direct */
#include "lives.h"

#include <sched.h>
#include <signal.h>

static int inherited;
static char *buffer;

/* The child lives on what it inherited and on what it makes. */
static int child_life(void)
{
	int wrong = live_one_life("child", 2);

	if (wrong)
		return wrong;
	memset(buffer, 0, LIFE_BYTES);
	if (pread(inherited, buffer, LIFE_BYTES, 0) != LIFE_BYTES)
		return 50;
	if (pattern_matches(buffer, LIFE_BYTES, 1, 0) != LIFE_BYTES)
		return 51;
	if (fsync(inherited) != 0 || fdatasync(inherited) != 0)
		return 52;
	return 0;
}

static void *thread_life(void *argument)
{
	char path[] = "thread0";

	path[6] += (char)(intptr_t)argument;
	return (void *)(intptr_t)live_one_life(path, 3);
}

static int clone_body(void *argument)
{
	(void)argument;
	return child_life();
}

static pid_t by_clone(int flags)
{
	char *stack = pages(256 * KIB);

	return clone(clone_body, stack + 256 * KIB, flags | SIGCHLD, NULL);
}

static pid_t raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t raw_clone3(void)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} how = {.exit_signal = SIGCHLD};

	return (pid_t)syscall(SYS_clone3, &how, sizeof(how));
}

static pid_t raw_fork(void)
{
	return (pid_t)syscall(SYS_fork);
}

static const struct {
	const char *name;
	pid_t (*go)(void);
} ways[] = {{"fork", fork},
	    {"_Fork", _Fork},
	    {"syscall fork", raw_fork},
	    {"syscall clone", raw_clone},
	    {"syscall clone3", raw_clone3}};

static void one_way(const char *name, pid_t (*go)(void))
{
	pid_t pid = go();

	if (pid == 0)
		_exit(child_life());
	observe_child(name, pid);
	observe("%s parent: %d", name, child_life());
	pid = go();
	if (pid == 0) {
		pid_t second = go();
		int status = 0;

		if (second == 0)
			_exit(child_life());
		if (waitpid(second, &status, 0) != second || status != 0)
			_exit(90);
		_exit(child_life());
	}
	observe_child("grandchild", pid);
}

/* Normal exit of a child runs its handlers; threads may be made in it. */
static void child_with_threads(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t threads[4];
		intptr_t wrong = 0;
		void *answer;

		for (intptr_t index = 0; index < 4; index++)
			NEED(pthread_create(&threads[index], NULL, thread_life, (void *)index) ==
			     0);
		for (int index = 0; index < 4; index++) {
			NEED(pthread_join(threads[index], &answer) == 0);
			wrong += (intptr_t)answer;
		}
		exit(wrong ? 91 : child_life());
	}
	observe_child("child with threads", pid);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(LIFE_BYTES);
	make_file("inherited", LIFE_BYTES, 1);
	inherited = open("inherited", O_RDWR | O_DIRECT);
	NEED(inherited >= 0);
	for (int warm = 0; warm < 2; warm++) {
		observe("== %s", warm ? "after I/O" : "before any I/O");
		for (size_t index = 0; index < sizeof(ways) / sizeof(ways[0]); index++) {
			if (warm)
				observe("warm: %d", child_life());
			one_way(ways[index].name, ways[index].go);
		}
		observe_child("clone", by_clone(0));
		observe_child("clone with files", by_clone(CLONE_FILES));
		observe_child("clone with file system", by_clone(CLONE_FS));
		child_with_threads();
		observe("parent: %d", child_life());
	}
	return 0;
}
