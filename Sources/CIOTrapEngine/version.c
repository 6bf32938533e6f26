/* The library's version, from the file VERSION by way of the Makefile. */
#include "iotrap.h"

#ifndef IOTRAP_VERSION
#define IOTRAP_VERSION "development"
#endif

const char *iotrap_version(void)
{
	return IOTRAP_VERSION;
}
