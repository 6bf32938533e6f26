/*
 * Requests over time: rates in windows, content that is checked, and small durable writes beside
 * a flood.
 *
 *	pool_io fill FILE MEBIBYTES
 *	pool_io stream libaio|posix read|write|check|rewrite BYTES DEPTH RUN_MS BEHIND FILE...
 *	pool_io log WARM_MS RUN_MS LOG FILE...
 *
 * stream: one thread a FILE, each with DEPTH requests of BYTES in flight, O_DIRECT; several FILEs
 * may lead to the same file, so each thread has a part of its own. check compares what it reads
 * with what fill wrote. rewrite writes each block anew, reads it back and compares it, and at the
 * end compares all, once more through BEHIND, another way to the same file ("-": there is none).
 * Prints "at SECONDS BYTES" ten times a second: what was moved until then, by the monotonic clock.
 *
 * log: a write of 4K to LOG, O_DSYNC and O_DIRECT, every 2 to 5 ms, while each FILE is
 * written with 32 requests of 64K to 1M in flight.
 */
#include <aio.h>
#include <libaio.h>

#include "pool_content.h"

#define STREAMS_MAX 8u
#define DEPTH_MAX 64u
#define MEBIBYTE (1u << 20)
#define LOG_WRITES_MAX 65536u
#define FLOOD_DEPTH 32u
#define FLOOD_BYTES_MIN 65536u

enum engine { ENGINE_LIBAIO, ENGINE_POSIX };
enum operation {
	OPERATION_READ,
	OPERATION_CHECK,
	OPERATION_WRITE,
	OPERATION_REWRITE,
	OPERATION_FLOOD
};

struct slot {
	struct iocb request;
	struct aiocb posix;
	char *buffer;
	size_t bytes;
	uint64_t block;
	uint32_t generation;
	int writes;
	int in_flight;
	ssize_t result;
};

struct stream {
	const char *path;
	int descriptor;
	enum engine engine;
	enum operation operation;
	size_t bytes;
	unsigned int depth;
	unsigned int in_flight;
	uint64_t first_block;
	uint64_t blocks;
	uint64_t next; /* block after the last one that was begun */
	uint64_t random;
	uint32_t *generations; /* of the whole file's blocks */
	uint8_t *busy;
	io_context_t context;
	pthread_t thread;
	struct slot slots[DEPTH_MAX];
};

static struct stream streams[STREAMS_MAX];
static _Atomic uint64_t moved_bytes;
static atomic_int stop;

static int fill(const char *path, uint64_t mebibytes)
{
	int descriptor = open(path, O_WRONLY | O_CREAT, 0644);
	char *buffer = make_buffer(MEBIBYTE);

	check(descriptor >= 0, path);
	for (uint64_t i = 0; i < mebibytes; i++) {
		write_content(buffer, MEBIBYTE, i * MEBIBYTE, 0);
		check(write(descriptor, buffer, MEBIBYTE) == MEBIBYTE, path);
	}
	check(ftruncate(descriptor, (off_t)(mebibytes * MEBIBYTE)) == 0, path);
	check(fsync(descriptor) == 0 && close(descriptor) == 0, path);
	return 0;
}

/* ---- engines --------------------------------------------------------------------- */

static void begin(struct stream *stream, struct slot *slot)
{
	off_t offset = (off_t)(slot->block * stream->bytes);
	int descriptor = stream->descriptor;

	slot->in_flight = 1;
	stream->in_flight++;
	if (stream->engine == ENGINE_LIBAIO) {
		struct iocb *request = &slot->request;
		int done;

		if (slot->writes)
			io_prep_pwrite(request, descriptor, slot->buffer, slot->bytes, offset);
		else
			io_prep_pread(request, descriptor, slot->buffer, slot->bytes, offset);
		request->data = slot;
		done = io_submit(stream->context, 1, &request);
		if (done != 1)
			fail(stream->path, "io_submit", (uint64_t)offset, strerror(-done));
	} else {
		memset(&slot->posix, 0, sizeof(slot->posix));
		slot->posix.aio_fildes = descriptor;
		slot->posix.aio_buf = slot->buffer;
		slot->posix.aio_nbytes = slot->bytes;
		slot->posix.aio_offset = offset;
		slot->posix.aio_sigevent.sigev_notify = SIGEV_NONE;
		check((slot->writes ? aio_write(&slot->posix) : aio_read(&slot->posix)) == 0,
		      "aio_read, aio_write");
	}
}

