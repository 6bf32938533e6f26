/*
 * libaio through both of its doors: the functions of the library, and the system
 * calls by number.
 *
 * The functions give -errno and leave errno alone, syscall(2) gives -1 and sets it.
 * Here both give -errno, and errno is as it was before.
 */
#ifndef AIO_H
#define AIO_H

#include "observe.h"

#include <libaio.h>
#include <poll.h>

/* In the key field before a submission: shows whether the kernel's key was stored there. */
#define AIO_KEY_MARK 77
#define AIO_EVENTS_MAX 512

/* The parts of the kernel's interface that libaio.h has no names for. */
#define AIO_FLAG_RESFD (1U << 0)
#define AIO_FLAG_IOPRIO (1U << 1)

struct aio_way {
	const char *name;
	int (*setup)(int events, io_context_t *context);
	int (*destroy)(io_context_t context);
	int (*submit)(io_context_t context, long count, struct iocb **requests);
	int (*cancel)(io_context_t context, struct iocb *request, struct io_event *event);
	int (*getevents)(io_context_t context, long least, long most, struct io_event *events,
			 struct timespec *timeout);
	int (*pgetevents)(io_context_t context, long least, long most, struct io_event *events,
			  struct timespec *timeout, sigset_t *mask);
};

/* The kernel's set has 64 signals, that of the C library 1024. */
struct aio_kernel_mask {
	const sigset_t *mask;
	size_t bytes;
};

OBSERVE int aio_number_result(long result)
{
	if (result != -1)
		return (int)result;
	result = -errno;
	errno = ERRNO_MARK;
	return (int)result;
}

OBSERVE int aio_number_setup(int events, io_context_t *context)
{
	return aio_number_result(syscall(SYS_io_setup, events, context));
}

OBSERVE int aio_number_destroy(io_context_t context)
{
	return aio_number_result(syscall(SYS_io_destroy, context));
}

OBSERVE int aio_number_submit(io_context_t context, long count, struct iocb **requests)
{
	return aio_number_result(syscall(SYS_io_submit, context, count, requests));
}

OBSERVE int aio_number_cancel(io_context_t context, struct iocb *request, struct io_event *event)
{
	return aio_number_result(syscall(SYS_io_cancel, context, request, event));
}

OBSERVE int aio_number_getevents(io_context_t context, long least, long most,
				 struct io_event *events, struct timespec *timeout)
{
	return aio_number_result(syscall(SYS_io_getevents, context, least, most, events, timeout));
}

OBSERVE int aio_number_pgetevents(io_context_t context, long least, long most,
				  struct io_event *events, struct timespec *timeout, sigset_t *mask)
{
	struct aio_kernel_mask kernel = {mask, 8};

	return aio_number_result(
		syscall(SYS_io_pgetevents, context, least, most, events, timeout, &kernel));
}

#define AIO_WAYS 2

static const struct aio_way aio_ways[AIO_WAYS] __attribute__((unused)) = {
	{"libaio", io_setup, io_destroy, io_submit, io_cancel, io_getevents, io_pgetevents},
	{"number", aio_number_setup, aio_number_destroy, aio_number_submit, aio_number_cancel,
	 aio_number_getevents, aio_number_pgetevents},
};

/* -EINVAL as a word, anything else as a number. */
OBSERVE const char *aio_text(long long result)
{
	static __thread char texts[4][32];
	static __thread unsigned next;
	char *text = texts[next++ % 4];

	if (result < 0 && result > -4096 && strerrorname_np((int)-result))
		snprintf(text, sizeof(texts[0]), "-%s", strerrorname_np((int)-result));
	else
		snprintf(text, sizeof(texts[0]), "%lld", result);
	return text;
}

OBSERVE void aio_observe_answer(const char *label, long long result, int error)
{
	if (error == ERRNO_MARK)
		observe("%s = %s", label, aio_text(result));
	else
		observe("%s = %s errno became %s", label, aio_text(result), error_name(error));
}

/* Do a call of a way, print what it gave, and give it on. */
#define ANSWER(expression, ...)                                                                    \
	({                                                                                         \
		char answer_label[256];                                                            \
		snprintf(answer_label, sizeof(answer_label), __VA_ARGS__);                         \
		errno = ERRNO_MARK;                                                                \
		int answer_result = (expression);                                                  \
		aio_observe_answer(answer_label, answer_result, errno);                            \
		answer_result;                                                                     \
	})

/*
 * The kernel has room for fs.aio-max-nr events in all processes together: what others hold
 * at the moment is waited for, up to half a minute.
 */
OBSERVE int aio_setup(const struct aio_way *way, int events, io_context_t *context)
{
	int result = way->setup(events, context);

	for (int round = 0; result == -EAGAIN && round < 300; round++) {
		pause_microseconds(100000);
		result = way->setup(events, context);
	}
	return result;
}

OBSERVE io_context_t aio_begin(const struct aio_way *way, int events)
{
	io_context_t context = NULL;
	int result = aio_setup(way, events, &context);

	if (result < 0) {
		errno = -result;
		give_up("io_setup", __LINE__);
	}
	return context;
}

