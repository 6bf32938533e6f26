/*
 * Hooks of the calls after which memory may no longer be what it was. The engine
 * remembers which pages of the program it may touch; they make it ask again. Pages go
 * in other ways, too (free(3) inside libc), but who hands those to the kernel has
 * freed them already. And of mmap: what is mapped must not be spread over the paths of
 * a pool.
 */
#include <sys/syscall.h>

#include "iotrap_kernel.h"
#include "iotrap_libaio.h"
#include "real.h"

/*
 * Allocators that replace libc's call this before the library has started, holding
 * locks of theirs: nothing may be looked up then, as dlsym may allocate.
 */
EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	iotrap_mapping(fd, flags);
	if (likely(iotrap_real[IOTRAP_REAL_mmap] != NULL))
		return FOUND(mmap)(address, length, protection, flags, fd, offset);
	return (void *)iotrap_answer(iotrap_syscall(SYS_mmap, (long)address, (long)length,
						    protection, flags, fd, offset));
}
ALIAS_OF(mmap64, mmap);

EXPORT int munmap(void *address, size_t length)
{
	int result = REAL(munmap)(address, length);

	iotrap_memory_changed();
	return result;
}

EXPORT int mprotect(void *address, size_t length, int protection)
{
	int result = REAL(mprotect)(address, length, protection);

	iotrap_memory_changed();
	return result;
}

EXPORT void *mremap(void *address, size_t old_length, size_t new_length, int flags, ...)
{
	va_list arguments;
	void *wanted, *result;

	va_start(arguments, flags);
	wanted = va_arg(arguments, void *);
	va_end(arguments);
	result = REAL(mremap)(address, old_length, new_length, flags, wanted);
	iotrap_memory_changed();
	return result;
}
