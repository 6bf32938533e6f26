/*
 * linkfs: one link to a folder: a pass-through file system with a limited rate,
 * latency, stalls and errors, all settable while it runs. Several of them over the
 * same folder are several mounts of one storage, each over a network of its own.
 *
 *	linkfs serve BACKING MOUNTPOINT SOCKET SHARED [setting=value ...]
 *	linkfs control SOCKET show|setting=value ...
 *
 * links.sh does both; the settings are listed there. It speaks the protocol of
 * <linux/fuse.h> itself, so that it needs a compiler and root, and no library.
 *
 * Inode numbers, sizes and times are those of the backing files, and the kernel caches
 * neither names nor attributes, so what is changed through one link is seen through
 * the others. A file opened with O_DIRECT bypasses the page cache of the mount;
 * asynchronous requests on it are in flight together. A request that must wait is
 * put into a queue, and no thread waits with it.
 */
#include "linkfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define READER_THREADS 4
#define QUEUE_THREADS 6
/* Shorter messages are copied, so that what waits holds little memory. */
#define COPIED_BYTES_MAX 16384

uint16_t background_max = 512;

static int device = -1;
static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *free_requests;

static _Noreturn void fail(const char *what, const char *name)
{
	fprintf(stderr, "linkfs: %s%s%s: %s\n", what, name ? " " : "", name ? name : "",
		strerror(errno));
	exit(1);
}

/* ---- requests -------------------------------------------------------------- */

/* One that holds the longest message. The last one returned is warm in the cache. */
struct request *take_request(void)
{
	struct request *request;

	pthread_mutex_lock(&free_lock);
	request = free_requests;
	if (request)
		free_requests = request->next;
	pthread_mutex_unlock(&free_lock);
	if (request)
		return request;
	request = mmap(NULL, sizeof(*request) + REQUEST_BYTES_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (request == MAP_FAILED)
		fail("memory for a request", NULL);
	request->capacity = REQUEST_BYTES_MAX;
	return request;
}

void return_request(struct request *request)
{
	if (request->capacity != REQUEST_BYTES_MAX) {
		free(request);
		return;
	}
	pthread_mutex_lock(&free_lock);
	request->next = free_requests;
	free_requests = request;
	pthread_mutex_unlock(&free_lock);
}

/* What must wait, in a request of its own; *request is free for the next message then. */
static struct request *detach(struct request **request)
{
	struct request *waiting = *request;
	size_t bytes = header_of(waiting)->len;

	if (bytes > COPIED_BYTES_MAX) {
		*request = take_request();
		return waiting;
	}
	waiting = malloc(sizeof(*waiting) + bytes);
	if (!waiting)
		fail("memory for a request", NULL);
	waiting->capacity = bytes;
	memcpy(waiting->message, (*request)->message, bytes);
	return waiting;
}

/* ---- answers --------------------------------------------------------------- */

/* The error is 0 or a negative number of errno. */
void answer(struct request *request, int error, const void *data, size_t bytes)
{
	struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + (error ? 0 : bytes)),
					 .error = error,
					 .unique = header_of(request)->unique};
	struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)(uintptr_t)data, bytes}};

	if (error)
		count(COUNT_ERRORS, 1);
	count(COUNT_IN_FLIGHT, -1);
	/* ENOENT: nobody waits for it any more. ENODEV: unmounted. */
	if (writev(device, parts, error || !bytes ? 1 : 2) < 0 && errno != ENOENT &&
	    errno != ENODEV)
		fprintf(stderr, "linkfs: answer to operation %u: %s\n", header_of(request)->opcode,
			strerror(errno));
}

static void start_session(struct request *request)
{
	const struct fuse_init_in *offered = body_of(request);
	const uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |
				FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES;
	struct fuse_init_out session = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = offered->max_readahead,
		.flags = offered->flags & wanted,
		.max_background = background_max,
		.congestion_threshold = (uint16_t)(background_max * 3 / 4),
		.max_write = TRANSFER_BYTES_MAX,
		.time_gran = 1,
		.max_pages = (uint16_t)(TRANSFER_BYTES_MAX / 4096),
	};

	if (offered->major != FUSE_KERNEL_VERSION || offered->minor < 31) {
		fprintf(stderr, "linkfs: the kernel offers FUSE %u.%u; 7.31 is needed\n",
			offered->major, offered->minor);
		exit(1);
	}
	answer(request, 0, &session, sizeof(session));
}

