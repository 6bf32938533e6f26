/*
 * Programs that are recorded say themselves what they did: a line a call on the standard output,
 * "operation file offset length result", which the test compares with the trace.
 */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;

static __attribute__((unused)) void said(const char *operation, const char *file, long offset,
					 long length, long result)
{
	pthread_mutex_lock(&output_lock);
	printf("%s %s %ld %ld %ld\n", operation, file, offset, length, result);
	fflush(stdout);
	pthread_mutex_unlock(&output_lock);
}

static __attribute__((unused)) void check(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(3);
	}
}

#endif
