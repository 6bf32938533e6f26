/* Records of the requests of POSIX AIO. */
#ifndef IOTRAP_POSIX_RECORD_H
#define IOTRAP_POSIX_RECORD_H

#include "real.h"

/* What a record says of a request. Its memory may have another use once it is made. */
static inline void iotrap_record_describe(struct iotrap_thread *self,
					  struct iotrap_recorded *record,
					  const struct iotrap_aiocb *request, uint8_t call,
					  uint8_t operation)
{
	int is_data = operation == IOTRAP_TRACE_OP_READ || operation == IOTRAP_TRACE_OP_WRITE;
	struct iotrap_note note;

	iotrap_record_begin(self, &note, request->descriptor);
	*record = (struct iotrap_recorded){
		.submit_ns = note.started_ns,
		.offset = is_data ? (uint64_t)request->offset : 0,
		.length = is_data ? request->bytes : 0,
		.key = (uintptr_t)request,
		.file = note.file,
		.kind = IOTRAP_RECORD_SUBMIT,
		.call = call,
		.operation = operation,
	};
}

/* Makes a request and returns, with a record of it if it was accepted. */
#define RECORD_REQUEST(request, call, operation, served)                                           \
	do {                                                                                       \
		struct iotrap_thread *self_ = iotrap_self();                                       \
		struct iotrap_recorded record_;                                                    \
		int result_;                                                                       \
                                                                                                   \
		iotrap_record_describe(self_, &record_, block_of(request), call, operation);       \
		result_ = (served);                                                                \
		if (result_ == 0 && record_.file > IOTRAP_RECORDED_NOT)                            \
			iotrap_record(self_, &record_);                                            \
		return result_;                                                                    \
	} while (0)

/* Records that the program was told of the end of a request; not of one that goes on. */
static inline void iotrap_record_request_end(const struct iotrap_aiocb *request, int error)
{
	struct iotrap_recorded record = {
		.complete_ns = iotrap_clock(),
		.key = (uintptr_t)request,
		.result = error ? -(int64_t)error : request->result,
		.kind = IOTRAP_RECORD_DONE,
	};

	if (error != EINPROGRESS && error >= 0)
		iotrap_record(iotrap_self(), &record);
}

/* One entry of a list; zero for one that is no request. */
static inline int iotrap_record_list_entry(struct iotrap_recorded *record,
					   const struct iotrap_aiocb *request)
{
	if (!request || (request->opcode != LIO_READ && request->opcode != LIO_WRITE))
		return 0;
	iotrap_record_describe(iotrap_self(), record, request, IOTRAP_TRACE_CALL_LIO_LISTIO,
			       request->opcode == LIO_READ ? IOTRAP_TRACE_OP_READ
							   : IOTRAP_TRACE_OP_WRITE);
	return record->file > IOTRAP_RECORDED_NOT;
}

static inline void iotrap_record_list_begin(struct iotrap_record_batch *batch,
					    struct iotrap_aiocb *const *list, int count)
{
	batch->started_ns = iotrap_clock();
	batch->count = 0;
	for (int i = 0; i < count && i < (int)IOTRAP_RECORD_AHEAD; i++) {
		/* Those that are none are left out once they are looked at again. */
		if (!iotrap_record_list_entry(&batch->requests[i], list[i]))
			batch->requests[i].file = IOTRAP_RECORDED_NOT;
		batch->count++;
	}
}

static inline void iotrap_record_list_end(struct iotrap_record_batch *batch,
					  struct iotrap_aiocb *const *list, int count)
{
	struct iotrap_thread *self = iotrap_self();
	uint32_t number = count > 1 ? iotrap_record_batch(self) : 0;
	struct iotrap_recorded later;

	for (int i = 0; i < count; i++) {
		struct iotrap_recorded *record = &later;

		if (i < (int)batch->count)
			record = &batch->requests[i];
		else if (!iotrap_record_list_entry(record, list[i]))
			continue;
		if (record->file <= IOTRAP_RECORDED_NOT)
			continue;
		record->submit_ns = batch->started_ns;
		record->batch = number;
		iotrap_record(self, record);
	}
}

#endif
