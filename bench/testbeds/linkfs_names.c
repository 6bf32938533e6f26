/* linkfs, nodes and the operations on names: straight calls on the backing folder. */
#include "linkfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NODE_BUCKETS 4096

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes[NODE_BUCKETS];
static struct node root;

/* ---- nodes ------------------------------------------------------------------ */

bool open_root(const char *backing)
{
	struct stat status;

	root.descriptor = open(backing, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.descriptor < 0 || fstat(root.descriptor, &status) < 0)
		return false;
	root.device = status.st_dev;
	root.inode = status.st_ino;
	return true;
}

struct node *node_of(uint64_t number)
{
	return number == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)number;
}

/* A descriptor that can do more than O_PATH, of the same inode whatever its name is now. */
int reopen_node(const struct node *node, int flags)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", node->descriptor);
	return open(name, flags | O_CLOEXEC);
}

static struct node **bucket_of(dev_t device, ino_t inode)
{
	return &nodes[(inode ^ device * 31) % NODE_BUCKETS];
}

/* The node of an inode, one lookup more; takes over the descriptor. */
static struct node *node_take(int descriptor, const struct stat *status)
{
	struct node **bucket = bucket_of(status->st_dev, status->st_ino);
	struct node *node;

	pthread_mutex_lock(&nodes_lock);
	for (node = *bucket; node; node = node->next)
		if (node->inode == status->st_ino && node->device == status->st_dev)
			break;
	if (node) {
		close(descriptor);
	} else {
		node = calloc(1, sizeof(*node));
		if (!node)
			abort();
		node->device = status->st_dev;
		node->inode = status->st_ino;
		node->descriptor = descriptor;
		node->next = *bucket;
		*bucket = node;
	}
	node->lookups++;
	pthread_mutex_unlock(&nodes_lock);
	return node;
}

static void node_forget(uint64_t number, uint64_t lookups)
{
	struct node *node = node_of(number), **link;

	if (node == &root)
		return;
	pthread_mutex_lock(&nodes_lock);
	node->lookups -= lookups;
	if (node->lookups == 0) {
		link = bucket_of(node->device, node->inode);
		while (*link != node)
			link = &(*link)->next;
		*link = node->next;
		close(node->descriptor);
		free(node);
	}
	pthread_mutex_unlock(&nodes_lock);
}

void forget(struct request *request)
{
	const struct fuse_batch_forget_in *batch = body_of(request);
	const struct fuse_forget_one *one = (const void *)(batch + 1);

	if (header_of(request)->opcode == FUSE_FORGET) {
		const struct fuse_forget_in *single = body_of(request);

		node_forget(header_of(request)->nodeid, single->nlookup);
		return;
	}
	for (uint32_t index = 0; index < batch->count; index++)
		node_forget(one[index].nodeid, one[index].nlookup);
}

/* ---- attributes --------------------------------------------------------------- */

static void fill_attributes(struct fuse_attr *attributes, const struct stat *status)
{
	*attributes = (struct fuse_attr){
		.ino = status->st_ino,
		.size = (uint64_t)status->st_size,
		.blocks = (uint64_t)status->st_blocks,
		.atime = (uint64_t)status->st_atim.tv_sec,
		.mtime = (uint64_t)status->st_mtim.tv_sec,
		.ctime = (uint64_t)status->st_ctim.tv_sec,
		.atimensec = (uint32_t)status->st_atim.tv_nsec,
		.mtimensec = (uint32_t)status->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)status->st_ctim.tv_nsec,
		.mode = status->st_mode,
		.nlink = (uint32_t)status->st_nlink,
		.uid = status->st_uid,
		.gid = status->st_gid,
		.rdev = (uint32_t)status->st_rdev,
		.blksize = (uint32_t)status->st_blksize,
	};
}

