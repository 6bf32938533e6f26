/* differential: handlers that do I/O while the same thread is inside a call; direct */
#include "observe.h"

#include <sys/time.h>

#define LARGE (1 * MIB)
#define ROUNDS 80
#define PERIOD 3000 /* microseconds */

static int outer_fd;
static int inner_fd;
static int buffered_fd;
static char *outer;
static char *inner;
static volatile sig_atomic_t handled;
static volatile sig_atomic_t inner_bad;
static volatile sig_atomic_t going;

/* Once each time, so that slow I/O in the handler cannot keep the thread in it for ever. */
static void timer(long microseconds)
{
	struct itimerval once = {{0, 0}, {0, microseconds}};

	NEED(setitimer(ITIMER_REAL, &once, NULL) == 0);
}

/* Everything a handler may call that is hooked and async-signal-safe. */
static void handler(int number)
{
	int saved = errno;
	int turn = handled++;
	char small[100];

	(void)number;
	memset(inner, turn, LARGE);
	inner_bad += pwrite(inner_fd, inner, LARGE, 0) != LARGE;
	memset(inner, turn + 1, LARGE);
	inner_bad += pread(inner_fd, inner, LARGE, 0) != LARGE;
	inner_bad += inner[0] != (char)turn || inner[LARGE - 1] != (char)turn;
	inner_bad += pread(buffered_fd, small, sizeof(small), 5) != sizeof(small);
	inner_bad += turn % 8 == 0 && fsync(inner_fd) != 0;
	inner_bad += turn % 8 == 4 && fdatasync(outer_fd) != 0;
	inner_bad += pread(-1, small, 1, 0) != -1 || errno != EBADF;
	if (going)
		timer(PERIOD);
	errno = saved;
}

static void one_kind(const char *name, int kind)
{
	struct iovec two[2] = {{outer, LARGE / 2}, {outer + LARGE / 2, LARGE / 2}};
	int bad = 0;

	handled = 0;
	inner_bad = 0;
	going = 1;
	timer(PERIOD);
	for (int round = 0; round < ROUNDS || handled < 10; round++) {
		uint64_t seed = (uint64_t)round;

		errno = ERRNO_MARK;
		pattern_fill(outer, LARGE, seed, 0);
		if (kind == 0) {
			bad += pwrite(outer_fd, outer, LARGE, 0) != LARGE;
			memset(outer, 0, LARGE);
			bad += pread(outer_fd, outer, LARGE, 0) != LARGE;
		} else if (kind == 1) {
			bad += pwritev(outer_fd, two, 2, 0) != LARGE;
			memset(outer, 0, LARGE);
			bad += preadv(outer_fd, two, 2, 0) != LARGE;
		} else {
			bad += pwrite(outer_fd, outer, PAGE, 0) != PAGE;
			bad += fsync(outer_fd) != 0;
			bad += fdatasync(outer_fd) != 0;
			bad += pread(outer_fd, outer, PAGE, 0) != PAGE;
		}
		bad += pattern_matches(outer, LARGE, seed, 0) != LARGE;
		bad += errno != ERRNO_MARK;
	}
	going = 0;
	timer(0);
	observe("%s: %d wrong, in the handler %d", name, bad, (int)inner_bad);
}

static void *thread_body(void *argument)
{
	one_kind(argument, 0);
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t thread;
	sigset_t alarm_only;

	observe_begin(count, arguments);
	require_direct();
	outer = pages(LARGE);
	inner = pages(LARGE);
	make_file("buffered", 10000, 1);
	buffered_fd = open("buffered", O_RDONLY);
	outer_fd = open("outer", O_CREAT | O_RDWR | O_DIRECT, 0644);
	inner_fd = open("inner", O_CREAT | O_RDWR | O_DIRECT, 0644);
	NEED(buffered_fd >= 0 && outer_fd >= 0 && inner_fd >= 0);
	handle_signal(SIGALRM, handler, SA_RESTART);
	one_kind("pread and pwrite", 0);
	one_kind("preadv and pwritev", 1);
	one_kind("syncs", 2);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	/* The first calls of a new thread, where its ring would be made. */
	NEED(pthread_create(&thread, NULL, thread_body, "in a thread") == 0);
	NEED(pthread_sigmask(SIG_BLOCK, &alarm_only, NULL) == 0);
	NEED(pthread_join(thread, NULL) == 0);
	unlink("outer");
	unlink("inner");
	unlink("buffered");
	return 0;
}
