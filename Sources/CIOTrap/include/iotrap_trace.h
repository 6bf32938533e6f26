/*
 * Layout of trace files, version 1. Explained in docs/trace-format.md.
 *
 *	[ struct iotrap_trace_header, 64 bytes ]
 *	[ struct iotrap_trace_chunk, 48 bytes ][ payload, stored_bytes ]  ... repeated
 *
 * All numbers are little-endian; times are nanoseconds since the start of the trace. A chunk is
 * appended whole, in one write, and depends on no other chunk of events: what a killed writer
 * leaves is a prefix of chunks and perhaps a torn one.
 *
 * A varint holds seven bits a byte, the lowest first, the top bit set on all but the last; at most
 * ten bytes. A signed number s is stored as the varint of (s << 1) ^ (s >> 63).
 */
#ifndef IOTRAP_TRACE_H
#define IOTRAP_TRACE_H

#include <features.h>
#include <stdint.h>
#include <sys/types.h>

#define IOTRAP_TRACE_MAGIC 0x3154504152544f49ULL /* "IOTRAPT1" in the file */
#define IOTRAP_TRACE_VERSION 1u
#define IOTRAP_TRACE_CHUNK_MAGIC 0x4b4e4843u /* "CHNK" in the file */

/* Limits that a writer keeps and a reader enforces. */
#define IOTRAP_TRACE_CHUNK_BYTES_MAX 4194304u /* of a payload, stored or decoded */
#define IOTRAP_TRACE_FILES_MAX 1048576u
#define IOTRAP_TRACE_PATH_BYTES_MAX 4095u        /* of one path */
#define IOTRAP_TRACE_PATHS_BYTES_MAX 67108864u   /* of all paths together */
#define IOTRAP_TRACE_STREAMS_MAX 65536u          /* streams, and threads that have a name */
#define IOTRAP_TRACE_METADATA_BYTES_MAX 1048576u /* of all keys and values together */
#define IOTRAP_TRACE_EVENT_BYTES_MAX 128u        /* of one encoded event */
#define IOTRAP_TRACE_FILE_NONE 0xffffffffu       /* an event of no file, such as sync(2) */

/* header.flags */
#define IOTRAP_TRACE_ORDERED 1u    /* submit times never fall, in the order of the file */
#define IOTRAP_TRACE_GENERATED 2u  /* made from a profile, not recorded */
#define IOTRAP_TRACE_ANONYMISED 4u /* paths are hashes */

struct iotrap_trace_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_bytes; /* 64 */
	uint32_t flags;
	uint32_t process_id;          /* 0: none */
	uint64_t started_realtime_ns; /* of the epoch; 0: not recorded on a clock */
	uint64_t reserved[3];         /* 0 */
	uint32_t reserved2;           /* 0 */
	uint32_t crc32c;              /* of the 60 bytes before it */
};

enum iotrap_trace_chunk_kind {
	IOTRAP_TRACE_CHUNK_EVENTS = 1,
	IOTRAP_TRACE_CHUNK_FILES = 2,
	IOTRAP_TRACE_CHUNK_METADATA = 3,
	IOTRAP_TRACE_CHUNK_END = 4
	/* 128 and above: a reader passes over kinds that it does not know. */
};

enum iotrap_trace_codec {
	IOTRAP_TRACE_RAW = 0, /* stored_bytes equals raw_bytes */
	IOTRAP_TRACE_ZSTD = 1 /* one frame */
};

struct iotrap_trace_chunk {
	uint32_t magic;
	uint8_t kind;
	uint8_t codec;
	uint16_t reserved; /* 0 */
	uint32_t stored_bytes;
	uint32_t raw_bytes;
	uint32_t record_count;   /* events, files or pairs */
	uint32_t stream;         /* of events; else 0 */
	uint64_t base_ns;        /* of events: the submit time that the first one counts from */
	uint64_t first_event;    /* events of this stream before this chunk */
	uint32_t payload_crc32c; /* of the payload as stored */
	uint32_t crc32c;         /* of the 44 bytes before it */
};

/* Payload of a chunk of files, for each: varint number, flags, open flags, mode, size in bytes,
 * length of the path, then the path. */
#define IOTRAP_TRACE_FILE_SIZE_KNOWN 1u
#define IOTRAP_TRACE_FILE_ABSOLUTE 2u /* the path was below "/", which is not stored */

/* Payload of a chunk of metadata, for each pair in UTF-8: varint length, key, varint length,
 * value. */

/* Payload of the last chunk: four varints: events, files, events that the writer had to drop, and
 * chunks before this one. */

