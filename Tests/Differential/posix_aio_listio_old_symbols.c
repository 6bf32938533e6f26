/* differential: the same lists in a program linked when lio_listio was librt's; direct */
#define OLD(name, version) __asm__(".symver " #name ", " #name "@" version)

OLD(aio_read, "GLIBC_2.2.5");
OLD(aio_write, "GLIBC_2.2.5");
OLD(aio_error, "GLIBC_2.2.5");
OLD(aio_return, "GLIBC_2.2.5");
OLD(aio_suspend, "GLIBC_2.2.5");
OLD(lio_listio, "GLIBC_2.4");

#include "posix_aio_listio.c"
