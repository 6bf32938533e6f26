/* differential: the same calls in a program whose off_t functions are the 64 names; direct */
#include "sync_calls.c"
