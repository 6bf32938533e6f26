/*
 * linkfs, with volatile=on: writes are acknowledged, but kept in the memory of this
 * process until a sync of their file arrives through this link. Reads through this link
 * see them, reads through the others do not, and nobody does once this process was
 * killed. As of a server that promises stability with a commit only.
 *
 * Each file has its writes in the order in which they came. That is slow for thousands of
 * them, and exact: writing them back touches no byte that was not written here.
 */
#include "linkfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than this is written back unasked, as a server would. */
#define HELD_BYTES_MAX (512ull << 20)

struct held_write {
	struct held_write *next;
	uint64_t offset;
	size_t bytes;
	char data[];
};

struct held_file {
	struct held_file *next;
	dev_t device;
	ino_t inode;
	int descriptor; /* for writing; keeps the inode from being used anew */
	uint64_t end;
	struct held_write *first, **last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct held_file *files;
static _Atomic uint64_t held_bytes; /* read without the lock to leave soon */

static struct held_file *find(const struct node *node)
{
	struct held_file *file = files;

	while (file && (file->inode != node->inode || file->device != node->device))
		file = file->next;
	return file;
}

/* The file is in no list any more; the bytes are freed even when they could not be written. */
static int write_out(struct held_file *file)
{
	struct held_write *write;
	int error = 0;

	while ((write = file->first) != NULL) {
		if (pwrite(file->descriptor, write->data, write->bytes, (off_t)write->offset) !=
		    (ssize_t)write->bytes)
			error = errno ? -errno : -EIO;
		file->first = write->next;
		held_bytes -= write->bytes;
		free(write);
	}
	close(file->descriptor);
	free(file);
	return error;
}

static int write_out_linked(struct held_file **link)
{
	struct held_file *file = *link;

	*link = file->next;
	return write_out(file);
}

int overlay_write_back(const struct node *node)
{
	struct held_file **link = &files;
	int error = 0;

	if (held_bytes == 0)
		return 0;
	pthread_mutex_lock(&lock);
	while (*link && ((*link)->inode != node->inode || (*link)->device != node->device))
		link = &(*link)->next;
	if (*link)
		error = write_out_linked(link);
	pthread_mutex_unlock(&lock);
	return error;
}

void overlay_write_back_all(void)
{
	pthread_mutex_lock(&lock);
	while (files)
		if (write_out_linked(&files) < 0)
			fprintf(stderr, "linkfs: writing back failed\n");
	pthread_mutex_unlock(&lock);
}

static struct held_file *add_file(const struct node *node)
{
	struct held_file *file = calloc(1, sizeof(*file));

	if (!file)
		abort();
	file->descriptor = reopen_node(node, O_WRONLY);
	file->device = node->device;
	file->inode = node->inode;
	file->last = &file->first;
	file->next = files;
	files = file;
	return file;
}

void overlay_write(const struct node *node, const char *data, size_t bytes, uint64_t offset)
{
	struct held_write *write = malloc(sizeof(*write) + bytes);
	struct held_file *file;

	if (!write)
		abort();
	write->next = NULL;
	write->offset = offset;
	write->bytes = bytes;
	memcpy(write->data, data, bytes);
	pthread_mutex_lock(&lock);
	file = find(node);
	if (!file)
		file = add_file(node);
	*file->last = write;
	file->last = &write->next;
	if (offset + bytes > file->end)
		file->end = offset + bytes;
	held_bytes += bytes;
	pthread_mutex_unlock(&lock);
	if (held_bytes > HELD_BYTES_MAX)
		overlay_write_back_all();
}

/* Lays what is held over what was read; returns how many bytes there are then. */
ssize_t overlay_read(const struct node *node, char *data, size_t wanted, ssize_t done,
		     uint64_t offset)
{
	struct held_file *file;
	uint64_t end = offset + wanted;

	if (held_bytes == 0)
		return done;
	pthread_mutex_lock(&lock);
	file = find(node);
	if (file) {
		if (end > file->end)
			end = file->end;
		if (end > offset + (uint64_t)done) {
			memset(data + done, 0, end - offset - (uint64_t)done);
			done = (ssize_t)(end - offset);
		}
		end = offset + (uint64_t)done;
	}
	for (struct held_write *write = file ? file->first : NULL; write; write = write->next) {
		uint64_t from = write->offset > offset ? write->offset : offset;
		uint64_t to = write->offset + write->bytes;

		if (to > end)
			to = end;
		if (from < to)
			memcpy(data + (from - offset), write->data + (from - write->offset),
			       to - from);
	}
	pthread_mutex_unlock(&lock);
	return done;
}

/* Where the file ends, as far as it is held; 0 when nothing is. */
uint64_t overlay_end(const struct node *node)
{
	const struct held_file *file;
	uint64_t end;

	if (held_bytes == 0)
		return 0;
	pthread_mutex_lock(&lock);
	file = find(node);
	end = file ? file->end : 0;
	pthread_mutex_unlock(&lock);
	return end;
}

uint64_t overlay_bytes(void)
{
	return held_bytes;
}
