/* Prints what a compiled program knows of the interface: sizes, offsets and numbers. */
#include <iotrap.h>
#include <stddef.h>
#include <stdio.h>

#define STRUCT(name) printf("struct %s: %zu bytes\n", #name, sizeof(struct name))
#define FIELD(name, field)                                                                         \
	printf("  %s at %zu, %zu\n", #field, offsetof(struct name, field),                         \
	       sizeof(((struct name *)0)->field))
#define NUMBER(name) printf("%s = %llu\n", #name, (unsigned long long)(name))

static void operations(void)
{
	STRUCT(iotrap_io);
	FIELD(iotrap_io, kind);
	FIELD(iotrap_io, priority);
	FIELD(iotrap_io, flags);
	FIELD(iotrap_io, file);
	FIELD(iotrap_io, buffer);
	FIELD(iotrap_io, length);
	FIELD(iotrap_io, offset);
	FIELD(iotrap_io, user_data);
	FIELD(iotrap_io, deadline_ns);
	FIELD(iotrap_io, callback);
	FIELD(iotrap_io, context);
	FIELD(iotrap_io, path);
	FIELD(iotrap_io, descriptor);
	FIELD(iotrap_io, slot);
	FIELD(iotrap_io, buffer_index);
	FIELD(iotrap_io, rw_flags);
	FIELD(iotrap_io, open_flags);
	FIELD(iotrap_io, mode);
	FIELD(iotrap_io, reserved);
	STRUCT(iotrap_completion);
	FIELD(iotrap_completion, user_data);
	FIELD(iotrap_completion, result);
	FIELD(iotrap_completion, operation);
	FIELD(iotrap_completion, flags);
	FIELD(iotrap_completion, file);
	FIELD(iotrap_completion, path);
	FIELD(iotrap_completion, offset);
	FIELD(iotrap_completion, length);
	FIELD(iotrap_completion, batch);
}

static void options_and_facts(void)
{
	STRUCT(iotrap_file_options);
	FIELD(iotrap_file_options, struct_size);
	FIELD(iotrap_file_options, pool);
	FIELD(iotrap_file_options, reserved);
	STRUCT(iotrap_file_info);
	FIELD(iotrap_file_info, struct_size);
	FIELD(iotrap_file_info, descriptor);
	FIELD(iotrap_file_info, open_flags);
	FIELD(iotrap_file_info, memory_alignment);
	FIELD(iotrap_file_info, offset_alignment);
	FIELD(iotrap_file_info, paths);
	FIELD(iotrap_file_info, size);
	FIELD(iotrap_file_info, reserved);
	STRUCT(iotrap_queue_options);
	FIELD(iotrap_queue_options, struct_size);
	FIELD(iotrap_queue_options, flags);
	FIELD(iotrap_queue_options, depth);
	FIELD(iotrap_queue_options, file_slots);
	FIELD(iotrap_queue_options, buffer_slots);
	FIELD(iotrap_queue_options, reserved_word);
	FIELD(iotrap_queue_options, reserved);
}

static void statistics(void)
{
	STRUCT(iotrap_queue_statistics);
	FIELD(iotrap_queue_statistics, struct_size);
	FIELD(iotrap_queue_statistics, ring);
	FIELD(iotrap_queue_statistics, depth);
	FIELD(iotrap_queue_statistics, added);
	FIELD(iotrap_queue_statistics, in_flight);
	FIELD(iotrap_queue_statistics, in_flight_maximum);
	FIELD(iotrap_queue_statistics, submitted);
	FIELD(iotrap_queue_statistics, completed);
	FIELD(iotrap_queue_statistics, failed);
	FIELD(iotrap_queue_statistics, cancelled);
	FIELD(iotrap_queue_statistics, late);
	FIELD(iotrap_queue_statistics, pooled);
	FIELD(iotrap_queue_statistics, bytes_read);
	FIELD(iotrap_queue_statistics, bytes_written);
	FIELD(iotrap_queue_statistics, enters);
	FIELD(iotrap_queue_statistics, wakes);
}

static void numbers(void)
{
	NUMBER(IOTRAP_FOREVER);
	NUMBER(IOTRAP_IO_NOP);
	NUMBER(IOTRAP_IO_READ);
	NUMBER(IOTRAP_IO_WRITE);
	NUMBER(IOTRAP_IO_READV);
	NUMBER(IOTRAP_IO_WRITEV);
	NUMBER(IOTRAP_IO_FSYNC);
	NUMBER(IOTRAP_IO_FDATASYNC);
	NUMBER(IOTRAP_IO_OPEN);
	NUMBER(IOTRAP_IO_STAT);
	NUMBER(IOTRAP_IO_CLOSE);
	NUMBER(IOTRAP_IO_READ_FILE);
	NUMBER(IOTRAP_IO_WRITE_FILE);
	NUMBER(IOTRAP_IO_BATCH);
	NUMBER(IOTRAP_IO_LINK);
	NUMBER(IOTRAP_IO_HARDLINK);
	NUMBER(IOTRAP_IO_SLOT);
	NUMBER(IOTRAP_IO_DESCRIPTOR);
	NUMBER(IOTRAP_IO_FIXED_BUFFER);
	NUMBER(IOTRAP_IO_WHOLE);
	NUMBER(IOTRAP_IO_QUIET);
	NUMBER(IOTRAP_IO_WORKER);
	NUMBER(IOTRAP_COMPLETION_LATE);
	NUMBER(IOTRAP_COMPLETION_POOL);
	NUMBER(IOTRAP_FILE_POOL_AUTO);
	NUMBER(IOTRAP_FILE_POOL_NEVER);
	NUMBER(IOTRAP_FILE_POOL_REQUIRED);
	NUMBER(IOTRAP_QUEUE_UNBOUND);
	NUMBER(IOTRAP_QUEUE_PLAIN);
	NUMBER(IOTRAP_QUEUE_RING);
	NUMBER(IOTRAP_QUEUE_STRICT);
	NUMBER(IOTRAP_QUEUE_NO_WAKE);
	NUMBER(IOTRAP_BATCH_ONE);
}

int main(void)
{
	operations();
	options_and_facts();
	statistics();
	numbers();
	return 0;
}
