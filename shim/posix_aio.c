/*
 * Hooks of POSIX AIO. They are exported without a version, so that programs bound to
 * librt's old symbols and to libc's come here alike.
 */
#include <aio.h>

#include "iotrap_posix.h"
#include "posix_record.h"

static inline struct iotrap_aiocb *block_of(const struct aiocb *request)
{
	return (struct iotrap_aiocb *)(uintptr_t)request;
}

static inline int served_aio_read(struct aiocb *request)
{
	int64_t result = iotrap_posix_transfer(IOTRAP_OP_AIO_READ, block_of(request));

	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(aio_read)(request);
}

EXPORT int aio_read(struct aiocb *request)
{
	if (unlikely(iotrap_recording))
		RECORD_REQUEST(request, IOTRAP_TRACE_CALL_AIO_READ, IOTRAP_TRACE_OP_READ,
			       served_aio_read(request));
	return served_aio_read(request);
}

static inline int served_aio_write(struct aiocb *request)
{
	int64_t result = iotrap_posix_transfer(IOTRAP_OP_AIO_WRITE, block_of(request));

	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(aio_write)(request);
}

EXPORT int aio_write(struct aiocb *request)
{
	if (unlikely(iotrap_recording))
		RECORD_REQUEST(request, IOTRAP_TRACE_CALL_AIO_WRITE, IOTRAP_TRACE_OP_WRITE,
			       served_aio_write(request));
	return served_aio_write(request);
}

static inline int served_aio_fsync(int operation, struct aiocb *request)
{
	int64_t result;

	if (operation != O_SYNC && operation != O_DSYNC) {
		errno = EINVAL;
		return -1;
	}
	result = iotrap_posix_sync(operation == O_DSYNC, block_of(request));
	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(aio_fsync)(operation, request);
}

EXPORT int aio_fsync(int operation, struct aiocb *request)
{
	if (unlikely(iotrap_recording))
		RECORD_REQUEST(request, IOTRAP_TRACE_CALL_AIO_FSYNC,
			       operation == O_DSYNC ? IOTRAP_TRACE_OP_FDATASYNC
						    : IOTRAP_TRACE_OP_FSYNC,
			       served_aio_fsync(operation, request));
	return served_aio_fsync(operation, request);
}

static inline int served_aio_error(const struct aiocb *request)
{
	if (unlikely(!iotrap_posix_is_ours()))
		return REAL(aio_error)(request);
	return (int)iotrap_posix_error(block_of(request));
}

EXPORT int aio_error(const struct aiocb *request)
{
	int error = served_aio_error(request);

	if (unlikely(iotrap_recording))
		iotrap_record_request_end(block_of(request), error);
	return error;
}

EXPORT ssize_t aio_return(struct aiocb *request)
{
	if (likely(iotrap_posix_is_ours()))
		iotrap_posix_returned();
	if (unlikely(iotrap_recording))
		iotrap_record_request_end(block_of(request), (int)block_of(request)->error);
	return block_of(request)->result;
}

EXPORT int aio_cancel(int fd, struct aiocb *request)
{
	if (!iotrap_posix_is_ours())
		return REAL(aio_cancel)(fd, request);
	return (int)iotrap_answer(iotrap_posix_cancel(fd, request ? block_of(request) : NULL));
}

static inline int served_lio_listio(int mode, struct aiocb *const list[], int count,
				    struct sigevent *event)
{
	struct iotrap_notice notice;
	int64_t result;

	if (mode != LIO_WAIT && mode != LIO_NOWAIT) {
		errno = EINVAL;
		return -1;
	}
	if (event && mode == LIO_NOWAIT) {
		notice = (struct iotrap_notice){
			.notify = event->sigev_notify,
			.signal = event->sigev_signo,
			.value = (uintptr_t)event->sigev_value.sival_ptr,
			.function = (uintptr_t)event->sigev_notify_function,
			.attributes = (uintptr_t)event->sigev_notify_attributes,
		};
	}
	result = iotrap_posix_list(mode == LIO_WAIT, (struct iotrap_aiocb *const *)list, count,
				   event && mode == LIO_NOWAIT ? &notice : NULL);
	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(lio_listio)(mode, list, count, event);
}

static COLD int recorded_lio_listio(int mode, struct aiocb *const list[], int count,
				    struct sigevent *event)
{
	struct iotrap_aiocb *const *blocks = (struct iotrap_aiocb *const *)list;
	struct iotrap_record_batch batch;
	int result;

