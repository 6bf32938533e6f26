/* differential: which calls act on a pending cancellation, before they do anything; direct */
#include "observe.h"

#define LARGE (1 * MIB)

static char *buffer;
static int plain_fd;
static int direct_fd;
static int cleaned;
static int finished;
static long long result_seen;

struct action {
	const char *name;
	long long (*go)(int fd);
};

static struct iovec two[2];

#define ACTION(name, expression)                                                                   \
	static long long go_##name(int fd)                                                         \
	{                                                                                          \
		(void)fd;                                                                          \
		return (long long)(expression);                                                    \
	}

ACTION(read, read(fd, buffer, PAGE))
ACTION(write, write(fd, buffer, PAGE))
ACTION(readv, readv(fd, two, 2))
ACTION(writev, writev(fd, two, 2))
ACTION(pread, pread(fd, buffer, PAGE, 0))
ACTION(pread64, pread64(fd, buffer, LARGE, 0))
ACTION(pread_nothing, pread(fd, buffer, 0, 0))
ACTION(pread_closed, pread(-1, buffer, PAGE, 0))
ACTION(pwrite, pwrite(fd, buffer, PAGE, 0))
ACTION(pwrite64, pwrite64(fd, buffer, LARGE, 0))
ACTION(preadv, preadv(fd, two, 2, 0))
ACTION(pwritev, pwritev(fd, two, 2, 0))
ACTION(preadv64, preadv64(fd, two, 2, 0))
ACTION(pwritev64, pwritev64(fd, two, 2, 0))
ACTION(preadv2, preadv2(fd, two, 2, 0, 0))
ACTION(pwritev2, pwritev2(fd, two, 2, 0, 0))
ACTION(preadv2_current, preadv2(fd, two, 2, -1, 0))
ACTION(pwritev2_flags, pwritev2(fd, two, 2, 0, RWF_DSYNC))
ACTION(fsync, fsync(fd))
ACTION(fdatasync, fdatasync(fd))
ACTION(fsync_closed, fsync(-1))
ACTION(sync_file_range, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE))
ACTION(syncfs, syncfs(fd))
ACTION(ftruncate, ftruncate(fd, 2 * LARGE))
ACTION(fallocate, fallocate(fd, 0, 0, PAGE))
ACTION(posix_fallocate, posix_fallocate(fd, 0, PAGE))
ACTION(dup, close(dup(fd)))
ACTION(dup2, dup2(fd, 77))
ACTION(dup3, dup3(fd, 77, 0))
ACTION(fcntl_getfl, fcntl(fd, F_GETFL) >= 0)
ACTION(fcntl_dupfd, fcntl(fd, F_DUPFD, 70) >= 0)
ACTION(fcntl_lock, fcntl(fd, F_SETLKW, &(struct flock){.l_type = F_RDLCK}))
ACTION(close_closed, close(999))
ACTION(close_range, close_range(500, 600, 0))
ACTION(open, open("unmade", O_RDWR) >= 0)
ACTION(openat, openat(AT_FDCWD, "unmade", O_RDWR) >= 0)
ACTION(creat, creat("made", 0600) >= 0)
ACTION(open_unnamed, open(".", O_TMPFILE | O_RDWR, 0600) >= 0)
ACTION(syscall_pread, syscall(SYS_pread64, fd, buffer, PAGE, (off_t)0))
ACTION(syscall_fsync, syscall(SYS_fsync, fd))
ACTION(lseek, lseek(fd, 0, SEEK_CUR) >= 0)

#define LISTED(name)                                                                               \
	{                                                                                          \
#name, go_##name                                                                   \
	}

