/* SwiftPM needs one source file in a C target; the headers are the content. */
#include "iotrap.h"
#include "iotrap_stats.h"
