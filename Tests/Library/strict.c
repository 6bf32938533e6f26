/* With iotrap_set_strict misuse ends the process, and says what it was. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static struct iotrap_queue *queue;

static void closed_file(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR);

	iotrap_file_close(file);
	iotrap_file_close(file);
}

static void operation_on_closed_file(void)
{
	struct iotrap_file *file = open_file("file", O_RDWR);
	struct iotrap_queue *own = open_queue(4);
	struct iotrap_io io;

	iotrap_file_close(file);
	iotrap_io_sync(&io, file, 0);
	iotrap_queue_add(own, &io);
}

static void freed_batch(void)
{
	struct iotrap_batch *batch = NULL;

	NEED(iotrap_batch_create(1, 0, &batch) == 0);
	iotrap_batch_free(batch);
	iotrap_batch_free(batch);
}

static void *submit(void *argument)
{
	iotrap_queue_submit(argument);
	return NULL;
}

static void wrong_thread(void)
{
	struct iotrap_queue *own = open_queue(4);
	pthread_t thread;

	NEED(pthread_create(&thread, NULL, submit, own) == 0);
	pthread_join(thread, NULL);
}

static void parents_queue(void)
{
	iotrap_queue_submit(queue);
}

static void dies(void (*body)(void), const char *word)
{
	char text[512] = "";
	int ends[2], status = 0;
	pid_t pid;

	NEED(pipe(ends) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], 2);
		iotrap_set_strict(1);
		body();
		_exit(0);
	}
	close(ends[1]);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(read(ends[0], text, sizeof(text) - 1) > 0);
	CHECK(strncmp(text, "iotrap: misuse: ", 16) == 0 && strstr(text, word));
	close(ends[0]);
}

int main(int count, char **arguments)
{
	struct iotrap_queue_options options;

	begin(count, arguments);
	make_file("file", 1);
	/* As assert(3): in programs that are not built with NDEBUG. */
	iotrap_queue_options_init(&options);
	CHECK_EQUAL(options.flags, IOTRAP_QUEUE_STRICT);
	queue = open_queue(4);
	dies(closed_file, "closed");
	dies(operation_on_closed_file, "closed file");
	dies(freed_batch, "freed");
	if (!(backend & IOTRAP_QUEUE_UNBOUND))
		dies(wrong_thread, "did not open it");
	dies(parents_queue, "parent");
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
