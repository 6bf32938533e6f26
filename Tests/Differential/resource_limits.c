/* differential: little memory to lock or map, few descriptors, few processes; direct */
#include "lives.h"

static void *thread_life(void *argument)
{
	return (void *)(intptr_t)live_one_life(argument, 3);
}

static int lives(void)
{
	pthread_t thread;
	void *answer = NULL;
	int wrong = live_one_life("life", 1);

	if (wrong)
		return wrong;
	if (pthread_create(&thread, NULL, thread_life, "thread") != 0)
		return 80;
	if (pthread_join(thread, &answer) != 0)
		return 81;
	return (int)(intptr_t)answer;
}

/* Root may lock what it likes, so the limits are tried as somebody else too. */
static void become_nobody(void)
{
	if (geteuid() == 0)
		NEED(setresuid(65534, 65534, 65534) == 0);
}

static void limited(const char *name, int resource, rlim_t value, int warm, int nobody)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = {value, value};
		int before = warm ? lives() : 0;

		if (nobody)
			become_nobody();
		NEED(setrlimit(resource, &limit) == 0);
		observe("%s: before %d, within %d", name, before, lives());
		_exit(0);
	}
	observe_child(name, pid);
}

/* All numbers taken: what needs one fails as before, what needs none works as before. */
static void no_numbers_left(int warm)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = {32, 32};
		char *buffer = pages(1 * MIB);
		int fd = open("life", O_RDWR | O_DIRECT);
		int opened = 0;

		if (warm)
			NEED(pread(fd, buffer, 1 * MIB, 0) == 1 * MIB);
		NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		while (dup(fd) >= 0)
			opened++;
		observe("numbers given out: %d, then %s", opened, error_name(errno));
		CALL(pread(fd, buffer, 1 * MIB, 0));
		CALL(pwrite(fd, buffer, 1 * MIB, 0));
		CALL(fsync(fd));
		CALL(open("life", O_RDWR | O_DIRECT));
		CALL(close(31));
		CALL(open("life", O_RDWR | O_DIRECT));
		CALL(pread(31, buffer, 1 * MIB, 0));
		_exit(0);
	}
	observe_child("no numbers left", pid);
}

/* Not one page more than there is now, nearly. */
static void tight_memory(rlim_t spare, int warm)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *buffer = pages(1 * MIB);
		int fd = open("life", O_RDWR | O_DIRECT);
		struct rlimit limit = {spare, spare};

		if (warm)
			NEED(pread(fd, buffer, 1 * MIB, 0) == 1 * MIB);
		NEED(setrlimit(RLIMIT_AS, &limit) == 0);
		CALL(pread(fd, buffer, 1 * MIB, 0));
		CALL(pread(fd, buffer, PAGE, 0));
		CALL(pwrite(fd, buffer, 1 * MIB, 0));
		CALL(fsync(fd));
		CALL(fdatasync(fd));
		CALL(close(fd));
		CALL(open("life", O_RDWR | O_DIRECT));
		CALL(mmap(NULL, 64 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		     MAP_FAILED);
		_exit(0);
	}
	observe_child("tight memory", pid);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	NEED(chmod(".", 0777) == 0);
	observe("first: %d", lives());
	NEED(chmod("life", 0666) == 0 && chmod("thread", 0666) == 0);
	for (int warm = 0; warm < 2; warm++) {
		limited("no locked memory", RLIMIT_MEMLOCK, 0, warm, 0);
		limited("no locked memory, nobody", RLIMIT_MEMLOCK, 0, warm, 1);
		limited("little address space", RLIMIT_AS, 128 * MIB, warm, 0);
		limited("little data", RLIMIT_DATA, 32 * MIB, warm, 0);
		limited("no core", RLIMIT_CORE, 0, warm, 1);
		limited("little stack", RLIMIT_STACK, 256 * KIB, warm, 0);
		limited("few descriptors", RLIMIT_NOFILE, 8, warm, 0);
		no_numbers_left(warm);
		tight_memory(0, warm);
		tight_memory(1 * MIB, warm);
	}
	return 0;
}
