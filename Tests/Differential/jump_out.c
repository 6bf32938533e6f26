/* differential: siglongjmp out of a handler in the middle of I/O; direct */
#include "observe.h"

#include <setjmp.h>
#include <sys/time.h>

#define LARGE (1 * MIB)
#define FILES 8
#define JUMPS 80

static sigjmp_buf landing;
static volatile sig_atomic_t armed;
static volatile sig_atomic_t jumps;
static char *victim;
static char *checked;
static int fd;

static void jump(int number)
{
	(void)number;
	if (armed) {
		armed = 0;
		jumps++;
		siglongjmp(landing, 1);
	}
}

static void timer(long microseconds)
{
	struct itimerval once = {{0, 0}, {0, microseconds}};

	NEED(setitimer(ITIMER_REAL, &once, NULL) == 0);
}

static void endless_calls(int kind)
{
	struct iovec two[2] = {{victim, LARGE / 2}, {victim + LARGE / 2, LARGE / 2}};

	for (;;) {
		if (kind == 0)
			NEED(pread(fd, victim, LARGE, 0) == LARGE);
		else if (kind == 1)
			NEED(preadv(fd, two, 2, 0) == LARGE);
		else if (kind == 2)
			NEED(pwrite(fd, victim, LARGE, LARGE) == LARGE);
		else if (kind == 3)
			NEED(fdatasync(fd) == 0);
		else
			NEED(pread(fd, victim, PAGE, 0) == PAGE);
	}
}

/*
 * After the jump the program thinks the call is over and uses its memory for something else: no
 * late completion may write into it, and further calls must work.
 */
static void one_kind(const char *name, int kind)
{
	volatile int bad = 0;
	volatile int round;

	jumps = 0;
	for (round = 0; round < JUMPS; round++) {
		if (sigsetjmp(landing, 1) == 0) {
			armed = 1;
			timer(200 + round % 37 * 50);
			endless_calls(kind);
		}
		pattern_fill(victim, LARGE, 1000 + (uint64_t)round, 0);
		if (round % 10 == 0) {
			memset(checked, 0, LARGE);
			bad += pread(fd, checked, LARGE, 0) != LARGE;
			bad += pattern_matches(checked, LARGE, 77, 0) != LARGE;
			bad += fsync(fd) != 0;
		}
		bad += pattern_matches(victim, LARGE, 1000 + (uint64_t)round, 0) != LARGE;
	}
	observe("%s: %d jumps, %d wrong", name, (int)jumps, bad);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	victim = pages(LARGE);
	checked = pages(LARGE);
	make_file("jumped", 2 * LARGE, 77);
	fd = open("jumped", O_RDWR | O_DIRECT);
	NEED(fd >= 0);
	handle_signal(SIGALRM, jump, 0);
	one_kind("pread", 0);
	one_kind("preadv", 1);
	one_kind("pwrite", 2);
	one_kind("fdatasync", 3);
	one_kind("small pread", 4);
	close(fd);
	fd = open("jumped", O_RDONLY | O_DIRECT);
	memset(checked, 0, LARGE);
	CALL(pread(fd, checked, LARGE, 0));
	observe_bytes("content", checked, LARGE);
	unlink("jumped");
	return 0;
}