static unsigned int reap_posix(struct stream *stream, struct slot **done)
{
	const struct aiocb *list[DEPTH_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < stream->depth; i++)
		list[i] = stream->slots[i].in_flight ? &stream->slots[i].posix : NULL;
	while (aio_suspend(list, (int)stream->depth, NULL) < 0)
		check(errno == EINTR, "aio_suspend");
	for (unsigned int i = 0; i < stream->depth; i++) {
		struct slot *slot = &stream->slots[i];
		int error = slot->in_flight ? aio_error(&slot->posix) : EINPROGRESS;

		if (error == EINPROGRESS)
			continue;
		slot->result = aio_return(&slot->posix);
		if (error)
			slot->result = -error;
		done[count++] = slot;
	}
	return count;
}

/* Waits for requests to end; which ones, and how many. */
static unsigned int reap(struct stream *stream, struct slot **done)
{
	struct io_event events[DEPTH_MAX];
	int count;

	if (stream->engine == ENGINE_POSIX)
		return reap_posix(stream, done);
	count = io_getevents(stream->context, 1, (long)stream->depth, events, NULL);
	if (count == -EINTR)
		return 0;
	if (count < 0)
		fail(stream->path, "io_getevents", 0, strerror(-count));
	for (int i = 0; i < count; i++) {
		done[i] = events[i].data;
		done[i]->result = (ssize_t)(long)events[i].res;
	}
	return (unsigned int)count;
}

/* ---- streams ----------------------------------------------------------------------- */

/* The next block of this stream that no request is at; a stalled one stays where it is. */
static uint64_t next_block(struct stream *stream)
{
	uint64_t block;

	do {
		block = stream->first_block + stream->next++ % stream->blocks;
	} while (stream->busy[block]);
	stream->busy[block] = 1;
	return block;
}

static void begin_next(struct stream *stream, struct slot *slot)
{
	slot->block = next_block(stream);
	slot->generation = stream->generations[slot->block];
	slot->writes = stream->operation >= OPERATION_WRITE;
	slot->bytes = stream->bytes;
	if (stream->operation == OPERATION_FLOOD)
		slot->bytes = FLOOD_BYTES_MIN << next_random(&stream->random) % 5;
	if (stream->operation == OPERATION_REWRITE)
		write_content(slot->buffer, slot->bytes, slot->block * stream->bytes,
			      ++slot->generation);
	begin(stream, slot);
}

/* What a request has done; nonzero when the slot is free for another block. */
static int finish(struct stream *stream, struct slot *slot)
{
	uint64_t offset = slot->block * stream->bytes;

	slot->in_flight = 0;
	stream->in_flight--;
	if (slot->result != (ssize_t)slot->bytes)
		fail(stream->path, slot->writes ? "write" : "read", offset,
		     slot->result < 0 ? strerror((int)-slot->result) : "fell short");
	atomic_fetch_add(&moved_bytes, slot->bytes);
	if (stream->operation == OPERATION_REWRITE && slot->writes) {
		stream->generations[slot->block] = slot->generation;
		memset(slot->buffer, 0, slot->bytes);
		slot->writes = 0;
		begin(stream, slot);
		return 0;
	}
	if (stream->operation == OPERATION_CHECK || stream->operation == OPERATION_REWRITE)
		check_content(stream->path, slot->buffer, slot->bytes, offset, slot->generation);
	stream->busy[slot->block] = 0;
	return 1;
}

static void *run_stream(void *argument)
{
	struct stream *stream = argument;
	struct slot *done[DEPTH_MAX];

	for (unsigned int i = 0; i < stream->depth; i++)
		begin_next(stream, &stream->slots[i]);
	while (stream->in_flight) {
		unsigned int count = reap(stream, done);

		for (unsigned int i = 0; i < count; i++)
			if (finish(stream, done[i]) && !atomic_load(&stop))
				begin_next(stream, done[i]);
	}
	return NULL;
}

