/* System calls that only the command makes, and that Swift's Glibc module lacks. */
#ifndef IOTRAP_DOCTOR_H
#define IOTRAP_DOCTOR_H

#include <features.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/* Nonzero when the file carries capabilities (setcap(8)), for which exec ignores preloads. */
int iotrap_file_has_capabilities(const char *path);

/* RLIMIT_MEMLOCK in bytes, UINT64_MAX when unlimited. */
uint64_t iotrap_memlock_limit(void);

#pragma clang assume_nonnull end
#endif
