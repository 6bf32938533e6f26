/*
 * Carrying the library over exec: a program that hands its child a cleaned
 * environment (supervisors do) would else lose it there. Everything is built in
 * memory the caller has on its stack: exec is called between vfork and exec, where
 * nothing may be allocated.
 */
#include "environment.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "iotrap_engine.h"
#include "iotrap_kernel.h"

#define PRELOAD "LD_PRELOAD="
#define LIBRARY "libiotrap-preload.so"
#define SETTINGS_MAX 16
#define ENTRIES_MAX 32768
/* The kernel takes 128 KiB an entry, and mount pools can fill much of that. */
#define SETTINGS_BYTES (192u << 10)

static char library_path[PATH_MAX];
static char settings_text[SETTINGS_BYTES];
static const char *settings[SETTINGS_MAX];
static size_t settings_count;

static void note_library(void)
{
	Dl_info info;
	size_t length;

	if (!dladdr((void *)(uintptr_t)iotrap_environment_note, &info) || !info.dli_fname)
		return;
	if (info.dli_fname[0] == '/') {
		if (strlen(info.dli_fname) < sizeof(library_path))
			strcpy(library_path, info.dli_fname);
		return;
	}
	/* A relative LD_PRELOAD holds until the program changes its directory. */
	if (!getcwd(library_path, sizeof(library_path) - 1))
		return;
	length = strlen(library_path);
	if (length + 1 + strlen(info.dli_fname) >= sizeof(library_path)) {
		library_path[0] = '\0';
		return;
	}
	library_path[length] = '/';
	strcpy(library_path + length + 1, info.dli_fname);
}

void iotrap_environment_note(char *const *environment)
{
	size_t used = 0;

	note_library();
	for (; environment && *environment; environment++) {
		size_t length = strlen(*environment) + 1;

		if (strncmp(*environment, "IOTRAP_", 7) != 0 || settings_count == SETTINGS_MAX ||
		    used + length > sizeof(settings_text))
			continue;
		memcpy(settings_text + used, *environment, length);
		settings[settings_count++] = settings_text + used;
		used += length;
	}
}

static int is_preload(const char *entry)
{
	return strncmp(entry, PRELOAD, sizeof(PRELOAD) - 1) == 0;
}

/* Number of entries, -1 when the vector is not all readable memory. */
static long count_entries(char *const *environment)
{
	long count = 0;

	if (!environment)
		return 0;
	for (;; count++) {
		if (count > ENTRIES_MAX || !iotrap_readable(environment + count, 8))
			return -1;
		if (!environment[count])
			return count;
		if (!iotrap_readable(environment[count], 8))
			return -1;
	}
}

static int sets(const char *setting, char *const *environment)
{
	size_t length = (size_t)(strchr(setting, '=') - setting) + 1;

	for (; environment && *environment; environment++) {
		if (strncmp(setting, *environment, length) == 0)
			return 1;
	}
	return 0;
}

size_t iotrap_environment_room(char *const *environment)
{
	long count;

	if (!library_path[0] || !iotrap_follows_exec())
		return 0;
	count = count_entries(environment);
	if (count < 0)
		return 0;
	for (long i = 0; i < count; i++) {
		if (is_preload(environment[i]) && strstr(environment[i], LIBRARY))
			return 0;
	}
	return (size_t)count + settings_count + 2;
}

size_t iotrap_environment_bytes(char *const *environment)
{
	size_t bytes = sizeof(PRELOAD) + strlen(library_path);

	for (; environment && *environment; environment++) {
		if (is_preload(*environment))
			bytes += strlen(*environment) + 1;
	}
	return bytes;
}

void iotrap_environment_fill(char *const *environment, char **vector, char *entry)
{
	char *const *all = environment;

	strcpy(entry, PRELOAD);
	strcat(entry, library_path);
	*vector++ = entry;
	for (; environment && *environment; environment++) {
		const char *others = *environment + sizeof(PRELOAD) - 1;

		if (!is_preload(*environment)) {
			*vector++ = *environment;
		} else if (*others) {
			strcat(entry, ":");
			strcat(entry, others);
		}
	}
	for (size_t i = 0; i < settings_count; i++) {
		if (!sets(settings[i], all))
			*vector++ = (char *)settings[i];
	}
	*vector = NULL;
}
