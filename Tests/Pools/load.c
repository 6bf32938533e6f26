/*
 * load: writes and reads back, by libaio, POSIX AIO and plain calls at once, and keeps in its
 * own memory which write of each block was acknowledged last.
 *
 *   load run FILE LEDGER SEED    For each line "count" it prints how many requests have ended.
 *                                "end": it stops, leaves what it knows in LEDGER, prints "ok".
 *   load check FILE LEDGER       compares the file with that: "ok", or what is wrong
 */
#include "content.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOTS 12
#define REGION_BLOCKS 8192u
#define REGIONS 3u
#define SIZES 11 /* 4K to 4M */
#define BYTES_MAX (BLOCK << (SIZES - 1))

enum api { LIBAIO, POSIX, PLAIN };

struct slot {
	struct iocb iocb;
	struct aiocb aiocb;
	char *buffer;
	uint64_t offset, sequence;
	size_t bytes;
	bool is_busy, writes;
};

/* What one thread works on: blocks of its own. */
struct region {
	enum api api;
	uint64_t random;
	uint64_t acknowledged[REGION_BLOCKS];
	bool is_busy[REGION_BLOCKS];
	struct slot slots[SLOTS];
	io_context_t context;
	pthread_t thread;
};

static struct region regions[REGIONS];
static int file;
static atomic_bool ends;
static atomic_ullong ended, sequences;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char problem[256];

/* The first counts. */
static void complain(const char *text)
{
	pthread_mutex_lock(&lock);
	if (!problem[0])
		snprintf(problem, sizeof(problem), "%s", text);
	pthread_mutex_unlock(&lock);
	atomic_store(&ends, true);
}

static uint64_t next_random(struct region *region)
{
	region->random ^= region->random << 13;
	region->random ^= region->random >> 7;
	region->random ^= region->random << 17;
	return region->random;
}

static size_t first_block(const struct region *region, const struct slot *slot)
{
	return slot->offset / BLOCK - (size_t)(region - regions) * REGION_BLOCKS;
}

static void mark(struct region *region, const struct slot *slot, bool is_busy)
{
	memset(region->is_busy + first_block(region, slot), is_busy, slot->bytes / BLOCK);
}

/* Blocks that no request is about: two at once could come in any order. */
static bool choose(struct region *region, struct slot *slot)
{
	size_t blocks = (size_t)1 << (next_random(region) % SIZES), first;

	/* Mostly small ones, and now and then the largest. */
	if (blocks > 64 && next_random(region) % 4)
		blocks >>= 4;
	first = next_random(region) % (REGION_BLOCKS - blocks + 1);
	slot->bytes = blocks * BLOCK;
	slot->offset = (uint64_t)(first + (size_t)(region - regions) * REGION_BLOCKS) * BLOCK;
	slot->writes = next_random(region) & 1;
	return !memchr(region->is_busy + first, true, blocks);
}

static void note_end(struct region *region, struct slot *slot, long long result)
{
	size_t first = first_block(region, slot);
	char text[200];

	slot->is_busy = false;
	mark(region, slot, false);
	atomic_fetch_add(&ended, 1);
	if (result != (long long)slot->bytes) {
		snprintf(text, sizeof(text), "%s of %zu bytes at %llu gave %lld (interface %d)",
			 slot->writes ? "write" : "read", slot->bytes,
			 (unsigned long long)slot->offset, result, (int)region->api);
		complain(text);
		return;
	}
	for (size_t block = 0; block < slot->bytes / BLOCK; block++) {
		uint64_t found;

		if (slot->writes) {
			region->acknowledged[first + block] = slot->sequence;
			continue;
		}
		if (!content_check(slot->buffer + block * BLOCK, slot->offset + block * BLOCK,
				   &found, text, sizeof(text))) {
			complain(text);
		} else if (found != region->acknowledged[first + block]) {
			snprintf(text, sizeof(text), "read at %llu: write %llu, last was %llu",
				 (unsigned long long)(slot->offset + block * BLOCK),
				 (unsigned long long)found,
				 (unsigned long long)region->acknowledged[first + block]);
			complain(text);
		}
	}
}

