/* What happened, as one line: operation, file, reason, remedy. For errors only; not quick. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iotrap_library.h"

static const char *const operations[] = {
	"nop",  "read", "write", "readv",     "writev",     "fsync", "fdatasync",
	"open", "stat", "close", "read file", "write file", "batch",
};

static const char *operation_name(uint32_t operation)
{
	return operation < sizeof(operations) / sizeof(operations[0]) ? operations[operation]
								      : "operation";
}

struct line {
	char *text;
	size_t bytes;
	size_t length;
};

static void __attribute__((format(printf, 2, 3))) append(struct line *line, const char *format, ...)
{
	va_list arguments;
	int wanted;

	if (line->length + 1 >= line->bytes)
		return;
	va_start(arguments, format);
	wanted = vsnprintf(line->text + line->length, line->bytes - line->length, format,
			   arguments);
	va_end(arguments);
	if (wanted > 0)
		line->length += (size_t)wanted;
	if (line->length >= line->bytes)
		line->length = line->bytes - 1;
}

static void append_error(struct line *line, int64_t result)
{
	const char *text = strerrordesc_np((int)-result);

	if (text)
		append(line, "%s", text);
	else
		append(line, "error %lld", (long long)-result);
}

static void append_subject(struct line *line, uint32_t operation, const char *path, int64_t offset,
			   uint64_t length)
{
	append(line, "%s", operation == UINT16_MAX ? "queue" : operation_name(operation));
	if (path && path[0])
		append(line, " of '%s'", path);
	switch (operation) {
	case IOTRAP_IO_READ:
	case IOTRAP_IO_WRITE:
	case IOTRAP_IO_READ_FILE:
	case IOTRAP_IO_WRITE_FILE:
		append(line, ", %llu bytes at %lld", (unsigned long long)length, (long long)offset);
		break;
	case IOTRAP_IO_READV:
	case IOTRAP_IO_WRITEV:
		append(line, ", %llu vectors at %lld", (unsigned long long)length,
		       (long long)offset);
		break;
	default:
		break;
	}
	append(line, ": ");
}

/* What to do about a result, where that is known. */
static const char *remedy(int64_t result, uint32_t operation)
{
	switch (-result) {
	case ENODATA:
		return "; the file ends before that: it shrank, or was never so long";
	case ETIME:
		return "; its deadline passed before it was done";
	case ECANCELED:
		return "; it was cancelled, or one it was linked to failed";
	case EINVAL:
		return operation == IOTRAP_IO_READ || operation == IOTRAP_IO_WRITE ||
				       operation == IOTRAP_IO_READV || operation == IOTRAP_IO_WRITEV
			       ? "; with O_DIRECT align buffer, offset and length"
			       : "";
	case EBADF:
		return "; the file is not open for this";
	case ENOSPC:
	case EDQUOT:
		return "; free some space";
	default:
		return "";
	}
}

size_t iotrap_result_text(uint32_t operation, int64_t result, const char *path, int64_t offset,
			  uint64_t length, char *text, size_t bytes)
{
	struct line line = {.text = text, .bytes = bytes};

	if (bytes == 0)
		return 0;
	text[0] = '\0';
	append_subject(&line, operation, path, offset, length);
	if (result >= 0) {
		append(&line, "done, %lld", (long long)result);
	} else {
		append_error(&line, result);
		append(&line, "%s", remedy(result, operation));
	}
	return line.length;
}

static void append_alignment(struct line *line, const struct iotrap_refusal *refusal)
{
	unsigned long long limit = refusal->limit;

	switch (refusal->why) {
	case IOTRAP_REFUSED_BUFFER_ALIGNMENT:
		append(line,
		       "the buffer at 0x%llx is not aligned; O_DIRECT wants multiples of %llu",
		       (unsigned long long)refusal->address, limit);
		break;
	case IOTRAP_REFUSED_OFFSET_ALIGNMENT:
		append(line, "offset %lld is not aligned; O_DIRECT wants multiples of %llu",
		       (long long)refusal->offset, limit);
		break;
	default:
		append(line, "length %llu is not aligned; O_DIRECT wants multiples of %llu",
		       (unsigned long long)refusal->length, limit);
		break;
	}
}

