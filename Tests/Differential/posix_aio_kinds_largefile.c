/* differential: the same requests in a program whose aio functions are the 64 names */
#include "posix_aio_kinds.c"
