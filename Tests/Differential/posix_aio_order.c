/* differential: POSIX AIO: appended in the order of the calls, pipes in order, syncs after; direct
 */
#include "posix_aio.h"

#include <sys/socket.h>

#define MANY 500
#define PIECE 1000

static char pieces[MANY][PIECE];
static struct aiocb requests[MANY];

static void number_pieces(void)
{
	for (int index = 0; index < MANY; index++)
		pattern_fill(pieces[index], PIECE, 6, (uint64_t)index * PIECE);
}

static size_t length_of(int index)
{
	return 1 + (size_t)index * 7919 % PIECE;
}

/* Every length of write, from one thread: the file is the sequence of the calls. */
static void append(const char *name, int flags, int listed)
{
	struct aiocb *list[MANY];
	int fd = open("order", O_CREAT | O_TRUNC | O_RDWR | O_APPEND | flags, 0644);
	size_t at = 0;
	int wrong = 0;

	NEED(fd >= 0);
	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], fd, pieces[index], length_of(index), 0);
		requests[index].aio_lio_opcode = LIO_WRITE;
		list[index] = &requests[index];
		if (!listed)
			NEED(aio_write(&requests[index]) == 0);
	}
	if (listed)
		NEED(lio_listio(LIO_NOWAIT, list, MANY, NULL) == 0);
	aio_wait_all(requests, MANY);
	for (int index = 0; index < MANY; index++) {
		char there[PIECE];
		size_t length = length_of(index);

		wrong += aio_return(&requests[index]) != (ssize_t)length;
		NEED(pread(fd, there, length, (off_t)at) == (ssize_t)length);
		wrong += memcmp(there, pieces[index], length) != 0;
		at += length;
	}
	observe("%s: wrong %d, size %d", name, wrong, lseek(fd, 0, SEEK_END) == (off_t)at);
	observe_file("order");
	close(fd);
}

static void append_direct(void)
{
	char *blocks = pages(64 * PAGE);
	int fd = open("order", O_CREAT | O_TRUNC | O_RDWR | O_APPEND | O_DIRECT, 0644);

	NEED(fd >= 0);
	pattern_fill(blocks, 64 * PAGE, 8, 0);
	for (int index = 0; index < 64; index++) {
		aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE, 0);
		NEED(aio_write(&requests[index]) == 0);
	}
	aio_wait_all(requests, 64);
	observe_file("order");
	close(fd);
}

/* Two descriptors of one file that both append: each keeps its own order. */
static void append_twice(void)
{
	int one = open("order", O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0644);
	int two = open("order", O_RDWR | O_APPEND);
	unsigned char bytes[MANY];
	int next[2] = {0, 0};
	int wrong = 0;

	for (int index = 0; index < MANY; index++) {
		pieces[index][0] = (char)(index / 2 % 128 + (index & 1) * 128);
		aio_prepare(&requests[index], index & 1 ? two : one, pieces[index], 1, 0);
		NEED(aio_write(&requests[index]) == 0);
	}
	aio_wait_all(requests, MANY);
	NEED(pread(one, bytes, MANY, 0) == MANY);
	for (int index = 0; index < MANY; index++) {
		int side = bytes[index] >> 7;

		wrong += (bytes[index] & 127) != next[side]++ % 128;
	}
	observe("two descriptors: wrong %d", wrong);
	close(one);
	close(two);
	number_pieces();
}

/* Reads are filled in the order of the calls, each with what one read would get. */
static void filled_in_order(const char *name, int from, int to)
{
	int wrong = 0;

	for (int index = 0; index < 100; index++) {
		memset(pieces[index], 0, PIECE);
		aio_prepare(&requests[index], from, pieces[index], 10, 0);
		NEED(aio_read(&requests[index]) == 0);
	}
	for (int index = 0; index < 50; index++) {
		char bytes[10];

		memset(bytes, index + 1, sizeof(bytes));
		NEED(write(to, bytes, sizeof(bytes)) == sizeof(bytes));
		if (index % 10 == 0)
			aio_wait(&requests[index]);
	}
	aio_wait_all(requests, 50);
	for (int index = 50; index < 100; index++)
		wrong += aio_error(&requests[index]) != EINPROGRESS;
	for (int index = 50; index < 100; index++) {
		char bytes[10];

		memset(bytes, index + 1, sizeof(bytes));
		NEED(write(to, bytes, sizeof(bytes)) == sizeof(bytes));
	}
	aio_wait_all(requests, 100);
	for (int index = 0; index < 100; index++) {
		wrong += aio_return(&requests[index]) != 10;
		wrong += pieces[index][0] != index + 1 || pieces[index][9] != index + 1;
	}
	observe("%s filled: wrong %d", name, wrong);
	number_pieces();
}

