/* What happens when the library is loaded and when the process ends. */
#include <stdlib.h>
#include <sys/auxv.h>

#include "environment.h"
#include "real.h"

extern char **environ;

/* quick_exit runs no destructors; the first function registered runs last. */
static void finish_quickly(void)
{
	if (iotrap_is_bare())
		return;
	iotrap_aio_drain();
	if (unlikely(iotrap_recording))
		iotrap_record_flush();
}

/* A fork is about to be made: parent and child will share their file positions. */
static void sharing(void)
{
	if (iotrap_recording)
		iotrap_positions_share(iotrap_self(), 0, UINT32_MAX);
}

__attribute__((constructor(101))) static void start(void)
{
	at_quick_exit(finish_quickly);
	iotrap_real_find_all();
	iotrap_start(environ, getauxval(AT_SECURE) != 0);
	if (iotrap_recording)
		pthread_atfork(sharing, NULL, NULL);
	if (iotrap_follows_exec())
		iotrap_environment_note(environ);
}

/* Late: the program's own destructors still do I/O. */
__attribute__((destructor(101))) static void finish(void)
{
	if (iotrap_is_bare())
		return;
	iotrap_aio_drain();
	iotrap_finish();
}
