/* Every wrong call has its error, and a text with the operation, the file and what to do. */
#include "check.h"

#include <pthread.h>

/* Where the kernel does not tell what it wants it refuses the operation itself. */
static void refused(struct iotrap_queue *queue, const struct iotrap_io *io, const char *word)
{
	int result = iotrap_queue_add(queue, io);

	if (result == 0) {
		CHECK_EQUAL(ONE(queue, NULL), -EINVAL);
		return;
	}
	CHECK_EQUAL(result, -EINVAL);
	CHECK(says(queue, io->kind == IOTRAP_IO_READ ? "read" : "write"));
	CHECK(says(queue, "/file'") && says(queue, word) && says(queue, "multiples of"));
}

static void misaligned(struct iotrap_queue *queue, char *memory)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_DIRECT);
	struct iotrap_file_info info = {.struct_size = sizeof(info)};
	struct iotrap_io io;

	NEED(iotrap_file_info(file, &info) == 0);
	CHECK(info.memory_alignment > 1 && info.offset_alignment > 1);
	iotrap_io_read(&io, file, memory + 1, BLOCK, 0);
	refused(queue, &io, "buffer");
	iotrap_io_write(&io, file, memory, BLOCK, 7);
	refused(queue, &io, "offset 7");
	iotrap_io_read(&io, file, memory, 100, 0);
	refused(queue, &io, "length 100");
	CHECK_EQUAL(iotrap_file_close(file), 0);
}

static void closed_files(struct iotrap_queue *queue, char *memory)
{
	struct iotrap_file *file = open_file("file", O_RDWR), *other;
	struct iotrap_io io;

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EBADF);
	CHECK(says(queue, "closed") && says(queue, "read") && says(queue, "/file'"));
	CHECK_EQUAL(iotrap_file_close(file), -EBADF);
	CHECK_EQUAL(iotrap_file_descriptor(file), -EBADF);
	CHECK_EQUAL(iotrap_file_size(file), -EBADF);
	/* Nor is it one that was opened since. */
	other = open_file("file", O_RDWR);
	CHECK(other != file);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EBADF);
	io.file = NULL;
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EBADF);
	CHECK(says(queue, "no file"));
	CHECK_EQUAL(iotrap_file_close(other), 0);
	CHECK_EQUAL(iotrap_file_close(NULL), -EBADF);
}

static void busy_files(struct iotrap_queue *queue, char *memory)
{
	struct iotrap_file *file = open_file("file", O_RDWR);
	struct iotrap_io io;

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	ADD(queue, &io);
	CHECK_EQUAL(iotrap_file_close(file), -EBUSY);
	CHECK_EQUAL(ONE(queue, NULL), BLOCK);
	CHECK_EQUAL(iotrap_file_close(file), 0);
}

static void full(char *memory)
{
	struct iotrap_queue *queue = open_queue(4);
	struct iotrap_file *file = open_file("file", O_RDWR);
	struct iotrap_completion completions[8];
	struct iotrap_io io, many[3];

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	for (int i = 0; i < 3; i++)
		many[i] = io;
	CHECK_EQUAL(iotrap_queue_room(queue), 4);
	ADD(queue, &io);
	ADD(queue, &io);
	/* All or none. */
	CHECK_EQUAL(iotrap_queue_add_many(queue, many, 3), -EAGAIN);
	CHECK(says(queue, "full") && says(queue, "4"));
	CHECK_EQUAL(iotrap_queue_room(queue), 2);
	CHECK_EQUAL(iotrap_queue_add_many(queue, many, 2), 0);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EAGAIN);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 4, 8, IOTRAP_FOREVER), 4);
	CHECK_EQUAL(iotrap_queue_room(queue), 4);
	/* A wrong one in the middle: none of them. */
	many[1].offset = -1;
	CHECK_EQUAL(iotrap_queue_add_many(queue, many, 3), -EINVAL);
	CHECK(says(queue, "negative"));
	CHECK_EQUAL(iotrap_queue_room(queue), 4);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 1, 8, IOTRAP_FOREVER), 0);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
}

static void wrong_fields(struct iotrap_queue *queue, char *memory)
{
	struct iotrap_file *file = open_file("file", O_RDWR);
	struct iotrap_io io;

#define REFUSED(change, code, word)                                                                \
	do {                                                                                       \
		iotrap_io_read(&io, file, memory, BLOCK, 0);                                       \
		change;                                                                            \
		CHECK_EQUAL(iotrap_queue_add(queue, &io), code);                                   \
		CHECK(says(queue, word));                                                          \
	} while (0)
	REFUSED(io.kind = 200, -EINVAL, "kind");
	REFUSED(io.kind = IOTRAP_IO_BATCH, -EINVAL, "kind");
	REFUSED(io.flags = 1u << 30, -EINVAL, "flags");
	REFUSED(io.flags = IOTRAP_IO_SLOT | IOTRAP_IO_DESCRIPTOR, -EINVAL, "flags");
	REFUSED((io.kind = IOTRAP_IO_READV, io.flags = IOTRAP_IO_FIXED_BUFFER), -EINVAL, "flags");
	REFUSED((io.kind = IOTRAP_IO_FSYNC, io.flags = IOTRAP_IO_WHOLE), -EINVAL, "flags");
	REFUSED(io.reserved[1] = 1, -EINVAL, "reserved");
	REFUSED(io.length = 1ull << 31, -EINVAL, "length");
	REFUSED((io.kind = IOTRAP_IO_WRITEV, io.length = 1025), -EINVAL, "length");
	REFUSED(io.offset = -5, -EINVAL, "offset");
	REFUSED(io.flags = IOTRAP_IO_SLOT, -EINVAL, "slot");
	REFUSED(io.flags = IOTRAP_IO_FIXED_BUFFER, -EINVAL, "buffer");
	REFUSED(io.kind = IOTRAP_IO_OPEN, -EFAULT, "NULL");
	REFUSED((io.kind = IOTRAP_IO_READ_FILE, io.path = "x", io.flags = IOTRAP_IO_LINK), -EINVAL,
		"link");
#undef REFUSED
	CHECK_EQUAL(iotrap_queue_add(queue, NULL), -EFAULT);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.flags = IOTRAP_IO_LINK;
	CHECK_EQUAL(iotrap_queue_add_many(queue, &io, 1), -EINVAL);
	CHECK(says(queue, "link"));
	CHECK_EQUAL(iotrap_queue_room(queue), 16);
	CHECK_EQUAL(iotrap_file_close(file), 0);
}

