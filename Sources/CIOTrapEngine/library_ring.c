/* The ring of a queue of iotrap_queue.h: making it, and operations on it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "iotrap_library.h"
#include "ring.h"

#define SQ_CQ_OVERFLOW (1u << 1)
#define SQ_TASKRUN (1u << 2)
#define PAGES(bytes) (unsigned int)(((bytes) + PAGE - 1) / PAGE)

/* What the kernel puts before the completions in the memory of the queues, at most. */
#define QUEUE_HEADER 512u

struct iotrap_ring *iotrap_ring_create_queue(uint32_t entries, int bound, int *error)
{
	struct layout layout = {.entries = entries, .completions = 2 * entries};
	unsigned int running = 0;
	struct iotrap_ring *ring;

	layout.queue_pages = PAGES(QUEUE_HEADER + (size_t)layout.completions * 16 + entries * 4);
	layout.entry_pages = PAGES((size_t)entries * sizeof(struct io_uring_sqe));
	if (bound)
		running = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_TASKRUN_FLAG;
	ring = iotrap_ring_create_sized(&layout, bound, running, error);
	/* Linux 5.11: waits with a timeout that take no entry of the queue. */
	if (ring && !(ring->uring.features & IORING_FEAT_EXT_ARG)) {
		iotrap_ring_destroy(ring);
		*error = -ENOSYS;
		return NULL;
	}
	return ring;
}

int iotrap_ring_opens_slots(const struct iotrap_ring *ring)
{
	const unsigned int needed = IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE;

	return (ring->uring.features & needed) == needed;
}

uint32_t iotrap_ring_room(const struct iotrap_ring *ring)
{
	return ring->uring.sq.ring_entries - iotrap_ring_queued(ring);
}

static int is_file_kind(const struct iotrap_slot *slot)
{
	return slot->io.kind == IOTRAP_IO_READ_FILE || slot->io.kind == IOTRAP_IO_WRITE_FILE;
}

uint32_t iotrap_ring_entries_of(const struct iotrap_slot *slot)
{
	return (is_file_kind(slot) ? 3u : 1u) + (slot->io.deadline_ns != 0);
}

static struct io_uring_sqe *next_entry(struct iotrap_ring *ring, uint64_t user_data)
{
	struct io_uring_sq *sq = &ring->uring.sq;
	struct io_uring_sqe *sqe = &sq->sqes[sq->sqe_tail & sq->ring_mask];

	sq->sqe_tail++;
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = user_data;
	return sqe;
}

static uint64_t tag(uint32_t part, const struct iotrap_slot *slot, uint32_t index)
{
	return (uint64_t)slot->generation << 36 | (uint64_t)part << 32 | index;
}

static void fill_transfer(struct io_uring_sqe *sqe, const struct iotrap_slot *slot, int fd)
{
	const struct iotrap_io *io = &slot->io;
	int fixed = (io->flags & IOTRAP_IO_FIXED_BUFFER) != 0;

	sqe->fd = fd;
	sqe->off = (uint64_t)io->offset + slot->moved;
	sqe->addr = (uint64_t)(uintptr_t)io->buffer + slot->moved;
	sqe->len = (uint32_t)(io->length - slot->moved);
	sqe->rw_flags = (int)io->rw_flags;
	sqe->ioprio = io->priority;
	switch (io->kind) {
	case IOTRAP_IO_READ:
	case IOTRAP_IO_READ_FILE:
		sqe->opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
		break;
	case IOTRAP_IO_WRITE:
	case IOTRAP_IO_WRITE_FILE:
		sqe->opcode = fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
		break;
	case IOTRAP_IO_READV:
		sqe->opcode = IORING_OP_READV;
		break;
	default:
		sqe->opcode = IORING_OP_WRITEV;
		break;
	}
	if (fixed)
		sqe->buf_index = (uint16_t)io->buffer_index;
}

static uint32_t open_flags(const struct iotrap_io *io)
{
	if (io->kind == IOTRAP_IO_READ_FILE)
		return io->open_flags & ~(uint32_t)O_ACCMODE;
	if (io->kind == IOTRAP_IO_WRITE_FILE)
		return (io->open_flags & ~(uint32_t)O_ACCMODE) | O_WRONLY;
	return io->open_flags | O_CLOEXEC;
}

