/* differential: the same lists in a program that calls lio_listio64; direct */
#include "posix_aio_listio.c"
