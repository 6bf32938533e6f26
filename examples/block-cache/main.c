/*
 * block-cache: writes ranges of a large file to its output, in the order in which it is asked for
 * them, with many reads in flight and memory of a fixed size.
 *
 *	block-cache [-b BLOCK_KIB] [-m MEMORY_MIB] [-d DEPTH] [-s] FILE <RANGES
 *
 * RANGES has a line "OFFSET LENGTH" for each, in bytes. -s tells on standard error how the cache
 * did. Defaults: blocks of 16 KiB, 64 MiB of them, 64 reads in flight.
 */
#include "block_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ranges that are looked at ahead of the one that is written. */
#define AHEAD 64
#define CHUNK (1u << 20)

struct range {
	int64_t offset;
	uint64_t length;
};

static int fail(const char *what, const char *reason)
{
	fprintf(stderr, "block-cache: %s: %s\n", what, reason);
	return 1;
}

static int usage(void)
{
	fputs("usage: block-cache [-b BLOCK_KIB] [-m MEMORY_MIB] [-d DEPTH] [-s] FILE <RANGES\n"
	      "RANGES: a line \"OFFSET LENGTH\" for each, in bytes\n",
	      stderr);
	return 2;
}

/* Reads the next line: 1, 0 at the end, -1 when it is no range. */
static int next_range(struct range *range, unsigned long *line)
{
	char text[128], rest[2];
	long long offset, length;

	if (!fgets(text, sizeof(text), stdin))
		return 0;
	++*line;
	if (sscanf(text, "%lld %lld %1s", &offset, &length, rest) != 2 || offset < 0 || length < 0)
		return -1;
	range->offset = offset;
	range->length = (uint64_t)length;
	return 1;
}

static int write_range(struct block_cache *cache, const struct range *range, char *buffer)
{
	uint64_t done = 0;

	while (done < range->length) {
		size_t wanted = range->length - done < CHUNK ? range->length - done : CHUNK;
		ssize_t got = block_cache_read(cache, buffer, wanted,
					       range->offset + (int64_t)done);

		if (got < 0)
			return fail("read",
				    got == -EINVAL ? strerror(EINVAL) : block_cache_error(cache));
		if (got == 0) {
			char text[64];

			snprintf(text, sizeof(text), "%lld %llu", (long long)range->offset,
				 (unsigned long long)range->length);
			return fail(text, "the range is not all inside the file");
		}
		if (fwrite(buffer, 1, (size_t)got, stdout) != (size_t)got)
			return fail("output", strerror(errno));
		done += (uint64_t)got;
	}
	return 0;
}

static int serve(struct block_cache *cache)
{
	struct range ranges[AHEAD];
	unsigned int first = 0, count = 0;
	unsigned long line = 0;
	int more = 1, result = 0;
	char *buffer = malloc(CHUNK);

	while (buffer && result == 0) {
		while (more > 0 && count < AHEAD) {
			struct range *range = &ranges[(first + count) % AHEAD];

			more = next_range(range, &line);
			if (more <= 0)
				break;
			count++;
			block_cache_prefetch(cache, range->offset, range->length);
		}
		if (count == 0)
			break;
		result = write_range(cache, &ranges[first], buffer);
		first = (first + 1) % AHEAD;
		count--;
	}
	free(buffer);
	if (result == 0 && more < 0) {
		char text[64];

		snprintf(text, sizeof(text), "line %lu of the ranges", line);
		result = fail(text, "no range; write it as \"OFFSET LENGTH\", in bytes");
	}
	if (fflush(stdout) != 0 && result == 0)
		result = fail("output", strerror(errno));
	return result;
}

static int number(const char *text, unsigned long maximum, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *value > 0 && *value <= maximum;
}

int main(int argc, char **argv)
{
	unsigned long kibibytes = 16, mebibytes = 64, depth = 64;
	struct block_cache_statistics counts;
	struct block_cache *cache = NULL;
	int option, result, shows = 0, good = 1;

	while ((option = getopt(argc, argv, "b:m:d:s")) != -1) {
		if (option == 'b')
			good &= number(optarg, 1u << 20, &kibibytes);
		else if (option == 'm')
			good &= number(optarg, 1u << 20, &mebibytes);
		else if (option == 'd')
			good &= number(optarg, 16384, &depth);
		else if (option == 's')
			shows = 1;
		else
			good = 0;
	}
	if (!good || optind + 1 != argc)
		return usage();
	result = block_cache_open(argv[optind], kibibytes << 10,
				  (uint32_t)((mebibytes << 10) / kibibytes), (uint32_t)depth,
				  &cache);
	if (result == -EINVAL)
		return fail(argv[optind],
			    "blocks are a power of two of at least 4 KiB, four of them at least");
	if (result < 0)
		return fail(argv[optind], strerror(-result));
	result = serve(cache);
	block_cache_count(cache, &counts);
	if (shows)
		fprintf(stderr, "%llu hits, %llu misses, %llu blocks fetched, %llu made room%s\n",
			(unsigned long long)counts.hits, (unsigned long long)counts.misses,
			(unsigned long long)counts.fetched, (unsigned long long)counts.evictions,
			counts.is_ring ? "" : ", without io_uring");
	block_cache_close(cache);
	return result;
}
