/* differential: lseek, sendfile, splice, copy_file_range and fdopen on every kind */
#include "kinds.h"

#include <sys/sendfile.h>

static void seeks(const char *name, int fd)
{
	static const struct {
		off_t offset;
		int whence;
	} places[] = {
		{0, SEEK_CUR},  {100, SEEK_SET},       {50, SEEK_CUR},  {-60, SEEK_CUR},
		{0, SEEK_END},  {PAGE, SEEK_END},      {-1, SEEK_SET},  {-5 * PAGE, SEEK_END},
		{0, SEEK_DATA}, {0, SEEK_HOLE},        {0, 77},         {0, -1},
		{7, SEEK_CUR},  {INT64_MAX, SEEK_SET}, {1, SEEK_CUR},   {1 << 30, SEEK_DATA},
		{3, SEEK_SET},  {INT64_MIN, SEEK_CUR}, {512, SEEK_SET},
	};

	for (size_t index = 0; index < sizeof(places) / sizeof(places[0]); index++) {
		off_t offset = places[index].offset;
		int whence = places[index].whence;

		CALL_AS(lseek(fd, offset, whence), "%s lseek %lld %d", name, (long long)offset,
			whence);
		CALL_AS(syscall(SYS_lseek, fd, offset, whence), "%s raw lseek", name);
	}
	CALL_AS(lseek64(fd, 0, SEEK_SET), "%s lseek64", name);
}

static void copies(const char *name, int fd)
{
	int ends[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int target = open("copy.dat", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	off_t offset = 10;
	off64_t from = 20;

	NEED(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 && target >= 0 && null >= 0);
	CALL_AS(sendfile(null, fd, NULL, 100), "%s sendfile", name);
	CALL_AS(sendfile(null, fd, &offset, 100), "%s sendfile from a place", name);
	CALL_AS(sendfile64(null, fd, NULL, 7), "%s sendfile64", name);
	CALL_AS(syscall(SYS_sendfile, null, fd, NULL, 9), "%s raw sendfile", name);
	CALL_AS(sendfile(fd, target, NULL, 9), "%s sendfile into", name);
	observe("%s: %lld", name, (long long)offset);
	CALL_AS(copy_file_range(fd, NULL, target, NULL, 100, 0), "%s copy_file_range", name);
	CALL_AS(copy_file_range(fd, &from, target, NULL, 100, 0), "%s copy from a place", name);
	CALL_AS(syscall(SYS_copy_file_range, fd, NULL, target, NULL, 8, 0), "%s raw copy", name);
	CALL_AS(copy_file_range(target, NULL, fd, NULL, 10, 99), "%s wrong copy", name);
	observe("%s: %lld", name, (long long)from);
	CALL_AS(splice(fd, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK), "%s splice", name);
	CALL_AS(splice(ends[0], NULL, target, NULL, 100, SPLICE_F_NONBLOCK), "%s splice out", name);
	CALL_AS(splice(fd, NULL, target, NULL, 100, SPLICE_F_NONBLOCK), "%s no splice", name);
	CALL_AS(syscall(SYS_splice, fd, NULL, ends[1], NULL, 5, SPLICE_F_NONBLOCK), "%s raw splice",
		name);
	observe_offset(name, fd);
	observe_offset("copy", target);
	observe_file("copy.dat");
	close(ends[0]);
	close(ends[1]);
	close(null);
	close(target);
}

static void streams(const char *name, int fd)
{
	FILE *stream;

	CALL_AS(fdopen(fd, "q") == NULL, "%s fdopen q", name);
	errno = ERRNO_MARK;
	stream = fdopen(fd, "r");
	if (!stream) {
		observe("%s: no stream, %s", name, error_name(errno));
		return;
	}
	observe("%s: a stream of the same descriptor: %d", name, fileno(stream) == fd);
	observe("%s: closed: %d", name, fclose(stream));
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	kinds_begin();
	for (size_t index = 0; index < KIND_COUNT; index++) {
		const char *name = kinds[index].name;
		int fd;

		/* Its content has addresses in it. */
		if (kinds[index].open == kind_process_memory)
			continue;
		fd = kinds[index].open();
		observe("== %s opened as %d", name, fd);
		seeks(name, fd);
		copies(name, fd);
		kind_close(fd);
		fd = kinds[index].open();
		streams(name, fd);
		if (fcntl(fd, F_GETFD) >= 0)
			kind_close(fd);
	}
	return 0;
}
