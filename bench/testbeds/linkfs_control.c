/* linkfs, settings while it runs, and counters: a socket that takes one line a connection. */
#include "linkfs.h"

#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ERROR_NUMBERS 134

static _Atomic int64_t counters[COUNTERS];
static _Atomic bool holds_writes;
static int listener;

void count(enum counter counter, int64_t by)
{
	atomic_fetch_add_explicit(&counters[counter], by, memory_order_relaxed);
}

bool is_volatile(void)
{
	return atomic_load(&holds_writes);
}

/* ---- settings ------------------------------------------------------------------ */

static bool parse_number(const char *text, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && !*end && *number >= 0;
}

static bool parse_switch(const char *text, bool *on)
{
	*on = strcmp(text, "on") == 0;
	return *on || strcmp(text, "off") == 0;
}

/* "EIO", or "EIO@10" for each tenth, or "off". */
static bool parse_failure(const char *text, int *error, uint32_t *every)
{
	const char *at = strchr(text, '@');
	size_t length = at ? (size_t)(at - text) : strlen(text);

	*error = 0;
	*every = at ? (uint32_t)strtoul(at + 1, NULL, 10) : 1;
	if (strcmp(text, "off") == 0)
		return true;
	for (int number = 1; number < ERROR_NUMBERS && *every; number++) {
		const char *name = strerrorname_np(number);

		if (name && strlen(name) == length && strncmp(name, text, length) == 0) {
			*error = -number;
			return true;
		}
	}
	return false;
}

static bool apply_number(const char *name, const char *value, bool *known)
{
	double number = 0;
	bool parsed = parse_number(value, &number);

	*known = true;
	if (strcmp(name, "rate") == 0) {
		if (parsed)
			set_rate((uint64_t)(number * (1 << 20)));
	} else if (strcmp(name, "shared") == 0) {
		if (parsed)
			set_shared_rate((uint64_t)(number * (1 << 20)));
	} else if (strcmp(name, "latency-us") == 0) {
		if (parsed)
			set_latency((uint64_t)(number * (double)MICROSECOND));
	} else if (strcmp(name, "background") == 0) {
		parsed = parsed && number >= 1 && number <= UINT16_MAX;
		if (parsed)
			background_max = (uint16_t)number;
	} else if (strcmp(name, "iops") == 0) {
		if (parsed)
			set_operations((uint64_t)number);
	} else {
		*known = false;
	}
	return parsed;
}

static bool apply_switch(const char *name, const char *value, bool *known)
{
	bool on = false, parsed = parse_switch(value, &on);

	*known = true;
	if (strcmp(name, "stall") == 0) {
		if (parsed)
			set_stall(on);
	} else if (strcmp(name, "volatile") == 0) {
		if (parsed)
			atomic_store(&holds_writes, on);
		if (parsed && !on)
			overlay_write_back_all();
	} else {
		*known = false;
	}
	return parsed;
}

static bool apply_failure(const char *name, const char *value, bool *known)
{
	static const char *const names[] = {"fail-read", "fail-write", "fail-sync"};
	uint32_t every;
	int error;

	for (enum failing kind = 0; kind < FAIL_KINDS; kind++) {
		*known = strcmp(name, names[kind]) == 0;
		if (!*known)
			continue;
		if (!parse_failure(value, &error, &every))
			return false;
		set_failing(kind, error, every);
		return true;
	}
	return false;
}

bool apply_setting(const char *text, char *reason, size_t reason_bytes)
{
	const char *equals = strchr(text, '=');
	bool known = false, applied = false;
	char name[32];

	if (equals && (size_t)(equals - text) < sizeof(name)) {
		snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
		applied = apply_number(name, equals + 1, &known);
		if (!known)
			applied = apply_switch(name, equals + 1, &known);
		if (!known)
			applied = apply_failure(name, equals + 1, &known);
	}
	if (!known)
		snprintf(reason, reason_bytes,
			 "unknown setting '%s'; valid: rate=, latency-us=, iops=, shared=, stall=, "
			 "volatile=, background=, fail-read=, fail-write=, fail-sync=",
			 text);
	else if (!applied)
		snprintf(
			reason, reason_bytes,
			"'%s' is not a value of that setting: rates are MiB/s, switches on or off, "
			"failures off, EIO, or EIO@10 for each tenth",
			text);
	return applied;
}

