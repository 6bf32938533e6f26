/* Hooks of the calls that replace, make or end processes. */
#include <alloca.h>
#include <linux/prctl.h>

#include "environment.h"
#include "real.h"

extern char **environ;

/*
 * Evaluates `with` with `vector` naming the environment to use: the given one, or a
 * copy on this stack that carries the library on. The copy must live in the frame
 * that makes the call, so this cannot be a function.
 */
#define CARRYING(given, vector, with)                                                              \
	do {                                                                                       \
		char *const *given_ = (given);                                                     \
		size_t room_ = iotrap_environment_room(given_);                                    \
		char *const *vector = given_;                                                      \
                                                                                                   \
		if (room_) {                                                                       \
			char **copy_ = alloca(room_ * sizeof(char *));                             \
			char *entry_ = alloca(iotrap_environment_bytes(given_));                   \
                                                                                                   \
			iotrap_environment_fill(given_, copy_, entry_);                            \
			vector = copy_;                                                            \
		}                                                                                  \
		with;                                                                              \
	} while (0)

/* The kernel cancels requests at exec and exit that plain calls would have carried out. */
static inline void drain(void)
{
	if (iotrap_is_bare())
		return;
	iotrap_aio_drain();
	if (unlikely(iotrap_recording))
		iotrap_record_flush();
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	drain();
	CARRYING(envp, environment, return REAL(execve)(path, argv, environment));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	drain();
	CARRYING(envp, environment, return REAL(execvpe)(file, argv, environment));
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	drain();
	CARRYING(envp, environment, return REAL(fexecve)(fd, argv, environment));
}

EXPORT int execveat(int directory, const char *path, char *const argv[], char *const envp[],
		    int flags)
{
	if (!REAL(execveat)) {
		errno = ENOSYS;
		return -1;
	}
	drain();
	CARRYING(envp, environment,
		 return REAL(execveat)(directory, path, argv, environment, flags));
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* Collects the arguments of an execl call, `first` included, in a vector on this stack. */
#define COLLECT(vector, first)                                                                     \
	size_t count_ = 1;                                                                         \
	va_list arguments_;                                                                        \
	char **vector;                                                                             \
                                                                                                   \
	va_start(arguments_, first);                                                               \
	while (va_arg(arguments_, char *))                                                         \
		count_++;                                                                          \
	va_end(arguments_);                                                                        \
	vector = alloca((count_ + 1) * sizeof(char *));                                            \
	va_start(arguments_, first);                                                               \
	vector[0] = (char *)first;                                                                 \
	for (size_t i_ = 1; i_ <= count_; i_++)                                                    \
		vector[i_] = va_arg(arguments_, char *);

EXPORT int execl(const char *path, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(arguments_);
	return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	COLLECT(argv, arg);
	va_end(arguments_);
	return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char *const *envp;

	COLLECT(argv, arg);
	envp = va_arg(arguments_, char *const *);
	va_end(arguments_);
	return execve(path, argv, envp);
}

/* A process will have this one's descriptors. */
static inline void sharing(void)
{
	if (unlikely(iotrap_recording))
		iotrap_positions_share(iotrap_self(), 0, UINT32_MAX);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	sharing();
	CARRYING(envp, environment,
		 return REAL(posix_spawn)(pid, path, actions, attributes, argv, environment));
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	sharing();
	CARRYING(envp, environment,
		 return REAL(posix_spawnp)(pid, file, actions, attributes, argv, environment));
}

EXPORT __attribute__((noreturn)) void _exit(int status)
{
	drain();
	if (!iotrap_is_bare())
		iotrap_finish();
	REAL(_exit)(status);
	__builtin_unreachable();
}
extern __typeof__(_exit) _Exit __attribute__((alias("_exit"), visibility("default")));

EXPORT int prctl(int option, ...)
{
	unsigned long values[4];
	va_list arguments;

	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		values[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	/* Before, not after: the filter may forbid what noticing it would take. */
	if (option == PR_SET_SECCOMP)
		iotrap_restrict();
	return REAL(prctl)(option, values[0], values[1], values[2], values[3]);
}

/*
 * A vfork child runs in its parent's memory but has descriptors of its own: what its
 * hooks would note is wrong for the parent. vfork.S calls these around the system call.
 */
__attribute__((visibility("hidden"))) void iotrap_vfork_before(void);
__attribute__((visibility("hidden"))) void iotrap_vfork_after(void);

void iotrap_vfork_before(void)
{
	struct iotrap_thread *self = iotrap_self();

	sharing();
	if (self->vfork_depth++ == 0) {
		self->vfork_state = self->state;
		self->state = IOTRAP_STATE_BARE;
	}
}

void iotrap_vfork_after(void)
{
	struct iotrap_thread *self = iotrap_self();

	if (--self->vfork_depth == 0)
		self->state = self->vfork_state;
}
