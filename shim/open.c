/* Hooks of the calls that make descriptors of files. */
#include "record.h"

static inline int takes_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static inline int opened(struct iotrap_counted *counted, int fd, int flags)
{
	iotrap_count_end(counted, fd < 0);
	if (fd >= 0 && counted->route != IOTRAP_ROUTE_BARE)
		iotrap_descriptor_opened(fd, (uint32_t)flags);
	if (unlikely(counted->note.started_ns != 0))
		iotrap_record_file_opened(counted, fd, (uint32_t)flags);
	return fd;
}

EXPORT int open(const char *path, int flags, ...)
{
	struct iotrap_counted counted;
	mode_t mode = 0;
	va_list arguments;

	if (takes_mode(flags)) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(open)(path, flags, mode), flags);
}
ALIAS_OF(open64, open);
ALIAS_OF(__open, open);
ALIAS_OF(__open64, open);

EXPORT int openat(int directory, const char *path, int flags, ...)
{
	struct iotrap_counted counted;
	mode_t mode = 0;
	va_list arguments;

	if (takes_mode(flags)) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(openat)(directory, path, flags, mode), flags);
}
ALIAS_OF(openat64, openat);

EXPORT int creat(const char *path, mode_t mode)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(creat)(path, mode), O_CREAT | O_WRONLY | O_TRUNC);
}
ALIAS_OF(creat64, creat);

/* Fortified: libc ends the program over a missing mode, with the name in its message. */
EXPORT int __open_2(const char *path, int flags)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(__open_2)(path, flags), flags);
}

EXPORT int __open64_2(const char *path, int flags)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(__open64_2)(path, flags), flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(__openat_2)(directory, path, flags), flags);
}

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return opened(&counted, REAL(__openat64_2)(directory, path, flags), flags);
}

/* Streams: libc opens and closes their descriptors where no hook sees it. */
static FILE *stream_opened(struct iotrap_counted *counted, FILE *stream)
{
	int saved = errno;

	iotrap_count_end(counted, stream == NULL);
	if (stream && counted->route != IOTRAP_ROUTE_BARE)
		iotrap_descriptor_forget(fileno(stream));
	if (unlikely(counted->note.started_ns != 0) && stream)
		iotrap_record_opened(counted, fileno(stream), 0);
	errno = saved;
	return stream;
}

static void stream_closing(FILE *stream)
{
	int saved = errno;

	if (!iotrap_is_bare()) {
		iotrap_closing((unsigned int)fileno(stream), (unsigned int)fileno(stream));
		iotrap_descriptor_forget(fileno(stream));
	}
	errno = saved;
}

static COLD uint32_t stream_file(FILE *stream)
{
	int saved = errno;
	uint32_t file = iotrap_record_known(iotrap_self(), fileno(stream));

	errno = saved;
	return file;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	struct iotrap_counted counted;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return stream_opened(&counted, REAL(fopen)(path, mode));
}
ALIAS_OF(fopen64, fopen);

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	struct iotrap_counted counted;

	stream_closing(stream);
	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	return stream_opened(&counted, REAL(freopen)(path, mode, stream));
}
ALIAS_OF(freopen64, freopen);

EXPORT int fclose(FILE *stream)
{
	struct iotrap_counted counted;
	uint32_t file = unlikely(iotrap_recording) ? stream_file(stream) : 0;
	int result;

	stream_closing(stream);
	iotrap_count_begin(&counted, IOTRAP_OP_CLOSE, -1);
	result = REAL(fclose)(stream);
	iotrap_count_end(&counted, result != 0);
	counted.note.file = file;
	if (unlikely(file > IOTRAP_RECORDED_NOT))
		iotrap_count_record(&counted, IOTRAP_TRACE_CALL_CLOSE, IOTRAP_TRACE_OP_CLOSE, 0, 0,
				    0, iotrap_outcome(result));
	return result;
}
