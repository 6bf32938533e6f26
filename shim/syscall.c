/*
 * syscall(2): the numbers of hooked calls go the hooks' way, with the raw call behind
 * them (it is no cancellation point); all others go straight to libc.
 */
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "environment.h"
#include "iotrap_libaio.h"
#include "aio_syscalls.h"
#include "record.h"

#define RAW() REAL(syscall)(number, a, b, c, d, e, f)
#define VECTOR(address) .iov = (const struct iovec *)(address)
#define ELEMENT(address, count)                                                                    \
	.iov = &(struct iovec){(void *)(address), (size_t)(count)}, .iov_count = 1
#define DATA(op, size, ...) ROUTED(long, op, (int)a, (uint64_t)(size), (void)0, RAW(), __VA_ARGS__)

static long data_call(long number, long a, long b, long c, long d, long e, long f)
{
	switch (number) {
	case SYS_pread64:
		DATA(IOTRAP_OP_PREAD, c, ELEMENT(b, c), .offset = d);
	case SYS_pwrite64:
		DATA(IOTRAP_OP_PWRITE, c, ELEMENT(b, c), .offset = d);
	case SYS_preadv:
		DATA(IOTRAP_OP_PREADV, 0, VECTOR(b), .iov_count = (int)c, .offset = d);
	case SYS_pwritev:
		DATA(IOTRAP_OP_PWRITEV, 0, VECTOR(b), .iov_count = (int)c, .offset = d);
	case SYS_preadv2:
		DATA(IOTRAP_OP_PREADV, 0, VECTOR(b), .iov_count = (int)c, .offset = d,
		     .flags = (uint32_t)f);
	case SYS_pwritev2:
		DATA(IOTRAP_OP_PWRITEV, 0, VECTOR(b), .iov_count = (int)c, .offset = d,
		     .flags = (uint32_t)f);
	case SYS_read:
		DATA(IOTRAP_OP_READ, c, .iov_count = 0);
	case SYS_write:
		DATA(IOTRAP_OP_WRITE, c, .iov_count = 0);
	case SYS_readv:
		DATA(IOTRAP_OP_READV, 0, .iov_count = 0);
	case SYS_writev:
		DATA(IOTRAP_OP_WRITEV, 0, .iov_count = 0);
	case SYS_fsync:
		DATA(IOTRAP_OP_FSYNC, 0, .iov_count = 0);
	default: /* SYS_fdatasync */
		DATA(IOTRAP_OP_FDATASYNC, 0, .iov_count = 0);
	}
}

/* The same with a record of it. */
static COLD long recorded_data_call(long number, long a, long b, long c, long d, long e, long f)
{
#define RECORD(name, op, offset, length, flags)                                                    \
	RECORDED(IOTRAP_TRACE_CALL_##name, IOTRAP_TRACE_OP_##op, (int)a, offset, length, flags,    \
		 data_call(number, a, b, c, d, e, f))
#define RECORD_MOVE(name, op, length, flags)                                                       \
	RECORDED_MOVE(name, op, (int)a, length, flags, data_call(number, a, b, c, d, e, f))
#define VECTOR_BYTES iotrap_vector_bytes((const struct iovec *)b, (int)c, result_)
	switch (number) {
	case SYS_pread64:
		RECORD(PREAD, READ, d, (uint64_t)c, 0);
	case SYS_pwrite64:
		RECORD(PWRITE, WRITE, d, (uint64_t)c, 0);
	case SYS_preadv:
		RECORD(PREADV, READ, d, VECTOR_BYTES, 0);
	case SYS_pwritev:
		RECORD(PWRITEV, WRITE, d, VECTOR_BYTES, 0);
	case SYS_preadv2:
		if (d == -1)
			RECORD_MOVE(PREADV, READ, VECTOR_BYTES, (uint32_t)f);
		RECORD(PREADV, READ, d, VECTOR_BYTES, (uint32_t)f);
	case SYS_pwritev2:
		if (d == -1 && f & RWF_APPEND)
			iotrap_record_disturb((int)a);
		if (d == -1)
			RECORD_MOVE(PWRITEV, WRITE, VECTOR_BYTES, (uint32_t)f);
		RECORD(PWRITEV, WRITE, d, VECTOR_BYTES, (uint32_t)f);
	case SYS_read:
		RECORD_MOVE(READ, READ, (uint64_t)c, 0);
	case SYS_write:
		RECORD_MOVE(WRITE, WRITE, (uint64_t)c, 0);
	case SYS_readv:
		RECORD_MOVE(READV, READ, VECTOR_BYTES, 0);
	case SYS_writev:
		RECORD_MOVE(WRITEV, WRITE, VECTOR_BYTES, 0);
	case SYS_fsync:
		RECORD(FSYNC, FSYNC, 0, 0, 0);
	default: /* SYS_fdatasync */
		RECORD(FDATASYNC, FDATASYNC, 0, 0, 0);
	}
}

