/* differential: fork while other threads are in the middle of calls; direct */
#include "lives.h"

#define THREADS 6
#define FORKS 40

static volatile int stop;
static int shared_fd;

struct worker {
	pthread_t thread;
	int number;
	int wrong;
};

static void *work(void *argument)
{
	struct worker *self = argument;
	char path[32];

	snprintf(path, sizeof(path), "worker%d", self->number);
	for (int round = 0; round < 5 || !stop; round++) {
		int step = live_one_life(path, (uint64_t)round);

		if (step && !self->wrong)
			self->wrong = step;
		if (fsync(shared_fd) != 0 || fdatasync(shared_fd) != 0)
			self->wrong = 100;
	}
	return NULL;
}

static void *child_thread(void *argument)
{
	(void)argument;
	return (void *)(intptr_t)live_one_life("child", 8);
}

static int child(int turn)
{
	pthread_t thread;
	void *answer = NULL;
	int wrong = live_one_life("child", (uint64_t)turn);

	if (wrong)
		return wrong;
	if (fsync(shared_fd) != 0 || fdatasync(shared_fd) != 0)
		return 60;
	if (turn % 4 == 0) {
		if (pthread_create(&thread, NULL, child_thread, NULL) != 0)
			return 61;
		if (pthread_join(thread, &answer) != 0)
			return 62;
	}
	return (int)(intptr_t)answer;
}

int main(int count, char **arguments)
{
	struct worker workers[THREADS] = {0};
	int wrong_status = 0;

	observe_begin(count, arguments);
	require_direct();
	make_file("shared", 64 * KIB, 1);
	shared_fd = open("shared", O_RDWR | O_DIRECT);
	NEED(shared_fd >= 0);
	for (int index = 0; index < THREADS; index++) {
		workers[index].number = index;
		NEED(pthread_create(&workers[index].thread, NULL, work, &workers[index]) == 0);
	}
	for (int turn = 0; turn < FORKS; turn++) {
		pid_t pid = turn % 3 == 2 ? _Fork() : fork();
		int status = 0;

		if (pid == 0)
			_exit(turn % 3 == 2 ? live_one_life("child", 9) : child(turn));
		NEED(waitpid(pid, &status, 0) == pid);
		if (status != 0 && !wrong_status++)
			observe_status("first bad child", status);
		pause_microseconds(turn * 100);
	}
	stop = 1;
	for (int index = 0; index < THREADS; index++) {
		NEED(pthread_join(workers[index].thread, NULL) == 0);
		observe("worker %d: %d", index, workers[index].wrong);
	}
	observe("bad children %d, parent %d", wrong_status, live_one_life("child", 10));
	for (int index = 0; index < THREADS; index++) {
		char path[32];

		snprintf(path, sizeof(path), "worker%d", index);
		unlink(path);
	}
	return 0;
}
