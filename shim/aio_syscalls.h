/* System calls of libaio, made by number. */
#ifndef IOTRAP_SHIM_AIO_SYSCALLS_H
#define IOTRAP_SHIM_AIO_SYSCALLS_H

#include <stdint.h>

/* The result, -errno, or IOTRAP_AIO_DECLINED: make the system call. */
int64_t iotrap_aio_syscall(long number, long a, long b, long c, long d, long e, long f);

#endif