static void start_plain(struct region *region, struct slot *slot)
{
	size_t half = slot->bytes / 2;
	struct iovec vector[2] = {{slot->buffer, half}, {slot->buffer + half, half}};
	bool is_vector = slot->bytes > BLOCK && next_random(region) % 4 == 0;
	off_t offset = (off_t)slot->offset;
	ssize_t done;

	if (is_vector)
		done = slot->writes ? pwritev(file, vector, 2, offset)
				    : preadv(file, vector, 2, offset);
	else
		done = slot->writes ? pwrite(file, slot->buffer, slot->bytes, offset)
				    : pread(file, slot->buffer, slot->bytes, offset);
	note_end(region, slot, done < 0 ? -errno : done);
}

static int start_libaio(struct region *region, struct slot *slot)
{
	struct iocb *list[1] = {&slot->iocb};
	long long offset = (long long)slot->offset;

	if (slot->writes)
		io_prep_pwrite(&slot->iocb, file, slot->buffer, slot->bytes, offset);
	else
		io_prep_pread(&slot->iocb, file, slot->buffer, slot->bytes, offset);
	slot->iocb.data = slot;
	return io_submit(region->context, 1, list) == 1 ? 0 : -1;
}

static int start_posix(struct slot *slot)
{
	slot->aiocb = (struct aiocb){.aio_fildes = file,
				     .aio_buf = slot->buffer,
				     .aio_nbytes = slot->bytes,
				     .aio_offset = (off_t)slot->offset};
	slot->aiocb.aio_sigevent.sigev_notify = SIGEV_NONE;
	return slot->writes ? aio_write(&slot->aiocb) : aio_read(&slot->aiocb);
}

static void start(struct region *region, struct slot *slot)
{
	int result = 0;

	if (!choose(region, slot))
		return;
	slot->sequence = atomic_fetch_add(&sequences, 1) + 1;
	if (slot->writes)
		content_fill(slot->buffer, slot->bytes, slot->offset, slot->sequence);
	else
		memset(slot->buffer, 0, slot->bytes);
	slot->is_busy = true;
	mark(region, slot, true);
	if (region->api == PLAIN)
		start_plain(region, slot);
	else
		result = region->api == LIBAIO ? start_libaio(region, slot) : start_posix(slot);
	if (result < 0) {
		slot->is_busy = false;
		complain("a request is refused");
	}
}

static void take_libaio(struct region *region)
{
	struct io_event events[SLOTS];
	int count = io_getevents(region->context, 1, SLOTS, events, NULL);

	for (int index = 0; index < count; index++)
		note_end(region, events[index].data, (long long)(long)events[index].res);
}

static void take_posix(struct region *region)
{
	const struct aiocb *list[SLOTS] = {NULL};

	for (int index = 0; index < SLOTS; index++)
		if (region->slots[index].is_busy)
			list[index] = &region->slots[index].aiocb;
	aio_suspend(list, SLOTS, NULL);
	for (int index = 0; index < SLOTS; index++) {
		struct slot *slot = &region->slots[index];
		int error = slot->is_busy ? aio_error(&slot->aiocb) : EINPROGRESS;

		if (error != EINPROGRESS)
			note_end(region, slot, error ? -error : aio_return(&slot->aiocb));
	}
}

static void *work(void *argument)
{
	struct region *region = argument;
	int slots = region->api == PLAIN ? 1 : SLOTS, running;

	do {
		running = 0;
		for (int index = 0; index < slots; index++) {
			struct slot *slot = &region->slots[index];

			if (!slot->is_busy && !atomic_load(&ends))
				start(region, slot);
			running += slot->is_busy;
		}
		if (running > 0 && region->api == LIBAIO)
			take_libaio(region);
		if (running > 0 && region->api == POSIX)
			take_posix(region);
	} while (running > 0 || !atomic_load(&ends));
	return NULL;
}

static char *make_buffer(size_t bytes)
{
	void *buffer;

	if (posix_memalign(&buffer, BLOCK, bytes))
		abort();
	return buffer;
}

