/* Files: what is known of them, and whose their descriptors are. */
#include "check.h"

static void made_of_descriptors(void)
{
	int before = open_descriptors(), fd = open(in_directory("file"), O_RDWR);
	struct iotrap_file *file = NULL;

	NEED(iotrap_file_adopt(fd, NULL, &file) == 0);
	CHECK_EQUAL(iotrap_file_descriptor(file), fd);
	CHECK_EQUAL(iotrap_file_release(file), fd);
	CHECK_EQUAL(iotrap_file_release(file), -EBADF);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	NEED(iotrap_file_adopt(fd, NULL, &file) == 0);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK(fcntl(fd, F_GETFD) < 0);
	file = open_file("file", O_RDWR);
	CHECK(fcntl(iotrap_file_descriptor(file), F_GETFD) & FD_CLOEXEC);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(open_descriptors(), before);
}

static void facts(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR | O_DIRECT);
	struct iotrap_file_info info = {.struct_size = sizeof(info)};

	CHECK_EQUAL(iotrap_file_size(file), 3 * BLOCK);
	CHECK_EQUAL(iotrap_file_info(file, &info), 0);
	CHECK_EQUAL(info.struct_size, sizeof(info));
	CHECK_EQUAL(info.descriptor, iotrap_file_descriptor(file));
	CHECK_EQUAL(info.size, 3 * BLOCK);
	CHECK_EQUAL(info.paths, 1);
	CHECK(info.open_flags & O_DIRECT);
	CHECK(info.memory_alignment >= 2 && info.memory_alignment <= BLOCK);
	CHECK(info.offset_alignment >= 512 && info.offset_alignment <= BLOCK);
	NEED(ftruncate(info.descriptor, BLOCK) == 0);
	CHECK_EQUAL(iotrap_file_size(file), BLOCK);
	info.struct_size = 4;
	CHECK_EQUAL(iotrap_file_info(file, &info), -EINVAL);
	CHECK_EQUAL(iotrap_file_info(file, NULL), -EFAULT);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	file = open_file("file", O_RDWR);
	info.struct_size = sizeof(info);
	CHECK_EQUAL(iotrap_file_info(file, &info), 0);
	CHECK_EQUAL(info.memory_alignment, 1);
	CHECK_EQUAL(info.offset_alignment, 1);
	CHECK_EQUAL(iotrap_file_close(file), 0);
}

/* Handles stay apart over many lives of their memory. */
static void many_lives(void)
{
	enum { KEPT = 300 };
	struct iotrap_file *old[KEPT];

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < KEPT; i++)
			old[i] = open_file("file", O_RDONLY);
		for (int i = 0; i < KEPT; i++)
			CHECK_EQUAL(iotrap_file_close(old[i]), 0);
		for (int i = 0; i < KEPT; i++)
			CHECK_EQUAL(iotrap_file_close(old[i]), -EBADF);
	}
}

/* A file that becomes shorter while its reads are on their way. */
static void shrinking(void)
{
	struct iotrap_queue *queue = open_queue(64);
	struct iotrap_file *file;
	struct iotrap_completion completion;
	struct iotrap_io io;
	char *memory = blocks(64), text[512];
	int whole = 0;

	make_file("shrinking", 64);
	file = open_file("shrinking", O_RDWR);
	for (unsigned int i = 0; i < 64; i++) {
		iotrap_io_read(&io, file, memory + i * BLOCK, BLOCK, i * (int64_t)BLOCK);
		io.flags = IOTRAP_IO_WHOLE;
		io.user_data = i;
		ADD(queue, &io);
	}
	NEED(ftruncate(iotrap_file_descriptor(file), 10 * BLOCK + 100) == 0);
	for (int i = 0; i < 64; i++) {
		ONE(queue, &completion);
		if (completion.result == (int64_t)BLOCK) {
			whole++;
			continue;
		}
		CHECK_EQUAL(completion.result, -ENODATA);
		CHECK(completion.user_data >= 10);
		iotrap_completion_text(&completion, text, sizeof(text));
		CHECK(strstr(text, "read") && strstr(text, "/shrinking'") &&
		      strstr(text, "shrank"));
	}
	CHECK_EQUAL(whole, 10);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	free(memory);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	make_file("file", 3);
	made_of_descriptors();
	facts();
	many_lives();
	shrinking();
	return end();
}
