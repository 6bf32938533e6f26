/* differential: the same requests in a program linked when the functions were librt's */
#define OLD(name, version) __asm__(".symver " #name ", " #name "@" version)

OLD(aio_read, "GLIBC_2.2.5");
OLD(aio_write, "GLIBC_2.2.5");
OLD(aio_fsync, "GLIBC_2.2.5");
OLD(aio_error, "GLIBC_2.2.5");
OLD(aio_return, "GLIBC_2.2.5");
OLD(aio_suspend, "GLIBC_2.2.5");

#include "posix_aio_kinds.c"