/* Writes that wait for a reader leave in the order of the calls. */
static void written_in_order(const char *name, int from, int to)
{
	static char there[MANY * PIECE];
	size_t total = 0;
	size_t at = 0;
	int wrong = 0;

	for (int index = 0; index < MANY; index++) {
		aio_prepare(&requests[index], to, pieces[index], length_of(index), 0);
		total += length_of(index);
		NEED(aio_write(&requests[index]) == 0);
	}
	while (at < total) {
		ssize_t got = read(from, there + at, total - at);

		NEED(got > 0);
		at += (size_t)got;
	}
	aio_wait_all(requests, MANY);
	at = 0;
	for (int index = 0; index < MANY; index++) {
		size_t length = length_of(index);

		wrong += aio_return(&requests[index]) != (ssize_t)length;
		wrong += memcmp(there + at, pieces[index], length) != 0;
		at += length;
	}
	observe("%s written: wrong %d", name, wrong);
}

static void streams(void)
{
	int both[2];

	NEED(pipe(both) == 0);
	filled_in_order("pipe", both[0], both[1]);
	written_in_order("pipe", both[0], both[1]);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
	filled_in_order("stream", both[0], both[1]);
	written_in_order("stream", both[0], both[1]);
	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, both) == 0);
	filled_in_order("packets", both[0], both[1]);
}

/* When a sync has ended, so has everything that its descriptor was asked for before it. */
static void syncs(const char *name, int flags)
{
	char *blocks = pages(64 * PAGE);
	int fd = open("order", O_CREAT | O_TRUNC | O_RDWR | flags, 0644);
	int wrong = 0;

	NEED(fd >= 0);
	pattern_fill(blocks, 64 * PAGE, 8, 0);
	for (int turn = 0; turn < 20; turn++) {
		struct aiocb sync;

		for (int index = 0; index < 64; index++) {
			aio_prepare(&requests[index], fd, blocks + index * PAGE, PAGE,
				    index * PAGE);
			NEED((index % 4 == 3 ? aio_read(&requests[index])
					     : aio_write(&requests[index])) == 0);
		}
		aio_prepare(&sync, fd, NULL, 0, 0);
		NEED(aio_fsync(turn & 1 ? O_SYNC : O_DSYNC, &sync) == 0);
		for (int index = 64; index < 96; index++) {
			aio_prepare(&requests[index], fd, blocks, PAGE, index * PAGE);
			NEED(aio_write(&requests[index]) == 0);
		}
		wrong += aio_wait(&sync) != 0;
		for (int index = 0; index < 64; index++)
			wrong += aio_error(&requests[index]) == EINPROGRESS;
		aio_wait_all(requests, 96);
	}
	observe("%s syncs: wrong %d", name, wrong);
	close(fd);
}

/* A sync waits for what is queued at its descriptor, though it is one that has nothing to sync. */
static void sync_behind(void)
{
	struct aiocb sync;
	char byte;
	int both[2];

	NEED(pipe(both) == 0);
	aio_prepare(&requests[0], both[0], &byte, 1, 0);
	NEED(aio_read(&requests[0]) == 0);
	aio_prepare(&sync, both[0], NULL, 0, 0);
	CALL(aio_fsync(O_SYNC, &sync));
	pause_microseconds(50000);
	observe("behind a read: %s", error_name(aio_error(&sync)));
	NEED(write(both[1], "x", 1) == 1);
	aio_observe("read", &requests[0]);
	aio_observe("sync", &sync);
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	number_pieces();
	append("append", 0, 0);
	append("append in a list", 0, 1);
	append("append, synchronous", O_DSYNC, 0);
	append_direct();
	append_twice();
	streams();
	syncs("buffered", 0);
	syncs("direct", O_DIRECT);
	syncs("appended", O_APPEND);
	sync_behind();
	unlink("order");
	return 0;
}
