/* The functions behind the hooks, as the next library in line (usually libc) has them. */
#ifndef IOTRAP_REAL_H
#define IOTRAP_REAL_H

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iotrap_pool.h"
#include "iotrap_posix.h"
#include "iotrap_recorder.h"

#define EXPORT __attribute__((visibility("default")))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))

/* Fortified entry points, which no public header declares. */
ssize_t __pread_chk(int fd, void *buffer, size_t count, off_t offset, size_t room);
ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room);
int __open_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

/* Exported by libaio, but no longer declared. */
int io_queue_wait(io_context_t context, struct timespec *timeout);

enum iotrap_real_index {
#define HOOK(name) IOTRAP_REAL_##name,
#define ALIAS(alias, name)
#include "hooks.def"
#undef HOOK
#undef ALIAS
	IOTRAP_REAL_COUNT
};

extern void *iotrap_real[IOTRAP_REAL_COUNT];

/* Looks the function up; used before the constructor has looked them all up. */
void *iotrap_real_find(enum iotrap_real_index index);
void iotrap_real_find_all(void);

static inline void *iotrap_real_get(enum iotrap_real_index index)
{
	void *found = iotrap_real[index];

	return likely(found != NULL) ? found : iotrap_real_find(index);
}

/* The real function; NULL where this libc has none. */
#define REAL(name) ((__typeof__(&(name)))iotrap_real_get(IOTRAP_REAL_##name))

/* The same where it is known to be found. */
#define FOUND(name) ((__typeof__(&(name)))iotrap_real[IOTRAP_REAL_##name])

