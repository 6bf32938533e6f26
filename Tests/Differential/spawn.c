/* differential: posix_spawn and posix_spawnp with file actions and attributes; direct */
#include "lives.h"

#include <spawn.h>

static char *self;
static char *buffer;
static int first;

/* The spawned program: which numbers it has, and what they are. */
static int spawned(void)
{
	char *mine = pages(LIFE_BYTES);

	for (int fd = 0; fd < 40; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (flags != -1 && fd > 2)
			observe("spawned has %d with flags %x", fd, flags);
	}
	CALL(pread(20, mine, LIFE_BYTES, 0));
	CALL(pwrite(21, mine, LIFE_BYTES, 0));
	CALL(fsync(21));
	CALL(open("first", O_RDWR | O_DIRECT));
	return live_one_life("life", 5);
}

static void start(const char *name, const posix_spawn_file_actions_t *actions,
		  const posix_spawnattr_t *attributes, int by_path)
{
	char *words[] = {self, ".", "again", NULL};
	char *nothing[] = {"PATH=/proc/self", NULL};
	pid_t pid = -1;
	int result;
	int error;

	observe("== %s", name);
	errno = ERRNO_MARK;
	if (by_path)
		result = posix_spawnp(&pid, "exe", actions, attributes, words, nothing);
	else
		result = posix_spawn(&pid, "/proc/self/exe", actions, attributes, words, nothing);
	error = errno;
	if (result == 0)
		observe_child(name, pid);
	observe_result("posix_spawn", result, error);
	memset(buffer, 0, LIFE_BYTES);
	CALL(pread(first, buffer, LIFE_BYTES, 0));
	observe_bytes("the parent's", buffer, LIFE_BYTES);
	observe("parent's life %d", live_one_life("life", 6));
}

static void with_actions(void)
{
	posix_spawn_file_actions_t actions;

	NEED(posix_spawn_file_actions_init(&actions) == 0);
	NEED(posix_spawn_file_actions_adddup2(&actions, first, 20) == 0);
	NEED(posix_spawn_file_actions_addopen(&actions, 21, "second", O_CREAT | O_RDWR | O_DIRECT,
					      0644) == 0);
	NEED(posix_spawn_file_actions_adddup2(&actions, first, first) == 0);
	start("duplicated and opened", &actions, NULL, 0);
	NEED(posix_spawn_file_actions_addclose(&actions, first) == 0);
	start("and closed", &actions, NULL, 0);
	NEED(posix_spawn_file_actions_addclosefrom_np(&actions, 21) == 0);
	start("and closed from 21", &actions, NULL, 0);
	NEED(posix_spawn_file_actions_addclose(&actions, 33) == 0);
	start("closing what is not open", &actions, NULL, 0);
	NEED(posix_spawn_file_actions_addopen(&actions, 22, "missing/deeper", O_RDWR, 0) == 0);
	start("opening what is not there", &actions, NULL, 0);
	posix_spawn_file_actions_destroy(&actions);
}

static void with_attributes(void)
{
	posix_spawnattr_t attributes;
	sigset_t all;

	NEED(posix_spawnattr_init(&attributes) == 0);
	sigfillset(&all);
	NEED(posix_spawnattr_setsigmask(&attributes, &all) == 0);
	NEED(posix_spawnattr_setflags(&attributes,
				      POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP) == 0);
	start("with attributes", NULL, &attributes, 0);
	start("by path with attributes", NULL, &attributes, 1);
	posix_spawnattr_destroy(&attributes);
}

static void failures(void)
{
	char *words[] = {self, NULL};
	char *nothing[] = {NULL};
	pid_t pid;

	CALL(posix_spawn(&pid, "missing", NULL, NULL, words, nothing));
	CALL(posix_spawnp(&pid, "surely-no-such-program", NULL, NULL, words, nothing));
	CALL(posix_spawn(&pid, "first", NULL, NULL, words, nothing));
	CALL(posix_spawn(&pid, "/proc/self/exe/deeper", NULL, NULL, words, NULL));
}

static void by_shell(void)
{
	FILE *stream;
	char line[100] = "";

	CALL(system("exit 3"));
	CALL(system("cat first | cksum"));
	stream = popen("wc -c < first", "r");
	NEED(stream && fgets(line, sizeof(line), stream));
	observe("popen says %s", strtok(line, "\n"));
	CALL(pclose(stream));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	self = arguments[0];
	if (count > 2)
		return spawned();
	require_direct();
	buffer = pages(LIFE_BYTES);
	make_file("first", LIFE_BYTES, 1);
	first = open("first", O_RDWR | O_DIRECT);
	NEED(first >= 0);
	start("before any I/O", NULL, NULL, 0);
	start("plainly", NULL, NULL, 0);
	start("by path", NULL, NULL, 1);
	setenv("PATH", "/proc/self:/usr/bin:/bin", 1);
	start("by path, found", NULL, NULL, 1);
	with_actions();
	with_attributes();
	failures();
	by_shell();
	return 0;
}
