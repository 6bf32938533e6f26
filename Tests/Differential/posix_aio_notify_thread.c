/* differential: POSIX AIO that ends with a thread: its value, attributes and signal mask */
#include "posix_aio.h"

#include <limits.h>
#include <semaphore.h>

#define MANY 60

static char *buffer;
static int file;
static sem_t asked; /* the main thread has printed what it had to */
static sem_t told;
static struct aiocb *told_of;
static pthread_t told_in;
static size_t stack_asked;
static size_t guard_asked;
static int seen[MANY];
static __thread int own = 5;

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) == -1)
		NEED(errno == EINTR);
}

/* What a thread can see of itself; the main thread prints nothing meanwhile. */
static void tell(union sigval value)
{
	pthread_attr_t attributes;
	size_t stack_bytes;
	size_t guard_bytes;
	int detached;
	int blocked = 0;
	sigset_t mask;

	wait_for(&asked);
	NEED(pthread_getattr_np(pthread_self(), &attributes) == 0);
	NEED(pthread_attr_getstacksize(&attributes, &stack_bytes) == 0);
	NEED(pthread_attr_getguardsize(&attributes, &guard_bytes) == 0);
	NEED(pthread_attr_getdetachstate(&attributes, &detached) == 0);
	pthread_attr_destroy(&attributes);
	NEED(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
	for (int number = 1; number < NSIG; number++)
		blocked += sigismember(&mask, number) == 1;
	/* A stack of an earlier thread is taken again if it is not four times too large. */
	observe("thread: value %d, stack fits %d, guard %d, %s, %d signals blocked, own %d",
		value.sival_int,
		stack_bytes + guard_bytes >= stack_asked && stack_bytes < 4 * stack_asked,
		guard_bytes >= guard_asked,
		detached == PTHREAD_CREATE_DETACHED ? "detached" : "joinable", blocked, own++);
	observe("thread: main %d, leader %d", pthread_equal(pthread_self(), told_in) != 0,
		gettid() == getpid());
	aio_observe_now("thread", told_of);
	told_in = pthread_self();
	sem_post(&told);
}

static void wait_told(void)
{
	wait_for(&told);
}

static void ask_thread(struct aiocb *request, pthread_attr_t *attributes, int value)
{
	request->aio_sigevent.sigev_notify = SIGEV_THREAD;
	request->aio_sigevent.sigev_notify_function = tell;
	request->aio_sigevent.sigev_notify_attributes = attributes;
	request->aio_sigevent.sigev_value.sival_int = value;
}

static void one(const char *label, int fd, pthread_attr_t *attributes, int value)
{
	pthread_attr_t usual;
	struct aiocb request;

	aio_prepare(&request, fd, buffer, 100, 0);
	ask_thread(&request, attributes, value);
	told_of = &request;
	told_in = pthread_self();
	NEED(pthread_getattr_default_np(&usual) == 0);
	NEED(pthread_attr_getstacksize(attributes ? attributes : &usual, &stack_asked) == 0);
	NEED(pthread_attr_getguardsize(attributes ? attributes : &usual, &guard_asked) == 0);
	NEED(pthread_attr_destroy(&usual) == 0);
	CALL_AS(aio_read(&request), "%s", label);
	sem_post(&asked);
	wait_told();
	aio_observe(label, &request);
}

static void attributes(void)
{
	pthread_attr_t some;
	void *answer;

	one("no attributes", file, NULL, 1);
	one("no attributes, bad descriptor", -1, NULL, 2);
	NEED(pthread_attr_init(&some) == 0);
	NEED(pthread_attr_setdetachstate(&some, PTHREAD_CREATE_DETACHED) == 0);
	NEED(pthread_attr_setstacksize(&some, 300 * KIB) == 0);
	one("small stack", file, &some, 3);
	NEED(pthread_attr_setguardsize(&some, 16 * KIB) == 0);
	NEED(pthread_attr_setstacksize(&some, 3 * MIB) == 0);
	one("large stack, wide guard", file, &some, 4);
	NEED(pthread_attr_setdetachstate(&some, PTHREAD_CREATE_JOINABLE) == 0);
	one("joinable", file, &some, 5);
	NEED(pthread_join(told_in, &answer) == 0);
	observe("joined, answer %d", answer == NULL);
	NEED(pthread_attr_destroy(&some) == 0);
	NEED(pthread_attr_init(&some) == 0);
	one("attributes as they come", file, &some, 6);
	NEED(pthread_join(told_in, &answer) == 0);
	NEED(pthread_attr_destroy(&some) == 0);
}

/* The mask of the thread that asked is not that of the thread that is told. */
static void masks(void)
{
	sigset_t set;
	sigset_t before;

	sigfillset(&set);
	NEED(pthread_sigmask(SIG_SETMASK, &set, &before) == 0);
	one("asked with signals blocked", file, NULL, 7);
	NEED(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void other_requests(void)
{
	struct aiocb request;
	struct aiocb *list[1] = {&request};

	told_of = &request;
	told_in = pthread_self();
	aio_prepare(&request, file, buffer, 100, 0);
	ask_thread(&request, NULL, 8);
	CALL(aio_write(&request));
	sem_post(&asked);
	wait_told();
	told_in = pthread_self();
	CALL(aio_fsync(O_DSYNC, &request));
	sem_post(&asked);
	wait_told();
	told_in = pthread_self();
	request.aio_lio_opcode = LIO_READ;
	CALL(lio_listio(LIO_NOWAIT, list, 1, NULL));
	sem_post(&asked);
	wait_told();
	told_in = pthread_self();
	CALL(lio_listio(LIO_WAIT, list, 1, NULL));
	sem_post(&asked);
	wait_told();
}

static void count_one(union sigval value)
{
	struct aiocb *request = value.sival_ptr;
	int index = (int)request->aio_offset;

	if (aio_error(request) == 0 && aio_return(request) == 100)
		__atomic_add_fetch(&seen[index], 1, __ATOMIC_SEQ_CST);
	sem_post(&told);
}

static void many(void)
{
	static struct aiocb requests[MANY];
	int wrong = 0;

	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], file, buffer, 100, index);
		ask_thread(&requests[index], NULL, 0);
		requests[index].aio_sigevent.sigev_notify_function = count_one;
		requests[index].aio_sigevent.sigev_value.sival_ptr = &requests[index];
		NEED(aio_read(&requests[index]) == 0);
	}
	for (int index = 0; index < MANY; index++)
		wait_told();
	for (int index = 0; index < MANY; index++)
		wrong += seen[index] != 1;
	observe("many: wrong %d", wrong);
}

