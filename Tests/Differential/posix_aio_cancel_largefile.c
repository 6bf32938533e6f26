/* differential: the same in a program that calls aio_cancel64 */
#include "posix_aio_cancel.c"
