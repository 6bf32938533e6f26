/* The threads of the Swift library. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "iotrap_kernel.h"
#include "iotrap_loop.h"

int iotrap_thread_start(void *(*body)(void *), void *argument)
{
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, body, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_detach(thread);
	return -error;
}

void iotrap_thread_name(const char *name)
{
	prctl(PR_SET_NAME, name);
}

int iotrap_thread_pin(int processor)
{
	cpu_set_t set;

	if (processor < 0 || processor >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	return (int)iotrap_syscall(SYS_sched_setaffinity, 0, sizeof(set), (long)&set, 0, 0, 0);
}

int iotrap_is_secure(void)
{
	return getauxval(AT_SECURE) != 0;
}