static void wrong_options(void)
{
	struct iotrap_queue_options options;
	struct {
		struct iotrap_queue_options options;
		uint64_t later;
	} longer;
	struct iotrap_file_options wrong = {.struct_size = sizeof(wrong), .pool = 9};
	struct iotrap_queue *queue = NULL;
	struct iotrap_file *file = NULL;

#define REFUSED(change, code)                                                                      \
	do {                                                                                       \
		iotrap_queue_options_init(&options);                                               \
		options.flags = 0;                                                                 \
		change;                                                                            \
		CHECK_EQUAL(iotrap_queue_open(&options, &queue), code);                            \
		CHECK(queue == NULL);                                                              \
	} while (0)
	REFUSED(options.struct_size = 8, -EINVAL);
	REFUSED(options.flags = 1u << 20, -EINVAL);
	REFUSED(options.flags = IOTRAP_QUEUE_PLAIN | IOTRAP_QUEUE_RING, -EINVAL);
	REFUSED(options.depth = 16385, -EINVAL);
	REFUSED(options.file_slots = 1u << 20, -EINVAL);
	REFUSED(options.reserved[2] = 1, -EINVAL);
#undef REFUSED
	/* A structure of a later version: what is not known here must not be asked for. */
	memset(&longer, 0, sizeof(longer));
	longer.options.struct_size = sizeof(longer);
	longer.options.flags = IOTRAP_QUEUE_PLAIN;
	CHECK_EQUAL(iotrap_queue_open(&longer.options, &queue), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	longer.later = 1;
	CHECK_EQUAL(iotrap_queue_open(&longer.options, &queue), -E2BIG);
	CHECK_EQUAL(iotrap_queue_open(NULL, NULL), -EFAULT);
	CHECK_EQUAL(iotrap_file_open(in_directory("file"), O_RDONLY, 0, &wrong, &file), -EINVAL);
	wrong.pool = IOTRAP_FILE_POOL_REQUIRED;
	CHECK_EQUAL(iotrap_file_open(in_directory("file"), O_RDONLY, 0, &wrong, &file), -ENODEV);
	CHECK_EQUAL(iotrap_file_open(in_directory("none"), O_RDONLY, 0, NULL, &file), -ENOENT);
	CHECK_EQUAL(iotrap_file_open(NULL, O_RDONLY, 0, NULL, &file), -EFAULT);
	CHECK_EQUAL(iotrap_file_adopt(-1, NULL, &file), -EBADF);
	CHECK(file == NULL);
}

static void *from_elsewhere(void *argument)
{
	struct iotrap_queue *queue = argument;
	struct iotrap_completion completion;
	struct iotrap_io io;
	int wanted = backend & IOTRAP_QUEUE_UNBOUND ? 0 : -EPERM;

	iotrap_io_prepare(&io, IOTRAP_IO_NOP, NULL, NULL, 0, 0);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), wanted);
	if (wanted)
		CHECK(says(queue, "wrong thread"));
	CHECK_EQUAL(iotrap_queue_wait(queue, &completion, 1, 1, IOTRAP_FOREVER),
		    wanted ? wanted : 1);
	if (wanted)
		CHECK_EQUAL(iotrap_queue_close(queue), wanted);
	return NULL;
}

static void closed_queue(void)
{
	struct iotrap_queue *queue = open_queue(16);
	struct iotrap_completion completion;
	struct iotrap_io io;
	char text[128];

	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	iotrap_io_prepare(&io, IOTRAP_IO_NOP, NULL, NULL, 0, 0);
	CHECK_EQUAL(iotrap_queue_add(queue, &io), -EBADF);
	CHECK_EQUAL(iotrap_queue_wait(queue, &completion, 1, 1, 0), -EBADF);
	CHECK_EQUAL(iotrap_queue_wake(queue), -EBADF);
	CHECK_EQUAL(iotrap_queue_close(queue), -EBADF);
	CHECK_EQUAL(iotrap_queue_close(NULL), -EBADF);
	CHECK(iotrap_queue_error(queue, text, sizeof(text)) > 0 && strstr(text, "closed"));
}

int main(int count, char **arguments)
{
	struct iotrap_queue *queue;
	char *memory = blocks(2);
	pthread_t thread;

	begin(count, arguments);
	make_file("file", 4);
	queue = open_queue(16);
	misaligned(queue, memory);
	closed_files(queue, memory);
	busy_files(queue, memory);
	full(memory);
	wrong_fields(queue, memory);
	wrong_options();
	NEED(pthread_create(&thread, NULL, from_elsewhere, queue) == 0);
	pthread_join(thread, NULL);
	closed_queue();
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	free(memory);
	return end();
}