/* Every block has a first write behind it. */
static void prepare(struct region *region)
{
	size_t first = (size_t)(region - regions) * REGION_BLOCKS;

	region->api = (enum api)(region - regions);
	if (region->api == LIBAIO && io_setup(SLOTS, &region->context) < 0)
		abort();
	for (int index = 0; index < SLOTS; index++)
		region->slots[index].buffer = make_buffer(BYTES_MAX);
	for (size_t block = 0; block < REGION_BLOCKS; block += BYTES_MAX / BLOCK) {
		uint64_t offset = (first + block) * BLOCK;

		content_fill(region->slots[0].buffer, BYTES_MAX, offset, 1);
		if (pwrite(file, region->slots[0].buffer, BYTES_MAX, (off_t)offset) !=
		    (ssize_t)BYTES_MAX)
			complain("the first writes failed");
	}
	for (size_t block = 0; block < REGION_BLOCKS; block++)
		region->acknowledged[block] = 1;
}

static int leave_ledger(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	for (size_t index = 0; index < REGIONS; index++)
		if (write(fd, regions[index].acknowledged, sizeof(regions[index].acknowledged)) !=
		    (ssize_t)sizeof(regions[index].acknowledged))
			return 1;
	return close(fd);
}

static int run(const char *path, const char *ledger, uint64_t seed)
{
	char line[64];

	file = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (file < 0)
		return 2;
	atomic_store(&sequences, 1);
	for (size_t index = 0; index < REGIONS; index++) {
		regions[index].random = (seed + index + 1) * 0x9e3779b97f4a7c15u;
		prepare(&regions[index]);
	}
	for (size_t index = 0; index < REGIONS; index++)
		if (pthread_create(&regions[index].thread, NULL, work, &regions[index]))
			abort();
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
		if (problem[0])
			printf("%s\n", problem);
		else
			printf("%llu\n", (unsigned long long)atomic_load(&ended));
		fflush(stdout);
	}
	atomic_store(&ends, true);
	for (size_t index = 0; index < REGIONS; index++)
		pthread_join(regions[index].thread, NULL);
	if (leave_ledger(ledger))
		complain("the ledger cannot be written");
	printf("%s\n", problem[0] ? problem : "ok");
	return problem[0] != 0;
}

static int check(const char *path, const char *ledger)
{
	char *buffer = make_buffer(BYTES_MAX), text[200];
	int fd = open(path, O_RDONLY), known = open(ledger, O_RDONLY);
	uint64_t wanted, found, offset = 0;

	if (fd < 0 || known < 0) {
		printf("cannot be opened: %s\n", strerrorname_np(errno));
		return 1;
	}
	for (; read(known, &wanted, sizeof(wanted)) == (ssize_t)sizeof(wanted); offset += BLOCK) {
		if (offset % BYTES_MAX == 0 &&
		    pread(fd, buffer, BYTES_MAX, (off_t)offset) != (ssize_t)BYTES_MAX) {
			printf("short at %llu\n", (unsigned long long)offset);
			return 1;
		}
		if (!content_check(buffer + offset % BYTES_MAX, offset, &found, text,
				   sizeof(text))) {
			printf("%s\n", text);
			return 1;
		}
		if (found != wanted) {
			printf("block at %llu is of write %llu, acknowledged was %llu\n",
			       (unsigned long long)offset, (unsigned long long)found,
			       (unsigned long long)wanted);
			return 1;
		}
	}
	printf("%s\n", offset ? "ok" : "the ledger is empty");
	return offset == 0;
}

int main(int count, char **arguments)
{
	if (count == 5 && strcmp(arguments[1], "run") == 0)
		return run(arguments[2], arguments[3], strtoull(arguments[4], NULL, 10));
	if (count == 4 && strcmp(arguments[1], "check") == 0)
		return check(arguments[2], arguments[3]);
	fprintf(stderr, "usage: load run FILE LEDGER SEED | load check FILE LEDGER\n");
	return 2;
}
