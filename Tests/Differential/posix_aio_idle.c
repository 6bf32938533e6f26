/* differential: helper threads of POSIX AIO: masks, none while idle, setuid; hidden-descriptors */
#include "posix_aio.h"

#include <sys/prctl.h>

static char *buffer;
static int file;
static int ends[2];

static void many_requests(void)
{
	static struct aiocb requests[64];
	static char bytes[64][PAGE];

	for (int index = 0; index < 64; index++) {
		aio_prepare(&requests[index], file, bytes[index], PAGE, index * PAGE);
		NEED((index & 1 ? aio_read(&requests[index]) : aio_write(&requests[index])) == 0);
	}
	aio_wait_all(requests, 64);
}

/* How many signals a program may use that a task would take; those of the C library are not. */
static int signals_taken(const char *task)
{
	unsigned long long blocked = 0;
	char path[64];
	char line[256];
	FILE *status;
	int taken = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", task);
	status = fopen(path, "re");
	if (!status)
		return 0;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
			break;
	fclose(status);
	for (int number = 1; number < NSIG; number++)
		if (number != SIGKILL && number != SIGSTOP && number != 32 && number != 33)
			taken += !(blocked >> (number - 1) & 1);
	return taken;
}

static int helpers_taking_signals(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	int found = 0;

	NEED(tasks);
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != gettid())
			found += signals_taken(entry->d_name) != 0;
	closedir(tasks);
	return found;
}

static void masks(void)
{
	struct aiocb waiting;
	sigset_t all;
	sigset_t before;
	struct timespec none = {0, 0};
	siginfo_t info;

	aio_prepare(&waiting, ends[0], buffer, 10, 0);
	NEED(aio_read(&waiting) == 0);
	many_requests();
	observe("helpers that take signals: %d", helpers_taking_signals());
	/* A signal for the process waits for the only thread that may take it. */
	sigfillset(&all);
	NEED(sigprocmask(SIG_BLOCK, &all, &before) == 0);
	for (int number = 1; number < NSIG; number++)
		if (number != SIGKILL && number != SIGSTOP && number != 32 && number != 33)
			NEED(kill(getpid(), number) == 0);
	pause_microseconds(20000);
	many_requests();
	for (int number = 1; number < NSIG; number++) {
		sigset_t one;

		sigemptyset(&one);
		if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33)
			continue;
		sigaddset(&one, number);
		if (sigtimedwait(&one, &info, &none) != number && number != SIGCONT &&
		    number != SIGTSTP && number != SIGTTIN && number != SIGTTOU)
			observe("signal %d went astray", number);
	}
	NEED(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("waiting", &waiting);
}

/* Who changes identity has all its threads take part: with a helper at work, and an idle one. */
static void identities(void)
{
	struct aiocb waiting;

	many_requests();
	CALL(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1));
	CALL(setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1));
	aio_prepare(&waiting, ends[0], buffer, 10, 0);
	NEED(aio_read(&waiting) == 0);
	pause_microseconds(20000);
	CALL(seteuid(getuid()));
	CALL(setegid(getgid()));
	observe("waiting %s", error_name(aio_error(&waiting)));
	NEED(write(ends[1], "0123456789", 10) == 10);
	aio_observe("waiting", &waiting);
}

/* No thread stays for requests that may never come; the next ones find a new helper. */
static void gone_when_idle(int before)
{
	pause_microseconds(3000000);
	observe("helpers gone: %d", aio_tasks_become(before));
	many_requests();
	observe("helpers gone: %d", aio_tasks_become(before));
}

/* Nor does anything else that a program could see: descriptors, or the name of its thread. */
static void nothing_left(void)
{
	char name[32] = "";
	int next = dup(file);

	observe("next descriptor %d", next);
	close(next);
	NEED(prctl(PR_GET_NAME, name) == 0);
	observe("name kept %d", strncmp(name, "posix_aio_idle", 14) == 0);
}

int main(int count, char **arguments)
{
	int before;

	observe_begin(count, arguments);
	buffer = pages(PAGE);
	file = open("idle", O_CREAT | O_RDWR | O_TRUNC, 0644);
	NEED(file >= 0 && pipe(ends) == 0);
	before = aio_count_tasks();
	masks();
	identities();
	nothing_left();
	gone_when_idle(before);
	unlink("idle");
	return 0;
}
