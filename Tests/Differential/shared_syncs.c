/* differential: threads sync one file through one descriptor, copies and other opens; direct */
#include "observe.h"

#define THREADS 12
#define ROUNDS 25

enum sharing { SHARED, DUPLICATED, SEPARATE, READ_ONLY };

static const char *const sharings[] = {"shared", "duplicated", "separate", "read-only"};

struct syncer {
	pthread_t thread;
	int fd;
	int write_fd;
	int number;
	int wrong;
};

static void *body(void *argument)
{
	struct syncer *self = argument;
	char *page = pages(PAGE);

	for (int round = 0; round < ROUNDS; round++) {
		off_t at = (off_t)(self->number * ROUNDS + round) * PAGE;

		pattern_fill(page, PAGE, 4, (uint64_t)at);
		errno = ERRNO_MARK;
		self->wrong += pwrite(self->write_fd, page, PAGE, at) != PAGE;
		self->wrong += (round % 3 ? fdatasync(self->fd) : fsync(self->fd)) != 0;
		self->wrong += errno != ERRNO_MARK;
		self->wrong += fsync(-1) != -1 || errno != EBADF;
	}
	return NULL;
}

static void one(enum sharing sharing, int flags)
{
	struct syncer syncers[THREADS] = {0};
	size_t bytes = (size_t)THREADS * ROUNDS * PAGE;
	char *content = pages(bytes);
	int wrong = 0;
	int fd;

	make_file("synced", bytes, 1);
	fd = open("synced", O_RDWR | flags);
	NEED(fd >= 0);
	for (int index = 0; index < THREADS; index++) {
		struct syncer *self = &syncers[index];

		self->number = index;
		self->fd = self->write_fd = fd;
		if (sharing == DUPLICATED)
			self->fd = self->write_fd = dup(fd);
		if (sharing == SEPARATE)
			self->fd = self->write_fd = open("synced", O_RDWR | flags);
		if (sharing == READ_ONLY)
			self->fd = open("synced", O_RDONLY);
		NEED(self->fd >= 0);
		NEED(pthread_create(&self->thread, NULL, body, self) == 0);
	}
	for (int index = 0; index < THREADS; index++) {
		NEED(pthread_join(syncers[index].thread, NULL) == 0);
		wrong += syncers[index].wrong;
		if (sharing != SHARED)
			NEED(close(syncers[index].fd) == 0);
	}
	NEED(pread(fd, content, bytes, 0) == (ssize_t)bytes);
	observe("%s flags %x: wrong %d, content right %d", sharings[sharing], flags, wrong,
		pattern_matches(content, bytes, 4, 0) == bytes);
	close(fd);
	munmap(content, bytes + PAGE);
	unlink("synced");
}

/* Syncs of things that cannot be synced, and of files that go away, among those that can. */
static void *sync_pipe(void *argument)
{
	int *ends = argument;
	intptr_t wrong = 0;

	for (int round = 0; round < 100; round++)
		wrong += fsync(ends[round % 2]) != -1 || errno != EINVAL;
	return (void *)wrong;
}

static void *sync_deleted(void *argument)
{
	intptr_t wrong = 0;

	for (int round = 0; round < 20; round++) {
		int fd = open(".", O_TMPFILE | O_RDWR, 0600);

		wrong += pwrite(fd, argument, 0, 0) != 0 || fsync(fd) != 0 || close(fd) != 0;
		wrong += fsync(fd) == 0 && fd < 0;
	}
	return (void *)wrong;
}

static void mixed(void)
{
	pthread_t threads[6];
	intptr_t wrong = 0;
	int ends[2];
	void *answer;

	NEED(pipe(ends) == 0);
	for (int index = 0; index < 6; index++)
		NEED(pthread_create(&threads[index], NULL, index % 2 ? sync_pipe : sync_deleted,
				    ends) == 0);
	for (int index = 0; index < 6; index++) {
		NEED(pthread_join(threads[index], &answer) == 0);
		wrong += (intptr_t)answer;
	}
	observe("mixed: wrong %ld", (long)wrong);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	for (enum sharing sharing = SHARED; sharing <= READ_ONLY; sharing++) {
		one(sharing, 0);
		one(sharing, O_DIRECT);
		one(sharing, O_DSYNC);
	}
	mixed();
	return 0;
}
