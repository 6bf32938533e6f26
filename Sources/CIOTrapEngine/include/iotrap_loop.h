/* What the Swift library needs of libc and its Glibc module does not show. */
#ifndef IOTRAP_LOOP_H
#define IOTRAP_LOOP_H

#include <stdint.h>

/*
 * Starts a detached thread with all signals blocked: those of the process are for threads of the
 * program. 0 or -errno.
 */
int iotrap_thread_start(void *_Nullable (*_Nonnull body)(void *_Nullable),
			void *_Nullable argument);
/* Names the calling thread; the kernel keeps 15 bytes. */
void iotrap_thread_name(const char *_Nonnull name);
/* Keeps the calling thread on one processor: 0 or -errno. */
int iotrap_thread_pin(int processor);
/* Nonzero in a program with more rights than who started it (AT_SECURE). */
int iotrap_is_secure(void);

#endif
