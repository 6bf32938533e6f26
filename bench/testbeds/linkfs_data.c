/* linkfs, open files and the operations on their data. */
#include "linkfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The backing file is never opened O_DIRECT: what is given as latency is all there is. Nor
 * O_APPEND: the kernel computes the offset, as a client of remote storage does. */
int backing_flags(uint32_t flags)
{
	return (int)(flags & O_ACCMODE) | O_CLOEXEC;
}

uint32_t open_flags(uint32_t flags)
{
	return flags & O_DIRECT ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES : 0;
}

static void open_file(struct request *request)
{
	const struct fuse_open_in *wanted = body_of(request);
	const struct node *node = node_of(header_of(request)->nodeid);
	int descriptor = reopen_node(node, backing_flags(wanted->flags));
	struct fuse_open_out reply = {.fh = (uint64_t)descriptor,
				      .open_flags = open_flags(wanted->flags)};

	answer(request, result(descriptor), &reply, sizeof(reply));
}

static void open_folder(struct request *request)
{
	int descriptor = reopen_node(node_of(header_of(request)->nodeid), O_RDONLY | O_DIRECTORY);
	DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
	struct fuse_open_out reply = {.fh = (uint64_t)(uintptr_t)folder};

	answer(request, folder ? 0 : -errno, &reply, sizeof(reply));
}

static void read_folder(struct request *request)
{
	const struct fuse_read_in *wanted = body_of(request);
	DIR *folder = (DIR *)(uintptr_t)wanted->fh;
	char *list = malloc(wanted->size);
	struct dirent *entry;
	size_t used = 0;

	if (!list) {
		answer(request, -ENOMEM, NULL, 0);
		return;
	}
	seekdir(folder, (long)wanted->offset);
	while ((entry = readdir(folder)) != NULL) {
		struct fuse_dirent *next = (struct fuse_dirent *)(void *)(list + used);
		size_t length = strlen(entry->d_name);
		size_t bytes = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);

		if (used + bytes > wanted->size)
			break;
		memset(next, 0, bytes);
		next->ino = entry->d_ino;
		next->off = (uint64_t)entry->d_off;
		next->namelen = (uint32_t)length;
		next->type = entry->d_type;
		memcpy(next->name, entry->d_name, length);
		used += bytes;
	}
	answer(request, 0, list, used);
	free(list);
}

static void read_file(struct request *request)
{
	static __thread struct request *buffer;
	const struct fuse_read_in *wanted = body_of(request);
	size_t bytes = wanted->size < TRANSFER_BYTES_MAX ? wanted->size : TRANSFER_BYTES_MAX;
	int failure = next_failure(FAIL_READ);
	ssize_t done;

	if (failure) {
		answer(request, failure, NULL, 0);
		return;
	}
	if (!buffer)
		buffer = take_request();
	done = pread((int)wanted->fh, buffer->message, bytes, (off_t)wanted->offset);
	if (done < 0) {
		answer(request, -errno, NULL, 0);
		return;
	}
	done = overlay_read(node_of(header_of(request)->nodeid), buffer->message, bytes, done,
			    wanted->offset);
	count(COUNT_READS, 1);
	count(COUNT_READ_BYTES, done);
	answer(request, 0, buffer->message, (size_t)done);
}

/* The kernel tells with every write whether it must be durable, RWF_DSYNC included. */
static void write_file(struct request *request)
{
	const struct fuse_write_in *wanted = body_of(request);
	const struct node *node = node_of(header_of(request)->nodeid);
	char *data = (char *)(uintptr_t)(wanted + 1);
	struct fuse_write_out reply = {.size = wanted->size};
	struct iovec part = {data, wanted->size};
	bool durable = wanted->flags & O_DSYNC;
	int error = next_failure(FAIL_WRITE);
	ssize_t done;

	if (!error && is_volatile() && !durable) {
		overlay_write(node, data, wanted->size, wanted->offset);
	} else if (!error) {
		/* Earlier bytes in memory must not come after these. */
		error = overlay_write_back(node);
		done = pwritev2((int)wanted->fh, &part, 1, (off_t)wanted->offset,
				durable ? RWF_DSYNC : 0);
		if (done < 0)
			error = -errno;
		else
			reply.size = (uint32_t)done;
	}
	if (!error) {
		count(COUNT_WRITES, 1);
		count(COUNT_WRITE_BYTES, reply.size);
	}
	answer(request, error, &reply, sizeof(reply));
}

static void sync_file(struct request *request)
{
	const struct fuse_fsync_in *wanted = body_of(request);
	bool is_folder = header_of(request)->opcode == FUSE_FSYNCDIR;
	int descriptor = is_folder ? dirfd((DIR *)(uintptr_t)wanted->fh) : (int)wanted->fh;
	int error = next_failure(FAIL_SYNC);

	count(COUNT_SYNCS, 1);
	if (!error && !is_folder)
		error = overlay_write_back(node_of(header_of(request)->nodeid));
	if (!error)
		error = result(wanted->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(descriptor)
									  : fsync(descriptor));
	answer(request, error, NULL, 0);
}

static void allocate(struct request *request)
{
	const struct fuse_fallocate_in *wanted = body_of(request);
	int error = overlay_write_back(node_of(header_of(request)->nodeid));

	if (!error)
		error = result(fallocate((int)wanted->fh, (int)wanted->mode, (off_t)wanted->offset,
					 (off_t)wanted->length));
	answer(request, error, NULL, 0);
}

/* With bytes in memory there are no holes, as far as the caller can tell. */
static void seek_file(struct request *request)
{
	const struct fuse_lseek_in *wanted = body_of(request);
	struct fuse_lseek_out reply = {.offset = wanted->offset};
	uint64_t end = overlay_end(node_of(header_of(request)->nodeid));
	struct stat status;
	off_t position;

	if (end && fstat((int)wanted->fh, &status) == 0) {
		if (end < (uint64_t)status.st_size)
			end = (uint64_t)status.st_size;
		if (wanted->whence == SEEK_HOLE)
			reply.offset = end;
		answer(request, wanted->offset < end ? 0 : -ENXIO, &reply, sizeof(reply));
		return;
	}
	position = lseek((int)wanted->fh, (off_t)wanted->offset, (int)wanted->whence);
	reply.offset = (uint64_t)position;
	answer(request, position < 0 ? -errno : 0, &reply, sizeof(reply));
}

static void release(struct request *request)
{
	const struct fuse_release_in *wanted = body_of(request);

	if (header_of(request)->opcode == FUSE_RELEASEDIR)
		closedir((DIR *)(uintptr_t)wanted->fh);
	else
		close((int)wanted->fh);
	answer(request, 0, NULL, 0);
}

/* False when the operation is not one of these. */
bool serve_data(struct request *request)
{
	switch (header_of(request)->opcode) {
	case FUSE_OPEN:
		open_file(request);
		return true;
	case FUSE_OPENDIR:
		open_folder(request);
		return true;
	case FUSE_READ:
		read_file(request);
		return true;
	case FUSE_READDIR:
		read_folder(request);
		return true;
	case FUSE_WRITE:
		write_file(request);
		return true;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		sync_file(request);
		return true;
	case FUSE_FALLOCATE:
		allocate(request);
		return true;
	case FUSE_LSEEK:
		seek_file(request);
		return true;
	case FUSE_FLUSH:
		answer(request, 0, NULL, 0);
		return true;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		release(request);
		return true;
	default:
		return false;
	}
}
