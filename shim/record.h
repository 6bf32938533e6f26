/* Records of the calls that move data, around what the hooks do otherwise. */
#ifndef IOTRAP_RECORD_H
#define IOTRAP_RECORD_H

#include "real.h"

/* Bytes that a vector asks for; of a call that failed it may be anything. */
static inline uint64_t iotrap_vector_bytes(const struct iovec *iov, int count, int64_t result)
{
	uint64_t sum = 0;

	if (count <= 0 || count > 1024)
		return 0;
	if (result < 0 && !iotrap_readable(iov, (size_t)count * sizeof(*iov)))
		return 0;
	for (int i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Where a call has moved its bytes. What is appended lands at the end, whatever was asked for. */
static inline uint64_t iotrap_place(const struct iotrap_note *note, uint8_t operation, int fd,
				    int64_t offset, uint32_t flags, int64_t result)
{
	int appends = operation == IOTRAP_TRACE_OP_WRITE && result > 0 &&
		      (note->file & IOTRAP_RECORDED_APPEND || flags & RWF_APPEND);
	struct iotrap_file_facts facts;

	if (!appends)
		return (uint64_t)offset;
	if (iotrap_file_facts(fd, &facts) < 0)
		return 0;
	return (uint64_t)(facts.size >= result ? facts.size - result : facts.size);
}

/* Records truncate(2), which names its file by a path. Failed calls name none. */
static inline void iotrap_record_truncate(uint64_t started, const char *path, int64_t length,
					  int64_t result)
{
	struct iotrap_note note = {started, 0};

	if (result < 0)
		return;
	note.file = iotrap_record_resolve_path(iotrap_self(), path);
	if (note.file > IOTRAP_RECORDED_NOT)
		iotrap_record_end(iotrap_self(), &note, IOTRAP_TRACE_CALL_TRUNCATE,
				  IOTRAP_TRACE_OP_TRUNCATE, (uint64_t)length, 0, 0, 0);
}

/* Records an open file. Failed calls have none. */
static COLD __attribute__((unused)) void iotrap_record_opened(struct iotrap_counted *counted,
							      int fd, uint32_t flags)
{
	if (fd < 0 || counted->route == IOTRAP_ROUTE_BARE)
		return;
	/* What had the number before may have gone unseen. */
	iotrap_record_forget((uint32_t)fd, (uint32_t)fd);
	counted->note.file = iotrap_record_resolve(counted->self, fd);
	if (counted->note.file > IOTRAP_RECORDED_NOT)
		iotrap_record_end(counted->self, &counted->note, IOTRAP_TRACE_CALL_OPEN,
				  IOTRAP_TRACE_OP_OPEN, 0, 0, flags, 0);
}

/* A descriptor that no stream has was opened. */
static COLD __attribute__((unused)) void iotrap_record_file_opened(struct iotrap_counted *counted,
								   int fd, uint32_t flags)
{
	iotrap_record_opened(counted, fd, flags);
	if (fd >= 0 && counted->route != IOTRAP_ROUTE_BARE)
		iotrap_position_opened(fd);
}

/* Makes a call at a place and returns its result, with a record of it. */
#define RECORDED(call, op, fd, offset, length, flags, real)                                        \
	do {                                                                                       \
		struct iotrap_thread *thread_ = iotrap_self();                                     \
		struct iotrap_note note_;                                                          \
		ssize_t result_;                                                                   \
                                                                                                   \
		iotrap_record_begin(thread_, &note_, fd);                                          \
		result_ = (real);                                                                  \
		if (note_.started_ns != 0)                                                         \
			iotrap_record_end(thread_, &note_, call, op,                               \
					  iotrap_place(&note_, op, fd, offset, flags, result_),    \
					  length, flags, iotrap_outcome(result_));                 \
		return result_;                                                                    \
	} while (0)

/* The same for a call at the file position. */
#define RECORDED_MOVE(called, op, fd, bytes, rwf, real)                                            \
	do {                                                                                       \
		struct iotrap_thread *thread_ = iotrap_self();                                     \
		struct iotrap_recorded record_;                                                    \
		struct iotrap_note note_;                                                          \
		struct iotrap_move move_;                                                          \
		ssize_t result_;                                                                   \
                                                                                                   \
		iotrap_record_begin(thread_, &note_, fd);                                          \
		iotrap_move_begin(thread_, &note_, &move_, fd);                                    \
		result_ = (real);                                                                  \
		if (note_.started_ns != 0) {                                                       \
			record_.call = IOTRAP_TRACE_CALL_##called;                                 \
			record_.operation = IOTRAP_TRACE_OP_##op;                                  \
			record_.length = (bytes);                                                  \
			record_.flags = (rwf);                                                     \
			record_.result = iotrap_outcome(result_);                                  \
			iotrap_move_end(thread_, &note_, &move_, fd, &record_);                    \
		}                                                                                  \
		return result_;                                                                    \
	} while (0)

/* A message is sent: whoever gets descriptors with it shares their positions. */
static COLD __attribute__((unused)) void iotrap_record_message(const struct msghdr *message)
{
	struct cmsghdr *part;

	if (!message || !iotrap_readable(message, sizeof(*message)) || !message->msg_control ||
	    !iotrap_readable(message->msg_control, message->msg_controllen))
		return;
	for (part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR((struct msghdr *)message, part))
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
			iotrap_positions_share(iotrap_self(), 0, UINT32_MAX);
}

/* Before a call that moves the position in a way of its own. */
static COLD __attribute__((unused)) void iotrap_record_disturb(int fd)
{
	iotrap_position_disturb(iotrap_self(), fd);
}

#endif