static void open_stream(struct stream *stream, const char *path, enum engine engine,
			enum operation operation, size_t bytes, unsigned int depth)
{
	int flags = operation >= OPERATION_WRITE ? O_RDWR : O_RDONLY;

	stream->path = path;
	stream->engine = engine;
	stream->operation = operation;
	stream->bytes = bytes;
	stream->depth = depth;
	stream->random = (uintptr_t)stream | 1;
	stream->descriptor = open(path, flags | O_DIRECT | O_CLOEXEC);
	check(stream->descriptor >= 0, path);
	if (engine == ENGINE_LIBAIO && io_setup((int)depth, &stream->context) < 0)
		fail(path, "io_setup", 0, "refused");
	for (unsigned int i = 0; i < stream->depth; i++)
		stream->slots[i].buffer = make_buffer(bytes);
}

/* Gives a part of a file to each stream; parts of one file when they are of one file. */
static void divide(struct stream *stream, uint64_t part, uint64_t parts, uint32_t *generations,
		   uint8_t *busy)
{
	off_t length = lseek(stream->descriptor, 0, SEEK_END);

	stream->blocks = (uint64_t)length / stream->bytes / parts;
	stream->first_block = stream->blocks * part;
	if (stream->blocks <= stream->depth)
		fail(stream->path, "length", (uint64_t)length, "too short for this depth");
	stream->generations = generations ? generations : calloc(stream->blocks, 4);
	stream->busy = busy ? busy : calloc(stream->blocks, 1);
	check(stream->generations && stream->busy, "calloc");
}

static void start_streams(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		errno = pthread_create(&streams[i].thread, NULL, run_stream, &streams[i]);
		check(!errno, "pthread_create");
	}
}

static void end_streams(unsigned int count)
{
	atomic_store(&stop, 1);
	for (unsigned int i = 0; i < count; i++)
		pthread_join(streams[i].thread, NULL);
}

static void print_moved(void)
{
	uint64_t bytes = atomic_load(&moved_bytes);

	printf("at %.4f %llu\n", (double)now_ns() / 1e9, (unsigned long long)bytes);
	fflush(stdout);
}

/* Every block once more, as it was last written. */
static void check_all(const char *path, int descriptor, const struct stream *like, uint64_t blocks)
{
	char *buffer = make_buffer(like->bytes);

	for (uint64_t block = 0; block < blocks; block++) {
		off_t offset = (off_t)(block * like->bytes);

		if (pread(descriptor, buffer, like->bytes, offset) != (ssize_t)like->bytes)
			fail(path, "read", (uint64_t)offset, strerror(errno));
		check_content(path, buffer, like->bytes, (uint64_t)offset,
			      like->generations[block]);
	}
	free(buffer);
}

static void check_rewritten(const char *behind, unsigned int count)
{
	uint64_t blocks = streams[0].blocks * count;
	int descriptor;

	for (unsigned int i = 0; i < count; i++)
		if (fdatasync(streams[i].descriptor) < 0)
			fail(streams[i].path, "fdatasync", 0, strerror(errno));
	check_all(streams[0].path, streams[0].descriptor, &streams[0], blocks);
	if (strcmp(behind, "-") == 0)
		return;
	descriptor = open(behind, O_RDONLY);
	check(descriptor >= 0, behind);
	check_all(behind, descriptor, &streams[0], blocks);
	close(descriptor);
}

static int index_of(const char *word, const char *const *names)
{
	int index = 0;

	while (names[index] && strcmp(word, names[index]))
		index++;
	if (!names[index])
		fail(word, "a word that is not known", 0, "see the top of bench/pool_io.c");
	return index;
}

