/* differential: an allocator of the program's own that maps its memory, from the first call on */
#include "observe.h"

#define CHUNK (1 * MIB)

static char *chunk;
static size_t chunk_used;
static int inside, reentered, chunks;

/* Never gives anything back: the program is short. Sizes stand in front of the blocks. */
void *malloc(size_t bytes)
{
	size_t whole = (bytes + 31) / 16 * 16;
	size_t *block;

	/* Allocators hold a lock around this; a hook that allocates would wait for itself. */
	if (inside)
		reentered = 1;
	inside = 1;
	if (!chunk || chunk_used + whole > CHUNK) {
		size_t length = whole > CHUNK ? whole : CHUNK;
		void *fresh = mmap(NULL, length, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		chunks++;
		if (fresh == MAP_FAILED)
			_exit(97);
		chunk = fresh;
		chunk_used = 0;
	}
	block = (size_t *)(chunk + chunk_used);
	chunk_used += whole;
	inside = 0;
	block[1] = bytes;
	return block + 2;
}

void free(void *block)
{
	(void)block;
}

void *calloc(size_t count, size_t bytes)
{
	return malloc(count * bytes);
}

void *realloc(void *old, size_t bytes)
{
	void *fresh = malloc(bytes);
	size_t had = old ? ((size_t *)old)[-1] : 0;

	return old ? memcpy(fresh, old, had < bytes ? had : bytes) : fresh;
}

/* Runs before the constructors of all libraries, preloaded ones included. */
static void early(void)
{
	*(volatile char *)OPAQUE((char *)malloc(3 * CHUNK)) = 1;
}

__attribute__((section(".preinit_array"), used)) static void (*first)(void) = early;

int main(int count, char **arguments)
{
	FILE *stream;

	observe_begin(count, arguments);
	make_file("allocated", 100 * KIB, 3);
	stream = fopen("allocated", "r");
	NEED(stream != NULL);
	observe("first byte %d", getc(stream));
	CALL(fclose(stream));
	observe_file("allocated");
	observe("allocated: %d, entered again: %d", chunks > 0, reentered);
	return 0;
}
