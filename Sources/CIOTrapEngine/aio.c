/* System calls behind asynchronous I/O, and the service thread's making. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#include "iotrap_aio.h"

struct iotrap_request_pool iotrap_pool_storage;

long iotrap_io_setup_raw(unsigned int events, uint64_t *handle)
{
	return iotrap_syscall(SYS_io_setup, events, (long)handle, 0, 0, 0, 0);
}

long iotrap_io_destroy_raw(uint64_t handle)
{
	return iotrap_syscall(SYS_io_destroy, (long)handle, 0, 0, 0, 0, 0);
}

long iotrap_io_submit_raw(uint64_t handle, long count, const void *iocbs)
{
	return iotrap_syscall(SYS_io_submit, (long)handle, count, (long)iocbs, 0, 0, 0);
}

long iotrap_io_getevents_raw(uint64_t handle, long minimum, long count, void *events,
			     const void *timeout)
{
	return iotrap_syscall(SYS_io_getevents, (long)handle, minimum, count, (long)events,
			      (long)timeout, 0);
}

long iotrap_io_pgetevents_raw(uint64_t handle, long minimum, long count, void *events,
			      const void *timeout, const void *mask)
{
	return iotrap_syscall(SYS_io_pgetevents, (long)handle, minimum, count, (long)events,
			      (long)timeout, (long)mask);
}

long iotrap_io_cancel_raw(uint64_t handle, void *iocb, void *event)
{
	return iotrap_syscall(SYS_io_cancel, (long)handle, (long)iocb, (long)event, 0, 0, 0);
}

int iotrap_futex_wait_for(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	/* A century where there is no limit: see the declaration. */
	uint64_t seconds = timeout_ns / 1000000000u;
	struct timespec timeout = {.tv_sec = seconds > 3153600000u ? 3153600000 : (time_t)seconds,
				   .tv_nsec = (long)(timeout_ns % 1000000000u)};

	return (int)iotrap_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, (long)&timeout,
				   0, 0);
}

int iotrap_eventfd(void)
{
	return (int)iotrap_syscall(SYS_eventfd2, 0, EFD_CLOEXEC, 0, 0, 0, 0);
}

long iotrap_write_raw(int fd, const void *buffer, size_t bytes)
{
	return iotrap_syscall(SYS_write, fd, (long)buffer, (long)bytes, 0, 0, 0);
}

/*
 * Every signal but the one by which libc has all threads of the process change their
 * user: seteuid(2) waits for each of them.
 */
void iotrap_signals_block_program(uint64_t *saved)
{
	const uint64_t set_user = (uint64_t)1 << (33 - 1);
	const uint64_t blocked = ~set_user;

	iotrap_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, (long)saved,
		       sizeof(blocked), 0, 0);
}

static void *service_body(void *argument)
{
	iotrap_service_run((uint64_t)(uintptr_t)argument);
	return NULL;
}

int iotrap_service_start_thread(uint64_t argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	uint64_t mask;
	/* Sets errno when there is no memory for its stack, and the caller may yet succeed. */
	int saved = errno;
	int result = pthread_attr_init(&attributes);

	if (result)
		return result;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 128 * 1024 + PTHREAD_STACK_MIN);
	/* Inherited by the thread. */
	iotrap_signals_block_program(&mask);
	result = pthread_create(&thread, &attributes, service_body, (void *)(uintptr_t)argument);
	iotrap_signals_restore(&mask);
	pthread_attr_destroy(&attributes);
	errno = saved;
	return result;
}
