/* What the parts of driver share; see driver.c. */
#ifndef DRIVER_H
#define DRIVER_H

#include "content.h"

#define WORDS_MAX 12
#define ANSWER_BYTES 512

/* The words of a command, and room for its answer. */
struct command {
	int count;
	char *words[WORDS_MAX];
	char answer[ANSWER_BYTES];
};

long long number(const struct command *command, int index);
const char *word(const struct command *command, int index);
char *make_buffer(size_t bytes);
/* "N", or "-EIO" and the like; give is -1 for errno. */
void answer_result(struct command *command, long long result);
/* "ok", or the first block that is not as one write of that sequence number left it. */
void answer_content(struct command *command, const char *buffer, size_t bytes, uint64_t offset,
		    uint64_t sequence);

/* ---- driver_requests.c: asynchronous requests ---------------------------------- */

void start_requests(struct command *command);
void reap_requests(struct command *command);
void count_running(struct command *command);
void poison_buffers(struct command *command);
void check_poison(struct command *command);
long long sync_by_request(const char *how, int fd);

#endif
