/* Completions by callback. */
#include "check.h"

static struct iotrap_queue *queue;
static struct iotrap_file *file;
static char *memory;

struct state {
	int calls;
	int64_t result;
	uint64_t user_data;
	int again; /* reads that the callback adds */
};

static void note(const struct iotrap_completion *completion, void *context)
{
	struct state *state = context;
	struct iotrap_completion none;
	struct iotrap_io io;

	state->calls++;
	state->result = completion->result;
	state->user_data = completion->user_data;
	CHECK(completion->file == file);
	/* Only adding and submitting is for callbacks. */
	CHECK_EQUAL(iotrap_queue_wait(queue, &none, 1, 1, 0), -EDEADLK);
	CHECK_EQUAL(iotrap_queue_poll(queue, &none, 1), -EDEADLK);
	CHECK_EQUAL(iotrap_queue_dispatch(queue, 1, 0), -EDEADLK);
	CHECK_EQUAL(iotrap_queue_close(queue), -EDEADLK);
	CHECK(says(queue, "callback"));
	if (state->again-- > 0) {
		iotrap_io_read(&io, file, memory, BLOCK, 0);
		io.callback = note;
		io.context = state;
		ADD(queue, &io);
	}
}

static void add_read(struct state *state, uint64_t user_data)
{
	struct iotrap_io io;

	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.user_data = user_data;
	if (state) {
		io.callback = note;
		io.context = state;
	}
	ADD(queue, &io);
}

static void dispatching(void)
{
	struct state state = {0};
	struct iotrap_completion completions[4];

	add_read(&state, 7);
	CHECK_EQUAL(iotrap_queue_dispatch(queue, 8, IOTRAP_FOREVER), 1);
	CHECK_EQUAL(state.calls, 1);
	CHECK_EQUAL(state.result, BLOCK);
	CHECK_EQUAL(state.user_data, 7);
	/* Those without a callback stay for wait, in their order. */
	add_read(NULL, 1);
	add_read(&state, 2);
	add_read(NULL, 3);
	while (state.calls < 2)
		CHECK(iotrap_queue_dispatch(queue, 8, IOTRAP_FOREVER) >= 0);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 2, 4, IOTRAP_FOREVER), 2);
	CHECK_EQUAL(completions[0].user_data + completions[1].user_data, 4);
	CHECK_EQUAL(iotrap_queue_dispatch(queue, 8, IOTRAP_FOREVER), 0);
}

static void waiting(void)
{
	struct state state = {0};
	struct iotrap_completion completions[4];

	/* A wait calls them too, and does not hand them over. */
	add_read(&state, 1);
	add_read(&state, 2);
	CHECK_EQUAL(iotrap_queue_wait(queue, completions, 2, 4, IOTRAP_FOREVER), 0);
	CHECK_EQUAL(state.calls, 2);
	add_read(&state, 3);
	CHECK_EQUAL(iotrap_queue_submit(queue), 1);
	while (state.calls < 3)
		CHECK_EQUAL(iotrap_queue_poll(queue, completions, 4), 0);
}

static void chains_of_callbacks(void)
{
	struct state state = {.again = 500};

	add_read(&state, 1);
	while (state.calls < 501)
		NEED(iotrap_queue_dispatch(queue, 4, IOTRAP_FOREVER) >= 0);
	CHECK_EQUAL(iotrap_queue_dispatch(queue, 4, IOTRAP_FOREVER), 0);
	CHECK_EQUAL(state.calls, 501);
}

static void of_a_batch_done(const struct iotrap_completion *completion, void *context)
{
	*(int64_t *)context += completion->result;
}

static void batches(void)
{
	struct iotrap_batch *batch = NULL;
	struct iotrap_completion completion;
	struct iotrap_io io;
	int64_t sum = 0;

	NEED(iotrap_batch_create(4, 0, &batch) == 0);
	iotrap_io_read(&io, file, memory, BLOCK, 0);
	io.callback = of_a_batch_done;
	io.context = &sum;
	for (int i = 0; i < 4; i++)
		CHECK_EQUAL(iotrap_batch_add(batch, &io), 0);
	CHECK_EQUAL(iotrap_queue_add_batch(queue, batch, 1), 0);
	/* The callbacks count as what was waited for. */
	while (iotrap_queue_wait(queue, &completion, 1, 1, IOTRAP_FOREVER) == 0)
		;
	CHECK_EQUAL(completion.operation, IOTRAP_IO_BATCH);
	CHECK_EQUAL(completion.result, 0);
	CHECK_EQUAL(sum, 4 * BLOCK);
	CHECK_EQUAL(iotrap_batch_free(batch), 0);
}

int main(int count, char **arguments)
{
	begin(count, arguments);
	make_file("file", 1);
	queue = open_queue(8);
	file = open_file("file", O_RDWR);
	memory = blocks(1);
	dispatching();
	waiting();
	chains_of_callbacks();
	batches();
	CHECK_EQUAL(iotrap_queue_room(queue), 8);
	CHECK_EQUAL(iotrap_file_close(file), 0);
	CHECK_EQUAL(iotrap_queue_close(queue), 0);
	return end();
}