OBSERVE void aio_end(const struct aio_way *way, io_context_t context)
{
	NEED(way->destroy(context) == 0);
}

OBSERVE int aio_by_data(const void *left, const void *right)
{
	uintptr_t first = (uintptr_t)((const struct io_event *)left)->data;
	uintptr_t second = (uintptr_t)((const struct io_event *)right)->data;

	return first < second ? -1 : first > second;
}

/* Exactly this many events, however many calls that takes, in the order of their data. */
OBSERVE void aio_reap(const struct aio_way *way, io_context_t context, long count,
		      struct io_event *events)
{
	long have = 0;

	while (have < count) {
		int got = way->getevents(context, count - have, count - have, events + have, NULL);

		if (got == -EINTR)
			continue;
		if (got <= 0) {
			errno = -got;
			give_up("io_getevents", __LINE__);
		}
		have += got;
	}
	qsort(events, (size_t)count, sizeof(*events), aio_by_data);
}

OBSERVE void aio_observe_events(struct io_event *events, long count, const struct iocb *first)
{
	qsort(events, (size_t)count, sizeof(*events), aio_by_data);
	for (long index = 0; index < count; index++)
		observe("  event data %lu, request %ld, res %s, res2 %s",
			(unsigned long)events[index].data, (long)(events[index].obj - first),
			aio_text((long)events[index].res), aio_text((long)events[index].res2));
}

/* An iocb with every field the kernel looks at, and marks where it may write. */
OBSERVE void aio_prepare(struct iocb *request, int opcode, int fd, void *buffer, size_t bytes,
			 long long offset)
{
	memset(request, 0, sizeof(*request));
	request->data = (void *)0x5eed;
	request->key = AIO_KEY_MARK;
	request->aio_lio_opcode = (short)opcode;
	request->aio_fildes = fd;
	request->u.c.buf = buffer;
	request->u.c.nbytes = bytes;
	request->u.c.offset = offset;
}

/* What a submission wrote into the caller's iocb: the key and nothing else, if at all. */
OBSERVE const char *aio_written(const struct iocb *request, const struct iocb *before)
{
	struct iocb expected = *before;

	expected.key = request->key;
	if (memcmp(&expected, request, sizeof(expected)) != 0)
		return "iocb CHANGED";
	if (request->key == before->key)
		return "key kept";
	return request->key == 0 ? "key 0" : "key WRONG";
}

/* A poll that has nothing to wait for completes at once, any other only when it is cancelled. */
OBSERVE int aio_poll_is_ready(const struct iocb *request)
{
	struct pollfd one = {request->aio_fildes, (short)request->u.poll.events, 0};

	return poll(&one, 1, 0) == 1;
}

/* Submit one request and wait for its event; one line tells all of it. */
OBSERVE long aio_one(const struct aio_way *way, io_context_t context, struct iocb *request,
		     const char *label)
{
	struct iocb before = *request, *list[1] = {request};
	struct io_event event = {0}, unused;
	int result, got;

	errno = ERRNO_MARK;
	result = way->submit(context, 1, list);
	if (result != 1) {
		observe("%s: submit %s, %s%s", label, aio_text(result),
			aio_written(request, &before), errno == ERRNO_MARK ? "" : ", errno SET");
		return result;
	}
	if (request->aio_lio_opcode == IO_CMD_POLL && !aio_poll_is_ready(request))
		ANSWER(way->cancel(context, request, &unused), "%s: cancel", label);
	errno = ERRNO_MARK;
	got = way->getevents(context, 1, 1, &event, NULL);
	if (got != 1) {
		observe("%s: getevents %s", label, aio_text(got));
		return got;
	}
	observe("%s: res %s, res2 %s, data %s, obj %s, %s%s", label, aio_text((long)event.res),
		aio_text((long)event.res2), event.data == before.data ? "same" : "WRONG",
		event.obj == request ? "same" : "WRONG", aio_written(request, &before),
		errno == ERRNO_MARK ? "" : ", errno SET");
	return (long)event.res;
}

/*
 * Let the library see a thread that submits and waits, as long as it takes to make up its
 * mind about the context: later requests then go the way a busy program's do.
 */
OBSERVE void aio_warm(const struct aio_way *way, io_context_t context)
{
	char *memory = pages(PAGE);
	struct iocb request, *list[1] = {&request};
	struct io_event event;
	int fd;

	make_file("warm.dat", 4 * PAGE, 1);
	fd = open("warm.dat", O_RDONLY | O_DIRECT | O_CLOEXEC);
	NEED(fd >= 0);
	for (int round = 0; round < 12; round++) {
		aio_prepare(&request, IO_CMD_PREAD, fd, memory, PAGE, round % 4 * PAGE);
		NEED(way->submit(context, 1, list) == 1);
		aio_reap(way, context, 1, &event);
		NEED((long)event.res == PAGE);
		NEED(pattern_matches(memory, PAGE, 1, (uint64_t)(round % 4) * PAGE) == PAGE);
	}
	NEED(close(fd) == 0);
	NEED(unlink("warm.dat") == 0);
	NEED(munmap(memory, 2 * PAGE) == 0);
}

#endif
