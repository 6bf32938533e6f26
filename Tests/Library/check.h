/*
 * What the programs of this folder share. Each checks one part of iotrap_queue.h in the directory
 * that is its first argument; the second is how its queues work: ring, unbound or plain. It ends
 * with 0, 1 and what was wrong, or 77 and the reason for which it cannot check anything.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <iotrap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096u

static const char *directory;
static uint32_t backend;
static int failures;

#define CHECK(condition) check(condition, #condition, __LINE__)
#define CHECK_EQUAL(value, wanted)                                                                 \
	check_equal((long long)(value), (long long)(wanted), #value, __LINE__)
/* For what the rest depends on. */
#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!CHECK(condition))                                                             \
			exit(1);                                                                   \
	} while (0)

static inline int check(int good, const char *what, int line)
{
	if (!good) {
		failures++;
		printf("line %d: %s\n", line, what);
	}
	return good;
}

static inline int check_equal(long long value, long long wanted, const char *what, int line)
{
	if (value != wanted) {
		failures++;
		printf("line %d: %s is %lld, not %lld\n", line, what, value, wanted);
	}
	return value == wanted;
}

static inline void skip(const char *reason)
{
	printf("%s\n", reason);
	exit(77);
}

static inline void begin(int count, char **arguments)
{
	const char *how = count > 2 ? arguments[2] : "ring";

	setvbuf(stdout, NULL, _IOLBF, 0);
	directory = count > 1 ? arguments[1] : ".";
	if (strcmp(how, "plain") == 0)
		backend = IOTRAP_QUEUE_PLAIN;
	else if (strcmp(how, "unbound") == 0)
		backend = IOTRAP_QUEUE_UNBOUND | IOTRAP_QUEUE_RING;
	else
		backend = IOTRAP_QUEUE_RING;
}

static inline int end(void)
{
	return failures != 0;
}

/* The name of a file in the directory; good until four more are asked for. */
static inline const char *in_directory(const char *name)
{
	static char names[4][512];
	static unsigned int next;
	char *text = names[next++ % 4];

	snprintf(text, sizeof(names[0]), "%s/%s", directory, name);
	return text;
}

static inline struct iotrap_queue *open_queue_with(uint32_t depth, uint32_t flags, uint32_t files,
						   uint32_t buffers)
{
	struct iotrap_queue_options options;
	struct iotrap_queue *queue = NULL;
	int result;

	iotrap_queue_options_init(&options);
	/* Misuse is what some of the programs are about. */
	options.flags = backend | flags;
	options.depth = depth;
	options.file_slots = files;
	options.buffer_slots = buffers;
	result = iotrap_queue_open(&options, &queue);
	if (result < 0) {
		if (backend & IOTRAP_QUEUE_RING)
			skip("io_uring does not work here");
		check_equal(result, 0, "iotrap_queue_open", __LINE__);
		exit(1);
	}
	return queue;
}

static inline struct iotrap_queue *open_queue(uint32_t depth)
{
	return open_queue_with(depth, 0, 0, 0);
}

static inline struct iotrap_file *open_file(const char *name, int flags)
{
	struct iotrap_file *file = NULL;
	int result = iotrap_file_open(in_directory(name), flags, 0600, NULL, &file);

	if (result == -EINVAL && flags & O_DIRECT)
		skip("the file system takes no O_DIRECT");
	if (!check_equal(result, 0, "iotrap_file_open", __LINE__))
		exit(1);
	return file;
}

static inline void *blocks(unsigned int count)
{
	void *memory = NULL;

	if (posix_memalign(&memory, BLOCK, (size_t)count * BLOCK))
		exit(1);
	memset(memory, 0, (size_t)count * BLOCK);
	return memory;
}

/* What block `number` of a file holds. */
static inline void fill_block(void *memory, uint64_t number)
{
	uint64_t *words = memory;

	for (unsigned int i = 0; i < BLOCK / 8; i++)
		words[i] = number * 0x9E3779B97F4A7C15u + i;
}

static inline int is_block(const void *memory, uint64_t number)
{
	const uint64_t *words = memory;

	for (unsigned int i = 0; i < BLOCK / 8; i++) {
		if (words[i] != number * 0x9E3779B97F4A7C15u + i)
			return 0;
	}
	return 1;
}

/* Makes a file of so many blocks with plain calls. */
static inline void make_file(const char *name, unsigned int count)
{
	int fd = open(in_directory(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
	char *memory = blocks(1);

	NEED(fd >= 0);
	for (unsigned int i = 0; i < count; i++) {
		fill_block(memory, i);
		NEED(write(fd, memory, BLOCK) == (ssize_t)BLOCK);
	}
	NEED(fsync(fd) == 0);
	close(fd);
	free(memory);
}

static inline void add(struct iotrap_queue *queue, const struct iotrap_io *io, int line)
{
	char text[512] = "";
	int result = iotrap_queue_add(queue, io);

	if (result == 0)
		return;
	iotrap_queue_error(queue, text, sizeof(text));
	printf("line %d: iotrap_queue_add is %d: %s\n", line, result, text);
	exit(1);
}
#define ADD(queue, io) add(queue, io, __LINE__)

/* Waits for exactly one completion: its result. */
static inline int64_t one(struct iotrap_queue *queue, struct iotrap_completion *completion,
			  int line)
{
	struct iotrap_completion own;
	int count;

	if (!completion)
		completion = &own;
	do
		count = iotrap_queue_wait(queue, completion, 1, 1, IOTRAP_FOREVER);
	while (count == -EINTR);
	if (!check_equal(count, 1, "completions", line))
		exit(1);
	return completion->result;
}
#define ONE(queue, completion) one(queue, completion, __LINE__)

/* Adds an operation and waits for it. */
static inline int64_t perform(struct iotrap_queue *queue, const struct iotrap_io *io, int line)
{
	add(queue, io, line);
	return one(queue, NULL, line);
}
#define PERFORM(queue, io) perform(queue, io, __LINE__)

/* The text of the last refusal of a queue holds a word. */
static inline int says(struct iotrap_queue *queue, const char *word)
{
	char text[512] = "";

	iotrap_queue_error(queue, text, sizeof(text));
	if (strstr(text, word))
		return 1;
	printf("no '%s' in: %s\n", word, text);
	return 0;
}

static inline int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
