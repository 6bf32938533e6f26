/* differential: the same waits in a program that calls aio_suspend64 */
#include "posix_aio_suspend.c"
