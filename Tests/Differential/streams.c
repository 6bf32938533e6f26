/* differential: read, write, readv, writev and the file offset on every kind; direct */
#include "kinds.h"

static char *buffer;

static void observe_read(const char *label, long long result)
{
	if (result > 0)
		observe_bytes(label, buffer, (size_t)result);
}

static void reads(const char *name, int fd)
{
	static const size_t lengths[] = {0, 1, 512, PAGE, 2 * PAGE, 64 * KIB, 64 * KIB};
	struct iovec three[] = {{buffer, 512}, {buffer + PAGE, 0}, {buffer + 512, 1024}};

	for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
		memset(buffer, 0x55, lengths[index]);
		observe_read(name, CALL_AS(read(fd, buffer, lengths[index]), "%s read %zu", name,
					   lengths[index]));
		observe_offset(name, fd);
	}
	CALL_AS(lseek(fd, 0, SEEK_SET), "%s rewind", name);
	memset(buffer, 0x55, PAGE);
	observe_read(name, CALL_AS(readv(fd, three, 3), "%s readv", name));
	observe_offset(name, fd);
	observe_read(name, CALL_AS(pread(fd, buffer, PAGE, PAGE), "%s pread between", name));
	observe_offset(name, fd);
	observe_read(name, CALL_AS(readv(fd, three, 3), "%s readv on", name));
	observe_offset(name, fd);
	CALL_AS(readv(fd, three, 0), "%s readv none", name);
	/* Offset -1 means the file position: preadv2 then is a readv. */
	observe_read(name, CALL_AS(preadv2(fd, three, 3, -1, 0), "%s preadv2 at -1", name));
	observe_offset(name, fd);
}

static void writes(const char *name, int fd)
{
	static const size_t lengths[] = {0, 1, 512, PAGE, 2 * PAGE, 64 * KIB};
	struct iovec three[] = {{buffer, 512}, {buffer + PAGE, 0}, {buffer + 512, 1024}};

	CALL_AS(lseek(fd, 0, SEEK_SET), "%s rewind", name);
	for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
		pattern_fill(buffer, lengths[index], 30 + index, 0);
		CALL_AS(write(fd, buffer, lengths[index]), "%s write %zu", name, lengths[index]);
		observe_offset(name, fd);
	}
	CALL_AS(lseek(fd, PAGE, SEEK_SET), "%s to a page", name);
	CALL_AS(writev(fd, three, 3), "%s writev", name);
	observe_offset(name, fd);
	CALL_AS(pwrite(fd, buffer, PAGE, 0), "%s pwrite between", name);
	observe_offset(name, fd);
	CALL_AS(writev(fd, three, 3), "%s writev on", name);
	CALL_AS(writev(fd, three, 0), "%s writev none", name);
	CALL_AS(pwritev2(fd, three, 3, -1, 0), "%s pwritev2 at -1", name);
	kind_observe(name, fd);
}

/* The other end of pipes, sockets and terminals sees what was written, in its portions. */
static void companion(const char *name)
{
	for (int turn = 0; turn < 100 && kind_companion >= 0; turn++) {
		long long result = CALL_AS(read(kind_companion, buffer, 50000), "%s other end",
					   name);

		observe_read(name, result);
		if (result <= 0)
			break;
	}
}

static void process_memory(void)
{
	static char content[3 * PAGE];
	int fd = kind_process_memory();
	off_t at = (off_t)(uintptr_t)content;

	pattern_fill(content, sizeof(content), 3, 0);
	observe_read("memory", CALL_AS(pread(fd, buffer, sizeof(content), at), "memory pread"));
	CALL_AS(pread(fd, buffer, PAGE, 8), "memory pread where nothing is");
	CALL_AS(pread(fd, buffer, PAGE, -PAGE), "memory pread at the top");
	CALL_AS(read(fd, buffer, PAGE), "memory read where nothing is");
	close(fd);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	kinds_begin();
	buffer = pages(1 * MIB);
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int terminal = kinds[index].open == kind_terminal_master ||
			       kinds[index].open == kind_terminal_slave;
		int fd;

		if (kinds[index].open == kind_process_memory)
			continue;
		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		reads(name, fd);
		/* How much a terminal takes at once depends on its worker's speed. */
		if (!terminal)
			writes(name, fd);
		else
			CALL_AS(write(fd, "answer", 6), "%s write", name);
		if (!terminal)
			companion(name);
		kind_close(fd);
	}
	process_memory();
	return 0;
}
