/* differential: waits of a thread with requests under way are left alone; direct */
#include "aio.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

#define BATCH 32
#define FILE_PAGES 2048
#define WAIT_MILLISECONDS 15

static const struct timespec wait_time = {0, WAIT_MILLISECONDS * 1000000L};
static char *memory;
static struct iocb requests[BATCH];
static struct iocb *list[BATCH];
static int file;
static int semaphores;
static int queue;
static int pipes[2];
static int sockets[2];
static long next_page;

static long wait_nanosleep(void)
{
	struct timespec left = {9, 9}, span = wait_time;

	return nanosleep(&span, &left);
}

static long wait_clock_nanosleep(void)
{
	struct timespec span = wait_time;

	return -clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

static long wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(queue, &event, 1, WAIT_MILLISECONDS);
}

static long wait_epoll_masked(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(queue, &event, 1, WAIT_MILLISECONDS, &none);
}

static long wait_poll(void)
{
	struct pollfd one = {pipes[0], POLLIN, 0};

	return poll(&one, 1, WAIT_MILLISECONDS);
}

static long wait_ppoll(void)
{
	struct pollfd one = {pipes[0], POLLIN, 0};
	struct timespec span = wait_time;
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&one, 1, &span, &none);
}

static long wait_select(void)
{
	struct timeval span = {0, WAIT_MILLISECONDS * 1000};

	return select(0, NULL, NULL, NULL, &span);
}

static long wait_semaphore(void)
{
	struct sembuf take = {0, -1, 0};
	struct timespec span = wait_time;

	return semtimedop(semaphores, &take, 1, &span);
}

static long wait_signal(void)
{
	struct timespec span = wait_time;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &span);
}

static long wait_socket(void)
{
	char byte;

	return recv(sockets[0], &byte, 1, 0);
}

static long wait_usleep(void)
{
	return usleep(WAIT_MILLISECONDS * 1000);
}

static const struct {
	const char *name;
	long (*wait)(void);
} waits[] = {
	{"nanosleep", wait_nanosleep}, {"clock_nanosleep", wait_clock_nanosleep},
	{"epoll_wait", wait_epoll},    {"epoll_pwait", wait_epoll_masked},
	{"poll", wait_poll},           {"ppoll", wait_ppoll},
	{"select", wait_select},       {"semtimedop", wait_semaphore},
	{"sigtimedwait", wait_signal}, {"recv with a time", wait_socket},
	{"usleep", wait_usleep},
};

static void submit(const struct aio_way *way, io_context_t context, int opcode)
{
	for (int index = 0; index < BATCH; index++) {
		next_page = (next_page + 61) % FILE_PAGES;
		aio_prepare(&requests[index], opcode, file, memory + index * PAGE, PAGE,
			    next_page * PAGE);
		if (opcode == IO_CMD_PWRITE)
			pattern_fill(memory + index * PAGE, PAGE, 6, (uint64_t)next_page * PAGE);
		requests[index].data = (void *)(uintptr_t)index;
		list[index] = &requests[index];
	}
	NEED(way->submit(context, BATCH, list) == BATCH);
}

/* Each wait ends when its time is over, not when a request is done. */
static void every_wait(const struct aio_way *way, io_context_t context, const char *state)
{
	struct io_event events[BATCH];
	int wrong = 0;

	for (size_t index = 0; index < sizeof(waits) / sizeof(waits[0]); index++) {
		int interrupted = 0, others = 0;
		long result = 0;

		for (int round = 0; round < 6; round++) {
			submit(way, context, round % 2 ? IO_CMD_PWRITE : IO_CMD_PREAD);
			errno = 0;
			result = waits[index].wait();
			interrupted += errno == EINTR;
			others += result > 0;
			aio_reap(way, context, BATCH, events);
			for (int event = 0; event < BATCH; event++)
				wrong += (long)events[event].res != PAGE;
		}
		observe("%s %s %s: %ld, %d interrupted, %d other, last %s", way->name, state,
			waits[index].name, result, interrupted, others,
			errno ? error_name(errno) : "no error");
	}
	observe("%d wrong", wrong);
}

/* A thread that only computes meanwhile finds its data in place when it looks. */
static void descriptors(const struct aio_way *way, io_context_t context)
{
	uint64_t total = 0, value;
	int event = eventfd(0, EFD_CLOEXEC);

	NEED(event >= 0);
	for (int round = 0; round < 20; round++) {
		struct io_event events[BATCH];

		next_page = round;
		for (int index = 0; index < BATCH; index++) {
			aio_prepare(&requests[index], IO_CMD_PREAD, file, memory + index * PAGE,
				    PAGE, index * PAGE);
			requests[index].u.c.flags = AIO_FLAG_RESFD;
			requests[index].u.c.resfd = (unsigned)event;
			list[index] = &requests[index];
		}
		NEED(way->submit(context, BATCH, list) == BATCH);
		/* Nothing but the descriptor is waited for: it must come by itself. */
		for (total = 0; total < BATCH; total += value)
			NEED(read(event, &value, sizeof(value)) == sizeof(value));
		aio_reap(way, context, BATCH, events);
	}
	observe("%s: told by a descriptor", way->name);
	NEED(close(event) == 0);
}

int main(int count, char **arguments)
{
	struct timeval limit = {0, WAIT_MILLISECONDS * 1000};
	sigset_t set;

	observe_begin(count, arguments);
	require_direct();
	memory = pages(BATCH * PAGE);
	make_file("spurious", FILE_PAGES * PAGE, 6);
	file = open("spurious", O_RDWR | O_DIRECT);
	NEED(file >= 0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	queue = epoll_create1(EPOLL_CLOEXEC);
	NEED(semaphores >= 0 && queue >= 0 && pipe(pipes) == 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	NEED(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (int index = 0; index < AIO_WAYS; index++) {
		const struct aio_way *way = &aio_ways[index];
		io_context_t context = aio_begin(way, BATCH);

		if (index == 0)
			every_wait(way, context, "fresh");
		aio_warm(way, context);
		every_wait(way, context, "warm");
		descriptors(way, context);
		aio_end(way, context);
	}
	NEED(semctl(semaphores, 0, IPC_RMID) == 0);
	NEED(close(file) == 0);
	observe_file("spurious");
	unlink("spurious");
	return 0;
}