/* The next request is made by the thread that was told of the last, and waited for there. */
static void chain(union sigval value)
{
	struct aiocb *request = value.sival_ptr;

	if (aio_error(request) != 0 || aio_return(request) != 10 || request->aio_offset >= 500) {
		sem_post(&told);
		return;
	}
	request->aio_offset += 10;
	NEED(aio_read(request) == 0);
}

static void waits_inside(union sigval value)
{
	struct aiocb inner;

	(void)value;
	aio_prepare(&inner, file, buffer, 20, 0);
	NEED(aio_read(&inner) == 0);
	aio_observe("inside", &inner);
	sem_post(&told);
}

static void nested(void)
{
	struct aiocb request;

	aio_prepare(&request, file, buffer, 10, 0);
	ask_thread(&request, NULL, 0);
	request.aio_sigevent.sigev_notify_function = chain;
	request.aio_sigevent.sigev_value.sival_ptr = &request;
	NEED(aio_read(&request) == 0);
	wait_told();
	observe("chain ended at %lld", (long long)request.aio_offset);
	request.aio_sigevent.sigev_notify_function = waits_inside;
	NEED(aio_read(&request) == 0);
	wait_told();
}

/* exit in the thread ends the process with what it says. */
static void leave(union sigval value)
{
	exit(value.sival_int);
}

static void ends_process(void)
{
	struct aiocb request;

	aio_prepare(&request, file, buffer, 10, 0);
	ask_thread(&request, NULL, 9);
	request.aio_sigevent.sigev_notify_function = leave;
	NEED(aio_read(&request) == 0);
	for (;;)
		pause();
}

static void leave_thread(union sigval value)
{
	(void)value;
	sem_post(&told);
	pthread_exit(NULL);
}

static void ends_thread(void)
{
	struct aiocb request;

	aio_prepare(&request, file, buffer, 10, 0);
	ask_thread(&request, NULL, 0);
	request.aio_sigevent.sigev_notify_function = leave_thread;
	NEED(aio_read(&request) == 0);
	wait_told();
	NEED(aio_read(&request) == 0);
	wait_told();
	aio_observe("after pthread_exit", &request);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	NEED(sem_init(&told, 0, 0) == 0);
	NEED(sem_init(&asked, 0, 0) == 0);
	buffer = pages(PAGE);
	make_file("notify", 2000, 4);
	file = open("notify", O_RDWR);
	aio_in_child("ends process", ends_process);
	attributes();
	masks();
	other_requests();
	many();
	nested();
	ends_thread();
	unlink("notify");
	return 0;
}
