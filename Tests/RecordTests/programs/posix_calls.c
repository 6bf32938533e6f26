/* POSIX AIO: single requests, lists that are waited for and lists that are not. */
#include <aio.h>

#include "calls.h"

#define BLOCK 4096
#define LIST 6

static const char *name;
static int fd;

static void tell(struct aiocb *request, const char *operation)
{
	const struct aiocb *list[1] = {request};
	long result;

	while (aio_error(request) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	result = aio_return(request);
	said(operation, name, request->aio_offset, (long)request->aio_nbytes, result);
}

static void prepare(struct aiocb *request, void *buffer, long place, int operation)
{
	memset(request, 0, sizeof(*request));
	request->aio_fildes = fd;
	request->aio_buf = buffer;
	request->aio_nbytes = BLOCK;
	request->aio_offset = place;
	request->aio_lio_opcode = operation;
}

static void lists(char *buffer)
{
	struct aiocb requests[LIST], *list[LIST + 1];

	for (int mode = 0; mode < 2; mode++) {
		for (int i = 0; i < LIST; i++) {
			list[i] = &requests[i];
			prepare(list[i], buffer + i * BLOCK, (long)i * BLOCK,
				i % 2 ? LIO_READ : LIO_WRITE);
		}
		list[LIST] = NULL;
		check(lio_listio(mode ? LIO_WAIT : LIO_NOWAIT, list, LIST + 1, NULL) == 0, "list");
		for (int i = 0; i < LIST; i++)
			tell(list[i], i % 2 ? "read" : "write");
	}
}

int main(int count, char **arguments)
{
	struct aiocb request;
	char path[512];
	char *buffer;

	check(count > 1, "posix_calls DIRECTORY");
	snprintf(path, sizeof(path), "%s/posix.dat", arguments[1]);
	name = "posix.dat";
	fd = open(path, O_RDWR | O_CREAT, 0644);
	check(fd >= 0, "open");
	said("open", name, 0, 0, 0);
	buffer = aligned_alloc(BLOCK, LIST * BLOCK);
	check(buffer != NULL, "memory");
	memset(buffer, 3, LIST * BLOCK);
	for (int i = 0; i < 10; i++) {
		prepare(&request, buffer, (long)i * BLOCK, 0);
		check(aio_write(&request) == 0, "aio_write");
		tell(&request, "write");
	}
	prepare(&request, buffer, 0, 0);
	check(aio_fsync(O_DSYNC, &request) == 0, "aio_fsync");
	request.aio_offset = 0;
	request.aio_nbytes = 0;
	tell(&request, "fdatasync");
	for (int i = 0; i < 12; i++) {
		prepare(&request, buffer, (long)i * BLOCK, 0);
		check(aio_read(&request) == 0, "aio_read");
		tell(&request, "read");
	}
	lists(buffer);
	close(fd);
	said("close", name, 0, 0, 0);
	return 0;
}
