/*
 * Hooks of POSIX AIO. They are exported without a version, so that programs bound to
 * librt's old symbols and to libc's come here alike.
 */
#include <aio.h>

#include "iotrap_posix.h"
#include "real.h"

static inline struct iotrap_aiocb *block_of(const struct aiocb *request)
{
	return (struct iotrap_aiocb *)(uintptr_t)request;
}

EXPORT int aio_read(struct aiocb *request)
{
	int64_t result = iotrap_posix_transfer(IOTRAP_OP_AIO_READ, block_of(request));

	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(aio_read)(request);
}

EXPORT int aio_write(struct aiocb *request)
{
	int64_t result = iotrap_posix_transfer(IOTRAP_OP_AIO_WRITE, block_of(request));

	return likely(result != IOTRAP_AIO_DECLINED) ? (int)iotrap_answer(result)
						     : REAL(aio_write)(request);
}

EXPORT int aio_fsync(int operation, struct aiocb *request)
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

EXPORT int aio_error(const struct aiocb *request)
{
	if (unlikely(!iotrap_posix_is_ours()))
		return REAL(aio_error)(request);
	return (int)iotrap_posix_error(block_of(request));
}

EXPORT ssize_t aio_return(struct aiocb *request)
{
	if (likely(iotrap_posix_is_ours()))
		iotrap_posix_returned();
	return block_of(request)->result;
}

EXPORT int aio_cancel(int fd, struct aiocb *request)
{
	if (!iotrap_posix_is_ours())
		return REAL(aio_cancel)(fd, request);
	return (int)iotrap_answer(iotrap_posix_cancel(fd, request ? block_of(request) : NULL));
}

EXPORT int lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *event)
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

static void leave(void *unused)
{
	(void)unused;
	iotrap_suspend_leave();
}

/* One wait, the only part that is a cancellation point: nothing is held in it. */
static int wait_once(uint32_t seen, const uint64_t *timeout_ns)
{
	int result, before;

	pthread_cleanup_push(leave, NULL);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
	result = iotrap_futex_wait_signals(&iotrap_service()->finished, seen, timeout_ns);
	pthread_setcanceltype(before, NULL);
	pthread_cleanup_pop(1);
	return result;
}

static int suspend(const struct iotrap_aiocb *const list[], int count,
		   const struct timespec *timeout)
{
	uint64_t deadline = 0, left = 0;
	int result = 0;

	if (iotrap_suspend_ready(list, count))
		return 0;
	if (timeout) {
		if (timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000)
			return -EINVAL;
		left = timeout->tv_sec < 0 ? 0
					   : (uint64_t)timeout->tv_sec * 1000000000u +
						     (uint64_t)timeout->tv_nsec;
		deadline = iotrap_clock() + left;
	}
	while (result != -EINTR) {
		uint32_t seen = iotrap_suspend_join();

		if (iotrap_suspend_ready(list, count)) {
			iotrap_suspend_leave();
			return 0;
		}
		if (timeout && left == 0) {
			iotrap_suspend_leave();
			return -EAGAIN;
		}
		result = wait_once(seen, timeout ? &left : NULL);
		if (timeout) {
			uint64_t now = iotrap_clock();

			left = now < deadline ? deadline - now : 0;
		}
	}
	return iotrap_suspend_ready(list, count) ? 0 : -EINTR;
}

EXPORT int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout)
{
	int result;

	if (count < 0) {
		errno = EINVAL;
		return -1;
	}
	if (!iotrap_suspend_begin())
		return REAL(aio_suspend)(list, count, timeout);
	result = suspend((const struct iotrap_aiocb *const *)list, count, timeout);
	iotrap_suspend_end(result < 0);
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
