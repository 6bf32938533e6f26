/* differential: O_APPEND, where Linux appends whatever the offset says, alone or not; direct */
#include "observe.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#define THREADS 4
#define ROUNDS 16
#define PIECE (64 * KIB)

static char *buffer;

static void alone(const char *name, int flags)
{
	struct iovec two[2] = {{buffer, PAGE}, {buffer + PAGE, 1 * MIB}};
	int fd;

	make_file("log", 2 * PAGE, 1);
	fd = open("log", O_RDWR | O_APPEND | flags);
	pattern_fill(buffer, 2 * MIB, 2, 0);
	CALL_AS(pwrite(fd, buffer, PAGE, 0), "%s pwrite at the start", name);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s large pwrite at the start", name);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 8 * MIB), "%s large pwrite far behind", name);
	observe_offset(name, fd);
	CALL_AS(write(fd, buffer, 512 * KIB), "%s write", name);
	observe_offset(name, fd);
	CALL_AS(pwritev(fd, two, 2, 512), "%s pwritev", name);
	CALL_AS(writev(fd, two, 2), "%s writev", name);
	observe_offset(name, fd);
	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", name);
	CALL_AS(fcntl(fd, F_SETFL, flags & (O_DIRECT)), "%s no longer appending", name);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s pwrite in place", name);
	CALL_AS(fcntl(fd, F_SETFL, O_APPEND | (flags & O_DIRECT)), "%s appending again", name);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s pwrite at the end", name);
	observe_offset(name, fd);
	close(fd);
	observe_file("log");
	unlink("log");
}

struct appender {
	pthread_t thread;
	int fd;
	int number;
};

static void *append_records(void *argument)
{
	struct appender *self = argument;
	char *record = pages(PIECE);

	for (int round = 0; round < ROUNDS; round++) {
		memset(record, self->number * ROUNDS + round + 1, PIECE);
		NEED(pwrite(self->fd, record, PIECE, 0) == PIECE);
	}
	return NULL;
}

/* Records of several threads come in any order, but each whole, once, and none over another. */
static void together(const char *name, int flags, int separate)
{
	struct appender appenders[THREADS];
	int seen[THREADS * ROUNDS + 1] = {0};
	int torn = 0;
	int fd = open("log", O_CREAT | O_RDWR | O_APPEND | flags, 0644);
	char *record = pages(PIECE);
	struct stat status;

	for (int index = 0; index < THREADS; index++) {
		appenders[index].fd = separate ? open("log", O_WRONLY | O_APPEND | flags) : fd;
		appenders[index].number = index;
		NEED(pthread_create(&appenders[index].thread, NULL, append_records,
				    &appenders[index]) == 0);
	}
	for (int index = 0; index < THREADS; index++) {
		NEED(pthread_join(appenders[index].thread, NULL) == 0);
		if (separate)
			close(appenders[index].fd);
	}
	NEED(fstat(fd, &status) == 0);
	observe("%s: size %lld", name, (long long)status.st_size);
	for (off_t at = 0; at < status.st_size; at += PIECE) {
		NEED(pread(fd, record, PIECE, at) == PIECE);
		for (int index = 1; index < PIECE; index++)
			torn += record[index] != record[0];
		if ((unsigned char)record[0] <= THREADS * ROUNDS)
			seen[(unsigned char)record[0]]++;
	}
	observe("%s: torn %d", name, torn);
	for (int index = 1; index <= THREADS * ROUNDS; index++) {
		if (seen[index] != 1)
			observe("%s: record %d seen %d times", name, index, seen[index]);
	}
	close(fd);
	unlink("log");
}

int main(int count, char **arguments)
{
	struct statfs status;

	observe_begin(count, arguments);
	require_direct();
	buffer = pages(2 * MIB);
	alone("buffered", 0);
	alone("direct", O_DIRECT);
	alone("synchronous", O_SYNC);
	together("buffered, one descriptor", 0, 0);
	together("buffered, separate", 0, 1);
	NEED(statfs(".", &status) == 0);
	if (status.f_type == XFS_SUPER_MAGIC) {
		observe("XFS loses records of direct appends made at the same time");
		return 0;
	}
	together("direct, one descriptor", O_DIRECT, 0);
	together("direct, separate", O_DIRECT, 1);
	return 0;
}
