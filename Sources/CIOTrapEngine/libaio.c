/* Static storage of libaio contexts, and the few system calls only they need. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "iotrap_libaio.h"

struct iotrap_caller iotrap_callers[IOTRAP_CALLERS];
struct iotrap_context iotrap_contexts[IOTRAP_CONTEXTS];
uint32_t iotrap_memory_epoch;

void iotrap_context_renew(struct iotrap_context *context, uint64_t address, uint32_t capacity,
			  uint32_t flags)
{
	struct iotrap_context fresh = {
		.generation = context->generation + 1, .address = address, .capacity = capacity};
	char *from = (char *)&fresh.capacity, *to = (char *)&context->capacity;

	context->address = fresh.address;
	__atomic_store_n(&context->flags, flags, __ATOMIC_RELAXED);
	memcpy(to, from, sizeof(fresh) - offsetof(struct iotrap_context, capacity));
}

/* "0-63" or "0,2-5": the last number, plus one. */
static uint32_t count_listed(const char *text, long length)
{
	uint32_t last = 0, number = 0;

	for (long i = 0; i < length; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			number = number * 10 + (uint32_t)(text[i] - '0');
		else
			number = 0;
		last = number ? number : last;
	}
	return last + 1;
}

uint32_t iotrap_possible_processors(void)
{
	static uint32_t known;
	uint32_t count = __atomic_load_n(&known, __ATOMIC_RELAXED);
	char text[128];
	long fd, length;

	if (count)
		return count;
	fd = iotrap_syscall(SYS_openat, AT_FDCWD, (long)"/sys/devices/system/cpu/possible",
			    O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return 1;
	length = iotrap_syscall(SYS_read, fd, (long)text, sizeof(text), 0, 0, 0);
	iotrap_close_raw((int)fd);
	count = length > 0 ? count_listed(text, length) : 1;
	__atomic_store_n(&known, count, __ATOMIC_RELAXED);
	return count;
}

/*
 * FUTEX_WAKE_OP reads and writes a word of the program's in one go and then wakes
 * nobody: there is no waiter on the first word, and the comparison is one that hardly
 * any value passes (who waits there takes a wake-up for nothing in his stride).
 */
static long change_word(uintptr_t word, int operation)
{
	uint32_t nobody = 0;

	return iotrap_syscall(SYS_futex, (long)&nobody, FUTEX_WAKE_OP_PRIVATE, 0, 0, (long)word,
			      (long)FUTEX_OP((unsigned int)operation, 0u, FUTEX_OP_CMP_EQ, 0x800u));
}

int iotrap_writable(const void *address, size_t bytes)
{
	uintptr_t first = (uintptr_t)address & ~(uintptr_t)3;
	uintptr_t end = (uintptr_t)address + bytes;

	if (end < first)
		return 0;
	for (uintptr_t at = first; at < end; at = (at & ~(uintptr_t)4095) + 4096) {
		if (change_word(at, FUTEX_OP_OR) < 0)
			return 0;
	}
	return 1;
}

int iotrap_store_zero(uint64_t address)
{
	uintptr_t word = (uintptr_t)address;

	if (word % 4 == 0)
		return change_word(word, FUTEX_OP_SET) < 0 ? -EFAULT : 0;
	if (!iotrap_writable((void *)word, 4))
		return -EFAULT;
	memset((void *)word, 0, 4);
	return 0;
}

int iotrap_on_signal_stack(void)
{
	stack_t stack = {.ss_flags = SS_DISABLE};

	iotrap_syscall(SYS_sigaltstack, 0, (long)&stack, 0, 0, 0, 0);
	return (stack.ss_flags & SS_ONSTACK) != 0;
}

int iotrap_poll_nothing(uint64_t timeout_ns, const uint64_t *sigmask)
{
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
				   .tv_nsec = (long)(timeout_ns % 1000000000u)};

	return (int)iotrap_syscall(SYS_ppoll, 0, 0, (long)&timeout, (long)sigmask, sizeof(*sigmask),
				   0);
}

int iotrap_duplicate_up(int fd)
{
	struct rlimit limit = {.rlim_cur = 1024};
	long low, copy = -EMFILE;

	iotrap_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	low = limit.rlim_cur > 32768 ? 32768 : (long)limit.rlim_cur / 2;
	for (; low > 2 && copy == -EMFILE; low /= 2)
		copy = iotrap_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low, 0, 0, 0);
	return (int)copy;
}

int iotrap_is_eventfd(int fd)
{
	static const char wanted[] = "anon_inode:[eventfd]";
	char name[32] = "/proc/self/fd/", target[32], digits[12];
	long length = 0, at = (long)strlen(name);

	for (unsigned int rest = (unsigned int)fd; length == 0 || rest; rest /= 10)
		digits[length++] = (char)('0' + rest % 10);
	while (length)
		name[at++] = digits[--length];
	length = iotrap_syscall(SYS_readlinkat, AT_FDCWD, (long)name, (long)target, sizeof(target),
				0, 0);
	/* Without /proc nobody can tell: the program is believed. */
	return length < 0 ||
	       (length == (long)sizeof(wanted) - 1 && memcmp(target, wanted, (size_t)length) == 0);
}

int iotrap_poll_now(int fd, uint16_t events)
{
	struct pollfd one = {.fd = fd, .events = (short)events};
	struct timespec none = {0, 0};
	long result = iotrap_syscall(SYS_ppoll, (long)&one, 1, (long)&none, 0, 0, 0);

	if (result < 0)
		return (int)result;
	return result ? (int)(uint16_t)one.revents : 0;
}

int iotrap_can_poll(int fd)
{
	struct epoll_event event = {.events = 0};
	long set = iotrap_syscall(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
	long result;

	if (set < 0)
		return 1;
	result = iotrap_syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, (long)&event, 0, 0);
	iotrap_close_raw((int)set);
	return result != -EPERM;
}

int iotrap_is_terminal(int fd)
{
	struct winsize size;

	return iotrap_syscall(SYS_ioctl, fd, TIOCGWINSZ, (long)&size, 0, 0, 0) == 0;
}

void iotrap_signal_eventfd(int fd)
{
	uint64_t one = 1;

	if (iotrap_poll_now(fd, POLLOUT) & POLLOUT)
		iotrap_write_raw(fd, &one, sizeof(one));
}

int iotrap_priority_error(int priority)
{
	enum { NONE, REALTIME, BEST_EFFORT, IDLE };
	unsigned int class = ((unsigned int)priority >> 13) & 7;
	unsigned int level = (unsigned int)priority & 7;
	long had, result;

	switch (class) {
	case NONE:
		return level ? -EINVAL : 0;
	case REALTIME:
		/* Only trying tells whether it is allowed; what was set is put back. */
		had = iotrap_syscall(SYS_ioprio_get, 1, 0, 0, 0, 0, 0);
		result = iotrap_syscall(SYS_ioprio_set, 1, 0, priority, 0, 0, 0);
		if (result == 0 && had >= 0)
			iotrap_syscall(SYS_ioprio_set, 1, 0, had, 0, 0, 0);
		return (int)result;
	default:
		return class <= IDLE ? 0 : -EINVAL;
	}
}

long iotrap_vector_flags_raw(int fd, const struct iovec *iov, int count, int64_t offset,
			     uint32_t flags, int writes)
{
	return iotrap_syscall(writes ? SYS_pwritev2 : SYS_preadv2, fd, (long)iov, count, offset,
			      offset >> 63, (long)flags);
}
