/* Raw system calls: results are -errno, errno is never touched, nothing is a cancellation point. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

#include "iotrap_kernel.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#if !defined(__x86_64__) || !defined(__LP64__)
#error "iotrap supports x86_64 Linux only: system calls and vfork are written for it"
#endif

long iotrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define SYS6(n, a, b, c, d, e, f)                                                                  \
	iotrap_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS4(n, a, b, c, d) SYS6(n, a, b, c, d, 0, 0)
#define SYS3(n, a, b, c) SYS6(n, a, b, c, 0, 0, 0)

static uint64_t read_clock(clockid_t id)
{
	struct timespec now;

	/* The vDSO form: no system call, and it cannot fail for these clocks. */
	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t iotrap_clock(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t iotrap_clock_realtime(void)
{
	return read_clock(CLOCK_REALTIME);
}

int iotrap_status_flags(int fd)
{
	return (int)SYS3(SYS_fcntl, fd, F_GETFL, 0);
}

/* Fills in all but the flags; fstat(2) is in every filter's list. */
static long facts_by_fstat(int fd, struct iotrap_file_facts *facts)
{
	struct stat status;
	long result = SYS3(SYS_fstat, fd, &status, 0);

	if (result < 0)
		return result;
	facts->device = (uint64_t)status.st_dev;
	facts->inode = (uint64_t)status.st_ino;
	facts->size = status.st_size;
	facts->mode = status.st_mode;
	return 0;
}

static long facts_by_statx(int fd, struct iotrap_file_facts *facts)
{
	/* No times: where those have changed FUSE asks its server even so. */
	const unsigned int wanted = STATX_TYPE | STATX_MODE | STATX_INO | STATX_SIZE;
	struct statx status;
	long result = SYS6(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, &status,
			   0);

	if (result < 0)
		return result;
	facts->device = makedev(status.stx_dev_major, status.stx_dev_minor);
	facts->inode = status.stx_ino;
	facts->size = (int64_t)status.stx_size;
	facts->mode = status.stx_mode;
	return 0;
}

/*
 * Whether statx(2) may be tried: 0 until that is known, then 1 or 2. Under a filter it
 * is not: filters may kill for a call that they do not list. A program that installs
 * one later is left alone from then on.
 */
static uint32_t statx_state;
enum { STATX_USED = 1, STATX_AVOIDED = 2 };

static long basic_facts(int fd, struct iotrap_file_facts *facts)
{
	uint32_t state = __atomic_load_n(&statx_state, __ATOMIC_RELAXED);
	long result;

	if (state == 0) {
		state = iotrap_seccomp_filtered() ? STATX_AVOIDED : STATX_USED;
		__atomic_store_n(&statx_state, state, __ATOMIC_RELAXED);
	}
	if (state == STATX_USED) {
		result = facts_by_statx(fd, facts);
		if (result != -ENOSYS && result != -EPERM)
			return result;
		__atomic_store_n(&statx_state, STATX_AVOIDED, __ATOMIC_RELAXED);
	}
	return facts_by_fstat(fd, facts);
}

static int with_status_flags(int fd, struct iotrap_file_facts *facts, long result)
{
	if (result < 0)
		return (int)result;
	result = iotrap_status_flags(fd);
	if (result < 0)
		return (int)result;
	facts->status_flags = (uint32_t)result;
	return 0;
}

int iotrap_file_facts(int fd, struct iotrap_file_facts *facts)
{
	return with_status_flags(fd, facts, basic_facts(fd, facts));
}

int iotrap_file_facts_now(int fd, struct iotrap_file_facts *facts)
{
	return with_status_flags(fd, facts, facts_by_fstat(fd, facts));
}

int iotrap_device_is_virtual(uint64_t device)
{
	/* Device numbers of real ones have a major part. */
	return major(device) == 0;
}

int iotrap_file_is_pseudo(int fd, uint64_t device)
{
	/* TRACEFS, BPF, CONFIGFS and EFIVARFS stand in newer headers only. */
	static const uint32_t kinds[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,         DEBUGFS_MAGIC,  CGROUP_SUPER_MAGIC,
		SECURITYFS_MAGIC, CGROUP2_SUPER_MAGIC, PSTOREFS_MAGIC, 0x74726163,
		0xcafe4a11,       0x62656570,          0xde5e81e4,
	};
	struct statfs status;

	if (!iotrap_device_is_virtual(device) || SYS3(SYS_fstatfs, fd, &status, 0) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if ((uint32_t)status.f_type == kinds[i])
			return 1;
	}
	return 0;
}

int iotrap_file_is_fuse(int fd)
{
	struct statfs status;

	return SYS3(SYS_fstatfs, fd, &status, 0) == 0 && status.f_type == FUSE_SUPER_MAGIC;
}

long iotrap_pread_raw(int fd, void *buffer, size_t count, int64_t offset)
{
	return SYS4(SYS_pread64, fd, buffer, count, offset);
}

long iotrap_pwrite_raw(int fd, const void *buffer, size_t count, int64_t offset)
{
	return SYS4(SYS_pwrite64, fd, buffer, count, offset);
}

long iotrap_vector_raw(int fd, const struct iovec *iov, int count, int64_t offset, int writes)
{
	return SYS6(writes ? SYS_pwritev : SYS_preadv, fd, iov, count, offset, offset >> 63, 0);
}

long iotrap_fsync_raw(int fd, int data_only)
{
	return SYS3(data_only ? SYS_fdatasync : SYS_fsync, fd, 0, 0);
}

long iotrap_check_writeback_error(int fd)
{
	return SYS4(SYS_sync_file_range, fd, 0, 1, SYNC_FILE_RANGE_WAIT_BEFORE);
}

static int64_t resource_limit(int resource)
{
	struct rlimit limit;

	if (SYS4(SYS_prlimit64, 0, resource, 0, &limit) < 0)
		return 0;
	return limit.rlim_cur >= (rlim_t)INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

int64_t iotrap_file_size_limit(void)
{
	return resource_limit(RLIMIT_FSIZE);
}

int64_t iotrap_memory_limit(void)
{
	int64_t space = resource_limit(RLIMIT_AS), data = resource_limit(RLIMIT_DATA);

	return space < data ? space : data;
}

int iotrap_process_id(void)
{
	return (int)SYS3(SYS_getpid, 0, 0, 0);
}

int iotrap_thread_id(void)
{
	return (int)SYS3(SYS_gettid, 0, 0, 0);
}

void *iotrap_pages(size_t bytes, int dont_fork)
{
	long address = SYS6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (address < 0 && address > -4096)
		return NULL;
	if (dont_fork)
		SYS3(SYS_madvise, address, bytes, MADV_DONTFORK);
	return (void *)address;
}

void iotrap_pages_free(void *pages, size_t bytes)
{
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
	/* Its own munmap, so that it does not hold the next owner of the addresses an intruder. */
	munmap(pages, bytes);
	return;
#endif
#endif
	SYS3(SYS_munmap, pages, bytes, 0);
}

uint32_t *iotrap_wipe_on_fork_page(void)
{
	uint32_t *page = iotrap_pages(4096, 0);

	if (page && SYS3(SYS_madvise, page, 4096, MADV_WIPEONFORK) < 0) {
		iotrap_pages_free(page, 4096);
		return NULL;
	}
	return page;
}

static int word_readable(uintptr_t address)
{
	return SYS4(SYS_rt_sigprocmask, -1, address, 0, 8) != -EFAULT;
}

int iotrap_readable(const void *address, size_t bytes)
{
	uintptr_t first = (uintptr_t)address;
	uintptr_t last = first + bytes - 8;

	if (bytes < 8 || last < first)
		return 0;
	for (uintptr_t at = first; at < last; at = (at & ~(uintptr_t)4095) + 4096) {
		if (!word_readable(at))
			return 0;
	}
	return word_readable(last);
}

/* ENOMEM: a hole. EINVAL: no such permission; special memory, which no direct I/O takes either. */
static int populate(const void *address, size_t bytes, int advice)
{
	uintptr_t first = (uintptr_t)address & ~(uintptr_t)4095;
	uintptr_t end = ((uintptr_t)address + bytes + 4095) & ~(uintptr_t)4095;

	return SYS3(SYS_madvise, first, end - first, advice) == 0;
}

int iotrap_buffer_readable(const void *address, size_t bytes)
{
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
	return populate(address, bytes, MADV_POPULATE_READ);
}

int iotrap_buffer_writable(void *address, size_t bytes)
{
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
	return populate(address, bytes, MADV_POPULATE_WRITE);
}

void iotrap_signals_block(uint64_t *saved)
{
	const uint64_t every = ~(uint64_t)0;

	SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &every, saved, sizeof(every));
}

void iotrap_signals_restore(const uint64_t *saved)
{
	SYS4(SYS_rt_sigprocmask, SIG_SETMASK, saved, 0, sizeof(*saved));
}

void iotrap_futex_wait(uint32_t *word, uint32_t value)
{
	SYS4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0);
}

void iotrap_futex_wake(uint32_t *word, int waiters)
{
	SYS4(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, 0);
}

void iotrap_pause_ns(uint64_t nanoseconds)
{
	struct timespec pause = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
				 .tv_nsec = (long)(nanoseconds % 1000000000u)};

	SYS3(SYS_nanosleep, &pause, 0, 0);
}

int iotrap_seccomp_filtered(void)
{
	return SYS3(SYS_prctl, PR_GET_SECCOMP, 0, 0) == 2;
}
