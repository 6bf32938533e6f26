/*
 * What the programs about POSIX AIO share.
 *
 * The C library serves the requests of one descriptor one after another and a
 * ring serves them together, so a program prints nothing that depends on which
 * of several requests finishes first. Whether the front request of a descriptor
 * has been taken up is certain only in a process that made no request before:
 * programs that examine it do so in a child of their own.
 */
#ifndef POSIX_AIO_H
#define POSIX_AIO_H

#include "observe.h"

#include <aio.h>
#include <dirent.h>

#ifdef __USE_FILE_OFFSET64
#define AIO_NAMES "64"
#else
#define AIO_NAMES "plain"
#endif

/* A request as a program makes it: everything that is not named here is zero. */
OBSERVE void aio_prepare(struct aiocb *request, int fd, void *buffer, size_t bytes, off_t offset)
{
	memset(request, 0, sizeof(*request));
	request->aio_fildes = fd;
	request->aio_buf = buffer;
	request->aio_nbytes = bytes;
	request->aio_offset = offset;
	request->aio_sigevent.sigev_notify = SIGEV_NONE;
}

/* Until the request has ended; handlers that run meanwhile change nothing. */
OBSERVE int aio_wait(const struct aiocb *request)
{
	const struct aiocb *const list[1] = {request};
	int error;

	while ((error = aio_error(request)) == EINPROGRESS)
		if (aio_suspend(list, 1, NULL) != 0)
			NEED(errno == EINTR);
	return error;
}

OBSERVE void aio_wait_all(struct aiocb *requests, int count)
{
	for (int index = 0; index < count; index++)
		aio_wait(&requests[index]);
}

/* What aio_error and aio_return say at this moment. */
OBSERVE void aio_observe_now(const char *label, struct aiocb *request)
{
	int error = aio_error(request);
	ssize_t result = aio_return(request);

	observe("%s: error %s, return %zd", label, error == 0 ? "none" : error_name(error), result);
}

OBSERVE ssize_t aio_observe(const char *label, struct aiocb *request)
{
	aio_wait(request);
	aio_observe_now(label, request);
	return aio_return(request);
}

/* The bytes of a request that moved, and a hash of them. */
OBSERVE void aio_observe_read(const char *label, struct aiocb *request)
{
	ssize_t result = aio_observe(label, request);

	if (result > 0)
		observe_bytes("  ", (const void *)request->aio_buf, (size_t)result);
}

/* A scenario in a process that made no request before. */
OBSERVE void aio_in_child(const char *label, void (*scenario)(void))
{
	pid_t child;

	observe("== %s", label);
	child = fork();
	if (child == 0) {
		scenario();
		exit(0);
	}
	observe_child(label, child);
}

OBSERVE int aio_count_tasks(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	int count = 0;

	NEED(tasks);
	while ((entry = readdir(tasks)))
		count += entry->d_name[0] != '.';
	closedir(tasks);
	return count;
}

/* Whether there are as many tasks within a time that only a stuck helper outlasts. */
OBSERVE int aio_tasks_become(int expected)
{
	for (int turn = 0; turn < 1200; turn++) {
		if (aio_count_tasks() == expected)
			return 1;
		pause_microseconds(50000);
	}
	return 0;
}

/*
 * Whether this run must show what the C library does not do and the ring does. Where
 * io_uring is not to be had the requests are the C library's.
 */
OBSERVE int aio_ring_expected(void)
{
	const char *mode = getenv("IOTRAP_MODE");
	const char *settings = getenv("IOTRAP_SET");
	const char *preload = getenv("LD_PRELOAD");
	char parameters[128] = {0};
	long ring;

	if (!preload || !mode || strcmp(mode, "force") != 0)
		return 0;
	if (settings && (strstr(settings, "backend=plain") || strstr(settings, "posix-aio=off")))
		return 0;
	ring = syscall(SYS_io_uring_setup, 1, parameters);
	if (ring < 0)
		return 0;
	close((int)ring);
	return 1;
}

#endif
