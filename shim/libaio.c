/*
 * Hooks of libaio, and of its system calls. libaio's functions return -errno and leave
 * errno alone; what the engine does not serve goes to the next library in line.
 */
#include "aio_syscalls.h"

#include <sys/syscall.h>

#include "iotrap_aio.h"
#include "real.h"

#define HANDLE(context) ((uint64_t)(uintptr_t)(context))

EXPORT int io_setup(int events, io_context_t *context)
{
	int64_t result = iotrap_io_setup((uint32_t)events, (uint64_t *)context);

	return result == IOTRAP_AIO_DECLINED ? REAL(io_setup)(events, context) : (int)result;
}

EXPORT int io_destroy(io_context_t context)
{
	int64_t result = iotrap_io_destroy(HANDLE(context));

	return result == IOTRAP_AIO_DECLINED ? REAL(io_destroy)(context) : (int)result;
}

static inline int served_submit(io_context_t context, long count, struct iocb *iocbs[])
{
	int64_t result = iotrap_io_submit(HANDLE(context), count, (const uint64_t *)iocbs);

	return result == IOTRAP_AIO_DECLINED ? REAL(io_submit)(context, count, iocbs) : (int)result;
}

static COLD int recorded_submit(io_context_t context, long count, struct iocb *iocbs[])
{
	struct iotrap_thread *self = iotrap_self();
	struct iotrap_record_batch batch;
	int result;

	iotrap_record_submit_begin(self, &batch, count, (const uint64_t *)iocbs);
	result = served_submit(context, count, iocbs);
	iotrap_record_submit_end(self, &batch, (const uint64_t *)iocbs, result);
	return result;
}

EXPORT int io_submit(io_context_t context, long count, struct iocb *iocbs[])
{
	return unlikely(iotrap_recording) ? recorded_submit(context, count, iocbs)
					  : served_submit(context, count, iocbs);
}

/* Records the events that a call has taken. */
static inline int taken(struct io_event *events, int result)
{
	if (unlikely(iotrap_recording) && result > 0)
		iotrap_record_events(iotrap_self(), (const struct iotrap_event *)events, result);
	return result;
}

EXPORT int io_cancel(io_context_t context, struct iocb *iocb, struct io_event *event)
{
	int64_t result = iotrap_io_cancel(HANDLE(context), HANDLE(iocb),
					  (struct iotrap_event *)event);

	return result == IOTRAP_AIO_DECLINED ? REAL(io_cancel)(context, iocb, event) : (int)result;
}

EXPORT int io_getevents(io_context_t context, long minimum, long count, struct io_event *events,
			struct timespec *timeout)
{
	int64_t result = iotrap_io_getevents(HANDLE(context), minimum, count,
					     (struct iotrap_event *)events, timeout, NULL, 1);

	return taken(events, result == IOTRAP_AIO_DECLINED
				     ? REAL(io_getevents)(context, minimum, count, events, timeout)
				     : (int)result);
}

EXPORT int io_pgetevents(io_context_t context, long minimum, long count, struct io_event *events,
			 struct timespec *timeout, sigset_t *mask)
{
	/* What io_pgetevents(2) takes instead of a mask. */
	struct {
		sigset_t *mask;
		size_t bytes;
	} argument = {mask, 8};
	int64_t result = iotrap_io_getevents(HANDLE(context), minimum, count,
					     (struct iotrap_event *)events, timeout,
					     mask ? &argument : NULL, 1);

	return taken(events,
		     result == IOTRAP_AIO_DECLINED
			     ? REAL(io_pgetevents)(context, minimum, count, events, timeout, mask)
			     : (int)result);
}

/* libaio makes these by calling the above inside itself, where no symbol is looked up. */

EXPORT int io_queue_init(int events, io_context_t *context)
{
	if (events <= 0)
		return -EINVAL;
	*context = NULL;
	return io_setup(events, context);
}

EXPORT int io_queue_release(io_context_t context)
{
	return io_destroy(context);
}

EXPORT int io_queue_run(io_context_t context)
{
	struct timespec none = {0, 0};
	struct io_event event;
	int result;

	while ((result = io_getevents(context, 0, 1, &event, &none)) == 1) {
		io_callback_t done = (io_callback_t)event.data;

		done(context, event.obj, (long)event.res, (long)event.res2);
	}
	return result;
}

EXPORT int io_queue_wait(io_context_t context, struct timespec *timeout)
{
	return io_getevents(context, 0, 0, NULL, timeout);
}

/* The same by number, as syscall(2) reports: -errno is what the caller turns into errno. */
int64_t iotrap_aio_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	switch (number) {
	case SYS_io_setup:
		return iotrap_io_setup((uint32_t)a, (uint64_t *)b);
	case SYS_io_destroy:
		return iotrap_io_destroy((uint64_t)a);
	case SYS_io_submit:
		return iotrap_io_submit((uint64_t)a, b, (const uint64_t *)c);
	case SYS_io_cancel:
		return iotrap_io_cancel((uint64_t)a, (uint64_t)b, (struct iotrap_event *)c);
	case SYS_io_getevents:
		return iotrap_io_getevents((uint64_t)a, b, c, (struct iotrap_event *)d,
					   (const void *)e, NULL, 0);
	default: /* SYS_io_pgetevents */
		if (!f)
			return iotrap_io_getevents((uint64_t)a, b, c, (struct iotrap_event *)d,
						   (const void *)e, NULL, 0);
		return iotrap_io_getevents((uint64_t)a, b, c, (struct iotrap_event *)d,
					   (const void *)e, (const void *)f, 0);
	}
}
