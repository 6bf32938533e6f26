/* What the headers promise, and what Swift cannot ask by itself. */
#include <stddef.h>
#include <sys/vfs.h>

#include "iotrap.h"
#include "iotrap_recording.h"
#include "iotrap_stats.h"
#include "iotrap_trace.h"

_Static_assert(sizeof(struct iotrap_io) == 128, "part of the ABI");
_Static_assert(sizeof(struct iotrap_completion) == 64, "part of the ABI");
_Static_assert(sizeof(struct iotrap_trace_header) == 64, "documented size");
_Static_assert(sizeof(struct iotrap_trace_chunk) == 48, "documented size");
_Static_assert(sizeof(struct iotrap_recording_window) == IOTRAP_RECORDING_WINDOW_BYTES, "as said");
_Static_assert(offsetof(struct iotrap_recording_window, bytes) == IOTRAP_RECORDING_WINDOW_HEADER,
	       "documented size");

/* TMPFS_MAGIC of linux/magic.h */
#define IN_MEMORY 0x01021994

int iotrap_is_in_memory(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == IN_MEMORY;
}
