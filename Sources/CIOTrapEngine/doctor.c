/* What iotrap run and iotrap doctor look at, besides what the engine does. */
#include <stddef.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "iotrap_doctor.h"

int iotrap_file_has_capabilities(const char *path)
{
	return getxattr(path, "security.capability", NULL, 0) > 0;
}

uint64_t iotrap_memlock_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		return 0;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}