/* slot >= 0: into that registered slot, where O_CLOEXEC means nothing and is refused. */
static void fill_open(struct io_uring_sqe *sqe, const struct iotrap_io *io, int slot)
{
	uint32_t flags = open_flags(io);

	if (slot >= 0)
		flags &= ~(uint32_t)O_CLOEXEC;
	io_uring_prep_openat(sqe, io->descriptor, io->path, (int)flags, io->mode);
	if (slot >= 0)
		sqe->file_index = (uint32_t)slot + 1;
}

static void fill_close(struct io_uring_sqe *sqe, int fd, int is_registered)
{
	io_uring_prep_close(sqe, is_registered ? 0 : fd);
	if (is_registered)
		sqe->file_index = (uint32_t)fd + 1;
}

static void fill(struct io_uring_sqe *sqe, const struct iotrap_slot *slot, int fd,
		 int is_registered)
{
	const struct iotrap_io *io = &slot->io;
	uint64_t user_data = sqe->user_data;

	switch (io->kind) {
	case IOTRAP_IO_NOP:
		io_uring_prep_nop(sqe);
		break;
	case IOTRAP_IO_FSYNC:
		io_uring_prep_fsync(sqe, fd, 0);
		break;
	case IOTRAP_IO_FDATASYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case IOTRAP_IO_OPEN:
		fill_open(sqe, io, is_registered ? fd : -1);
		is_registered = 0;
		break;
	case IOTRAP_IO_STAT:
		io_uring_prep_statx(sqe, io->descriptor, io->path, (int)io->open_flags, io->mode,
				    io->buffer);
		break;
	case IOTRAP_IO_CLOSE:
		fill_close(sqe, fd, is_registered);
		is_registered = 0;
		break;
	default:
		fill_transfer(sqe, slot, fd);
		break;
	}
	/* liburing's functions clear it. */
	sqe->user_data = user_data;
	if (is_registered)
		sqe->flags |= IOSQE_FIXED_FILE;
	if (io->flags & IOTRAP_IO_WORKER)
		sqe->flags |= IOSQE_ASYNC;
}

/* A request of its own right behind the one that it limits. */
static void queue_deadline(struct iotrap_ring *ring, struct iotrap_slot *slot, uint32_t index,
			   uint8_t link)
{
	struct io_uring_sqe *sqe = next_entry(ring, tag(IOTRAP_PART_IGNORED, slot, index));

	slot->timeout[0] = (int64_t)(slot->io.deadline_ns / 1000000000u);
	slot->timeout[1] = (int64_t)(slot->io.deadline_ns % 1000000000u);
	io_uring_prep_link_timeout(sqe, (struct __kernel_timespec *)slot->timeout,
				   IORING_TIMEOUT_ABS);
	sqe->user_data = tag(IOTRAP_PART_IGNORED, slot, index);
	sqe->flags = link;
}

/*
 * open, transfer, close. Without an error the open has no completion; with one it is the only
 * one. The close runs whatever became of the transfer.
 */
static void queue_file(struct iotrap_ring *ring, struct iotrap_slot *slot, uint32_t index,
		       int inner)
{
	struct io_uring_sqe *sqe = next_entry(ring, 0);

	fill_open(sqe, &slot->io, inner);
	sqe->user_data = tag(IOTRAP_PART_OPEN, slot, index);
	sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	if (slot->io.flags & IOTRAP_IO_WORKER)
		sqe->flags |= IOSQE_ASYNC;
	sqe = next_entry(ring, tag(IOTRAP_PART_MAIN, slot, index));
	fill(sqe, slot, inner, 1);
	sqe->flags |= IOSQE_IO_HARDLINK;
	if (slot->io.deadline_ns)
		queue_deadline(ring, slot, index, IOSQE_IO_HARDLINK);
	sqe = next_entry(ring, 0);
	fill_close(sqe, inner, 1);
	sqe->user_data = tag(IOTRAP_PART_CLOSE, slot, index);
}

void iotrap_ring_queue_slot(struct iotrap_ring *ring, struct iotrap_slot *slot, uint32_t index,
			    int fd, int is_registered, int ends_chain)
{
	struct io_uring_sqe *sqe;
	uint8_t link = 0;

	if (is_file_kind(slot) && !(slot->notes & IOTRAP_NOTE_QUICK)) {
		queue_file(ring, slot, index, fd);
		return;
	}
	if (!ends_chain)
		link = slot->io.flags & IOTRAP_IO_HARDLINK ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
	sqe = next_entry(ring, tag(IOTRAP_PART_MAIN, slot, index));
	fill(sqe, slot, fd, is_registered);
	if (slot->io.deadline_ns) {
		sqe->flags |= link ? link : IOSQE_IO_LINK;
		queue_deadline(ring, slot, index, link);
	} else {
		sqe->flags |= link;
	}
}

