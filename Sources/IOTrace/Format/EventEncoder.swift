import CIOTrap

/// Turns events into the bytes of a chunk; one encoder a stream.
struct EventEncoder: ~Copyable {
    /// Bytes that an event takes at most.
    static let eventBytesMax = Int(IOTRAP_TRACE_EVENT_BYTES_MAX)

    private var last = TraceEvent.beforeFirst
    private let ends: UnsafeMutablePointer<UInt64>

    init() {
        ends = .allocate(capacity: Int(IOTRAP_TRACE_OFFSET_SLOTS))
        ends.initialize(repeating: 0, count: Int(IOTRAP_TRACE_OFFSET_SLOTS))
    }

    deinit {
        ends.deallocate()
    }

    /// Forgets the events so far: a chunk stands for itself.
    mutating func startChunk(baseNanoseconds: UInt64) {
        last = TraceEvent.beforeFirst
        last.submitNanoseconds = baseNanoseconds
        ends.update(repeating: 0, count: Int(IOTRAP_TRACE_OFFSET_SLOTS))
    }

    /// Writes an event, for which there must be `eventBytesMax` bytes; returns where it ends. The
    /// event must have passed `EventRules`.
    mutating func put(
        _ event: TraceEvent, at start: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        var fields: UInt32 = 0
        let time = Int64(bitPattern: event.submitNanoseconds &- last.submitNanoseconds)
        var next = Varint.put(Varint.zigzag(time), at: start + 2)
        if event.call != last.call || event.operation != last.operation {
            fields |= IOTRAP_TRACE_F_KIND
            next[0] = event.call.rawValue
            next[1] = event.operation.rawValue
            next += 2
        }
        if event.thread != last.thread {
            fields |= IOTRAP_TRACE_F_THREAD
            next = Varint.put(UInt64(event.thread), at: next)
        }
        if event.file != last.file {
            fields |= IOTRAP_TRACE_F_FILE
            next = Varint.put(UInt64(event.file &+ 1), at: next)
        }
        let slot = Int(event.file % IOTRAP_TRACE_OFFSET_SLOTS)
        let distance = event.offset &- ends[slot]
        if distance != 0 {
            fields |= IOTRAP_TRACE_F_OFFSET
            next = Varint.put(Varint.zigzag(Int64(bitPattern: distance)), at: next)
        }
        ends[slot] = event.end
        if event.length != last.length {
            fields |= IOTRAP_TRACE_F_LENGTH
            next = Varint.put(event.length, at: next)
        }
        if event.isComplete {
            fields |= IOTRAP_TRACE_F_LATENCY
            next = Varint.put(event.latencyNanoseconds, at: next)
        }
        if event.result != event.predictedResult {
            fields |= IOTRAP_TRACE_F_RESULT
            next = Varint.put(Varint.zigzag(event.result), at: next)
        }
        next = putRest(event, &fields, at: next)
        start[0] = UInt8(truncatingIfNeeded: fields)
        start[1] = UInt8(truncatingIfNeeded: fields >> 8)
        last = event
        return next
    }

    @inline(__always)
    private func putRest(
        _ event: TraceEvent, _ fields: inout UInt32, at start: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        var next = start
        if event.batch != last.batch {
            fields |= IOTRAP_TRACE_F_BATCH
            let step = Int64(event.batch) - Int64(last.batch)
            next = Varint.put(Varint.zigzag(step), at: next)
        }
        if event.depth != last.depth {
            fields |= IOTRAP_TRACE_F_DEPTH
            next = Varint.put(UInt64(event.depth), at: next)
        }
        if event.flags != 0 {
            fields |= IOTRAP_TRACE_F_FLAGS
            next = Varint.put(UInt64(event.flags), at: next)
        }
        if event.after != 0 {
            fields |= IOTRAP_TRACE_F_AFTER
            next = Varint.put(UInt64(event.after), at: next)
        }
        if event.after2 != 0 {
            fields |= IOTRAP_TRACE_F_AFTER2
            next = Varint.put(UInt64(event.after2), at: next)
        }
        if event.isAfterFile { fields |= IOTRAP_TRACE_F_AFTER_FILE }
        return next
    }
}

extension TraceEvent {
    /// What the first event of a chunk is a difference to.
    static let beforeFirst = TraceEvent()
}

/// What holds for every event of a trace, whoever wrote it.
enum EventRules {
    /// Checks all that needs no file table.
    @inline(__always)
    static func check(_ event: TraceEvent, index: UInt64) throws(TraceFault) {
        let limit = UInt64(Int64.max)
        if event.offset > limit || event.length > limit - event.offset {
            throw TraceFault(reason: .range(offset: event.offset, length: event.length))
        }
        if event.submitNanoseconds > limit
            || event.latencyNanoseconds > limit - event.submitNanoseconds
        {
            throw TraceFault(reason: .time)
        }
        if UInt64(event.after) > index || UInt64(event.after2) > index {
            let distance = UInt64(max(event.after, event.after2))
            throw TraceFault(reason: .dependency(distance: distance, index: index))
        }
        // A completion that moved more than was asked for, or results of what is not complete.
        if event.result > 0 && (!event.isComplete || UInt64(event.result) > event.length) {
            throw TraceFault(reason: .field("result", value: UInt64(event.result)))
        }
        if event.result < -4095 || (event.result != 0 && !event.isComplete) {
            throw TraceFault(reason: .field("result", value: event.result.magnitude))
        }
    }
}