/* With what this link holds in memory, which the backing file does not have yet. */
static int attributes_of(const struct node *node, struct fuse_attr *attributes)
{
	struct stat status;
	uint64_t end;

	if (fstatat(node->descriptor, "", &status, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	fill_attributes(attributes, &status);
	end = overlay_end(node);
	if (end > attributes->size)
		attributes->size = end;
	return 0;
}

static void answer_attributes(struct request *request)
{
	struct fuse_attr_out reply = {.attr_valid = 0};
	int error = attributes_of(node_of(header_of(request)->nodeid), &reply.attr);

	answer(request, error, &reply, sizeof(reply));
}

static int set_owner_and_mode(const struct node *node, const struct fuse_setattr_in *wanted)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", node->descriptor);
	if (wanted->valid & (FATTR_UID | FATTR_GID)) {
		uid_t user = wanted->valid & FATTR_UID ? wanted->uid : (uid_t)-1;
		gid_t group = wanted->valid & FATTR_GID ? wanted->gid : (gid_t)-1;

		if (fchownat(node->descriptor, "", user, group,
			     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	if (wanted->valid & FATTR_MODE)
		return result(chmod(name, wanted->mode & 07777));
	return 0;
}

static int set_size(const struct node *node, const struct fuse_setattr_in *wanted)
{
	int error = overlay_write_back(node), descriptor;

	if (error)
		return error;
	if (wanted->valid & FATTR_FH)
		return result(ftruncate((int)wanted->fh, (off_t)wanted->size));
	descriptor = reopen_node(node, O_WRONLY);
	if (descriptor < 0)
		return -errno;
	error = result(ftruncate(descriptor, (off_t)wanted->size));
	close(descriptor);
	return error;
}

static struct timespec time_wanted(bool set, bool now, uint64_t seconds, uint32_t nanoseconds)
{
	if (now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (!set)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
}

static int set_times(const struct node *node, const struct fuse_setattr_in *wanted)
{
	struct timespec times[2] = {
		time_wanted(wanted->valid & FATTR_ATIME, wanted->valid & FATTR_ATIME_NOW,
			    wanted->atime, wanted->atimensec),
		time_wanted(wanted->valid & FATTR_MTIME, wanted->valid & FATTR_MTIME_NOW,
			    wanted->mtime, wanted->mtimensec),
	};

	if (!(wanted->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		return 0;
	return result(utimensat(node->descriptor, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

static void set_attributes(struct request *request)
{
	const struct fuse_setattr_in *wanted = body_of(request);
	const struct node *node = node_of(header_of(request)->nodeid);
	int error = set_owner_and_mode(node, wanted);

	if (!error && wanted->valid & FATTR_SIZE)
		error = set_size(node, wanted);
	if (!error)
		error = set_times(node, wanted);
	if (error)
		answer(request, error, NULL, 0);
	else
		answer_attributes(request);
}

/* ---- names --------------------------------------------------------------------- */

/* Fills in the entry of a name, and counts a lookup of it. */
static int look_up(int parent, const char *name, struct fuse_entry_out *entry)
{
	int descriptor = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct node *node;
	struct stat status;

	if (descriptor < 0)
		return -errno;
	if (fstat(descriptor, &status) < 0) {
		close(descriptor);
		return -errno;
	}
	node = node_take(descriptor, &status);
	*entry = (struct fuse_entry_out){.nodeid = (uint64_t)(uintptr_t)node};
	return attributes_of(node, &entry->attr);
}

static void answer_entry(struct request *request, int parent, const char *name)
{
	struct fuse_entry_out entry;
	int error = look_up(parent, name, &entry);

	answer(request, error, &entry, sizeof(entry));
}

/* Served as root, what is new must still belong to the caller. */
static void give_to_caller(const struct fuse_in_header *header, int parent, const char *name)
{
	struct stat status;
	gid_t group = header->gid;

	if (fstat(parent, &status) == 0 && status.st_mode & S_ISGID)
		group = (gid_t)-1;
	if (fchownat(parent, name, header->uid, group, AT_SYMLINK_NOFOLLOW) < 0)
		perror("linkfs: owner of a new file");
}

static void make_name(struct request *request)
{
	struct fuse_in_header *header = header_of(request);
	int parent = node_of(header->nodeid)->descriptor, value;
	const char *name = body_of(request);

	if (header->opcode == FUSE_MKDIR) {
		const struct fuse_mkdir_in *wanted = body_of(request);

		name = (const char *)(wanted + 1);
		value = mkdirat(parent, name, wanted->mode);
	} else if (header->opcode == FUSE_MKNOD) {
		const struct fuse_mknod_in *wanted = body_of(request);

		name = (const char *)(wanted + 1);
		value = mknodat(parent, name, wanted->mode, wanted->rdev);
	} else {
		value = symlinkat(name + strlen(name) + 1, parent, name);
	}
	if (value < 0) {
		answer(request, -errno, NULL, 0);
		return;
	}
	give_to_caller(header, parent, name);
	answer_entry(request, parent, name);
}

static void create(struct request *request)
{
	const struct fuse_create_in *wanted = body_of(request);
	const char *name = (const char *)(wanted + 1);
	int parent = node_of(header_of(request)->nodeid)->descriptor, error;
	int flags = backing_flags(wanted->flags);
	int descriptor = openat(parent, name, flags | O_CREAT | O_EXCL, wanted->mode);
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} reply = {.open.open_flags = open_flags(wanted->flags)};

	if (descriptor >= 0)
		give_to_caller(header_of(request), parent, name);
	else if (errno == EEXIST && !(wanted->flags & O_EXCL))
		descriptor = openat(parent, name, flags | O_NOFOLLOW);
	if (descriptor < 0) {
		answer(request, -errno, NULL, 0);
		return;
	}
	error = look_up(parent, name, &reply.entry);
	if (error)
		close(descriptor);
	reply.open.fh = (uint64_t)descriptor;
	answer(request, error, &reply, sizeof(reply));
}

static void link_name(struct request *request)
{
	const struct fuse_link_in *wanted = body_of(request);
	const char *name = (const char *)(wanted + 1);
	int parent = node_of(header_of(request)->nodeid)->descriptor;
	char old_name[64];

	snprintf(old_name, sizeof(old_name), "/proc/self/fd/%d",
		 node_of(wanted->oldnodeid)->descriptor);
	if (linkat(AT_FDCWD, old_name, parent, name, AT_SYMLINK_FOLLOW) < 0)
		answer(request, -errno, NULL, 0);
	else
		answer_entry(request, parent, name);
}

static int rename_name(struct request *request)
{
	const struct fuse_rename2_in *wanted = body_of(request);
	bool has_flags = header_of(request)->opcode == FUSE_RENAME2;
	size_t skipped = has_flags ? sizeof(*wanted) : sizeof(struct fuse_rename_in);
	const char *from = (const char *)body_of(request) + skipped;
	const char *to = from + strlen(from) + 1;

	return result(renameat2(node_of(header_of(request)->nodeid)->descriptor, from,
				node_of(wanted->newdir)->descriptor, to,
				has_flags ? wanted->flags : 0));
}

static void read_link(struct request *request)
{
	char target[4096];
	ssize_t length = readlinkat(node_of(header_of(request)->nodeid)->descriptor, "", target,
				    sizeof(target));

	answer(request, length < 0 ? -errno : 0, target, length < 0 ? 0 : (size_t)length);
}

static void answer_statistics(struct request *request)
{
	struct statvfs status;
	struct fuse_statfs_out reply = {0};

	if (fstatvfs(root.descriptor, &status) < 0) {
		answer(request, -errno, NULL, 0);
		return;
	}
	reply.st = (struct fuse_kstatfs){
		.blocks = status.f_blocks,
		.bfree = status.f_bfree,
		.bavail = status.f_bavail,
		.files = status.f_files,
		.ffree = status.f_ffree,
		.bsize = (uint32_t)status.f_bsize,
		.namelen = (uint32_t)status.f_namemax,
		.frsize = (uint32_t)status.f_frsize,
	};
	answer(request, 0, &reply, sizeof(reply));
}

/* False when the operation is not one of these. */
bool serve_name(struct request *request)
{
	int folder = node_of(header_of(request)->nodeid)->descriptor;
	const char *name = body_of(request);

	switch (header_of(request)->opcode) {
	case FUSE_LOOKUP:
		answer_entry(request, folder, name);
		return true;
	case FUSE_GETATTR:
		answer_attributes(request);
		return true;
	case FUSE_SETATTR:
		set_attributes(request);
		return true;
	case FUSE_MKDIR:
	case FUSE_MKNOD:
	case FUSE_SYMLINK:
		make_name(request);
		return true;
	case FUSE_CREATE:
		create(request);
		return true;
	case FUSE_LINK:
		link_name(request);
		return true;
	case FUSE_READLINK:
		read_link(request);
		return true;
	case FUSE_UNLINK:
		answer(request, result(unlinkat(folder, name, 0)), NULL, 0);
		return true;
	case FUSE_RMDIR:
		answer(request, result(unlinkat(folder, name, AT_REMOVEDIR)), NULL, 0);
		return true;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		answer(request, rename_name(request), NULL, 0);
		return true;
	case FUSE_STATFS:
		answer_statistics(request);
		return true;
	default:
		return false;
	}
}
