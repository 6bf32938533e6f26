/* I/O of every kind with one exit status: what a child, a thread or an exec'd program does. */
#ifndef LIVES_H
#define LIVES_H

#include "observe.h"

#define LIFE_BYTES (1 * MIB)

/* 0 when everything was right, else the number of the first step that was not. */
OBSERVE int live_one_life(const char *path, uint64_t seed)
{
	char *buffer = mmap(NULL, LIFE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	struct iovec two[2] = {{buffer, LIFE_BYTES / 2}, {buffer + LIFE_BYTES / 2, LIFE_BYTES / 2}};
	int fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644);
	int step = 1;

	if (buffer == MAP_FAILED || fd < 0)
		return 1;
	pattern_fill(buffer, LIFE_BYTES, seed, 0);
	errno = ERRNO_MARK;
#define STEP(condition)                                                                            \
	do {                                                                                       \
		step++;                                                                            \
		if (!(condition))                                                                  \
			return step;                                                               \
	} while (0)
	STEP(pwrite(fd, buffer, LIFE_BYTES, 0) == LIFE_BYTES);
	STEP(fdatasync(fd) == 0);
	memset(buffer, 0, LIFE_BYTES);
	STEP(pread(fd, buffer, LIFE_BYTES, 0) == LIFE_BYTES);
	STEP(pattern_matches(buffer, LIFE_BYTES, seed, 0) == LIFE_BYTES);
	STEP(pwritev(fd, two, 2, LIFE_BYTES) == LIFE_BYTES);
	STEP(fsync(fd) == 0);
	memset(buffer, 0, LIFE_BYTES);
	STEP(preadv(fd, two, 2, LIFE_BYTES) == LIFE_BYTES);
	STEP(pattern_matches(buffer, LIFE_BYTES, seed, 0) == LIFE_BYTES);
	STEP(read(fd, buffer, PAGE) == PAGE);
	STEP(write(fd, buffer, PAGE) == PAGE);
	STEP(errno == ERRNO_MARK);
	STEP(close(fd) == 0);
	STEP(munmap(buffer, LIFE_BYTES) == 0);
#undef STEP
	return 0;
}

#endif
