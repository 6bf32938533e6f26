/*
 * A library that goes before the replayer and makes its storage faulty, or shows the order of its
 * calls. FAULT says how; it is about transfers of 4096 bytes at the offset FAULT_OFFSET:
 *
 *	lost       the write is acknowledged and not made
 *	torn       only its first half is made
 *	misplaced  it is made one block further
 *	stale      the first read after it shows what was there before
 *	hold       the write waits until one at FAULT_UNTIL has begun
 *	halves     a read sees the write when its first half is made
 *
 * FAULT_LOG names a file that gets a line for the begin and the end of each write and sync.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_fdatasync)(int);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *fault = "";
static off_t place = -1, until = -1;
static int log_file = -1, is_released, is_stale, is_begun;
static _Alignas(BLOCK) char old_block[BLOCK];

__attribute__((constructor)) static void start(void)
{
	real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	real_pread = dlsym(RTLD_NEXT, "pread");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	if (getenv("FAULT"))
		fault = getenv("FAULT");
	if (getenv("FAULT_OFFSET"))
		place = atol(getenv("FAULT_OFFSET"));
	if (getenv("FAULT_UNTIL"))
		until = atol(getenv("FAULT_UNTIL"));
	if (getenv("FAULT_LOG"))
		log_file = open(getenv("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
}

static int is(const char *name)
{
	return strcmp(fault, name) == 0;
}

static void note(const char *what, off_t offset)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %ld\n", what, (long)offset);

	if (log_file >= 0 && write(log_file, line, (size_t)length) != length)
		abort();
}

static void set(int *flag)
{
	pthread_mutex_lock(&lock);
	*flag = 1;
	pthread_mutex_unlock(&lock);
}

static void await(const int *flag)
{
	/* The bound only keeps a broken replayer from waiting for ever. */
	for (int i = 0; i < 3000; i++) {
		int is_set;

		pthread_mutex_lock(&lock);
		is_set = *flag;
		pthread_mutex_unlock(&lock);
		if (is_set)
			return;
		usleep(10000);
	}
}

static ssize_t write_faulty(int fd, const char *bytes, size_t count, off_t offset)
{
	if (is("lost"))
		return (ssize_t)count;
	if (is("torn"))
		return real_pwrite(fd, bytes, count / 2, offset) < 0 ? -1 : (ssize_t)count;
	if (is("misplaced"))
		return real_pwrite(fd, bytes, count, offset + BLOCK);
	if (is("stale")) {
		is_stale = real_pread(fd, old_block, BLOCK, offset) == BLOCK;
		return real_pwrite(fd, bytes, count, offset);
	}
	if (is("halves")) {
		if (real_pwrite(fd, bytes, count / 2, offset) < 0)
			return -1;
		set(&is_begun);
		await(&is_released);
	}
	if (is("hold"))
		await(&is_released);
	return real_pwrite(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
	ssize_t result;

	if (count != BLOCK)
		return real_pwrite(fd, bytes, count, offset);
	note("begin", offset);
	if (offset == until)
		set(&is_released);
	result = offset == place ? write_faulty(fd, bytes, count, offset)
				 : real_pwrite(fd, bytes, count, offset);
	note("end", offset);
	return result;
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset)
{
	if (is_stale && count == BLOCK && offset == place) {
		is_stale = 0;
		memcpy(bytes, old_block, BLOCK);
		return BLOCK;
	}
	if (is("halves") && count == BLOCK && offset == place) {
		ssize_t result;

		await(&is_begun);
		result = real_pread(fd, bytes, count, offset);
		set(&is_released);
		return result;
	}
	return real_pread(fd, bytes, count, offset);
}

ssize_t pread64(int fd, void *bytes, size_t count, off_t offset)
{
	return pread(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
{
	return pwrite(fd, bytes, count, offset);
}

int fdatasync(int fd)
{
	note("sync", 0);
	return real_fdatasync(fd);
}
