/*
 * Hooks of the calls that end, copy or alter descriptors. What is known of a
 * descriptor is dropped before it is closed: afterwards its number may already
 * belong to somebody else.
 */
#include <limits.h>

#include "real.h"

/* The engine's own descriptors do not exist as far as the program can tell. */
static inline int is_hidden(int fd)
{
	return unlikely(iotrap_descriptor_is_internal(fd)) && !iotrap_is_bare();
}

static inline int not_open(void)
{
	errno = EBADF;
	return -1;
}

/* Others will have the file position too, or nobody. */
static inline void sharing(int fd)
{
	if (unlikely(iotrap_recording))
		iotrap_position_share(iotrap_self(), fd);
}

static COLD int routed_close(int fd)
{
	struct iotrap_counted counted;
	int result;

	if (is_hidden(fd))
		return not_open();
	if (fd >= 0)
		iotrap_closing((unsigned int)fd, (unsigned int)fd);
	sharing(fd);
	iotrap_count_begin(&counted, IOTRAP_OP_CLOSE, fd);
	if (counted.route != IOTRAP_ROUTE_BARE &&
	    (iotrap_descriptor_slot(fd) || unlikely(iotrap_recording)))
		iotrap_descriptor_forget(fd);
	result = REAL(close)(fd);
	iotrap_count_end(&counted, result < 0);
	iotrap_count_record(&counted, IOTRAP_TRACE_CALL_CLOSE, IOTRAP_TRACE_OP_CLOSE, 0, 0, 0,
			    iotrap_outcome(result));
	return result;
}

EXPORT int close(int fd)
{
	/* Nothing known of it: nothing to forget, and not the engine's; and no request. */
	if (likely(iotrap_descriptor_slot(fd) == 0 && !iotrap_service_runs() && !iotrap_recording))
		QUICK(int, close, IOTRAP_OP_CLOSE, 0, (fd));
	return routed_close(fd);
}
ALIAS_OF(__close, close);

/* close_range around the engine's descriptors. */
static int close_around(unsigned int first, unsigned int last, int flags)
{
	while (first <= last) {
		int hidden = iotrap_descriptor_internal_from(first, last);
		unsigned int end = hidden < 0 ? last : (unsigned int)hidden - 1;

		if (hidden != (int)first && REAL(close_range)(first, end, flags) < 0)
			return -1;
		/* The table is unshared once. */
		flags &= ~(int)CLOSE_RANGE_UNSHARE;
		if (hidden < 0)
			break;
		first = (unsigned int)hidden + 1;
	}
	return 0;
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	if (!REAL(close_range)) {
		errno = ENOSYS;
		return -1;
	}
	if (iotrap_is_bare() || (flags & (int)CLOSE_RANGE_CLOEXEC) || first > last)
		return REAL(close_range)(first, last, flags);
	iotrap_closing(first, last);
	if (unlikely(iotrap_recording))
		iotrap_positions_share(iotrap_self(), first, last);
	iotrap_descriptors_forget(first, last);
	if (likely(iotrap_descriptor_internal_from(first, last) < 0))
		return REAL(close_range)(first, last, flags);
	return close_around(first, last, flags);
}

EXPORT void closefrom(int low)
{
	unsigned int first = low < 0 ? 0 : (unsigned int)low;
	int saved = errno;

	if (iotrap_is_bare()) {
		REAL(closefrom)(low);
		return;
	}
	iotrap_closing(first, UINT_MAX);
	if (unlikely(iotrap_recording))
		iotrap_positions_share(iotrap_self(), first, UINT_MAX);
	iotrap_descriptors_forget(first, UINT_MAX);
	if (likely(iotrap_descriptor_internal_from(first, UINT_MAX) < 0))
		REAL(closefrom)(low);
	else
		close_around(first, UINT_MAX, 0);
	errno = saved;
}

static inline int copied(int fd)
{
	if (fd >= 0 && !iotrap_is_bare())
		iotrap_descriptor_forget(fd);
	return fd;
}

EXPORT int dup(int fd)
{
	if (is_hidden(fd))
		return not_open();
	sharing(fd);
	return copied(REAL(dup)(fd));
}

EXPORT int dup2(int fd, int target)
{
	if (is_hidden(fd))
		return not_open();
	if (is_hidden(target))
		iotrap_descriptor_surrender(target);
	if (target >= 0 && fd != target)
		iotrap_closing((unsigned int)target, (unsigned int)target);
	if (fd == target)
		return REAL(dup2)(fd, target);
	sharing(fd);
	sharing(target);
	return copied(REAL(dup2)(fd, target));
}
ALIAS_OF(__dup2, dup2);

EXPORT int dup3(int fd, int target, int flags)
{
	if (is_hidden(fd))
		return not_open();
	if (is_hidden(target) && fd != target)
		iotrap_descriptor_surrender(target);
	if (target >= 0)
		iotrap_closing((unsigned int)target, (unsigned int)target);
	sharing(fd);
	sharing(target);
	return copied(REAL(dup3)(fd, target, flags));
}

/*
 * A buffered file that is locked is shared with others, whose view of it the mount
 * keeps right on the program's own path only.
 */
static inline void locking(int fd)
{
	if (iotrap_pools_listen())
		iotrap_pool_locked(fd);
}

EXPORT int flock(int fd, int operation)
{
	locking(fd);
	return REAL(flock)(fd, operation);
}

EXPORT int lockf(int fd, int command, off_t length)
{
	locking(fd);
	return REAL(lockf)(fd, command, length);
}
ALIAS_OF(lockf64, lockf);

EXPORT int fcntl(int fd, int command, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, command);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (is_hidden(fd))
		return not_open();
	if (iotrap_is_lock(command))
		locking(fd);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_SETFL)
		sharing(fd);
	result = REAL(fcntl)(fd, command, argument);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(result);
	/* The flags belong to the open file description: other descriptors that share it
	 * keep a stale hint, which no decision with a consequence relies on. */
	if (command == F_SETFL && !iotrap_is_bare())
		iotrap_descriptor_forget(fd);
	return result;
}
ALIAS_OF(fcntl64, fcntl);
ALIAS_OF(__fcntl, fcntl);
