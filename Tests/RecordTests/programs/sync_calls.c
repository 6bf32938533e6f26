/* Every synchronous call, in several threads: sync_calls DIRECTORY THREADS. */
#include "calls.h"

#define BLOCK 4096

/* An address that nothing is at, and that no compiler sees through. */
static char *volatile nowhere = (char *)8;

static void positions(const char *name, int fd, char *buffer)
{
	struct iovec pair[2] = {{buffer, 1000}, {buffer + 1000, 500}};

	said("write", name, 0, BLOCK, write(fd, buffer, BLOCK));
	said("write", name, BLOCK, 1500, writev(fd, pair, 2));
	check(lseek(fd, 100, SEEK_SET) == 100, "lseek");
	said("read", name, 100, 200, read(fd, buffer, 200));
	said("read", name, 300, 1500, readv(fd, pair, 2));
	check(lseek(fd, 5000, SEEK_SET) == 5000, "lseek");
	/* Short at the end of the file. */
	said("read", name, 5000, BLOCK, read(fd, buffer, BLOCK));
	said("read", name, 5596, BLOCK, read(fd, buffer, BLOCK));
}

static void places(const char *name, int fd, char *buffer)
{
	struct iovec pair[2] = {{buffer, 1000}, {buffer + 1000, 500}};

	said("write", name, 65536, BLOCK, pwrite(fd, buffer, BLOCK, 65536));
	said("write", name, 70000, 1500, pwritev(fd, pair, 2, 70000));
	said("write", name, 80000, 1500, pwritev2(fd, pair, 2, 80000, RWF_DSYNC));
	said("read", name, 65536, BLOCK, pread(fd, buffer, BLOCK, 65536));
	said("read", name, 70000, 1500, preadv(fd, pair, 2, 70000));
	said("read", name, 80000, 1500, preadv2(fd, pair, 2, 80000, 0));
	said("read", name, 1 << 20, BLOCK, pread(fd, buffer, BLOCK, 1 << 20));
	check(pread(fd, nowhere, BLOCK, 65536) < 0, "pread of nothing");
	said("read", name, 65536, BLOCK, -EFAULT);
}

static void sizes(const char *name, int fd)
{
	said("fsync", name, 0, 0, fsync(fd));
	said("fdatasync", name, 0, 0, fdatasync(fd));
	said("sync_file_range", name, 0, 65536, sync_file_range(fd, 0, 65536, 7));
	said("allocate", name, 131072, 65536, posix_fallocate(fd, 131072, 65536));
	said("truncate", name, 100000, 0, ftruncate(fd, 100000));
}

static void *work(void *path)
{
	const char *name = strrchr(path, '/') + 1;
	char *buffer = malloc(2 * BLOCK);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	int other;

	check(fd >= 0 && buffer, "open");
	memset(buffer, 7, 2 * BLOCK);
	said("open", name, 0, 0, 0);
	positions(name, fd, buffer);
	places(name, fd, buffer);
	sizes(name, fd);
	other = dup(fd);
	said("read", name, 0, 512, pread(other, buffer, 512, 0));
	close(other);
	said("close", name, 0, 0, 0);
	close(fd);
	said("close", name, 0, 0, 0);
	fd = open(path, O_WRONLY | O_APPEND);
	said("open", name, 0, 0, 0);
	/* At the end, whatever the place that is asked for. */
	said("write", name, 100000, 300, write(fd, buffer, 300));
	said("write", name, 100300, 200, pwrite(fd, buffer, 200, 50));
	close(fd);
	said("close", name, 0, 0, 0);
	check(truncate(path, 4096) == 0, "truncate");
	said("truncate", name, 4096, 0, 0);
	free(buffer);
	return NULL;
}

int main(int count, char **arguments)
{
	int threads = count > 2 ? atoi(arguments[2]) : 1;
	pthread_t thread[64];
	char path[64][512];

	check(count > 2 && threads <= 64, "sync_calls DIRECTORY THREADS");
	for (int i = 0; i < threads; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/file%d.dat", arguments[1], i);
		check(pthread_create(&thread[i], NULL, work, path[i]) == 0, "pthread_create");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
