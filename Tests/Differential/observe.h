/*
 * What every differential program shares: a line per observation on standard
 * output, deterministic data, scratch files and children.
 *
 * A program is run bare and under the library and must print the same lines, so
 * nothing here prints an address, a time, a process number or an inode number.
 * The first line of a program may name, in a comment, how it is to be built or
 * run: fortify (one more build with _FORTIFY_SOURCE), direct (also run on XFS),
 * hidden-descriptors (not run with visible ring descriptors).
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OBSERVE static __attribute__((unused))

/* No call may change errno on success: every call starts from this value. */
#define ERRNO_MARK 1234
#define PAGE 4096
#define KIB 1024
#define MIB (1024 * 1024)

#define SKIP_STATUS 77

static int observe_fd = 1;
static int observe_holding;
static char observe_held[1 << 20];
static size_t observe_held_bytes;

/* Straight to the kernel and not through any symbol, so that reporting is no part of the test. */
OBSERVE void observe_emit(const char *text, size_t bytes)
{
	if (observe_holding) {
		if (observe_held_bytes + bytes > sizeof(observe_held))
			abort();
		memcpy(observe_held + observe_held_bytes, text, bytes);
		observe_held_bytes += bytes;
		return;
	}
	while (bytes > 0) {
		long done;

		asm volatile("syscall"
			     : "=a"(done)
			     : "a"((long)SYS_write), "D"((long)observe_fd), "S"(text), "d"(bytes)
			     : "rcx", "r11", "memory");
		if (done < 0 && done != -EINTR)
			_exit(99);
		if (done > 0) {
			text += done;
			bytes -= (size_t)done;
		}
	}
}

OBSERVE __attribute__((format(printf, 1, 2))) void observe(const char *format, ...)
{
	char line[2048];
	int saved = errno;
	va_list arguments;
	int bytes;

	va_start(arguments, format);
	bytes = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (bytes < 0 || (size_t)bytes > sizeof(line) - 2)
		bytes = sizeof(line) - 2;
	line[bytes] = '\n';
	observe_emit(line, (size_t)bytes + 1);
	errno = saved;
}

/* Keep lines in memory: for the time in which standard output is limited, closed or replaced. */
OBSERVE void observe_hold(void)
{
	observe_holding = 1;
}

OBSERVE void observe_release(void)
{
	observe_holding = 0;
	observe_emit(observe_held, observe_held_bytes);
	observe_held_bytes = 0;
}

OBSERVE __attribute__((noreturn)) void skip(const char *reason)
{
	observe("SKIP %s", reason);
	exit(SKIP_STATUS);
}

/* A step that the test needs but does not examine went wrong: say where. */
OBSERVE __attribute__((noreturn)) void give_up(const char *what, int line)
{
	observe("BROKEN line %d: %s: %s", line, what, strerrorname_np(errno));
	exit(98);
}

#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			give_up(#condition, __LINE__);                                             \
	} while (0)

OBSERVE const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "unnamed";
}

OBSERVE void observe_result(const char *label, long long result, int error)
{
	if (result == -1)
		observe("%s = -1 %s", label,
			error == ERRNO_MARK ? "errno kept" : error_name(error));
	else if (error == ERRNO_MARK)
		observe("%s = %lld", label, result);
	else
		observe("%s = %lld errno became %s", label, result, error_name(error));
}