int iotrap_ring_queue_event(struct iotrap_ring *ring, int event, uint64_t *word)
{
	struct io_uring_sqe *sqe;

	if (iotrap_ring_room(ring) == 0)
		return 0;
	sqe = next_entry(ring, 0);
	io_uring_prep_read(sqe, event, word, sizeof(*word), 0);
	sqe->user_data = (uint64_t)IOTRAP_PART_WAKE << 32;
	return 1;
}

int iotrap_ring_queue_slot_cancel(struct iotrap_ring *ring, const struct iotrap_slot *slot,
				  uint32_t index)
{
	struct io_uring_sqe *sqe;

	if (iotrap_ring_room(ring) == 0)
		return 0;
	sqe = next_entry(ring, 0);
	io_uring_prep_cancel64(sqe, tag(IOTRAP_PART_MAIN, slot, index), 0);
	sqe->user_data = tag(IOTRAP_PART_IGNORED, slot, index);
	return 1;
}

uint32_t iotrap_ring_take(struct iotrap_ring *ring, struct iotrap_ring_event *events,
			  uint32_t count)
{
	struct io_uring_cq *cq = &ring->uring.cq;
	unsigned int head = *cq->khead;
	/* acquiring: pairs with the kernel's releasing store; completions come before their tail */
	unsigned int ready = __atomic_load_n(cq->ktail, __ATOMIC_ACQUIRE) - head;

	if (ready == 0)
		return 0;
	if (ready < count)
		count = ready;
	IOTRAP_RING_COMPLETED(ring);
	for (unsigned int i = 0; i < count; i++) {
		const struct io_uring_cqe *cqe = &cq->cqes[(head + i) & cq->ring_mask];

		events[i].index = (uint32_t)cqe->user_data;
		events[i].part = (uint16_t)(cqe->user_data >> 32 & 15);
		events[i].generation = (uint16_t)(cqe->user_data >> 36);
		events[i].result = cqe->res;
	}
	/* releasing: the kernel reuses what lies before the head */
	__atomic_store_n(cq->khead, head + count, __ATOMIC_RELEASE);
	return count;
}

int iotrap_ring_has_work(const struct iotrap_ring *ring)
{
	return (__atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) &
		(SQ_CQ_OVERFLOW | SQ_TASKRUN)) != 0;
}

int iotrap_ring_register_event(struct iotrap_ring *ring, int event)
{
	return (int)iotrap_ring_register(ring, IORING_REGISTER_EVENTFD, &event, 1);
}

int iotrap_ring_register_files(struct iotrap_ring *ring, uint32_t count)
{
	size_t bytes = (size_t)count * sizeof(int);
	int *none = iotrap_pages(bytes, 0);
	long result;

	if (!none)
		return -ENOMEM;
	memset(none, 0xff, bytes);
	result = iotrap_ring_register(ring, IORING_REGISTER_FILES, none, count);
	iotrap_pages_free(none, bytes);
	return (int)result;
}

int iotrap_ring_register_file(struct iotrap_ring *ring, uint32_t slot, int fd)
{
	long result = iotrap_ring_hold_file(ring, slot, fd);

	return result < 0 ? (int)result : 0;
}

/* struct io_uring_rsrc_register with IORING_RSRC_REGISTER_SPARSE, Linux 5.19. */
int iotrap_ring_register_buffers(struct iotrap_ring *ring, uint32_t count)
{
	struct io_uring_rsrc_register buffers = {.nr = count, .flags = 1};

	return (int)iotrap_ring_register(ring, IORING_REGISTER_BUFFERS2, &buffers, sizeof(buffers));
}

int iotrap_ring_register_buffer(struct iotrap_ring *ring, uint32_t index, void *address,
				size_t bytes)
{
	struct iovec memory = {.iov_base = address, .iov_len = bytes};
	uint64_t no_tag = 0;
	struct io_uring_rsrc_update2 update = {
		.offset = index,
		.data = (uint64_t)(uintptr_t)&memory,
		.tags = (uint64_t)(uintptr_t)&no_tag,
		.nr = 1,
	};
	long result = iotrap_ring_register(ring, IORING_REGISTER_BUFFERS_UPDATE, &update,
					   sizeof(update));

	return result < 0 ? (int)result : 0;
}
