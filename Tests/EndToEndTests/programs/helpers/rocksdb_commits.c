/*
 * rocksdb_commits DATABASE write         commits key after key, says so after each
 * rocksdb_commits DATABASE check COUNT   exits 0 when the keys 1..COUNT are there and right
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX 4000

static void die_of(char *error)
{
	if (error) {
		fprintf(stderr, "rocksdb: %s\n", error);
		exit(1);
	}
}

/* The value of a key follows from its number. */
static size_t value_of(long number, char *value)
{
	size_t bytes = (size_t)(number * 37 % VALUE_BYTES_MAX);

	memset(value, 'a' + (int)(number % 26), bytes);
	return bytes;
}

static void write_keys(rocksdb_t *database)
{
	rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
	char key[32], value[VALUE_BYTES_MAX], *error = NULL;

	rocksdb_writeoptions_set_sync(options, 1);
	for (long number = 1; number < 10000000; number++) {
		size_t bytes = value_of(number, value);

		snprintf(key, sizeof(key), "%ld", number);
		rocksdb_put(database, options, key, strlen(key), value, bytes, &error);
		die_of(error);
		printf("%ld\n", number);
		fflush(stdout);
	}
}

static void check_keys(rocksdb_t *database, long count)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	char key[32], expected[VALUE_BYTES_MAX], *error = NULL;

	for (long number = 1; number <= count; number++) {
		size_t found_bytes = 0, bytes = value_of(number, expected);
		char *found;

		snprintf(key, sizeof(key), "%ld", number);
		found = rocksdb_get(database, options, key, strlen(key), &found_bytes, &error);
		die_of(error);
		if (!found || found_bytes != bytes || memcmp(found, expected, bytes)) {
			fprintf(stderr, "key %ld is %s\n", number, found ? "wrong" : "lost");
			exit(1);
		}
		free(found);
	}
}

int main(int argc, char **argv)
{
	rocksdb_options_t *options = rocksdb_options_create();
	rocksdb_t *database;
	char *error = NULL;

	if (argc < 3)
		return 2;
	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_write_buffer_size(options, 256 * 1024);
	rocksdb_options_set_use_direct_reads(options, 1);
	rocksdb_options_set_use_direct_io_for_flush_and_compaction(options, 1);
	database = rocksdb_open(options, argv[1], &error);
	die_of(error);
	if (strcmp(argv[2], "write") == 0)
		write_keys(database);
	else
		check_keys(database, argc > 3 ? atol(argv[3]) : 0);
	rocksdb_close(database);
	return 0;
}
