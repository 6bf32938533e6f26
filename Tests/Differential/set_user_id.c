/* differential: a setuid program starts without the library, as the loader demands; direct */
#include "lives.h"

#include <sys/auxv.h>

#define NOBODY 65534

static void copy_self(const char *path)
{
	static char block[64 * KIB];
	int from = open("/proc/self/exe", O_RDONLY);
	int to = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	ssize_t result;

	NEED(from >= 0 && to >= 0);
	while ((result = read(from, block, sizeof(block))) > 0)
		NEED(write(to, block, (size_t)result) == result);
	close(from);
	NEED(fchmod(to, 04755) == 0);
	close(to);
}

static int secured(void)
{
	observe("secure %lu, user is nobody %d, effective user is root %d", getauxval(AT_SECURE),
		getuid() == NOBODY, geteuid() == 0);
	observe("preload in the environment: %d", getenv("LD_PRELOAD") != NULL);
	observe("life %d", live_one_life("life", 1));
	return 0;
}

int main(int count, char **arguments)
{
	char *words[] = {"secured", ".", "again", NULL};
	char *nothing[] = {NULL};
	pid_t pid;

	observe_begin(count, arguments);
	if (count > 2)
		return secured();
	require_direct();
	if (geteuid() != 0)
		skip("making a setuid program needs root");
	NEED(chmod(".", 0777) == 0);
	copy_self("secured");
	pid = fork();
	if (pid == 0) {
		NEED(setresuid(NOBODY, NOBODY, NOBODY) == 0);
		execve("secured", words, nothing);
		observe("exec: %s", error_name(errno));
		_exit(97);
	}
	observe_child("setuid program", pid);
	unlink("secured");
	unlink("life");
	return 0;
}
