/* differential: dup, dup2, dup3, fcntl and close on every kind of descriptor; direct */
#include "kinds.h"

static char *buffer;

/* What a descriptor is, as far as a program can tell. */
static void look(const char *label, int fd)
{
	struct stat status;

	CALL_AS(fcntl(fd, F_GETFD), "%s F_GETFD", label);
	CALL_AS(fcntl(fd, F_GETFL), "%s F_GETFL", label);
	if (fstat(fd, &status) == 0)
		observe("%s: type %o", label, status.st_mode & S_IFMT);
	CALL_AS(pread(fd, buffer, PAGE, 0), "%s pread", label);
}

static void duplicates(const char *name, int fd)
{
	int made[6];

	made[0] = (int)CALL_AS(dup(fd), "%s dup", name);
	made[1] = (int)CALL_AS(dup2(fd, 60), "%s dup2 to 60", name);
	made[2] = (int)CALL_AS(dup3(fd, 61, O_CLOEXEC), "%s dup3 to 61", name);
	made[3] = (int)CALL_AS(fcntl(fd, F_DUPFD, 70), "%s F_DUPFD from 70", name);
	made[4] = (int)CALL_AS(fcntl(fd, F_DUPFD_CLOEXEC, 70), "%s F_DUPFD_CLOEXEC", name);
	made[5] = (int)CALL_AS(fcntl64(fd, F_DUPFD, 3), "%s fcntl64 F_DUPFD", name);
	for (int index = 0; index < 6; index++) {
		look(name, made[index]);
		/* A second name for the same number, then the first goes away. */
		if (made[index] >= 0)
			CALL_AS(close(made[index]), "%s close copy %d", name, index);
		CALL_AS(close(made[index]), "%s close copy %d again", name, index);
	}
}

static void wrong_arguments(const char *name, int fd)
{
	CALL_AS(dup2(fd, -1), "%s dup2 to -1", name);
	CALL_AS(dup2(fd, 1 << 30), "%s dup2 far too high", name);
	CALL_AS(dup2(fd, fd), "%s dup2 to itself", name);
	CALL_AS(dup3(fd, fd, 0), "%s dup3 to itself", name);
	CALL_AS(dup3(fd, 62, O_APPEND), "%s dup3 wrong flag", name);
	CALL_AS(fcntl(fd, F_DUPFD, -1), "%s F_DUPFD from -1", name);
	CALL_AS(fcntl(fd, F_DUPFD, 1 << 30), "%s F_DUPFD far too high", name);
	CALL_AS(fcntl(fd, 99999), "%s fcntl unknown command", name);
	CALL_AS(fcntl(fd, F_SETFD, FD_CLOEXEC), "%s F_SETFD", name);
	CALL_AS(fcntl(fd, F_SETFL, (long)-1), "%s F_SETFL everything", name);
	CALL_AS(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK), "%s F_SETFL", name);
	look(name, fd);
}

/* One open file description behind two numbers: a change through one is seen by the other. */
static void shared_flags(void)
{
	int fd = kind_direct();
	int copy = dup(fd);

	pattern_fill(buffer, 2 * PAGE, 90, 0);
	CALL(fcntl(copy, F_SETFL, O_APPEND | O_DIRECT));
	CALL(fcntl(fd, F_GETFL));
	CALL(ftruncate(fd, PAGE));
	CALL(pwrite(fd, buffer, 2 * PAGE, 0));
	kind_observe("append through the copy", fd);
	CALL(fcntl(fd, F_SETFL, 0));
	CALL(pwrite(copy, buffer, 2 * PAGE, 0));
	CALL(pread(copy, buffer + 1, 100, 1));
	kind_observe("buffered through the first", fd);
	CALL(fcntl(fd, F_SETFL, O_DIRECT));
	CALL(pread(copy, buffer + 1, 100, 1));
	CALL(pwrite(copy, buffer, PAGE, 0));
	CALL(close(fd));
	CALL(pread(copy, buffer, PAGE, 0));
	CALL(close(copy));
	unlink(KIND_FILE);
}

/* The same from another process, which no table in this one can notice. */
static void flags_changed_by_a_child(void)
{
	size_t large = 1 * MIB;
	int fd = kind_direct();
	pid_t child;

	NEED(ftruncate(fd, (off_t)large) == 0);
	pattern_fill(buffer, large, 91, 0);
	CALL(pwrite(fd, buffer, large, 0));
	child = fork();
	if (child == 0)
		_exit(fcntl(fd, F_SETFL, O_APPEND | O_DIRECT) == 0 ? 0 : 1);
	observe_child("child that set O_APPEND", child);
	pattern_fill(buffer, large, 92, 0);
	CALL(pwrite(fd, buffer, large, 0));
	kind_observe("after the child's O_APPEND", fd);
	child = fork();
	if (child == 0)
		_exit(fcntl(fd, F_SETFL, 0) == 0 ? 0 : 1);
	observe_child("child that cleared O_DIRECT", child);
	CALL(pread(fd, buffer + 1, large - 7, 13));
	observe_bytes("read unaligned", buffer + 1, large - 7);
	CALL(pwrite(fd, buffer + 1, large - 7, 13));
	kind_observe("after the child's clearing", fd);
	kind_close(fd);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	buffer = pages(2 * MIB);
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int fd;

		if (kinds[index].open == kind_process_memory)
			continue;
		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		look(name, fd);
		duplicates(name, fd);
		wrong_arguments(name, fd);
		CALL_AS(close(fd), "%s close", name);
		CALL_AS(close(fd), "%s close again", name);
		look(name, fd);
		kind_close(-1);
	}
	shared_flags();
	flags_changed_by_a_child();
	return 0;
}
