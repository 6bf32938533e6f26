/*
 * slowfs: a pass-through file system with settable slowness, for tests and
 * benchmarks of programs that see remote storage: every request takes a fixed
 * time, a bounded number are served at once, and flushes of one file queue up.
 *
 *	slowfs BACKING MOUNTPOINT [options]      see usage() and slowfs.sh
 *
 * A file opened with O_DIRECT bypasses the page cache of the mount. The backing
 * file is always opened buffered, so the delay given here is the latency seen.
 *
 * How the kernel turns one O_DIRECT call into requests decides what a client
 * can gain, so it is settable:
 *	default            a blocking call sends its requests one after another, an
 *	                   asynchronous one all at once (FOPEN_DIRECT_IO)
 *	--parallel-direct  a blocking call sends all its requests at once too
 *	--no-async-direct  an asynchronous call also sends them one after another
 */
#include "slowfs.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NODE_BUCKETS 1024
/* Threads beyond --concurrency, for requests that wait in a queue of ours. */
#define EXTRA_THREADS 192

static struct settings {
	unsigned int read_delay_us;
	unsigned int write_delay_us;
	unsigned int flush_delay_us;
	unsigned int max_read_bytes;
	unsigned int max_request_bytes;
	unsigned int concurrency;
	int no_async_direct;
	int parallel_direct;
	char *backing;
} settings = {.max_request_bytes = 1 << 20, .concurrency = 64};

#define OPTION(template, field, value)                                                             \
	{                                                                                          \
		template, offsetof(struct settings, field), value                                  \
	}
static const struct fuse_opt option_table[] = {
	OPTION("--read-delay-us=%u", read_delay_us, 0),
	OPTION("--write-delay-us=%u", write_delay_us, 0),
	OPTION("--flush-delay-us=%u", flush_delay_us, 0),
	OPTION("--max-read=%u", max_read_bytes, 0),
	OPTION("--max-request=%u", max_request_bytes, 0),
	OPTION("--concurrency=%u", concurrency, 0),
	OPTION("--no-async-direct", no_async_direct, 1),
	OPTION("--parallel-direct", parallel_direct, 1),
	FUSE_OPT_END,
};

/* One per open inode: the queue in which its flushes wait for each other. */
struct node {
	struct node *next;
	dev_t device;
	ino_t inode;
	unsigned int references;
	pthread_mutex_t flush_lock;
};

int root_descriptor;
static sem_t service_slots;
static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes[NODE_BUCKETS];

static void delay(unsigned int microseconds)
{
	struct timespec left = {.tv_sec = microseconds / 1000000,
				.tv_nsec = microseconds % 1000000 * 1000L};

	while (microseconds && nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* ---- open files ------------------------------------------------------- */

static struct node *node_get(int descriptor)
{
	struct stat status;
	struct node *node;
	struct node **bucket;

	if (fstat(descriptor, &status) < 0)
		return NULL;
	bucket = &nodes[status.st_ino % NODE_BUCKETS];
	pthread_mutex_lock(&nodes_lock);
	for (node = *bucket; node; node = node->next)
		if (node->inode == status.st_ino && node->device == status.st_dev)
			break;
	if (!node) {
		node = calloc(1, sizeof(*node));
		if (node) {
			node->device = status.st_dev;
			node->inode = status.st_ino;
			pthread_mutex_init(&node->flush_lock, NULL);
			node->next = *bucket;
			*bucket = node;
		}
	}
	if (node)
		node->references++;
	pthread_mutex_unlock(&nodes_lock);
	return node;
}

static void node_put(struct node *node)
{
	struct node **link = &nodes[node->inode % NODE_BUCKETS];

	pthread_mutex_lock(&nodes_lock);
	if (--node->references == 0) {
		while (*link != node)
			link = &(*link)->next;
		*link = node->next;
		pthread_mutex_destroy(&node->flush_lock);
		free(node);
	}
	pthread_mutex_unlock(&nodes_lock);
}

static int attach(int descriptor, struct fuse_file_info *info)
{
	struct handle *handle = malloc(sizeof(*handle));
	struct node *node = node_get(descriptor);

	if (!handle || !node) {
		free(handle);
		if (node)
			node_put(node);
		close(descriptor);
		return -ENOMEM;
	}
	handle->descriptor = descriptor;
	handle->node = node;
	info->fh = (uintptr_t)handle;
	info->direct_io = (info->flags & O_DIRECT) && !settings.parallel_direct;
	return 0;
}

/* The kernel applies O_APPEND itself; offsets arrive resolved. */
static int backing_flags(int flags)
{
	return (flags & ~(O_DIRECT | O_APPEND | O_NOFOLLOW)) | O_CLOEXEC;
}

static int slow_open(const char *path, struct fuse_file_info *info)
{
	int descriptor = openat(root_descriptor, relative(path), backing_flags(info->flags));

	return descriptor < 0 ? -errno : attach(descriptor, info);
}

static int slow_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
	int descriptor = openat(root_descriptor, relative(path),
				backing_flags(info->flags) | O_CREAT, mode);

	if (descriptor < 0)
		return -errno;
	give_to_caller(path);
	return attach(descriptor, info);
}

static int slow_release(const char *path, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);

	(void)path;
	close(handle->descriptor);
	node_put(handle->node);
	free(handle);
	return 0;
}

static int slow_read(const char *path, char *buffer, size_t bytes, off_t offset,
		     struct fuse_file_info *info)
{
	ssize_t done;

