/* SwiftPM needs one source file in a C target; the headers are the content. */
#include "iotrap.h"
#include "iotrap_stats.h"
#include "iotrap_trace.h"

_Static_assert(sizeof(struct iotrap_io) == 128, "part of the ABI");
_Static_assert(sizeof(struct iotrap_completion) == 64, "part of the ABI");
_Static_assert(sizeof(struct iotrap_trace_header) == 64, "documented size");
_Static_assert(sizeof(struct iotrap_trace_chunk) == 48, "documented size");
