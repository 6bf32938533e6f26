/* differential: programs that submit, never reap, and end in every way there is; direct */
#include "aio.h"

#define BATCH 64
#define BYTES (BATCH * PAGE)

static char *memory;
static char *program;

enum ending {
	RETURN,
	EXIT,
	QUICK_EXIT,
	UNDER_EXIT,
	NUMBER,
	ABORT,
	KILL,
	FAULT,
	EXEC,
	THREAD,
	ENDINGS
};

static const char *const names[] = {"return", "exit", "quick_exit", "_exit", "exit by number",
				    "abort",  "kill", "a fault",    "exec",  "a thread's exit"};

static void *exit_from_thread(void *argument)
{
	(void)argument;
	exit(6);
}

static void end(enum ending ending)
{
	pthread_t thread;

	switch (ending) {
	case EXIT:
		exit(6);
	case QUICK_EXIT:
		quick_exit(6);
	case UNDER_EXIT:
		_exit(6);
	case NUMBER:
		syscall(SYS_exit_group, 6);
		break;
	case ABORT:
		abort();
	case KILL:
		raise(SIGKILL);
		break;
	case FAULT:
		raise(SIGSEGV);
		break;
	case EXEC:
		execl(program, program, ".", "end", NULL);
		break;
	case THREAD:
		NEED(pthread_create(&thread, NULL, exit_from_thread, NULL) == 0);
		pthread_join(thread, NULL);
		break;
	default:
		break;
	}
}

/* Writes a pattern, a page a request, and ends with all of it under way. */
static void child(const struct aio_way *way, enum ending ending, int flags, int warm, int reads)
{
	struct iocb requests[BATCH], *list[BATCH];
	io_context_t context = aio_begin(way, BATCH);
	int fd = open("left", O_RDWR | flags);

	NEED(fd >= 0);
	if (warm)
		aio_warm(way, context);
	pattern_fill(memory, BYTES, (uint64_t)ending + 10, 0);
	for (int index = 0; index < BATCH; index++) {
		aio_prepare(&requests[index], reads ? IO_CMD_PREAD : IO_CMD_PWRITE, fd,
			    memory + index * PAGE, PAGE, index * PAGE);
		list[index] = &requests[index];
	}
	NEED(way->submit(context, BATCH, list) == BATCH);
	end(ending);
}

static int is_killed(enum ending ending)
{
	return ending == ABORT || ending == KILL || ending == FAULT;
}

/*
 * Writes under way when a process is killed may be done or not: nobody was told. But each
 * is done as a whole or not at all.
 */
static void observe_pages(enum ending ending)
{
	char *old = malloc(BYTES), *new = malloc(BYTES), *found = malloc(BYTES);
	int fd = open("left", O_RDONLY), wrong = 0;

	NEED(old && new &&found &&fd >= 0);
	pattern_fill(old, BYTES, 1, 0);
	pattern_fill(new, BYTES, (uint64_t)ending + 10, 0);
	NEED(read(fd, found, BYTES) == BYTES);
	for (size_t at = 0; at < BYTES; at += PAGE)
		wrong += memcmp(found + at, old + at, PAGE) && memcmp(found + at, new + at, PAGE);
	observe("pages neither old nor new: %d of %d", wrong, BATCH);
	NEED(close(fd) == 0);
	free(old);
	free(new);
	free(found);
}

int main(int count, char **arguments)
{
	char path[4096];
	ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);

	NEED(bytes > 0);
	path[bytes] = 0;
	program = path;
	observe_begin(count, arguments);
	/* What was exec'd instead. */
	if (count == 3)
		return 6;
	require_direct();
	memory = pages(BYTES);
	for (int variant = 0; variant < 12; variant++) {
		const struct aio_way *way = &aio_ways[variant % 2];
		int flags = variant & 2 ? O_DIRECT : 0, warm = variant & 4, reads = variant >= 8;

		for (int ending = 0; ending < ENDINGS; ending++) {
			pid_t pid;
			char label[128];

			make_file("left", BYTES, 1);
			pid = fork();
			if (pid == 0) {
				child(way, ending, flags, warm, reads);
				return 6;
			}
			snprintf(label, sizeof(label), "%s %s flags %x%s, ended by %s", way->name,
				 reads ? "reads" : "writes", (unsigned)flags, warm ? ", warm" : "",
				 names[ending]);
			observe_child(label, pid);
			if (is_killed(ending) && flags && !reads)
				observe_pages(ending);
			else
				observe_file("left");
		}
	}
	unlink("left");
	return 0;
}