/* ---- the socket ------------------------------------------------------------------ */

static void describe(char *text, size_t bytes)
{
	static const char *const names[COUNTERS] = {"reads", "writes", "read-bytes", "write-bytes",
						    "syncs", "failed", "in-flight"};
	size_t used = describe_limits(text, bytes);

	used += (size_t)snprintf(text + used, bytes - used, "volatile=%s\nvolatile-bytes=%llu\n",
				 is_volatile() ? "on" : "off", (unsigned long long)overlay_bytes());
	for (int index = 0; index < COUNTERS; index++)
		used += (size_t)snprintf(text + used, bytes - used, "%s=%lld\n", names[index],
					 (long long)atomic_load(&counters[index]));
}

static void serve_connection(int connection)
{
	char line[1024], reply[1024] = "", reason[256], *place = NULL;
	ssize_t length = recv(connection, line, sizeof(line) - 1, 0);

	if (length <= 0)
		return;
	line[length] = '\0';
	for (char *word = strtok_r(line, " \n", &place); word;
	     word = strtok_r(NULL, " \n", &place)) {
		if (strcmp(word, "show") == 0) {
			describe(reply, sizeof(reply));
		} else if (!apply_setting(word, reason, sizeof(reason))) {
			snprintf(reply, sizeof(reply), "error: %s\n", reason);
			break;
		}
	}
	send(connection, reply, strlen(reply) + 1, MSG_NOSIGNAL);
}

static void *serve_control(void *unused)
{
	(void)unused;
	for (;;) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0)
			continue;
		serve_connection(connection);
		close(connection);
	}
	return NULL;
}

/* The name of a socket is short; that of its folder may be long. */
static bool address_of(const char *socket_file, struct sockaddr_un *address)
{
	char folder[4096], name[4096];
	int descriptor, length;

	snprintf(folder, sizeof(folder), "%s", socket_file);
	snprintf(name, sizeof(name), "%s", socket_file);
	descriptor = open(dirname(folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return false;
	address->sun_family = AF_UNIX;
	length = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
			  descriptor, basename(name));
	return length < (int)sizeof(address->sun_path);
}

bool control_start(const char *socket_file)
{
	struct sockaddr_un address;
	pthread_t thread;

	unlink(socket_file);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return listener >= 0 && address_of(socket_file, &address) &&
	       bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	       listen(listener, 16) == 0 && pthread_create(&thread, NULL, serve_control, NULL) == 0;
}

/* Sends the words as one line, and prints what comes back. */
int control_client(const char *socket_file, int count, char **words)
{
	int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	char text[1024] = "";
	size_t used = 0;
	bool failed;
	ssize_t length;

	for (int index = 0; index < count && used < sizeof(text); index++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", words[index]);
	if (used >= sizeof(text)) {
		fputs("linkfs: too many settings at once\n", stderr);
		return 2;
	}
	if (!address_of(socket_file, &address) ||
	    connect(connection, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(connection, text, used, 0) < 0) {
		fprintf(stderr, "linkfs: this link does not run: %s\n", strerror(errno));
		return 1;
	}
	length = recv(connection, text, sizeof(text) - 1, 0);
	if (length <= 0) {
		fputs("linkfs: this link ended\n", stderr);
		return 1;
	}
	text[length] = '\0';
	failed = strncmp(text, "error: ", 7) == 0;
	fputs(failed ? text + 7 : text, failed ? stderr : stdout);
	return failed ? 2 : 0;
}
