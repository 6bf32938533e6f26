/* driver: requests of libaio and POSIX AIO, and memory that must not change after them. */
#include "driver.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUESTS 512
#define POISON 0xa5

static struct request {
	struct iocb iocb;
	struct aiocb aiocb;
	bool is_libaio, writes, is_running;
	char *buffer;
	size_t bytes;
	uint64_t offset, sequence;
	long long result;
} requests[REQUESTS];
static int used;
static io_context_t context;

static io_context_t own_context(void)
{
	if (!context && io_setup(REQUESTS, &context) < 0)
		abort();
	return context;
}

static int start(struct request *request, int fd)
{
	struct iocb *list[1] = {&request->iocb};

	if (!request->is_libaio) {
		request->aiocb = (struct aiocb){.aio_fildes = fd,
						.aio_buf = request->buffer,
						.aio_nbytes = request->bytes,
						.aio_offset = (off_t)request->offset};
		request->aiocb.aio_sigevent.sigev_notify = SIGEV_NONE;
		return request->writes ? aio_write(&request->aiocb) : aio_read(&request->aiocb);
	}
	if (request->writes)
		io_prep_pwrite(&request->iocb, fd, request->buffer, request->bytes,
			       (long long)request->offset);
	else
		io_prep_pread(&request->iocb, fd, request->buffer, request->bytes,
			      (long long)request->offset);
	return io_submit(own_context(), 1, list) == 1 ? 0 : -1;
}

static void forget_requests(void)
{
	for (int index = 0; index < used; index++)
		free(requests[index].buffer);
	used = 0;
}

/* Requests side by side, from an offset on. Those of an earlier start that were reaped are
 * forgotten. */
void start_requests(struct command *command)
{
	bool any_runs = false;
	long long count = number(command, 6);
	int first;

	for (int index = 0; index < used; index++)
		any_runs = any_runs || requests[index].is_running;
	if (!any_runs)
		forget_requests();
	first = used;
	for (; used < first + count && used < REQUESTS; used++) {
		struct request *request = &requests[used];

		*request = (struct request){.is_libaio = strcmp(word(command, 1), "libaio") == 0,
					    .writes = strcmp(word(command, 2), "write") == 0,
					    .bytes = (size_t)number(command, 5),
					    .sequence = (uint64_t)number(command, 7)};
		request->offset = (uint64_t)number(command, 4) +
				  request->bytes * (uint64_t)(used - first);
		request->buffer = make_buffer(request->bytes);
		if (request->writes)
			content_fill(request->buffer, request->bytes, request->offset,
				     request->sequence);
		request->is_running = true;
		if (start(request, (int)number(command, 3)) < 0) {
			snprintf(command->answer, ANSWER_BYTES, "request %d is refused",
				 used - first);
			return;
		}
	}
	snprintf(command->answer, ANSWER_BYTES, "started %d", used - first);
}

static void take_events(bool waits)
{
	struct io_event events[64];
	struct timespec none = {0};
	int count;

	if (!context)
		return;
	count = io_getevents(context, waits ? 1 : 0, 64, events, waits ? NULL : &none);
	for (int index = 0; index < count; index++) {
		struct request *request = (struct request *)events[index].obj;

		request->result = (long long)events[index].res;
		request->is_running = false;
	}
}

static void look_posix(struct request *request, bool waits)
{
	const struct aiocb *list[1] = {&request->aiocb};
	int error = aio_error(&request->aiocb);

	while (waits && error == EINPROGRESS) {
		aio_suspend(list, 1, NULL);
		error = aio_error(&request->aiocb);
	}
	if (error == EINPROGRESS)
		return;
	request->result = error ? -error : aio_return(&request->aiocb);
	request->is_running = false;
}

static int look(bool waits)
{
	int running = 0;

	for (int index = 0; index < used; index++) {
		struct request *request = &requests[index];

		while (request->is_running && request->is_libaio && waits)
			take_events(true);
		if (request->is_running && !request->is_libaio)
			look_posix(request, waits);
	}
	take_events(false);
	for (int index = 0; index < used; index++)
		running += requests[index].is_running;
	return running;
}

void count_running(struct command *command)
{
	answer_result(command, look(false));
}

/* Waits for all, and checks what was read: "ok", or the first that went wrong. */
void reap_requests(struct command *command)
{
	look(true);
	for (int index = 0; index < used; index++) {
		const struct request *request = &requests[index];

		if (request->result != (long long)request->bytes) {
			snprintf(command->answer, ANSWER_BYTES, "request %d gave %lld", index,
				 request->result);
			return;
		}
		if (request->writes)
			continue;
		answer_content(command, request->buffer, request->bytes, request->offset,
			       request->sequence);
		if (strcmp(command->answer, "ok") != 0)
			return;
	}
	strcpy(command->answer, "ok");
}

/* The program's memory is its own again when a request has ended. */
void poison_buffers(struct command *command)
{
	for (int index = 0; index < used; index++)
		if (!requests[index].is_running)
			memset(requests[index].buffer, POISON, requests[index].bytes);
	strcpy(command->answer, "ok");
}

void check_poison(struct command *command)
{
	strcpy(command->answer, "ok");
	for (int index = 0; index < used; index++)
		for (size_t position = 0; position < requests[index].bytes; position++)
			if ((unsigned char)requests[index].buffer[position] != POISON) {
				snprintf(command->answer, ANSWER_BYTES,
					 "memory of request %d changed at %zu", index, position);
				return;
			}
}

static long long sync_by_libaio(const char *how, int fd)
{
	struct iocb iocb, *list[1] = {&iocb};
	io_context_t own = NULL;
	struct io_event event;
	int result = io_setup(1, &own);

	if (result < 0)
		return result;
	if (strcmp(how, "libaio_fsync") == 0)
		io_prep_fsync(&iocb, fd);
	else
		io_prep_fdsync(&iocb, fd);
	result = io_submit(own, 1, list);
	if (result == 1 && io_getevents(own, 1, 1, &event, NULL) == 1)
		result = (int)(long)event.res;
	io_destroy(own);
	return result;
}

long long sync_by_request(const char *how, int fd)
{
	struct request request = {.is_running = true};

	if (strncmp(how, "libaio", 6) == 0)
		return sync_by_libaio(how, fd);
	request.aiocb.aio_fildes = fd;
	request.aiocb.aio_sigevent.sigev_notify = SIGEV_NONE;
	if (aio_fsync(strcmp(how, "aio_fsync") == 0 ? O_SYNC : O_DSYNC, &request.aiocb) < 0)
		return -errno;
	look_posix(&request, true);
	return request.result;
}
