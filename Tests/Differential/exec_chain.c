/* differential: exec by every name with environments of its own, and I/O in every life; direct */
#include "lives.h"

#define LAST 12

extern char **environ;

/* What the program was given, except what the library needs to be carried on. */
static void show_environment(int life)
{
	for (char **entry = environ; entry && *entry; entry++) {
		if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "IOTRAP", 6) != 0)
			observe("life %d has %s", life, *entry);
	}
}

static int exec_next(int life, char **arguments)
{
	char number[16];
	char *words[] = {arguments[0], ".", number, NULL};
	char *mine[] = {"ONE=1", "EMPTY=", "NOEQUALS", "PATH=/usr/bin:/bin", NULL};
	char *own_preload[] = {"LD_PRELOAD=libutil.so.1", "TWO=2", NULL};
	char *nothing[] = {NULL};
	const char *path = "/proc/self/exe";
	int fd = open(path, O_PATH | O_CLOEXEC);

	snprintf(number, sizeof(number), "%d", life + 1);
	switch (life) {
	case 1:
		return execve(path, words, mine);
	case 2:
		return execve(path, words, nothing);
	case 3:
		return execv(path, words);
	case 4:
		setenv("PATH", "/proc/self", 1);
		return execvp("exe", words);
	case 5:
		return execvpe("exe", words, mine);
	case 6:
		return execl(path, arguments[0], ".", number, NULL);
	case 7:
		return execle(path, arguments[0], ".", number, NULL, mine);
	case 8:
		setenv("PATH", "/nowhere:/proc/self", 1);
		return execlp("exe", arguments[0], ".", number, NULL);
	case 9:
		return fexecve(fd, words, nothing);
	case 10:
		return (int)syscall(SYS_execveat, fd, "", words, mine, AT_EMPTY_PATH);
	case 11:
		return execve(path, words, own_preload);
	default:
		return (int)syscall(SYS_execve, path, words, nothing);
	}
}

/* None of these starts anything; each says why. */
static void failures(char **arguments)
{
	char *words[] = {arguments[0], NULL};
	char *nothing[] = {NULL};

	make_file("not a program", 100, 1);
	NEED(chmod("not a program", 0644) == 0);
	CALL(execve("missing", words, nothing));
	CALL(execve("not a program", words, nothing));
	CALL(execv("missing/deeper", words));
	CALL(execvp("surely-no-such-program", words));
	CALL(execvpe("surely-no-such-program", words, nothing));
	CALL(execl("missing", "missing", NULL));
	CALL(execle("missing", "missing", NULL, nothing));
	CALL(execlp("surely-no-such-program", "missing", NULL));
	CALL(fexecve(-1, words, nothing));
	CALL(execve(OPAQUE((char *)8), words, nothing));
	CALL(execve("/proc/self/exe", OPAQUE((char **)8), nothing));
	CALL(execve("/proc/self/exe", words, OPAQUE((char **)8)));
	CALL(syscall(SYS_execveat, -1, "missing", words, nothing, 0));
	CALL(execv("/", words));
	CALL(execve("", words, nothing));
	unlink("not a program");
}

int main(int count, char **arguments)
{
	int life = count > 2 ? atoi(arguments[2]) : 1;
	const char *preload;

	observe_begin(count, arguments);
	observe("== life %d, %d arguments", life, count);
	if (life == 1) {
		require_direct();
		clearenv(); /* leaves no environment at all, not an empty one */
		failures(arguments);
	}
	show_environment(life);
	preload = getenv("LD_PRELOAD");
	if (life == LAST)
		observe("own preload kept %d", preload && strstr(preload, "libutil.so.1"));
	observe("life %d: I/O %d", life, live_one_life("lives", (uint64_t)life));
	if (life <= LAST) {
		CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));
		exec_next(life, arguments);
		observe("life %d ends with %s", life, error_name(errno));
		return 1;
	}
	return 0;
}
