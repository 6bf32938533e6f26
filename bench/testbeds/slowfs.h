/* What the two halves of slowfs share; see slowfs.c. */
#ifndef SLOWFS_H
#define SLOWFS_H

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse.h>
#include <stdint.h>

struct node;

/* An open file: what info->fh points to. */
struct handle {
	int descriptor; /* of the backing file */
	struct node *node;
};

extern int root_descriptor; /* the backing directory */

static inline struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

static inline const char *relative(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static inline int result(int value)
{
	return value < 0 ? -errno : 0;
}

/* Served as root, a new file must still belong to the caller. */
void give_to_caller(const char *path);

/* Fills in every operation on names. */
void add_name_operations(struct fuse_operations *operations);

#endif