static const char *reason(uint32_t why)
{
	switch (why) {
	case IOTRAP_REFUSED_FULL:
		return "the queue is full; take completions, or open it with a greater depth than";
	case IOTRAP_REFUSED_THREAD:
		return "wrong thread; the queue belongs to the thread that opened it: use "
		       "IOTRAP_QUEUE_UNBOUND, or iotrap_queue_wake to have its owner work";
	case IOTRAP_REFUSED_CLOSED:
		return "the file is closed";
	case IOTRAP_REFUSED_KIND:
		return "no such kind of operation; see enum iotrap_io_kind";
	case IOTRAP_REFUSED_FLAGS:
		return "flags that are unknown, or not for this kind of operation; see IOTRAP_IO_*";
	case IOTRAP_REFUSED_RESERVED:
		return "a reserved field is not 0; clear the structure before it is filled in";
	case IOTRAP_REFUSED_LENGTH:
		return "the length is too large; at most 0x7ffff000 bytes, or 1024 vectors";
	case IOTRAP_REFUSED_OFFSET:
		return "the offset is negative";
	case IOTRAP_REFUSED_TARGET:
		return "no file; set file, or a descriptor with IOTRAP_IO_DESCRIPTOR";
	case IOTRAP_REFUSED_SLOT:
		return "no file in this slot; use iotrap_queue_set_file first. Slots:";
	case IOTRAP_REFUSED_BUFFER_INDEX:
		return "no such registered buffer; use iotrap_queue_set_buffer first. Buffers:";
	case IOTRAP_REFUSED_BUFFER_RANGE:
		return "outside the registered buffer, whose bytes are";
	case IOTRAP_REFUSED_LINK:
		return "a link cannot lead there; link operations that are added together, and no "
		       "*_FILE operation";
	case IOTRAP_REFUSED_BATCH_BUSY:
		return "the batch is in a queue; take its completion first";
	case IOTRAP_REFUSED_BATCH_FREED:
		return "the batch was freed";
	case IOTRAP_REFUSED_CALLBACK:
		return "not inside a callback";
	case IOTRAP_REFUSED_IN_USE:
		return "operations still use it; take their completions first";
	case IOTRAP_REFUSED_NULL:
		return "a pointer is NULL";
	default:
		return NULL;
	}
}

void iotrap_refusal_set_path(struct iotrap_refusal *refusal, const char *path)
{
	size_t length = strnlen(path, sizeof(refusal->path) - 1);

	memcpy(refusal->path, path, length);
	refusal->path[length] = '\0';
	refusal->has_file = 1;
}

size_t iotrap_refusal_text(const struct iotrap_refusal *refusal, char *text, size_t bytes)
{
	struct line line = {.text = text, .bytes = bytes};

	if (bytes == 0)
		return 0;
	text[0] = '\0';
	if (refusal->code == 0)
		return 0;
	append_subject(&line, refusal->operation, refusal->has_file ? refusal->path : NULL,
		       refusal->offset, refusal->length);
	switch (refusal->why) {
	case IOTRAP_REFUSED_BUFFER_ALIGNMENT:
	case IOTRAP_REFUSED_OFFSET_ALIGNMENT:
	case IOTRAP_REFUSED_LENGTH_ALIGNMENT:
		append_alignment(&line, refusal);
		break;
	default:
		if (reason(refusal->why))
			append(&line, "%s", reason(refusal->why));
		else
			append_error(&line, refusal->code);
		if (refusal->limit)
			append(&line, " %llu", (unsigned long long)refusal->limit);
	}
	return line.length;
}

void iotrap_misuse_abort(const char *text)
{
	char line[600];
	int length = snprintf(line, sizeof(line), "iotrap: misuse: %s\n", text);

	if (length > 0)
		iotrap_write_raw(2, line, (size_t)length);
	abort();
}