static int run_stream_command(int count, char **words)
{
	static const char *const engines[] = {"libaio", "posix", NULL};
	static const char *const operations[] = {"read", "check", "write", "rewrite", NULL};
	enum engine engine = (enum engine)index_of(words[0], engines);
	enum operation operation = (enum operation)index_of(words[1], operations);
	size_t bytes = strtoul(words[2], NULL, 10);
	unsigned int depth = (unsigned int)atoi(words[3]), files = (unsigned int)count - 6;
	uint64_t end;

	check(files <= STREAMS_MAX && depth >= 1 && depth <= DEPTH_MAX && bytes >= SECTOR,
	      "stream: depth, bytes or the number of files");
	for (unsigned int i = 0; i < files; i++) {
		open_stream(&streams[i], words[6 + i], engine, operation, bytes, depth);
		if (i == 0) {
			uint64_t blocks = (uint64_t)lseek(streams[0].descriptor, 0, SEEK_END) /
					  bytes;

			streams[0].generations = calloc(blocks, 4);
			streams[0].busy = calloc(blocks, 1);
		}
		divide(&streams[i], i, files, streams[0].generations, streams[0].busy);
	}
	print_moved();
	end = now_ns() + (uint64_t)atoi(words[4]) * 1000000u;
	start_streams(files);
	while (now_ns() < end) {
		wait_ms(100);
		print_moved();
	}
	end_streams(files);
	if (operation == OPERATION_REWRITE)
		check_rewritten(words[5], files);
	return 0;
}

/* ---- durable writes beside a flood ---------------------------------------------------- */

static int compare_numbers(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return a < b ? -1 : a > b;
}

/* Writes until the given moment; how many writes there were after the first one. */
static unsigned int write_log(int descriptor, uint64_t from_ns, uint64_t until_ns, uint64_t *times)
{
	char *buffer = make_buffer(4096);
	uint64_t blocks = (uint64_t)lseek(descriptor, 0, SEEK_END) / 4096,
		 random = 88172645463325252u;
	unsigned int count = 0;

	for (uint64_t number = 0; now_ns() < until_ns && count < LOG_WRITES_MAX; number++) {
		struct timespec pause = {0, 2000000 + (long)(next_random(&random) % 3000000)};
		uint64_t start = now_ns();

		write_content(buffer, 4096, number % blocks * 4096, 1);
		check(pwrite(descriptor, buffer, 4096, (off_t)(number % blocks * 4096)) == 4096,
		      "pwrite of the log");
		if (start >= from_ns)
			times[count++] = now_ns() - start;
		nanosleep(&pause, NULL);
	}
	free(buffer);
	return count;
}

static int run_log_command(int count, char **words)
{
	static uint64_t times[LOG_WRITES_MAX];
	unsigned int files = (unsigned int)count - 3, writes;
	int log = open(words[2], O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	uint64_t from, until, start;
	double seconds;

	check(log >= 0, words[2]);
	check(files <= STREAMS_MAX, "log: the number of files");
	for (unsigned int i = 0; i < files; i++) {
		open_stream(&streams[i], words[3 + i], ENGINE_LIBAIO, OPERATION_FLOOD, MEBIBYTE,
			    FLOOD_DEPTH);
		divide(&streams[i], 0, 1, NULL, NULL);
	}
	start_streams(files);
	from = now_ns() + (uint64_t)atoi(words[0]) * 1000000u;
	until = from + (uint64_t)atoi(words[1]) * 1000000u;
	write_log(log, until, from, times);
	start = now_ns();
	from = atomic_load(&moved_bytes);
	writes = write_log(log, start, until, times);
	seconds = (double)(now_ns() - start) / 1e9;
	printf("flood_mib_per_second %.3f\n",
	       (double)(atomic_load(&moved_bytes) - from) / MEBIBYTE / seconds);
	end_streams(files);
	check(writes > 0, "no write of the log ended");
	qsort(times, writes, sizeof(times[0]), compare_numbers);
	printf("log_writes %u\np50_ms %.3f\np99_ms %.3f\n", writes, (double)times[writes / 2] / 1e6,
	       (double)times[writes * 99 / 100] / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "fill") == 0)
		return fill(argv[2], strtoul(argv[3], NULL, 10));
	if (argc >= 9 && strcmp(argv[1], "stream") == 0)
		return run_stream_command(argc - 2, argv + 2);
	if (argc >= 6 && strcmp(argv[1], "log") == 0)
		return run_log_command(argc - 2, argv + 2);
	fputs("usage: pool_io fill|stream|log ..., see the top of bench/pool_io.c\n", stderr);
	return 2;
}