void serve(struct request *request)
{
	switch (header_of(request)->opcode) {
	case FUSE_INIT:
		start_session(request);
		return;
	case FUSE_DESTROY:
		answer(request, 0, NULL, 0);
		return;
	case FUSE_INTERRUPT:
		/* It names no node. What was asked for is answered when it is due. */
		answer(request, -ENOSYS, NULL, 0);
		return;
	default:
		break;
	}
	/* The kernel does not ask again for what is not there. */
	if (!serve_data(request) && !serve_name(request))
		answer(request, -ENOSYS, NULL, 0);
}

/* Those that the link does not hold up: they carry nothing, or nobody waits for them. */
static bool is_free(uint32_t operation)
{
	return operation == FUSE_INIT || operation == FUSE_DESTROY || operation == FUSE_INTERRUPT;
}

/* ---- threads ---------------------------------------------------------------- */

static void *read_requests(void *unused)
{
	struct request *request = take_request();

	(void)unused;
	for (;;) {
		ssize_t bytes = read(device, request->message, request->capacity);
		uint32_t operation;

		if (bytes < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (bytes < (ssize_t)sizeof(struct fuse_in_header))
			return NULL; /* ENODEV: unmounted */
		operation = header_of(request)->opcode;
		if (operation == FUSE_FORGET || operation == FUSE_BATCH_FORGET) {
			forget(request);
			continue;
		}
		count(COUNT_IN_FLIGHT, 1);
		if (!is_free(operation)) {
			struct request *waiting = detach(&request);

			if (must_wait(waiting))
				continue;
			serve(waiting);
			return_request(waiting);
		} else {
			serve(request);
		}
	}
}

static void *work_off_queue(void *unused)
{
	(void)unused;
	serve_queue();
	return NULL;
}

static void start_thread(pthread_t *thread, void *(*body)(void *))
{
	if (pthread_create(thread, NULL, body, NULL) != 0)
		fail("a thread", NULL);
}

static void mount_device(const char *backing, const char *mountpoint)
{
	char options[160], source[4096];

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		fail("/dev/fuse", NULL);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=%o,user_id=0,group_id=0,default_permissions,allow_other", device,
		 S_IFDIR);
	snprintf(source, sizeof(source), "linkfs:%s", backing);
	if (mount(source, mountpoint, "fuse.linkfs", MS_NOSUID | MS_NODEV, options) < 0)
		fail("cannot mount on", mountpoint);
}

static void prepare_process(void)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	/* Waits otherwise end up to 50 us late; threads inherit this. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	/* It stands for another machine: the load here must not take its processor away. */
	setpriority(PRIO_PROCESS, 0, -10);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int run(char **names, int settings_count, char **settings)
{
	pthread_t readers[READER_THREADS], helper;
	char reason[256];

	prepare_process();
	if (!open_root(names[0]))
		fail("the folder", names[0]);
	if (!limits_start(names[3]))
		fail("the file", names[3]);
	for (int index = 0; index < settings_count; index++) {
		if (!apply_setting(settings[index], reason, sizeof(reason))) {
			fprintf(stderr, "linkfs: %s\n", reason);
			return 2;
		}
	}
	mount_device(names[0], names[1]);
	if (!control_start(names[2]))
		fail("the socket", names[2]);
	umask(0);
	for (int index = 0; index < QUEUE_THREADS; index++)
		start_thread(&helper, work_off_queue);
	for (int index = 0; index < READER_THREADS; index++)
		start_thread(&readers[index], read_requests);
	for (int index = 0; index < READER_THREADS; index++)
		pthread_join(readers[index], NULL);
	overlay_write_back_all();
	unlink(names[2]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[1], "serve") == 0)
		return run(argv + 2, argc - 6, argv + 6);
	if (argc >= 4 && strcmp(argv[1], "control") == 0)
		return control_client(argv[2], argc - 3, argv + 3);
	fputs("usage: linkfs serve BACKING MOUNTPOINT SOCKET SHARED [setting=value ...]\n"
	      "       linkfs control SOCKET show|setting=value ...\n",
	      stderr);
	return 2;
}
