/* differential: functions of its own with the names of the C library's, made of system calls */
#include "observe.h"

#include <sys/syscall.h>

off_t lseek(int fd, off_t offset, int whence)
{
	return syscall(SYS_lseek, fd, offset, whence);
}

int dup(int fd)
{
	return (int)syscall(SYS_dup, fd);
}

int dup2(int fd, int number)
{
	return (int)syscall(SYS_dup2, fd, number);
}

int close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	return syscall(SYS_pread64, fd, buffer, bytes, offset);
}

int fsync(int fd)
{
	return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t bytes)
{
	return (int)syscall(SYS_ftruncate, fd, bytes);
}

int main(void)
{
	char buffer[16] = "";
	int fd = open("own", O_CREAT | O_RDWR, 0600), other;

	CALL_AS(write(fd, "0123456789", 10), "write");
	CALL_AS(lseek(fd, 4, SEEK_SET), "lseek");
	CALL_AS(read(fd, buffer, 2), "read");
	other = dup(fd);
	CALL_AS(lseek(other, 0, SEEK_CUR), "lseek of a copy");
	CALL_AS(dup2(other, 40), "dup2");
	CALL_AS(pread(40, buffer, 5, 5), "pread");
	CALL_AS(fsync(40), "fsync");
	CALL_AS(ftruncate(40, 3), "ftruncate");
	CALL_AS(pread(fd, buffer, 16, 0), "pread of what is left");
	CALL_AS(close(40), "close");
	CALL_AS(close(40), "close again");
	CALL_AS(close(other), "close of the copy");
	CALL_AS(close(fd), "close of the file");
	return 0;
}
