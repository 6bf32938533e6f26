/*
 * driver: does one call of the program's own for each line that it reads, and prints a
 * line of what came of it. A test tells it what to do, and what happens to the paths
 * between.
 *
 *   open PATH FLAGS               FLAGS: a comma list of read, write, direct, dsync, ...
 *   write FD OFFSET BYTES SEQUENCE [dsync]     stamped blocks (content.h); also writev, readv
 *   read FD OFFSET BYTES SEQUENCE              and compared: "ok", or what is wrong
 *   sequence FD OFFSET            which write put the block there
 *   start API OPERATION FD OFFSET BYTES COUNT SEQUENCE    API: libaio, posix
 *   reap, running, poison, poisoned            all requests that were started
 *   sync HOW FD                   fsync, fdatasync, syncfs, aio_fsync, aio_fdsync,
 *                                 libaio_fsync, libaio_fdsync
 *   close FD, dup2 FD FD, close_range FD FD, pipe, send FD TEXT, receive FD
 *   truncate FD BYTES, allocate FD MODE OFFSET BYTES, size FD
 *   lock FD, map FD BYTES SEQUENCE
 *   rename PATH PATH, unlink PATH
 *   async NAME COMMAND..., ended NAME, join NAME          on a thread of its own
 *   child COMMAND...              in a forked process
 *   exec                          this program again, with its descriptors
 */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 16
#define VECTOR 4

const char *word(const struct command *command, int index)
{
	return index < command->count ? command->words[index] : "";
}

long long number(const struct command *command, int index)
{
	return strtoll(word(command, index), NULL, 0);
}

char *make_buffer(size_t bytes)
{
	void *buffer;

	if (posix_memalign(&buffer, BLOCK, bytes ? bytes : BLOCK))
		abort();
	memset(buffer, 0x55, bytes);
	return buffer;
}

void answer_result(struct command *command, long long result)
{
	if (result < 0 && result > -4096 && strerrorname_np((int)-result))
		snprintf(command->answer, ANSWER_BYTES, "-%s", strerrorname_np((int)-result));
	else
		snprintf(command->answer, ANSWER_BYTES, "%lld", result);
}

static void answer_call(struct command *command, long long result)
{
	answer_result(command, result == -1 ? -errno : result);
}

void answer_content(struct command *command, const char *buffer, size_t bytes, uint64_t offset,
		    uint64_t sequence)
{
	for (size_t position = 0; position < bytes; position += BLOCK) {
		uint64_t found;

		if (!content_check(buffer + position, offset + position, &found, command->answer,
				   ANSWER_BYTES))
			return;
		if (found == sequence)
			continue;
		snprintf(command->answer, ANSWER_BYTES, "block at %llu is of write %llu, not %llu",
			 (unsigned long long)(offset + position), (unsigned long long)found,
			 (unsigned long long)sequence);
		return;
	}
	strcpy(command->answer, "ok");
}

static int open_flags(char *list)
{
	static const struct {
		const char *name;
		int flag;
	} names[] = {
		{"read", O_RDONLY}, {"write", O_RDWR},   {"direct", O_DIRECT}, {"dsync", O_DSYNC},
		{"sync", O_SYNC},   {"create", O_CREAT}, {"append", O_APPEND}, {"trunc", O_TRUNC},
	};
	int flags = 0;
	char *rest;

	for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		for (size_t index = 0; index < sizeof(names) / sizeof(names[0]); index++)
			if (strcmp(name, names[index].name) == 0)
				flags |= names[index].flag;
	return flags;
}

static void transfer(struct command *command, bool writes, bool is_vector)
{
	int fd = (int)number(command, 1);
	off_t offset = number(command, 2);
	size_t bytes = (size_t)number(command, 3), part = bytes / VECTOR;
	uint64_t sequence = (uint64_t)number(command, 4);
	int flags = strcmp(word(command, 5), "dsync") == 0 ? RWF_DSYNC : 0;
	char *buffer = make_buffer(bytes);
	struct iovec vector[VECTOR];
	ssize_t done;

	for (int index = 0; index < VECTOR; index++)
		vector[index] = (struct iovec){buffer + (size_t)index * part, part};
	if (writes)
		content_fill(buffer, bytes, (uint64_t)offset, sequence);
	if (is_vector)
		done = writes ? pwritev2(fd, vector, VECTOR, offset, flags)
			      : preadv2(fd, vector, VECTOR, offset, flags);
	else if (flags)
		done = pwritev2(fd, &(struct iovec){buffer, bytes}, 1, offset, flags);
	else
		done = writes ? pwrite(fd, buffer, bytes, offset)
			      : pread(fd, buffer, bytes, offset);
	if (writes || done != (ssize_t)bytes)
		answer_call(command, done);
	else
		answer_content(command, buffer, bytes, (uint64_t)offset, sequence);
	free(buffer);
}