/* Do a call, print it with its result and errno, and give the result on. */
#define CALL(expression)                                                                           \
	({                                                                                         \
		errno = ERRNO_MARK;                                                                \
		long long call_result = (long long)(expression);                                   \
		int call_error = errno;                                                            \
		observe_result(#expression, call_result, call_error);                              \
		errno = call_error;                                                                \
		call_result;                                                                       \
	})

/* The same with a label of its own, for calls in loops. */
#define CALL_AS(expression, ...)                                                                   \
	({                                                                                         \
		char call_label[512];                                                              \
		snprintf(call_label, sizeof(call_label), __VA_ARGS__);                             \
		errno = ERRNO_MARK;                                                                \
		long long call_result = (long long)(expression);                                   \
		int call_error = errno;                                                            \
		observe_result(call_label, call_result, call_error);                               \
		errno = call_error;                                                                \
		call_result;                                                                       \
	})

/* Hide a value from the optimiser and from warnings about deliberately wrong arguments. */
#define OPAQUE(value)                                                                              \
	({                                                                                         \
		__typeof__(value) opaque_value = (value);                                          \
		asm volatile("" : "+r"(opaque_value));                                             \
		opaque_value;                                                                      \
	})

/* Four lanes of eight bytes each: the suite hashes gigabytes, a byte at a time is too slow. */
OBSERVE uint64_t hash_bytes(const void *data, size_t bytes)
{
	const unsigned char *at = data;
	uint64_t hash = 0xcbf29ce484222325ULL ^ bytes;
	uint64_t word;

	for (; bytes >= 8; at += 8, bytes -= 8) {
		memcpy(&word, at, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	for (; bytes > 0; at++, bytes--)
		hash = (hash ^ *at) * 0x100000001b3ULL;
	return hash ^ (hash >> 32);
}

OBSERVE void observe_bytes(const char *label, const void *data, size_t bytes)
{
	observe("%s: %zu bytes, hash %016llx", label, bytes,
		(unsigned long long)hash_bytes(data, bytes));
}

/* Byte i of a file with this seed: depends on the position, so a misplaced piece shows. */
OBSERVE unsigned char pattern_at(uint64_t seed, uint64_t position)
{
	uint64_t word = (position / 8 + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xd6e8feb86659fd93ULL;

	word ^= word >> 31;
	return (unsigned char)(word >> (8 * (position % 8)));
}

OBSERVE void pattern_fill(void *data, size_t bytes, uint64_t seed, uint64_t position)
{
	unsigned char *at = data;

	for (size_t index = 0; index < bytes; index++)
		at[index] = pattern_at(seed, position + index);
}

/* How many leading bytes are as the pattern says: equal to bytes when all is well. */
OBSERVE size_t pattern_matches(const void *data, size_t bytes, uint64_t seed, uint64_t position)
{
	const unsigned char *at = data;
	size_t index = 0;

	while (index < bytes && at[index] == pattern_at(seed, position + index))
		index++;
	return index;
}

/* Page-aligned zeroed memory; the page behind it cannot be touched. */
OBSERVE char *pages(size_t bytes)
{
	size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
	char *memory = mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	NEED(memory != MAP_FAILED);
	NEED(mprotect(memory + whole, PAGE, PROT_NONE) == 0);
	return memory;
}

OBSERVE void make_file(const char *path, size_t bytes, uint64_t seed)
{
	static char block[64 * KIB];
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	NEED(fd >= 0);
	for (size_t done = 0; done < bytes;) {
		size_t piece = bytes - done < sizeof(block) ? bytes - done : sizeof(block);

		pattern_fill(block, piece, seed, done);
		NEED(write(fd, block, piece) == (ssize_t)piece);
		done += piece;
	}
	NEED(fsync(fd) == 0);
	NEED(close(fd) == 0);
}

/* Size and content of a file, read through a descriptor of its own. */
OBSERVE void observe_file(const char *path)
{
	struct stat status;
	char *content;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		observe("file %s: %s", path, error_name(errno));
		return;
	}
	NEED(fstat(fd, &status) == 0);
	if (status.st_size == 0) {
		observe("file %s: empty", path);
	} else {
		content = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
		NEED(content != MAP_FAILED);
		observe("file %s: %lld bytes, hash %016llx", path, (long long)status.st_size,
			(unsigned long long)hash_bytes(content, (size_t)status.st_size));
		munmap(content, (size_t)status.st_size);
	}
	NEED(close(fd) == 0);
}

OBSERVE void observe_offset(const char *label, int fd)
{
	off_t offset = lseek(fd, 0, SEEK_CUR);

	if (offset == -1)
		observe("%s: offset -1 %s", label, error_name(errno));
	else
		observe("%s: offset %lld", label, (long long)offset);
}

OBSERVE void observe_status(const char *label, int status)
{
	if (WIFEXITED(status))
		observe("%s: exited %d", label, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		observe("%s: killed by SIG%s", label, sigabbrev_np(WTERMSIG(status)));
	else
		observe("%s: status %x", label, status);
}

OBSERVE void observe_child(const char *label, pid_t pid)
{
	int status;

	NEED(pid > 0);
	while (waitpid(pid, &status, 0) != pid)
		NEED(errno == EINTR);
	observe_status(label, status);
}

OBSERVE void handle_signal(int number, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	NEED(sigaction(number, &action, NULL) == 0);
}

/* Sleeping is only ever a way to make an interleaving likely; no result depends on it. */
OBSERVE void pause_microseconds(long microseconds)
{
	struct timespec span = {microseconds / 1000000, microseconds % 1000000 * 1000};

	while (nanosleep(&span, &span) == -1 && errno == EINTR)
		;
}

/* Every program starts here: into the scratch directory, with the same state each time. */
OBSERVE void observe_begin(int count, char **arguments)
{
	struct rlimit none = {0, 0};

	if (count < 2) {
		fprintf(stderr, "usage: %s scratch-directory\n", arguments[0]);
		exit(2);
	}
	NEED(chdir(arguments[1]) == 0);
	NEED(setrlimit(RLIMIT_CORE, &none) == 0);
	umask(022);
}

OBSERVE void require_direct(void)
{
	int fd = open("direct.probe", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644);

	if (fd < 0) {
		unlink("direct.probe");
		skip("the scratch file system refuses O_DIRECT");
	}
	close(fd);
	unlink("direct.probe");
}

#endif