/* What was called. */
enum iotrap_trace_call {
	IOTRAP_TRACE_CALL_OTHER = 0,
	IOTRAP_TRACE_CALL_READ = 1,
	IOTRAP_TRACE_CALL_WRITE = 2,
	IOTRAP_TRACE_CALL_PREAD = 3,
	IOTRAP_TRACE_CALL_PWRITE = 4,
	IOTRAP_TRACE_CALL_READV = 5,
	IOTRAP_TRACE_CALL_WRITEV = 6,
	IOTRAP_TRACE_CALL_PREADV = 7,  /* preadv, preadv2 */
	IOTRAP_TRACE_CALL_PWRITEV = 8, /* pwritev, pwritev2 */
	IOTRAP_TRACE_CALL_FSYNC = 9,
	IOTRAP_TRACE_CALL_FDATASYNC = 10,
	IOTRAP_TRACE_CALL_SYNC_FILE_RANGE = 11,
	IOTRAP_TRACE_CALL_SYNC = 12,     /* sync, syncfs */
	IOTRAP_TRACE_CALL_TRUNCATE = 13, /* ftruncate, truncate */
	IOTRAP_TRACE_CALL_ALLOCATE = 14, /* fallocate, posix_fallocate */
	IOTRAP_TRACE_CALL_OPEN = 15,
	IOTRAP_TRACE_CALL_CLOSE = 16,
	IOTRAP_TRACE_CALL_IO_SUBMIT = 17,
	IOTRAP_TRACE_CALL_AIO_READ = 18,
	IOTRAP_TRACE_CALL_AIO_WRITE = 19,
	IOTRAP_TRACE_CALL_AIO_FSYNC = 20,
	IOTRAP_TRACE_CALL_LIO_LISTIO = 21,
	IOTRAP_TRACE_CALL_IO_URING = 22,
	IOTRAP_TRACE_CALL_BLOCK = 23, /* a request of a block device */
	IOTRAP_TRACE_CALL_COUNT
};

/* What it did. */
enum iotrap_trace_operation {
	IOTRAP_TRACE_OP_READ = 0,
	IOTRAP_TRACE_OP_WRITE = 1,
	IOTRAP_TRACE_OP_FSYNC = 2,
	IOTRAP_TRACE_OP_FDATASYNC = 3,
	IOTRAP_TRACE_OP_SYNC_FILE_RANGE = 4,
	IOTRAP_TRACE_OP_SYNC = 5,     /* everything; of no file, or of its file system */
	IOTRAP_TRACE_OP_TRUNCATE = 6, /* offset is the new size, length is 0 */
	IOTRAP_TRACE_OP_ALLOCATE = 7, /* flags is the mode of fallocate(2) */
	IOTRAP_TRACE_OP_DISCARD = 8,
	IOTRAP_TRACE_OP_OPEN = 9,
	IOTRAP_TRACE_OP_CLOSE = 10,
	IOTRAP_TRACE_OP_COMMIT = 11, /* no I/O: what it depends on made a transaction durable */
	IOTRAP_TRACE_OP_COUNT
};

/*
 * An event: 16 bits of fields (below), the submit time as a signed difference to that of the event
 * before it (the chunk's base_ns for the first), then the fields present, in the order of their
 * bits. What is absent is as predicted: what is said below, of the event before it in the chunk,
 * or 0 for the first.
 */
#define IOTRAP_TRACE_F_KIND 0x0001u    /* a byte call, a byte operation; else as before */
#define IOTRAP_TRACE_F_THREAD 0x0002u  /* varint; else as before */
#define IOTRAP_TRACE_F_FILE 0x0004u    /* varint, number + 1, 0 for none; else as before */
#define IOTRAP_TRACE_F_OFFSET 0x0008u  /* signed, from the predicted one; else that */
#define IOTRAP_TRACE_F_LENGTH 0x0010u  /* varint; else as before */
#define IOTRAP_TRACE_F_LATENCY 0x0020u /* varint, completion minus submission; else never done */
#define IOTRAP_TRACE_F_RESULT 0x0040u  /* signed, -errno; else length if data is done, or 0 */
#define IOTRAP_TRACE_F_BATCH 0x0080u   /* signed, from the one before; else as before */
#define IOTRAP_TRACE_F_DEPTH 0x0100u   /* varint; else as before */
#define IOTRAP_TRACE_F_FLAGS 0x0200u   /* varint, RWF_ flags or a mode; else 0 */
#define IOTRAP_TRACE_F_AFTER 0x0400u   /* varint: this many events back, same stream; else none */
#define IOTRAP_TRACE_F_AFTER2 0x0800u  /* the same again */
#define IOTRAP_TRACE_F_AFTER_FILE 0x1000u /* no value: after all earlier writes of its file */
#define IOTRAP_TRACE_F_ALL 0x1fffu

/* The predicted offset is where the event before it in the same slot of a table ended: offset plus
 * length. Slot: file number modulo this. The table is all 0 at the start of a chunk. */
#define IOTRAP_TRACE_OFFSET_SLOTS 64u

#endif
