/* differential: what /proc/self/fd lists around I/O; hidden-descriptors, direct */
#include "observe.h"

#include <dirent.h>

static char *buffer;

static void list(const char *moment)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	char line[1024] = "";
	size_t used = 0;

	NEED(directory);
	while ((entry = readdir(directory)) && used < sizeof(line) - 20) {
		if (entry->d_name[0] != '.')
			used += (size_t)snprintf(line + used, 20, " %s", entry->d_name);
	}
	closedir(directory);
	observe("%s:%s", moment, line);
}

static void io(const char *moment)
{
	int fd = (int)CALL_AS(open("listed", O_RDWR | O_DIRECT), "%s open", moment);

	list(moment);
	CALL_AS(pread(fd, buffer, 1 * MIB, 0), "%s pread", moment);
	list(moment);
	CALL_AS(pwrite(fd, buffer, 1 * MIB, 0), "%s pwrite", moment);
	CALL_AS(fsync(fd), "%s fsync", moment);
	list(moment);
	CALL_AS(close(fd), "%s close", moment);
	list(moment);
}

static void *body(void *argument)
{
	io(argument);
	return NULL;
}

int main(int count, char **arguments)
{
	pthread_t threads[8];
	pid_t pid;

	observe_begin(count, arguments);
	buffer = pages(1 * MIB);
	if (count > 2) {
		list("after exec");
		io("after exec");
		return 0;
	}
	list("at the start");
	require_direct();
	make_file("listed", 1 * MIB, 5);
	list("before I/O");
	io("main");
	for (int index = 0; index < 8; index++) {
		NEED(pthread_create(&threads[index], NULL, body, "thread") == 0);
		NEED(pthread_join(threads[index], NULL) == 0);
	}
	list("after threads");
	pid = fork();
	if (pid == 0) {
		list("child");
		io("child");
		_exit(0);
	}
	observe_child("child", pid);
	list("after fork");
	pid = fork();
	if (pid == 0) {
		char *words[] = {arguments[0], ".", "again", NULL};

		execv("/proc/self/exe", words);
		_exit(97);
	}
	observe_child("exec", pid);
	list("at the end");
	unlink("listed");
	return 0;
}
