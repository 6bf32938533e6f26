/* libiotrap.so: the engine without hooks, started when it is loaded. */
#include <sys/auxv.h>
#include <unistd.h>

#include "iotrap_engine.h"

__attribute__((constructor)) static void start(void)
{
	iotrap_start(environ, getauxval(AT_SECURE) != 0);
}

__attribute__((destructor)) static void finish(void)
{
	iotrap_finish();
}