/* What a record says of a counted call. */
struct meaning {
	uint8_t call;
	uint8_t operation;
	uint64_t offset;
	uint64_t length;
	uint32_t flags;
};

static long counted_call(uint32_t operation, struct meaning meaning, long number, long a, long b,
			 long c, long d, long e, long f)
{
	struct iotrap_counted counted;
	long result;

	iotrap_count_begin(&counted, operation, (int)a);
	result = RAW();
	iotrap_count_end(&counted, result < 0);
	iotrap_count_record(&counted, meaning.call, meaning.operation, meaning.offset,
			    meaning.length, meaning.flags, iotrap_outcome(result));
	return result;
}

#define MEANING(call_, op, ...)                                                                    \
	((struct meaning){.call = IOTRAP_TRACE_CALL_##call_,                                       \
			  .operation = IOTRAP_TRACE_OP_##op,                                       \
			  __VA_ARGS__})
#define SYNC_MEANING MEANING(SYNC, SYNC, .offset = 0)

/* Numbers of calls that sync a part of a file, or more than a file. */
static long sync_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	switch (number) {
	case SYS_sync_file_range:
		return counted_call(IOTRAP_OP_SYNC_FILE_RANGE,
				    MEANING(SYNC_FILE_RANGE, SYNC_FILE_RANGE, .flags = (uint32_t)d,
					    .offset = (uint64_t)b, .length = (uint64_t)c),
				    number, a, b, c, d, e, f);
	case SYS_sync:
		return counted_call(IOTRAP_OP_SYNC, SYNC_MEANING, number, -1, b, c, d, e, f);
	default: /* SYS_syncfs */
		result = counted_call(IOTRAP_OP_SYNC, SYNC_MEANING, number, a, b, c, d, e, f);
		return iotrap_synced_all((int)a, (int)result);
	}
}

/* Numbers of calls that change a file's size. */
static long size_call(long number, long a, long b, long c, long d, long e, long f)
{
	uint64_t started;
	long result;

	switch (number) {
	case SYS_truncate:
		started = unlikely(iotrap_recording) ? iotrap_clock() : 0;
		result = RAW();
		if (unlikely(started != 0))
			iotrap_record_truncate(started, (const char *)a, b, result);
		if (iotrap_pools_listen())
			iotrap_pool_resized_any();
		return result;
	case SYS_ftruncate:
		result = counted_call(IOTRAP_OP_TRUNCATE,
				      MEANING(TRUNCATE, TRUNCATE, .offset = (uint64_t)b), number, a,
				      b, c, d, e, f);
		break;
	default: /* SYS_fallocate */
		result = counted_call(IOTRAP_OP_ALLOCATE,
				      MEANING(ALLOCATE, ALLOCATE, .flags = (uint32_t)b,
					      .offset = (uint64_t)c, .length = (uint64_t)d),
				      number, a, b, c, d, e, f);
		break;
	}
	if (iotrap_pools_listen())
		iotrap_pool_resized((int)a);
	return result;
}

static long open_call(long number, long a, long b, long c, long d, long e, long f)
{
	struct iotrap_counted counted;
	long flags = 0;
	long fd;

	iotrap_count_begin(&counted, IOTRAP_OP_OPEN, -1);
	fd = RAW();
	iotrap_count_end(&counted, fd < 0);
	if (fd < 0 || iotrap_is_bare())
		return fd;
	switch (number) {
#ifdef SYS_open
	case SYS_open:
		flags = b;
		break;
	case SYS_creat:
		break;
#endif
	case SYS_openat:
		flags = c;
		break;
	default: /* SYS_openat2; the kernel has just read it */
		flags = (long)((const struct open_how *)c)->flags;
		break;
	}
	iotrap_descriptor_opened((int)fd, (uint32_t)flags);
	if (unlikely(counted.note.started_ns != 0))
		iotrap_record_file_opened(&counted, (int)fd, (uint32_t)flags);
	return fd;
}

/* Numbers whose hooks behave the same whichever way they are reached. */
static long descriptor_call(long number, long a, long b, long c, long d, long e)
{
	switch (number) {
	case SYS_close:
		return close((int)a);
	case SYS_close_range:
		return close_range((unsigned int)a, (unsigned int)b, (int)c);
	case SYS_dup:
		return dup((int)a);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)a, (int)b);