static const struct action actions[] = {
	LISTED(read),
	LISTED(write),
	LISTED(readv),
	LISTED(writev),
	LISTED(pread),
	LISTED(pread64),
	LISTED(pread_nothing),
	LISTED(pread_closed),
	LISTED(pwrite),
	LISTED(pwrite64),
	LISTED(preadv),
	LISTED(pwritev),
	LISTED(preadv64),
	LISTED(pwritev64),
	LISTED(preadv2),
	LISTED(pwritev2),
	LISTED(preadv2_current),
	LISTED(pwritev2_flags),
	LISTED(fsync),
	LISTED(fdatasync),
	LISTED(fsync_closed),
	LISTED(sync_file_range),
	LISTED(syncfs),
	LISTED(ftruncate),
	LISTED(fallocate),
	LISTED(posix_fallocate),
	LISTED(dup),
	LISTED(dup2),
	LISTED(dup3),
	LISTED(fcntl_getfl),
	LISTED(fcntl_dupfd),
	LISTED(fcntl_lock),
	LISTED(close_closed),
	LISTED(close_range),
	LISTED(open),
	LISTED(openat),
	LISTED(creat),
	LISTED(open_unnamed),
	LISTED(syscall_pread),
	LISTED(syscall_fsync),
	LISTED(lseek),
};

struct order {
	const struct action *action;
	int fd;
	int state;
	int type;
	int warmed;
};

static void clean(void *argument)
{
	*(int *)argument = 1;
}

static void *body(void *argument)
{
	struct order *order = argument;
	int old;

	if (order->warmed)
		order->action->go(order->fd);
	pthread_cleanup_push(clean, &cleaned);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cancel(pthread_self());
	pthread_setcanceltype(order->type, &old);
	memset(buffer, 0x33, PAGE);
	pthread_setcancelstate(order->state, &old);
	result_seen = order->action->go(order->fd);
	finished = 1;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cleanup_pop(0);
	return NULL;
}

static void one(const char *name, const struct action *action, int fd, int state, int type)
{
	struct order order = {action, fd, state, type, state == PTHREAD_CANCEL_ENABLE};
	pthread_t thread;
	void *answer;

	cleaned = 0;
	finished = 0;
	result_seen = -2;
	NEED(lseek(fd, 0, SEEK_SET) == 0);
	NEED(pthread_create(&thread, NULL, body, &order) == 0);
	NEED(pthread_join(thread, &answer) == 0);
	observe("%s %s: cancelled %d, cleaned %d, finished %d with %lld, buffer %02x", name,
		action->name, answer == PTHREAD_CANCELED, cleaned, finished, result_seen,
		(unsigned char)buffer[0]);
	closefrom(direct_fd + 1);
	observe_offset("  ", fd);
	unlink("made");
}

int main(int count, char **arguments)
{
	observe_begin(count, arguments);
	require_direct();
	buffer = pages(LARGE);
	two[0] = (struct iovec){buffer, LARGE / 2};
	two[1] = (struct iovec){buffer + LARGE / 2, LARGE / 2};
	make_file("cancelled", 2 * LARGE, 3);
	plain_fd = open("cancelled", O_RDWR);
	direct_fd = open("cancelled", O_RDWR | O_DIRECT);
	NEED(plain_fd >= 0 && direct_fd >= 0);
	for (size_t index = 0; index < sizeof(actions) / sizeof(actions[0]); index++) {
		const struct action *action = &actions[index];

		one("buffered deferred", action, plain_fd, PTHREAD_CANCEL_ENABLE,
		    PTHREAD_CANCEL_DEFERRED);
		one("buffered disabled", action, plain_fd, PTHREAD_CANCEL_DISABLE,
		    PTHREAD_CANCEL_DEFERRED);
		one("direct deferred", action, direct_fd, PTHREAD_CANCEL_ENABLE,
		    PTHREAD_CANCEL_DEFERRED);
		one("direct disabled", action, direct_fd, PTHREAD_CANCEL_DISABLE,
		    PTHREAD_CANCEL_DEFERRED);
		one("direct async", action, direct_fd, PTHREAD_CANCEL_ENABLE,
		    PTHREAD_CANCEL_ASYNCHRONOUS);
	}
	observe_file("cancelled");
	unlink("cancelled");
	return 0;
}
