/* Storage of the service thread and of POSIX AIO, and telling the program of finished requests. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iotrap_posix.h"

struct iotrap_service iotrap_service_storage __attribute__((aligned(64)));
struct iotrap_lane *iotrap_lane_tables[IOTRAP_LANE_TABLES];
struct iotrap_lane iotrap_lanes_shared[IOTRAP_LANE_TABLE_LANES];

struct iotrap_posix_ring iotrap_posix_rings[IOTRAP_POSIX_RINGS];

#define SAME_PLACE(ours, theirs)                                                                   \
	_Static_assert(__builtin_offsetof(struct iotrap_aiocb, ours) ==                            \
			       __builtin_offsetof(struct aiocb, theirs),                           \
		       #theirs " is elsewhere in this libc")
SAME_PLACE(descriptor, aio_fildes);
SAME_PLACE(opcode, aio_lio_opcode);
SAME_PLACE(priority, aio_reqprio);
SAME_PLACE(address, aio_buf);
SAME_PLACE(bytes, aio_nbytes);
SAME_PLACE(notify_value, aio_sigevent.sigev_value);
SAME_PLACE(notify_signal, aio_sigevent.sigev_signo);
SAME_PLACE(notify, aio_sigevent.sigev_notify);
SAME_PLACE(notify_function, aio_sigevent.sigev_notify_function);
SAME_PLACE(notify_attributes, aio_sigevent.sigev_notify_attributes);
SAME_PLACE(error, __error_code);
SAME_PLACE(result, __return_value);
SAME_PLACE(offset, aio_offset);
_Static_assert(IOTRAP_NOTIFY_SIGNAL == SIGEV_SIGNAL && IOTRAP_NOTIFY_NONE == SIGEV_NONE &&
		       IOTRAP_NOTIFY_THREAD == SIGEV_THREAD &&
		       IOTRAP_NOTIFY_THREAD_ID == SIGEV_THREAD_ID,
	       "libc's numbers");

int iotrap_file_type(int fd)
{
	struct statx status;
	long result = iotrap_syscall(SYS_statx, fd, (long)"", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
				     STATX_TYPE, (long)&status, 0);

	return result < 0 ? (int)result : status.stx_mode & S_IFMT;
}

long iotrap_read_raw(int fd, void *buffer, size_t bytes)
{
	return iotrap_syscall(SYS_read, fd, (long)buffer, (long)bytes, 0, 0, 0);
}

long iotrap_read_now(int fd, void *buffer, size_t bytes, int64_t offset)
{
	struct iovec element = {.iov_base = buffer, .iov_len = bytes};

	return iotrap_syscall(SYS_preadv2, fd, (long)&element, 1, offset, 0, RWF_NOWAIT);
}

int iotrap_futex_wait_signals(uint32_t *word, uint32_t value, const uint64_t *timeout_ns)
{
	if (timeout_ns)
		return iotrap_futex_wait_for(word, value, *timeout_ns);
	return (int)iotrap_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

/* What rt_sigaction(2) fills in. */
struct action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

int iotrap_wait_goes_on(int has_limit)
{
	for (int number = 1; number <= 64; number++) {
		struct action action = {.handler = SIG_DFL};

		/* libc's own two are no business of the program. */
		if (number == 32 || number == 33)
			continue;
		iotrap_syscall(SYS_rt_sigaction, number, 0, (long)&action, sizeof(action.mask), 0,
			       0);
		if (action.handler == SIG_DFL || action.handler == SIG_IGN)
			continue;
		if (has_limit || !(action.flags & SA_RESTART))
			return 0;
	}
	return 1;
}

uint64_t iotrap_deadline(int64_t seconds, int64_t nanoseconds)
{
	uint64_t now = iotrap_clock();

	if (seconds < 0)
		return now;
	if (seconds > 3153600000)
		return UINT64_MAX;
	return now + (uint64_t)seconds * 1000000000u + (uint64_t)nanoseconds;
}

int iotrap_suspend_in_ring(uint64_t timeout_ns)
{
	struct iotrap_posix_ring *own = iotrap_self()->posix_ring;
	int result = iotrap_ring_enter(own->ring, 1, timeout_ns, NULL);

	return result == -EINTR || result == -ETIME ? result : 0;
}

int iotrap_notify_signal(const struct iotrap_notice *notice)
{
	siginfo_t info;
	long process = iotrap_process_id();

	memset(&info, 0, sizeof(info));
	info.si_signo = notice->signal;
	info.si_code = SI_ASYNCIO;
	info.si_pid = (pid_t)process;
	info.si_uid = (uid_t)iotrap_syscall(SYS_getuid, 0, 0, 0, 0, 0, 0);
	info.si_value.sival_ptr = (void *)(uintptr_t)notice->value;
	if (notice->notify == IOTRAP_NOTIFY_THREAD_ID)
		return (int)iotrap_syscall(SYS_rt_tgsigqueueinfo, process, (int)notice->function,
					   notice->signal, (long)&info, 0, 0);
	return (int)iotrap_syscall(SYS_rt_sigqueueinfo, process, notice->signal, (long)&info, 0, 0,
				   0);
}

static void *notice_body(void *argument)
{
	const struct iotrap_request *request = argument;
	void (*function)(union sigval) = (void (*)(union sigval))(uintptr_t)request->object;
	union sigval value = {.sival_ptr = (void *)(uintptr_t)request->data};
	const uint64_t none = 0;

	iotrap_request_give(argument);
	iotrap_signals_restore(&none);
	function(value);
	return NULL;
}

void iotrap_notify_thread(const struct iotrap_notice *notice, struct iotrap_request *request)
{
	const pthread_attr_t *given = (const pthread_attr_t *)(uintptr_t)notice->attributes;
	pthread_attr_t own;
	pthread_t thread;

	request->object = notice->function;
	request->data = notice->value;
	if (!given) {
		pthread_attr_init(&own);
		pthread_attr_setdetachstate(&own, PTHREAD_CREATE_DETACHED);
	}
	/* Nobody is told when there can be no thread: the C library does not either. */
	if (pthread_create(&thread, given ? given : &own, notice_body, request))
		iotrap_request_give(request);
	if (!given)
		pthread_attr_destroy(&own);
}
