/* Carrying the library over exec. */
#ifndef IOTRAP_ENVIRONMENT_H
#define IOTRAP_ENVIRONMENT_H

#include <stddef.h>

/* Notes the library's own path and the IOTRAP_ variables it was started with. */
void iotrap_environment_note(char *const *environment);

/*
 * Entries a vector needs to hold the given environment with the library carried on,
 * its end included; 0 when it can be used as it is: it has the library already, must
 * not be followed, or is not readable (the kernel then says so).
 */
size_t iotrap_environment_room(char *const *environment);

/* Bytes for the LD_PRELOAD entry of that vector. */
size_t iotrap_environment_bytes(char *const *environment);

/* Fills a vector of iotrap_environment_room() entries; entry is the LD_PRELOAD text. */
void iotrap_environment_fill(char *const *environment, char **vector, char *entry);

#endif
