/* differential: as good as twenty thousand open files, with I/O on all of them; direct */
#include "observe.h"

#define FILES 19950
#define SPARE 50 /* within a limit of 20,000, with room for what else a process has open */

static char *buffer;
static int numbers[FILES];

int main(int count, char **arguments)
{
	struct rlimit limit;
	long wrong = 0;
	int opened = 0;

	observe_begin(count, arguments);
	require_direct();
	buffer = pages(1 * MIB);
	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	/* Root may go beyond the hard limit it was started with. */
	if (limit.rlim_max < FILES + SPARE)
		limit.rlim_max = FILES + SPARE;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		skip("RLIMIT_NOFILE cannot be raised to 20000");
	make_file("many", 1 * MIB, 2);
	for (int index = 0; index < FILES; index++) {
		numbers[index] = open("many", index % 2 ? O_RDWR | O_DIRECT : O_RDONLY);
		opened += numbers[index] == index + 3;
	}
	observe("opened %d in order", opened);
	for (int index = 0; index < FILES; index++)
		wrong += pread(numbers[index], buffer, PAGE, 0) != PAGE;
	observe("small reads wrong: %ld", wrong);
	for (int index = 1; index < FILES; index += 97) {
		memset(buffer, 0, 1 * MIB);
		wrong += pread(numbers[index], buffer, 1 * MIB, 0) != 1 * MIB;
		wrong += pattern_matches(buffer, 1 * MIB, 2, 0) != 1 * MIB;
		wrong += fsync(numbers[index]) != 0;
	}
	observe("large reads wrong: %ld", wrong);
	CALL(pread(numbers[FILES - 1], buffer, 1 * MIB, 0));
	CALL(pwrite(numbers[FILES - 1], buffer, 512 * KIB, 0));
	for (int index = 0; index < FILES; index += 2)
		wrong += close(numbers[index]) != 0;
	observe("closed half, wrong: %ld", wrong);
	CALL(open("/dev/null", O_RDWR));
	CALL(pread(3, buffer, 1 * MIB, 0));
	for (int index = 1; index < FILES; index += 2)
		wrong += pread(numbers[index], buffer, PAGE, PAGE) != PAGE;
	closefrom(3);
	for (int index = 0; index < FILES; index++)
		wrong += pread(numbers[index], buffer, PAGE, 0) != -1;
	observe("closed all, wrong: %ld", wrong);
	CALL(open("many", O_RDWR | O_DIRECT));
	CALL(pread(3, buffer, 1 * MIB, 0));
	unlink("many");
	return 0;
}
