import CIOTrap
import CIOTrapEngine

/// Requests of libaio, as the program's memory has them.
enum RecordedRequests {
    typealias Thread = Recorder.Thread
    typealias Batch = UnsafeMutablePointer<iotrap_record_batch>

    /// Looks at requests before they are submitted.
    static func begin(
        _ thread: Thread, _ batch: Batch, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?
    ) {
        batch.pointee.count = 0
        batch.pointee.started_ns = iotrap_clock()
        guard Recorder.isOn, count > 0, let iocbs else { return }
        for index in 0..<UInt32(min(count, Int64(IOTRAP_RECORD_AHEAD))) {
            guard
                read(thread, iocbs + Int(index), into: iotrap_record_ahead(batch, index))
            else { return }
            batch.pointee.count += 1
        }
    }

    /// Records those that were accepted.
    static func end(
        _ thread: Thread, _ batch: Batch, _ iocbs: UnsafePointer<UInt64>?, _ accepted: Int64
    ) {
        guard Recorder.isOn, accepted > 0, let iocbs else { return }
        let number = accepted > 1 ? Recorder.batch(thread) : 0
        var later = iotrap_recorded()
        for index in 0..<UInt32(clamping: accepted) {
            var record = iotrap_record_ahead(batch, min(index, IOTRAP_RECORD_AHEAD - 1))
            if index >= batch.pointee.count {
                guard read(thread, iocbs + Int(index), into: &later) else { return }
                record = address(of: &later)
            }
            guard record.pointee.file > IOTRAP_RECORDED_NOT else { continue }
            record.pointee.submit_ns = batch.pointee.started_ns
            record.pointee.batch = number
            Recorder.append(thread, record)
        }
    }

    /// Records the ends of requests.
    static func events(
        _ thread: Thread, _ events: UnsafePointer<iotrap_event>, _ count: Int64
    ) {
        guard Recorder.isOn else { return }
        var record = iotrap_recorded()
        record.kind = UInt8(IOTRAP_RECORD_DONE.rawValue)
        record.complete_ns = iotrap_clock()
        for index in 0..<Int(count) {
            record.key = events[index].object
            record.result = events[index].result
            Recorder.append(thread, &record)
        }
    }

    /// Reads the request that a pointer of the program's leads to; false when it cannot be read.
    private static func read(
        _ thread: Thread, _ place: UnsafePointer<UInt64>,
        into record: UnsafeMutablePointer<iotrap_recorded>
    ) -> Bool {
        guard UserMemory.isReadable(thread, UInt(bitPattern: place), bytes: 8) else { return false }
        let object = place.pointee
        guard UserMemory.isReadable(thread, UInt(object), bytes: 64),
            let iocb = UnsafePointer<iotrap_iocb>(bitPattern: UInt(object))
        else { return false }
        record.pointee = iotrap_recorded()
        record.pointee.kind = UInt8(IOTRAP_RECORD_SUBMIT.rawValue)
        record.pointee.call = UInt8(IOTRAP_TRACE_CALL_IO_SUBMIT.rawValue)
        record.pointee.key = object
        record.pointee.flags = iocb.pointee.rw_flags
        record.pointee.file = IOTRAP_RECORDED_NOT
        guard let operation = operation(iocb.pointee.opcode) else { return true }
        record.pointee.operation = UInt8(operation.rawValue)
        let fd = Int32(bitPattern: iocb.pointee.descriptor)
        let known = iotrap_record_known(thread, fd)
        record.pointee.file = known != 0 ? known : RecordedFiles.resolve(thread, fd)
        let isData =
            operation == IOTRAP_TRACE_OP_READ || operation == IOTRAP_TRACE_OP_WRITE
        if isData {
            record.pointee.offset = UInt64(bitPattern: iocb.pointee.offset)
            record.pointee.length = length(thread, iocb.pointee)
        }
        return true
    }

    private static func operation(_ opcode: UInt16) -> iotrap_trace_operation? {
        switch UInt32(opcode) {
        case IOTRAP_IOCB_PREAD, IOTRAP_IOCB_PREADV: IOTRAP_TRACE_OP_READ
        case IOTRAP_IOCB_PWRITE, IOTRAP_IOCB_PWRITEV: IOTRAP_TRACE_OP_WRITE
        case IOTRAP_IOCB_FSYNC: IOTRAP_TRACE_OP_FSYNC
        case IOTRAP_IOCB_FDSYNC: IOTRAP_TRACE_OP_FDATASYNC
        default: nil
        }
    }

    private static func length(_ thread: Thread, _ iocb: iotrap_iocb) -> UInt64 {
        let opcode = UInt32(iocb.opcode)
        guard opcode == IOTRAP_IOCB_PREADV || opcode == IOTRAP_IOCB_PWRITEV else {
            return iocb.bytes
        }
        guard iocb.bytes > 0, iocb.bytes <= UInt64(DataCalls.vectorMaximum),
            UserMemory.isReadable(
                thread, UInt(iocb.buffer), bytes: UInt(iocb.bytes) * 16),
            let vector = UnsafePointer<iovec>(bitPattern: UInt(iocb.buffer))
        else { return 0 }
        var sum: UInt64 = 0
        for index in 0..<Int(iocb.bytes) { sum &+= vector[index].byteCount }
        return sum
    }
}