#endif
	case SYS_dup3:
		return dup3((int)a, (int)b, (int)c);
	case SYS_fcntl:
		return fcntl((int)a, (int)b, (void *)c);
	case SYS_flock:
		return flock((int)a, (int)b);
	case SYS_execve:
		return execve((const char *)a, (char *const *)b, (char *const *)c);
	default: /* SYS_execveat */
		return execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d,
				(int)e);
	}
}

static long aio_call(long number, long a, long b, long c, long d, long e, long f)
{
	int64_t result = iotrap_aio_syscall(number, a, b, c, d, e, f);

	return result == IOTRAP_AIO_DECLINED ? RAW() : (long)iotrap_answer(result);
}

/* The same with records of requests, or of their ends. */
static COLD long recorded_aio_call(long number, long a, long b, long c, long d, long e, long f)
{
	struct iotrap_thread *self = iotrap_self();
	struct iotrap_record_batch batch;
	long result;

	if (number == SYS_io_submit)
		iotrap_record_submit_begin(self, &batch, b, (const uint64_t *)c);
	result = aio_call(number, a, b, c, d, e, f);
	if (number == SYS_io_submit)
		iotrap_record_submit_end(self, &batch, (const uint64_t *)c, result);
	else if (number == SYS_io_getevents || number == SYS_io_pgetevents)
		iotrap_record_events(self, (const struct iotrap_event *)d, result);
	return result;
}

/* Numbers of waits and of memory, whose hooks only look on. */
static long other_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	switch (number) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
		iotrap_settle_rings();
		return RAW();
	case SYS_sendmsg:
		iotrap_settle_rings();
		if (unlikely(iotrap_recording))
			iotrap_record_message((const struct msghdr *)b);
		return RAW();
	case SYS_lseek:
		return lseek((int)a, b, (int)c);
	case SYS_sendfile:
	case SYS_splice:
	case SYS_copy_file_range:
		if (unlikely(iotrap_recording)) {
			iotrap_record_disturb((int)a);
			iotrap_record_disturb(number == SYS_sendfile ? (int)b : (int)c);
		}
		return RAW();
#ifdef SYS_fork
	case SYS_fork:
#endif
	case SYS_clone:
	case SYS_clone3:
		if (unlikely(iotrap_recording))
			iotrap_positions_share(iotrap_self(), 0, UINT32_MAX);
		return RAW();
	case SYS_mmap:
		iotrap_mapping((int)e, (int)d);
		return RAW();
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_mremap:
		result = RAW();
		iotrap_memory_changed();
		return result;
	default:
		return RAW();
	}
}

__attribute__((visibility("hidden"))) long iotrap_syscall_hook(long number, long a, long b, long c,
							       long d, long e, long f);

long iotrap_syscall_hook(long number, long a, long b, long c, long d, long e, long f)
{
	switch (number) {
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_read:
	case SYS_write:
	case SYS_readv:
	case SYS_writev:
	case SYS_fsync:
	case SYS_fdatasync:
		return unlikely(iotrap_recording) ? recorded_data_call(number, a, b, c, d, e, f)
						  : data_call(number, a, b, c, d, e, f);
	case SYS_sync_file_range:
	case SYS_sync:
	case SYS_syncfs:
		return sync_call(number, a, b, c, d, e, f);
	case SYS_truncate:
	case SYS_ftruncate:
	case SYS_fallocate:
		return size_call(number, a, b, c, d, e, f);
#ifdef SYS_open
	case SYS_open:
	case SYS_creat:
#endif
	case SYS_openat:
	case SYS_openat2:
		return open_call(number, a, b, c, d, e, f);
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case SYS_close:
	case SYS_close_range:
	case SYS_dup:
	case SYS_dup3:
	case SYS_fcntl:
	case SYS_flock:
	case SYS_execve:
	case SYS_execveat:
		return descriptor_call(number, a, b, c, d, e);
	case SYS_io_setup:
	case SYS_io_destroy:
	case SYS_io_submit:
	case SYS_io_cancel:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return unlikely(iotrap_recording) ? recorded_aio_call(number, a, b, c, d, e, f)
						  : aio_call(number, a, b, c, d, e, f);
	case SYS_exit_group:
		if (!iotrap_is_bare()) {
			iotrap_aio_drain();
			iotrap_finish();
		}
		return RAW();
	case SYS_seccomp:
		iotrap_restrict();
		return RAW();
	case SYS_prctl:
		if (a == PR_SET_SECCOMP)
			iotrap_restrict();
		return RAW();
	default:
		return other_call(number, a, b, c, d, e, f);
	}
}

EXPORT long syscall(long number, ...)
{
	long values[6];
	va_list arguments;

	/* Six words are taken whatever was given, as libc's own does. */
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		values[i] = va_arg(arguments, long);
	va_end(arguments);
	return iotrap_syscall_hook(number, values[0], values[1], values[2], values[3], values[4],
				   values[5]);
}
