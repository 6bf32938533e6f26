/* differential: several threads read and write O_DIRECT, and memory maps look on; direct */
#include "observe.h"

#define THREADS 8
#define ROUNDS 20
#define PART (2 * MIB)

static int shared_fd;

struct worker {
	pthread_t thread;
	int fd;
	int number;
	int wrong;
};

/* Each has a part of the file to itself and the whole file to read others' finished parts. */
static void *body(void *argument)
{
	struct worker *self = argument;
	char *buffer = pages(PART);
	off_t mine = (off_t)self->number * PART;

	for (int round = 0; round < ROUNDS; round++) {
		size_t length = PART >> (round % 4);
		struct iovec three[3] = {{buffer, length / 4},
					 {buffer + length / 4, length / 4},
					 {buffer + length / 2, length / 2}};
		uint64_t seed = (uint64_t)(self->number * 100 + round);

		pattern_fill(buffer, length, seed, 0);
		if (round % 2)
			self->wrong += pwrite(self->fd, buffer, length, mine) != (ssize_t)length;
		else
			self->wrong += pwritev(self->fd, three, 3, mine) != (ssize_t)length;
		memset(buffer, 0, length);
		if (round % 3)
			self->wrong += pread(self->fd, buffer, length, mine) != (ssize_t)length;
		else
			self->wrong += preadv(self->fd, three, 3, mine) != (ssize_t)length;
		self->wrong += pattern_matches(buffer, length, seed, 0) != length;
		self->wrong += round % 5 == 0 && fdatasync(self->fd) != 0;
	}
	pattern_fill(buffer, PART, 7, (uint64_t)mine);
	self->wrong += pwrite(self->fd, buffer, PART, mine) != PART;
	return NULL;
}

static void together(int separate)
{
	struct worker workers[THREADS] = {0};
	int wrong = 0;

	for (int index = 0; index < THREADS; index++) {
		workers[index].number = index;
		workers[index].fd = separate ? open("parts", O_RDWR | O_DIRECT) : shared_fd;
		NEED(pthread_create(&workers[index].thread, NULL, body, &workers[index]) == 0);
	}
	for (int index = 0; index < THREADS; index++) {
		NEED(pthread_join(workers[index].thread, NULL) == 0);
		wrong += workers[index].wrong;
		if (separate)
			close(workers[index].fd);
	}
	observe("%s: %d wrong", separate ? "separate" : "shared", wrong);
	observe_file("parts");
}

/* A private and a shared map of the file are the buffers of its own reads and writes. */
static void through_maps(void)
{
	int fd = open("mapped", O_CREAT | O_RDWR | O_DIRECT, 0644);
	int plain = open("mapped", O_RDWR);
	char *shared;
	char *copy;

	NEED(fd >= 0 && plain >= 0 && ftruncate(fd, 4 * MIB) == 0);
	shared = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, plain, 0);
	copy = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, plain, 0);
	NEED(shared != MAP_FAILED && copy != MAP_FAILED);
	pattern_fill(shared, 2 * MIB, 9, 0);
	NEED(msync(shared, 4 * MIB, MS_SYNC) == 0);
	CALL(pread(shared_fd, copy, 2 * MIB, 0));
	observe_bytes("private map as a buffer", copy, 2 * MIB);
	CALL(pread(fd, copy + 2 * MIB, 2 * MIB, 0));
	observe_bytes("read of what was mapped", copy + 2 * MIB, 2 * MIB);
	CALL(pwrite(fd, copy, 2 * MIB, 2 * MIB));
	CALL(pread(plain, copy, 2 * MIB, 2 * MIB));
	observe_bytes("read back", copy, 2 * MIB);
	CALL(pwrite(fd, shared, 1 * MIB, 3 * MIB));
	CALL(fsync(fd));
	munmap(shared, 4 * MIB);
	munmap(copy, 4 * MIB);
	close(plain);
	close(fd);
	observe_file("mapped");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	make_file("parts", (size_t)THREADS * PART, 1);
	shared_fd = open("parts", O_RDWR | O_DIRECT);
	NEED(shared_fd >= 0);
	together(0);
	together(1);
	through_maps();
	return 0;
}
