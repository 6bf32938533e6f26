/* The list of files that a program reads, and what the process has used of the processors. */
#ifndef FILE_LIST_H
#define FILE_LIST_H

#include <sys/resource.h>

#include "measure.h"

#define FILE_BYTES_MAX (1 << 16)

struct file_list {
	char **paths;
	size_t count;
};

/* One path a line. */
static inline void read_list(struct file_list *files, const char *path)
{
	FILE *list = fopen(path, "r");
	size_t room = 0, capacity = 0;
	char *line = NULL;
	ssize_t length;

	check(list != NULL, path);
	while ((length = getline(&line, &capacity, list)) > 0) {
		if (files->count == room) {
			room = room ? room * 2 : 1024;
			files->paths = realloc(files->paths, room * sizeof(*files->paths));
			check(files->paths != NULL, "memory");
		}
		line[strcspn(line, "\n")] = 0;
		files->paths[files->count++] = strdup(line);
	}
	free(line);
	fclose(list);
}

static inline double processor_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

#endif