	iotrap_record_list_begin(&batch, blocks, count);
	result = served_lio_listio(mode, list, count, event);
	if (result == 0 || errno != EINVAL)
		iotrap_record_list_end(&batch, blocks, count);
	if (mode == LIO_WAIT) {
		int saved = errno;

		for (int i = 0; i < count; i++) {
			if (list[i] && list[i]->aio_lio_opcode != LIO_NOP)
				iotrap_record_request_end(blocks[i], served_aio_error(list[i]));
		}
		errno = saved;
	}
	return result;
}

EXPORT int lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *event)
{
	return unlikely(iotrap_recording) ? recorded_lio_listio(mode, list, count, event)
					  : served_lio_listio(mode, list, count, event);
}

static void leave(void *way)
{
	iotrap_suspend_leave((int)(intptr_t)way);
}

#define MILLISECOND 1000000u

/* One wait, the only part that is a cancellation point: nothing is held in it. */
static int wait_once(int way, uint32_t seen, uint64_t left)
{
	uint32_t *word = &iotrap_service()->finished;
	int result, before;

	pthread_cleanup_push(leave, (void *)(intptr_t)way);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
	if (way == IOTRAP_SUSPEND_IN_RING || way == IOTRAP_SUSPEND_IN_BOTH)
		result = iotrap_suspend_in_ring(left);
	else if (way == IOTRAP_SUSPEND_WATCHFUL)
		result = iotrap_futex_wait_for(word, seen, left < MILLISECOND ? left : MILLISECOND);
	else
		result = iotrap_futex_wait_signals(word, seen, left == UINT64_MAX ? NULL : &left);
	pthread_setcanceltype(before, NULL);
	pthread_cleanup_pop(1);
	/* A futex without a limit goes on by itself; the other two tell of any interruption. */
	if (result == -EINTR && way != IOTRAP_SUSPEND_ASLEEP &&
	    iotrap_wait_goes_on(left != UINT64_MAX))
		result = 0;
	return result;
}

/* deadline UINT64_MAX: none. */
static int suspend(const struct iotrap_aiocb *const list[], int count, uint64_t deadline)
{
	int result = 0;
	int way = iotrap_suspend_ready(list, count);

	while (way != IOTRAP_SUSPEND_READY) {
		uint64_t now = deadline == UINT64_MAX ? 0 : iotrap_clock();
		uint64_t left = deadline == UINT64_MAX ? UINT64_MAX : deadline - now;
		uint32_t seen = iotrap_suspend_join(way);
		int again = iotrap_suspend_ready(list, count);

		if (again != way) {
			iotrap_suspend_leave(way);
			way = again;
			continue;
		}
		if (now >= deadline || result == -EINTR) {
			iotrap_suspend_leave(way);
			return result == -EINTR ? -EINTR : -EAGAIN;
		}
		result = wait_once(way, seen, left);
		way = iotrap_suspend_ready(list, count);
	}
	return 0;
}

EXPORT int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout)
{
	const struct iotrap_aiocb *const *blocks = (const struct iotrap_aiocb *const *)list;
	uint64_t deadline = UINT64_MAX;
	int result;

	if (count < 0) {
		errno = EINVAL;
		return -1;
	}
	if (!iotrap_suspend_begin())
		return REAL(aio_suspend)(list, count, timeout);
	if (timeout && (timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000)) {
		/* Looked at only where there is something to wait for. */
		result = iotrap_suspend_ready(blocks, count) == IOTRAP_SUSPEND_READY ? 0 : -EINVAL;
	} else {
		if (timeout)
			deadline = iotrap_deadline(timeout->tv_sec, timeout->tv_nsec);
		result = suspend(blocks, count, deadline);
	}
	iotrap_suspend_end(result < 0, !timeout || timeout->tv_sec > 0 || timeout->tv_nsec > 0);
	return (int)iotrap_answer(result);
}

/* Advice about threads that the library's own requests need. */
EXPORT void aio_init(const struct aioinit *advice)
{
	REAL(aio_init)(advice);
}

/* struct aiocb64 is the same, but another type, on a 64-bit machine. */
#pragma GCC visibility push(default)
extern __typeof__(aio_read64) aio_read64 __attribute__((alias("aio_read")));
extern __typeof__(aio_write64) aio_write64 __attribute__((alias("aio_write")));
extern __typeof__(aio_fsync64) aio_fsync64 __attribute__((alias("aio_fsync")));
extern __typeof__(aio_error64) aio_error64 __attribute__((alias("aio_error")));
extern __typeof__(aio_return64) aio_return64 __attribute__((alias("aio_return")));
extern __typeof__(aio_cancel64) aio_cancel64 __attribute__((alias("aio_cancel")));
extern __typeof__(aio_suspend64) aio_suspend64 __attribute__((alias("aio_suspend")));
extern __typeof__(lio_listio64) lio_listio64 __attribute__((alias("lio_listio")));
#pragma GCC visibility pop
