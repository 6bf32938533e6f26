/* measured: one exec, by the name given, of a program with an environment that is not this one's */
#include "observe.h"

static int go(const char *way)
{
	char *words[] = {"cat", NULL};
	char *nothing[] = {NULL};
	const char *path = "/usr/bin/cat";
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (strcmp(way, "execve") == 0)
		return execve(path, words, nothing);
	if (strcmp(way, "execv") == 0)
		return execv(path, words);
	if (strcmp(way, "execvp") == 0)
		return execvp("cat", words);
	if (strcmp(way, "execvpe") == 0)
		return execvpe("cat", words, nothing);
	if (strcmp(way, "execl") == 0)
		return execl(path, "cat", NULL);
	if (strcmp(way, "execle") == 0)
		return execle(path, "cat", NULL, nothing);
	if (strcmp(way, "execlp") == 0)
		return execlp("cat", "cat", NULL);
	if (strcmp(way, "fexecve") == 0)
		return fexecve(fd, words, nothing);
	if (strcmp(way, "execveat") == 0)
		return (int)syscall(SYS_execveat, fd, "", words, nothing, AT_EMPTY_PATH);
	if (strcmp(way, "syscall") == 0)
		return (int)syscall(SYS_execve, path, words, nothing);
	errno = EINVAL;
	return -1;
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	if (count < 3)
		return 2;
	if (strcmp(arguments[2], "execvpe") != 0)
		clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	go(arguments[2]);
	observe("%s: %s", arguments[2], error_name(errno));
	return 1;
}