/* Gives the alias names of hooks.def to a hook. */
#define ALIAS_OF(other, name)                                                                      \
	extern __typeof__(name) other __attribute__((alias(#name), visibility("default")))

/* A result of the engine as the program expects it. errno changes on failure only. */
static inline int64_t iotrap_answer(int64_t result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

/* Tells the engine how a declined call ended; errno stays what the call made it. */
static inline void iotrap_report(struct iotrap_thread *self, struct iotrap_call *call,
				 int64_t result)
{
	iotrap_completed(self, call, result < 0 ? -(int64_t)errno : result);
}

/*
 * The part of a data or sync hook that asks the engine. `real` is evaluated once.
 * `cancel` is pthread_testcancel() where the function is a cancellation point: the
 * engine's own waits are not, so a pending request is acted on before anything was
 * done.
 */
#define ROUTED(type, op, fd, size, cancel, real, ...)                                              \
	do {                                                                                       \
		struct iotrap_thread *self_ = iotrap_self();                                       \
		uint32_t route_ = iotrap_route(self_, op, fd, size);                               \
		type result_;                                                                      \
                                                                                                   \
		if (route_ == IOTRAP_ROUTE_PASS) {                                                 \
			result_ = (real);                                                          \
			if (unlikely(result_ < 0 && iotrap_pools_active)) {                        \
				struct iotrap_call again_ = {                                      \
					.operation = op, .descriptor = fd, __VA_ARGS__};           \
				int error_ = errno;                                                \
				int64_t other_ = iotrap_pool_again(self_, &again_, error_);        \
                                                                                                   \
				if (other_ != IOTRAP_DECLINED)                                     \
					return (type)iotrap_answer(other_);                        \
				errno = error_;                                                    \
			}                                                                          \
			iotrap_passed(self_, op, result_);                                         \
			return result_;                                                            \
		}                                                                                  \
		if (route_ == IOTRAP_ROUTE_BARE)                                                   \
			return (real);                                                             \
		struct iotrap_call call_ = {.operation = op, .descriptor = fd, __VA_ARGS__};       \
		cancel;                                                                            \
		int64_t served_ = iotrap_serve(self_, &call_);                                     \
		if (served_ != IOTRAP_DECLINED)                                                    \
			return (type)iotrap_answer(served_);                                       \
		result_ = (real);                                                                  \
		iotrap_report(self_, &call_, result_);                                             \
		return result_;                                                                    \
	} while (0)

/*
 * The part before it: the usual call, counted and passed without asking. It stands
 * alone in the hook so that the compiler saves no registers for the rest. `slot` is
 * the descriptor's where its kind matters, else 0. What passes quickly comes after
 * the constructor, which has found the real functions.
 */
#define QUICK(type, name, op, slot, arguments)                                                     \
	do {                                                                                       \
		struct iotrap_stats_operation *counts_ = iotrap_pass_quickly(iotrap_self(), op,    \
									     slot);                \
                                                                                                   \
		if (likely(counts_ != NULL)) {                                                     \
			type result_ = FOUND(name) arguments;                                      \
                                                                                                   \
			iotrap_passed_quickly(counts_, result_);                                   \
			return result_;                                                            \
		}                                                                                  \
	} while (0)

/* A call that is only counted: begins with iotrap_count_begin, ends with iotrap_count_end. */
struct iotrap_counted {
	struct iotrap_thread *self;
	uint32_t route;
	struct iotrap_call call;
	struct iotrap_note note; /* started_ns 0: not recorded */
};

/* The start of a counted call of which there is to be a record; fd -1: of no descriptor. */
static COLD __attribute__((unused)) void iotrap_counted_note(struct iotrap_counted *counted,
							     uint32_t operation, int fd)
{
	if (fd < 0) {
		counted->note.file = 0;
		counted->note.started_ns = iotrap_clock();
	} else if (operation == IOTRAP_OP_CLOSE) {
		/* A file of which nothing was recorded has no end to record. */
		counted->note.file = iotrap_record_known(counted->self, fd);
		if (counted->note.file > IOTRAP_RECORDED_NOT)
			counted->note.started_ns = iotrap_clock();
	} else {
		iotrap_record_begin(counted->self, &counted->note, fd);
		if (operation == IOTRAP_OP_SYNC && counted->note.started_ns == 0) {
			counted->note.file = 0;
			counted->note.started_ns = iotrap_clock();
		}
	}
}

static inline void iotrap_count_begin(struct iotrap_counted *counted, uint32_t operation, int fd)
{
	counted->self = iotrap_self();
	counted->call.operation = operation;
	counted->note.started_ns = 0;
	if (unlikely(iotrap_recording))
		iotrap_counted_note(counted, operation, fd);
	counted->route = IOTRAP_ROUTE_PASS;
	if (likely(iotrap_pass_quickly(counted->self, operation, 0) != NULL))
		return;
	counted->route = iotrap_route(counted->self, operation, fd, 0);
	if (unlikely(counted->route == IOTRAP_ROUTE_SERVE)) {
		counted->call = (struct iotrap_call){.operation = operation, .descriptor = fd};
		iotrap_serve(counted->self, &counted->call);
	}
}

static inline void iotrap_count_end(struct iotrap_counted *counted, int failed)
{
	if (unlikely(counted->route == IOTRAP_ROUTE_SERVE))
		iotrap_completed(counted->self, &counted->call, failed ? -1 : 0);
	else if (counted->route == IOTRAP_ROUTE_PASS)
		iotrap_passed(counted->self, counted->call.operation, failed ? -1 : 0);
}

/* Its record, behind iotrap_count_end; the result is 0 or more, or -errno. */
static inline void iotrap_count_record(struct iotrap_counted *counted, uint8_t call,
				       uint8_t operation, uint64_t offset, uint64_t length,
				       uint32_t flags, int64_t result)
{
	if (unlikely(counted->note.started_ns != 0))
		iotrap_record_end(counted->self, &counted->note, call, operation, offset, length,
				  flags, result);
}

/* The result of a call as records have it. */
static inline int64_t iotrap_outcome(int64_t result)
{
	return result < 0 ? -(int64_t)errno : result;
}

/* Nonzero where nothing may be noted: switched off, or a vfork child in its parent's memory. */
static inline int iotrap_is_bare(void)
{
	return iotrap_self()->state == IOTRAP_STATE_BARE || !iotrap_active;
}

/* Nonzero when mount pools must hear of what becomes of a file. Before start they need not. */
static inline int iotrap_pools_listen(void)
{
	return unlikely(__atomic_load_n(&iotrap_pools_active, __ATOMIC_RELAXED)) &&
	       !iotrap_is_bare();
}

/* Nonzero for the commands of fcntl(2) that take or drop a lock. */
static inline int iotrap_is_lock(int command)
{
	return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
	       command == F_OFD_SETLKW;
}

/*
 * A file is about to be mapped. Before the call: from the first moment on what the
 * mapping shows may not be written through another path.
 */
static inline void iotrap_mapping(int fd, int flags)
{
	if (iotrap_pools_listen() && fd >= 0 && !(flags & MAP_ANONYMOUS))
		iotrap_pool_mapped(fd);
}

/* syncfs(2) has ended; what other paths of the file's pool hold belongs to it. */
static inline int iotrap_synced_all(int fd, int result)
{
	if (result < 0 || !iotrap_pools_listen())
		return result;
	return (int)iotrap_answer(iotrap_pool_sync_all(fd));
}

/*
 * Before descriptors are closed: a request that the kernel has not got yet must not
 * find another file under the number.
 */
static inline void iotrap_closing(unsigned int first, unsigned int last)
{
	if (unlikely(iotrap_service_runs()) && !iotrap_is_bare())
		iotrap_aio_closing(first, last);
}

#endif
