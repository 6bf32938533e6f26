/* differential: EINTR and SA_RESTART: a storm of signals on pipes and O_DIRECT I/O; direct */
#include "observe.h"

#include <sys/time.h>

#define LARGE (1 * MIB)
#define ROUNDS 60

static volatile sig_atomic_t signals;
static char *buffer;
static int pipe_ends[2];
static pthread_t main_thread;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void storm(long microseconds)
{
	struct itimerval every = {{0, microseconds}, {0, microseconds}};

	NEED(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

/* Signals the main thread until its handler ran, then gives what it waits for. */
static void *signal_then_write(void *argument)
{
	(void)argument;
	while (signals == 0) {
		pause_microseconds(2000);
		pthread_kill(main_thread, SIGUSR1);
	}
	/* A restarted call is waiting again, an interrupted one has gone: either way there is data.
	 */
	pause_microseconds(20000);
	NEED(write(pipe_ends[1], "arrived", 7) == 7);
	return NULL;
}

static void waiting(const char *name, int flags)
{
	struct iovec one = {buffer, 100};
	pthread_t helper;

	for (int way = 0; way < 3; way++) {
		long long result;

		signals = 0;
		handle_signal(SIGUSR1, count_signal, flags);
		NEED(pipe(pipe_ends) == 0);
		NEED(pthread_create(&helper, NULL, signal_then_write, NULL) == 0);
		errno = ERRNO_MARK;
		if (way == 0)
			result = read(pipe_ends[0], buffer, 100);
		else if (way == 1)
			result = readv(pipe_ends[0], &one, 1);
		else
			result = preadv2(pipe_ends[0], &one, 1, -1, 0);
		observe_result(name, result, errno);
		NEED(pthread_join(helper, NULL) == 0);
		close(pipe_ends[0]);
		close(pipe_ends[1]);
	}
}

static void *drain(void *argument)
{
	char part[3000];
	ssize_t result;
	size_t *total = argument;

	while ((result = read(pipe_ends[0], part, sizeof(part))) > 0 ||
	       (result == -1 && errno == EINTR))
		*total += result > 0 ? (size_t)result : 0;
	return NULL;
}

/* What goes through a pipe in a storm arrives whole, with short counts and EINTR made up for. */
static void pipe_storm(const char *name, int flags)
{
	size_t total = 0;
	size_t sent = 0;
	int interrupted_wrongly = 0;
	pthread_t helper;

	handle_signal(SIGALRM, count_signal, flags);
	NEED(pipe(pipe_ends) == 0);
	NEED(pthread_create(&helper, NULL, drain, &total) == 0);
	storm(300);
	while (sent < 40 * (size_t)MIB) {
		ssize_t result = write(pipe_ends[1], buffer, LARGE);

		if (result > 0)
			sent += (size_t)result;
		else if (errno != EINTR || (flags & SA_RESTART))
			interrupted_wrongly++;
	}
	storm(0);
	close(pipe_ends[1]);
	NEED(pthread_join(helper, NULL) == 0);
	close(pipe_ends[0]);
	observe("%s pipe: all arrived %d, wrong errors %d", name, total == sent,
		interrupted_wrongly);
}

/* A regular file's I/O is never cut short by a signal. */
static void file_storm(const char *name, int flags, int open_flags, long microseconds)
{
	int fd = open("storm", O_CREAT | O_RDWR | open_flags, 0644);
	int bad = 0;

	NEED(fd >= 0);
	handle_signal(SIGALRM, count_signal, flags);
	signals = 0;
	storm(microseconds);
	for (int round = 0; round < ROUNDS || signals < 20; round++) {
		struct iovec two[2] = {{buffer, LARGE / 2}, {buffer + LARGE / 2, LARGE / 2}};

		pattern_fill(buffer, LARGE, (uint64_t)round, 0);
		bad += pwrite(fd, buffer, LARGE, 0) != LARGE;
		memset(buffer, 0, LARGE);
		bad += pread(fd, buffer, LARGE, 0) != LARGE;
		bad += pattern_matches(buffer, LARGE, (uint64_t)round, 0) != LARGE;
		bad += preadv(fd, two, 2, 0) != LARGE;
		bad += round % 8 == 0 && fsync(fd) != 0;
		bad += round % 8 == 4 && fdatasync(fd) != 0;
		bad += lseek(fd, 0, SEEK_SET) != 0;
		bad += read(fd, buffer, LARGE / 2) != LARGE / 2;
		bad += write(fd, buffer + LARGE / 2, LARGE / 2) != LARGE / 2;
	}
	storm(0);
	observe("%s: %d wrong", name, bad);
	close(fd);
	unlink("storm");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	main_thread = pthread_self();
	buffer = pages(LARGE);
	waiting("interrupted", 0);
	waiting("restarted", SA_RESTART);
	pipe_storm("interrupted", 0);
	pipe_storm("restarted", SA_RESTART);
	file_storm("direct, interrupted", 0, O_DIRECT, 500);
	file_storm("direct, restarted", SA_RESTART, O_DIRECT, 500);
	file_storm("direct, dense", SA_RESTART, O_DIRECT, 100);
	file_storm("buffered, interrupted", 0, 0, 500);
	file_storm("buffered, restarted", SA_RESTART, 0, 500);
	return 0;
}
