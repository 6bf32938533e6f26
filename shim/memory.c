/*
 * Hooks of the calls after which memory may no longer be what it was. The engine
 * remembers which pages of the program it may touch; they make it ask again. Pages go
 * in other ways, too (free(3) inside libc), but who hands those to the kernel has
 * freed them already.
 */
#include <sys/mman.h>

#include "iotrap_libaio.h"
#include "real.h"

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
