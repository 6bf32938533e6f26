/* What the recorder asks of the kernel. */
#include "iotrap_recorder.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS6(n, a, b, c, d, e, f)                                                                  \
	iotrap_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS4(n, a, b, c, d) SYS6(n, a, b, c, d, 0, 0)
#define SYS3(n, a, b, c) SYS6(n, a, b, c, 0, 0, 0)

uint32_t iotrap_recording;
struct iotrap_recorded_slot *iotrap_recorded_leaves[IOTRAP_DESCRIPTOR_LEAVES];

void *iotrap_map_control(const char *directory, size_t bytes)
{
	struct stat status;
	long address = -1;
	long place = iotrap_private_directory(directory);
	long fd;

	if (place < 0)
		return NULL;
	fd = SYS4(SYS_openat, place, "control", O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	iotrap_close_raw((int)place);
	if (fd < 0)
		return NULL;
	if (SYS3(SYS_fstat, fd, &status, 0) == 0 && S_ISREG(status.st_mode) &&
	    status.st_size >= (off_t)bytes)
		address = SYS6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	iotrap_close_raw((int)fd);
	return address < 0 && address > -4096 ? NULL : (void *)address;
}

int64_t iotrap_position(int fd)
{
	return SYS3(SYS_lseek, fd, 0, SEEK_CUR);
}

int iotrap_open_name(const char *path)
{
	return (int)SYS4(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
}

int iotrap_write_part(const char *path, int first, int64_t offset, const void *header,
		      size_t header_bytes, const void *payload, size_t payload_bytes)
{
	const int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | (first ? O_CREAT | O_EXCL : 0);
	struct iovec pieces[2] = {{(void *)header, header_bytes}, {(void *)payload, payload_bytes}};
	int64_t end = offset + (int64_t)(header_bytes + payload_bytes);
	long fd, result;

	/* Writing over RLIMIT_FSIZE would not only fail: it sends SIGXFSZ to the host. */
	if (end > iotrap_file_size_limit())
		return -EFBIG;
	fd = SYS4(SYS_openat, AT_FDCWD, path, flags, 0600);
	if (fd < 0)
		return (int)fd;
	result = iotrap_vector_raw((int)fd, pieces, 2, offset, 1);
	if (result != end - offset) {
		SYS3(SYS_ftruncate, fd, offset, 0);
		if (first)
			SYS3(SYS_unlinkat, AT_FDCWD, path, 0);
		result = result < 0 ? result : -ENOSPC;
	}
	iotrap_close_raw((int)fd);
	return result < 0 ? (int)result : 0;
}

/* The instruction of processors since 2008. */
__attribute__((target("sse4.2"))) static uint32_t checksum_fast(const uint8_t *next, size_t count)
{
	uint64_t crc = UINT32_MAX;

	for (; count >= 8; count -= 8, next += 8) {
		uint64_t word;

		__builtin_memcpy(&word, next, 8);
		crc = __builtin_ia32_crc32di(crc, word);
	}
	for (; count > 0; count--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *next++);
	return ~(uint32_t)crc;
}

static uint32_t checksum_slow(const uint8_t *next, size_t count)
{
	uint32_t crc = UINT32_MAX;

	for (; count > 0; count--) {
		crc ^= *next++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

uint32_t iotrap_checksum(const void *bytes, size_t count)
{
	/* 0: not asked yet. A virtual machine may take long over the answer. */
	static int has_instruction;
	unsigned int a, b, c = 0, d;

	if (!has_instruction)
		has_instruction = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? 1 : -1;
	return has_instruction > 0 ? checksum_fast(bytes, count) : checksum_slow(bytes, count);
}
