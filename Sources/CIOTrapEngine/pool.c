/* Static storage of mount pools. */
#include "iotrap_pool.h"

uint32_t iotrap_pools_active;