	(void)path;
	sem_wait(&service_slots);
	delay(settings.read_delay_us);
	done = pread(handle_of(info)->descriptor, buffer, bytes, offset);
	if (done < 0)
		done = -errno;
	sem_post(&service_slots);
	return (int)done;
}

static int slow_write(const char *path, const char *buffer, size_t bytes, off_t offset,
		      struct fuse_file_info *info)
{
	ssize_t done;

	(void)path;
	sem_wait(&service_slots);
	delay(settings.write_delay_us);
	done = pwrite(handle_of(info)->descriptor, buffer, bytes, offset);
	if (done < 0)
		done = -errno;
	sem_post(&service_slots);
	return (int)done;
}

static int slow_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
	struct handle *handle = handle_of(info);
	int value;

	(void)path;
	pthread_mutex_lock(&handle->node->flush_lock);
	delay(settings.flush_delay_us);
	value = result(data_only ? fdatasync(handle->descriptor) : fsync(handle->descriptor));
	pthread_mutex_unlock(&handle->node->flush_lock);
	return value;
}

static int slow_fallocate(const char *path, int mode, off_t offset, off_t bytes,
			  struct fuse_file_info *info)
{
	(void)path;
	return result(fallocate(handle_of(info)->descriptor, mode, offset, bytes));
}

static off_t slow_lseek(const char *path, off_t offset, int whence, struct fuse_file_info *info)
{
	off_t position = lseek(handle_of(info)->descriptor, offset, whence);

	(void)path;
	return position < 0 ? -errno : position;
}

static void *slow_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
	connection->max_write = settings.max_request_bytes;
	connection->max_read = settings.max_read_bytes;
	/* The limits below must not be what holds a client back. */
	connection->max_background = settings.concurrency + EXTRA_THREADS;
	connection->congestion_threshold = settings.concurrency + EXTRA_THREADS;
	if (settings.no_async_direct)
		connection->want &= ~(unsigned int)FUSE_CAP_ASYNC_DIO;
	else
		connection->want |= connection->capable & FUSE_CAP_ASYNC_DIO;
	config->use_ino = 1;
	return NULL;
}

static struct fuse_operations operations = {
	.init = slow_init,
	.open = slow_open,
	.create = slow_create,
	.release = slow_release,
	.read = slow_read,
	.write = slow_write,
	.fsync = slow_fsync,
	.fallocate = slow_fallocate,
	.lseek = slow_lseek,
};

/* ---- start ------------------------------------------------------------ */

static void usage(void)
{
	fputs("usage: slowfs BACKING MOUNTPOINT [options]\n"
	      "  --read-delay-us=N   --write-delay-us=N   time added to each request\n"
	      "  --flush-delay-us=N  time of an fsync or fdatasync, one at a time per file\n"
	      "  --max-request=BYTES largest request (default 1 MiB)\n"
	      "  --max-read=BYTES    largest read request, when different\n"
	      "  --concurrency=N     reads and writes served at once (default 64)\n"
	      "  --parallel-direct   blocking O_DIRECT calls also send requests at once\n"
	      "  --no-async-direct   asynchronous O_DIRECT calls send one at a time\n"
	      "  -f, -o OPTION       as for every FUSE file system\n",
	      stderr);
}

static int take_backing(void *data, const char *argument, int key, struct fuse_args *arguments)
{
	(void)data;
	(void)arguments;
	if (key == FUSE_OPT_KEY_NONOPT && !settings.backing) {
		settings.backing = strdup(argument);
		return 0;
	}
	return 1;
}

static int serve(struct fuse *fuse, const struct fuse_cmdline_opts *options)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int status = 1;

	if (!config)
		return 1;
	fuse_loop_cfg_set_max_threads(config, settings.concurrency + EXTRA_THREADS);
	fuse_loop_cfg_set_idle_threads(config, settings.concurrency + EXTRA_THREADS);
	fuse_loop_cfg_set_clone_fd(config, 0);
	if (fuse_mount(fuse, options->mountpoint) != 0)
		goto out;
	if (fuse_daemonize(options->foreground) == 0 &&
	    fuse_set_signal_handlers(fuse_get_session(fuse)) == 0) {
		status = fuse_loop_mt(fuse, config) != 0;
		fuse_remove_signal_handlers(fuse_get_session(fuse));
	}
	fuse_unmount(fuse);
out:
	fuse_loop_cfg_destroy(config);
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts options;
	struct rlimit files;
	struct fuse *fuse;
	char extra[64];
	int status;

	umask(0);
	if (fuse_opt_parse(&arguments, &settings, option_table, take_backing) != 0 ||
	    fuse_parse_cmdline(&arguments, &options) != 0 || !settings.backing ||
	    !options.mountpoint || !settings.concurrency) {
		usage();
		return 2;
	}
	root_descriptor = open(settings.backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_descriptor < 0) {
		fprintf(stderr, "slowfs: %s: %s\n", settings.backing, strerror(errno));
		return 1;
	}
	if (!settings.max_read_bytes)
		settings.max_read_bytes = settings.max_request_bytes;
	/* The kernel believes the mount option, the library the connection: both must agree. */
	snprintf(extra, sizeof(extra), "-omax_read=%u", settings.max_read_bytes);
	fuse_opt_add_arg(&arguments, extra);
	/* Sleeps otherwise end up to 50 us late; worker threads inherit this. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	add_name_operations(&operations);
	sem_init(&service_slots, 0, settings.concurrency);
	fuse = fuse_new(&arguments, &operations, sizeof(operations), NULL);
	status = fuse ? serve(fuse, &options) : 1;
	if (fuse)
		fuse_destroy(fuse);
	fuse_opt_free_args(&arguments);
	return status;
}