static void find_sequence(struct command *command)
{
	uint64_t offset = (uint64_t)number(command, 2), found;
	char *buffer = make_buffer(BLOCK);
	ssize_t done = pread((int)number(command, 1), buffer, BLOCK, (off_t)offset);

	if (done != BLOCK)
		answer_call(command, done);
	else if (content_check(buffer, offset, &found, command->answer, ANSWER_BYTES))
		answer_result(command, (long long)found);
	free(buffer);
}

static void synchronise(struct command *command)
{
	const char *how = word(command, 1);
	int fd = (int)number(command, 2);

	if (strcmp(how, "fsync") == 0)
		answer_call(command, fsync(fd));
	else if (strcmp(how, "fdatasync") == 0)
		answer_call(command, fdatasync(fd));
	else if (strcmp(how, "syncfs") == 0)
		answer_call(command, syncfs(fd));
	else
		answer_result(command, sync_by_request(how, fd));
}

/* ---- descriptors and names ------------------------------------------------------ */

static void make_pipe(struct command *command)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK) < 0)
		answer_call(command, -1);
	else
		snprintf(command->answer, ANSWER_BYTES, "%d %d", ends[0], ends[1]);
}

static void receive(struct command *command)
{
	ssize_t done = read((int)number(command, 1), command->answer, ANSWER_BYTES - 1);

	if (done < 0)
		answer_call(command, -1);
	else
		command->answer[done] = 0;
}

static void tell_size(struct command *command)
{
	struct stat status;

	answer_call(command,
		    fstat((int)number(command, 1), &status) < 0 ? -1 : (long long)status.st_size);
}

/* The file's blocks through memory: written when a sequence number is given. */
static void map_file(struct command *command)
{
	size_t bytes = (size_t)number(command, 2);
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			    (int)number(command, 1), 0);

	if (memory == MAP_FAILED) {
		answer_call(command, -1);
		return;
	}
	content_fill(memory, bytes, 0, (uint64_t)number(command, 3));
	strcpy(command->answer, "ok");
}

static bool run_descriptor(struct command *command, const char *name)
{
	int fd = (int)number(command, 1);

	if (strcmp(name, "close") == 0)
		answer_call(command, close(fd));
	else if (strcmp(name, "dup") == 0)
		answer_call(command, dup(fd));
	else if (strcmp(name, "dup2") == 0)
		answer_call(command, dup2(fd, (int)number(command, 2)));
	else if (strcmp(name, "dup3") == 0)
		answer_call(command, dup3(fd, (int)number(command, 2), O_CLOEXEC));
	else if (strcmp(name, "fcntl") == 0)
		answer_call(command, fcntl(fd, F_DUPFD_CLOEXEC, (int)number(command, 2)));
	else if (strcmp(name, "close_range") == 0)
		answer_call(command, close_range((unsigned)fd, (unsigned)number(command, 2), 0));
	else if (strcmp(name, "pipe") == 0)
		make_pipe(command);
	else if (strcmp(name, "send") == 0)
		answer_call(command, write(fd, word(command, 2), strlen(word(command, 2))));
	else if (strcmp(name, "receive") == 0)
		receive(command);
	else if (strcmp(name, "truncate") == 0)
		answer_call(command, ftruncate(fd, number(command, 2)));
	else if (strcmp(name, "allocate") == 0)
		answer_call(command, fallocate(fd, (int)number(command, 2), number(command, 3),
					       number(command, 4)));
	else if (strcmp(name, "size") == 0)
		tell_size(command);
	else if (strcmp(name, "lock") == 0)
		answer_call(command, lockf(fd, F_LOCK, BLOCK));
	else if (strcmp(name, "map") == 0)
		map_file(command);
	else
		return false;
	return true;
}

static bool run_request(struct command *command, const char *name)
{
	if (strcmp(name, "start") == 0)
		start_requests(command);
	else if (strcmp(name, "reap") == 0)
		reap_requests(command);
	else if (strcmp(name, "running") == 0)
		count_running(command);
	else if (strcmp(name, "poison") == 0)
		poison_buffers(command);
	else if (strcmp(name, "poisoned") == 0)
		check_poison(command);
	else
		return false;
	return true;
}

