/* Look-up of the real functions. */
#include <dlfcn.h>

#include "real.h"

void *iotrap_real[IOTRAP_REAL_COUNT];

static const char *const names[IOTRAP_REAL_COUNT] = {
#define HOOK(name) #name,
#define ALIAS(alias, name)
#include "hooks.def"
#undef HOOK
#undef ALIAS
};

void *iotrap_real_find(enum iotrap_real_index index)
{
	/* errno: a hook may come here, and dlsym may set it. */
	int saved = errno;
	void *found = dlsym(RTLD_NEXT, names[index]);

	__atomic_store_n(&iotrap_real[index], found, __ATOMIC_RELAXED);
	errno = saved;
	return found;
}

void iotrap_real_find_all(void)
{
	for (int index = 0; index < IOTRAP_REAL_COUNT; index++)
		iotrap_real_find((enum iotrap_real_index)index);
}
