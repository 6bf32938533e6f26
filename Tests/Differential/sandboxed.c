/* differential: a program that goes on within a filter of its own that kills; direct */
#include "seccomp.h"

static char *buffer;

/* From here on only these calls may be made, by anybody in this process. */
static void lock_in(void)
{
	static const int allowed[] = {SYS_read, SYS_write,      SYS_pread64,     SYS_pwrite64,
				      SYS_exit, SYS_exit_group, SYS_rt_sigreturn};

	install_filter(allowed, sizeof(allowed) / sizeof(allowed[0]), SECCOMP_RET_ALLOW,
		       SECCOMP_RET_KILL_PROCESS);
}

static void calls(int fd, int direct)
{
	CALL(pread(fd, buffer, 1 * MIB, 0));
	CALL(pread(direct, buffer, 1 * MIB, 0));
	observe_bytes("direct", buffer, 1 * MIB);
	CALL(pread(direct, buffer, PAGE, PAGE));
	CALL(pwrite(direct, buffer, 1 * MIB, 0));
	CALL(pwrite(fd, buffer, 100, 0));
	CALL(read(direct, buffer, PAGE));
	CALL(write(direct, buffer, PAGE));
	CALL(read(-1, buffer, PAGE));
	CALL(pread(direct, buffer, 1 * MIB, 0));
}

static void one(const char *name, int warm)
{
	pid_t pid;

	observe("== %s", name);
	pid = fork();
	if (pid == 0) {
		int fd = open("box", O_RDWR);
		int direct = open("box", O_RDWR | O_DIRECT);

		NEED(fd >= 0 && direct >= 0);
		if (warm)
			calls(fd, direct);
		NEED(lseek(direct, 0, SEEK_SET) == 0);
		lock_in();
		calls(fd, direct);
		_exit(7);
	}
	observe_child(name, pid);
	observe_file("box");
}

/* What is not allowed is still what kills. */
static void forbidden(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open("box", O_RDWR);

		lock_in();
		CALL(fsync(fd));
		_exit(7);
	}
	observe_child("forbidden", pid);
}

/* A filter that was there before, and kills for a call that this program does not make itself. */
static void started_within(char *self)
{
	static const int numbers[] = {SYS_statx};
	pid_t pid = fork();

	if (pid == 0) {
		char *words[] = {self, ".", "again", NULL};

		install_filter(numbers, 1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW);
		execv("/proc/self/exe", words);
		_exit(97);
	}
	observe_child("started within", pid);
}

static int within(void)
{
	int fd = open("box", O_RDWR);
	int direct = open("box", O_RDWR | O_DIRECT);

	NEED(fd >= 0 && direct >= 0);
	calls(fd, direct);
	CALL(fsync(fd));
	CALL(fdatasync(direct));
	return 7;
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	buffer = pages(1 * MIB);
	if (count > 2)
		return within();
	require_direct();
	make_file("box", 1 * MIB, 1);
	one("before any I/O", 0);
	one("after I/O", 1);
	forbidden();
	started_within(arguments[0]);
	return 0;
}