static void run(struct command *command)
{
	const char *name = word(command, 0);
	bool is_write = strncmp(name, "write", 5) == 0;

	strcpy(command->answer, "no such command");
	if (is_write || strcmp(name, "read") == 0 || strcmp(name, "readv") == 0)
		transfer(command, is_write, name[strlen(name) - 1] == 'v');
	else if (strcmp(name, "open") == 0)
		answer_call(command, open(word(command, 1), open_flags(command->words[2]), 0600));
	else if (strcmp(name, "openat") == 0)
		answer_call(command, openat((int)number(command, 1), word(command, 2),
					    open_flags(command->words[3]), 0600));
	else if (strcmp(name, "folder") == 0)
		answer_call(command, open(word(command, 1), O_PATH | O_DIRECTORY));
	else if (strcmp(name, "chdir") == 0)
		answer_call(command, chdir(word(command, 1)));
	else if (strcmp(name, "sequence") == 0)
		find_sequence(command);
	else if (strcmp(name, "sync") == 0)
		synchronise(command);
	else if (strcmp(name, "rename") == 0)
		answer_call(command, rename(word(command, 1), word(command, 2)));
	else if (strcmp(name, "unlink") == 0)
		answer_call(command, unlink(word(command, 1)));
	else if (!run_descriptor(command, name))
		run_request(command, name);
}

/* ---- threads, processes -------------------------------------------------------- */

static struct worker {
	char name[32];
	pthread_t thread;
	struct command command;
	char line[512];
	atomic_bool has_ended;
} workers[THREADS];

static void shift(struct command *command, int by)
{
	command->count -= by;
	memmove(command->words, command->words + by, sizeof(char *) * (size_t)command->count);
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	run(&worker->command);
	atomic_store(&worker->has_ended, true);
	return NULL;
}

static struct worker *worker_named(const char *name)
{
	for (int index = 0; index < THREADS; index++)
		if (strcmp(workers[index].name, name) == 0)
			return &workers[index];
	fprintf(stderr, "driver: no thread '%s', or too many\n", name);
	exit(3);
}

static void begin_work(struct command *command)
{
	struct worker *worker = worker_named("");
	char *position = worker->line;

	snprintf(worker->name, sizeof(worker->name), "%s", word(command, 1));
	shift(command, 2);
	worker->command.count = command->count;
	for (int index = 0; index < command->count; index++) {
		worker->command.words[index] = strcpy(position, command->words[index]);
		position += strlen(position) + 1;
	}
	atomic_store(&worker->has_ended, false);
	if (pthread_create(&worker->thread, NULL, work, worker))
		abort();
	strcpy(command->answer, "started");
}

static void join_work(struct command *command)
{
	struct worker *worker = worker_named(word(command, 1));

	pthread_join(worker->thread, NULL);
	strcpy(command->answer, worker->command.answer);
	worker->name[0] = 0;
}

static void run_in_child(struct command *command)
{
	int ends[2], status;
	pid_t child;

	if (pipe(ends) < 0)
		abort();
	child = fork();
	if (child == 0) {
		shift(command, 1);
		run(command);
		_exit(write(ends[1], command->answer, ANSWER_BYTES) != ANSWER_BYTES);
	}
	close(ends[1]);
	if (read(ends[0], command->answer, ANSWER_BYTES) != ANSWER_BYTES)
		strcpy(command->answer, "the child said nothing");
	close(ends[0]);
	if (waitpid(child, &status, 0) != child || status != 0)
		strcpy(command->answer, "the child failed");
}

static void run_line(struct command *command, char **arguments)
{
	const char *name = word(command, 0);

	if (strcmp(name, "async") == 0)
		begin_work(command);
	else if (strcmp(name, "join") == 0)
		join_work(command);
	else if (strcmp(name, "ended") == 0)
		strcpy(command->answer,
		       atomic_load(&worker_named(word(command, 1))->has_ended) ? "yes" : "no");
	else if (strcmp(name, "child") == 0)
		run_in_child(command);
	else if (strcmp(name, "exec") == 0)
		execv("/proc/self/exe", arguments);
	else
		run(command);
}

/* One byte at a time: what this program has not read, the next one after exec reads. */
static bool read_line(char *line, size_t bytes)
{
	for (size_t length = 0; length + 1 < bytes; length++) {
		if (read(0, line + length, 1) != 1)
			return false;
		if (line[length] == '\n') {
			line[length] = 0;
			return true;
		}
	}
	return false;
}

int main(int count, char **arguments)
{
	char line[512], answer[ANSWER_BYTES + 1];
	struct command command;

	(void)count;
	while (read_line(line, sizeof(line))) {
		char *rest;

		command.count = 0;
		for (char *next = strtok_r(line, " ", &rest); next && command.count < WORDS_MAX;
		     next = strtok_r(NULL, " ", &rest))
			command.words[command.count++] = next;
		run_line(&command, arguments);
		snprintf(answer, sizeof(answer), "%s\n", command.answer);
		if (write(1, answer, strlen(answer)) < 0)
			return 1;
	}
	return 0;
}
