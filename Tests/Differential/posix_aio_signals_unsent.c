/* differential: POSIX AIO that fails as a call would with a signal: no signal arrives */
#include "posix_aio.h"

#include <sys/socket.h>

#define LIMIT (64 * KIB)

static char *buffer;
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void try_write(const char *name, int fd, size_t bytes, off_t offset)
{
	struct aiocb request;
	char label[128];
	sigset_t pending;

	snprintf(label, sizeof(label), "%s %zu at %lld", name, bytes, (long long)offset);
	aio_prepare(&request, fd, buffer, bytes, offset);
	CALL_AS(aio_write(&request), "%s", label);
	aio_observe(label, &request);
	NEED(sigpending(&pending) == 0);
	observe("  handled %d, pending SIGXFSZ %d SIGPIPE %d", (int)signals,
		sigismember(&pending, SIGXFSZ), sigismember(&pending, SIGPIPE));
}

static void over_the_limit(int flags)
{
	int fd = open("limited", O_CREAT | O_RDWR | O_TRUNC | flags, 0644);

	NEED(fd >= 0);
	try_write("write", fd, PAGE, 0);
	try_write("write", fd, PAGE, LIMIT - PAGE);
	try_write("write across", fd, 4 * PAGE, LIMIT - 2 * PAGE);
	try_write("write over", fd, PAGE, LIMIT);
	try_write("write far over", fd, PAGE, 10 * LIMIT);
	try_write("write nothing", fd, 0, LIMIT);
	close(fd);
	observe_file("limited");
}

static void limited(int flags, void (*disposition)(int))
{
	struct rlimit limit = {LIMIT, RLIM_INFINITY};
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	handle_signal(SIGXFSZ, disposition, 0);
	NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	over_the_limit(flags);
	NEED(setrlimit(RLIMIT_FSIZE, &unlimited) == 0);
}

static void limited_by_default(void)
{
	limited(0, SIG_DFL);
	limited(O_APPEND, SIG_DFL);
	limited(O_DIRECT, SIG_DFL);
}

static void limited_with_handler(void)
{
	limited(0, count_signal);
	limited(O_APPEND, count_signal);
	limited(O_DIRECT, count_signal);
}

static void nobody_reads(void (*disposition)(int))
{
	int both[2];

	handle_signal(SIGPIPE, disposition, 0);
	NEED(pipe(both) == 0);
	close(both[0]);
	try_write("broken pipe", both[1], 100, 0);
	close(both[1]);
	NEED(pipe2(both, O_NONBLOCK) == 0);
	close(both[0]);
	try_write("broken pipe, not blocking", both[1], 100, 0);
	close(both[1]);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
	close(both[0]);
	try_write("broken socket", both[1], 100, 0);
	close(both[1]);
}

static void broken_by_default(void)
{
	nobody_reads(SIG_DFL);
}

static void broken_with_handler(void)
{
	nobody_reads(count_signal);
}

/* The same of a list of requests, where a call would end the process at the first. */
static void broken_list(void)
{
	struct aiocb requests[2];
	struct aiocb *list[2] = {&requests[0], &requests[1]};
	int both[2];

	NEED(pipe(both) == 0);
	close(both[0]);
	for (int index = 0; index < 2; index++) {
		aio_prepare(list[index], both[1], buffer, 100, 0);
		list[index]->aio_lio_opcode = LIO_WRITE;
	}
	CALL(lio_listio(LIO_WAIT, list, 2, NULL));
	aio_observe("first", list[0]);
	aio_observe("second", list[1]);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(4 * PAGE);
	pattern_fill(buffer, 4 * PAGE, 3, 0);
	aio_in_child("limit, signal by default", limited_by_default);
	aio_in_child("limit, signal handled", limited_with_handler);
	aio_in_child("broken, signal by default", broken_by_default);
	aio_in_child("broken, signal handled", broken_with_handler);
	aio_in_child("broken, list", broken_list);
	unlink("limited");
	return 0;
}
