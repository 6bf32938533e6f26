import CIOTrap

/// Turns the bytes of a chunk into events again.
struct EventDecoder: ~Copyable {
    private var last = TraceEvent.beforeFirst
    private let ends: UnsafeMutablePointer<UInt64>

    init() {
        ends = .allocate(capacity: Int(IOTRAP_TRACE_OFFSET_SLOTS))
        ends.initialize(repeating: 0, count: Int(IOTRAP_TRACE_OFFSET_SLOTS))
    }

    deinit {
        ends.deallocate()
    }

    /// Forgets the events so far.
    mutating func startChunk(_ header: ChunkHeader) {
        last = TraceEvent.beforeFirst
        last.submitNanoseconds = header.baseNanoseconds
        last.stream = header.stream
        // The first event adds one.
        last.index = header.firstEvent &- 1
        ends.update(repeating: 0, count: Int(IOTRAP_TRACE_OFFSET_SLOTS))
    }

    /// Reads one event and checks all that needs no file table.
    mutating func next(_ cursor: inout PayloadCursor) throws(TraceFault) -> TraceEvent {
        let fields = UInt32(try cursor.byte()) | UInt32(try cursor.byte()) << 8
        if fields & ~IOTRAP_TRACE_F_ALL != 0 {
            throw TraceFault(reason: .field("fields", value: UInt64(fields)))
        }
        var event = last
        event.index &+= 1
        event.submitNanoseconds &+= UInt64(bitPattern: try cursor.signed())
        if fields & IOTRAP_TRACE_F_KIND != 0 { try Self.readKind(&cursor, &event) }
        if fields & IOTRAP_TRACE_F_THREAD != 0 { event.thread = try cursor.varint32() }
        if fields & IOTRAP_TRACE_F_FILE != 0 { event.file = try cursor.varint32() &- 1 }
        let slot = Int(event.file % IOTRAP_TRACE_OFFSET_SLOTS)
        event.offset = ends[slot]
        if fields & IOTRAP_TRACE_F_OFFSET != 0 {
            event.offset &+= UInt64(bitPattern: try cursor.signed())
        }
        if fields & IOTRAP_TRACE_F_LENGTH != 0 { event.length = try cursor.varint() }
        ends[slot] = event.end
        event.isComplete = fields & IOTRAP_TRACE_F_LATENCY != 0
        event.latencyNanoseconds = event.isComplete ? try cursor.varint() : 0
        event.result = event.predictedResult
        if fields & IOTRAP_TRACE_F_RESULT != 0 { event.result = try cursor.signed() }
        try readRest(fields, &cursor, &event)
        try EventRules.check(event, index: event.index)
        last = event
        return event
    }

    @inline(__always)
    private func readRest(
        _ fields: UInt32, _ cursor: inout PayloadCursor, _ event: inout TraceEvent
    ) throws(TraceFault) {
        if fields & IOTRAP_TRACE_F_BATCH != 0 {
            let batch = Int64(event.batch).addingReportingOverflow(try cursor.signed())
            guard let narrow = UInt32(exactly: batch.partialValue), !batch.overflow else {
                throw TraceFault(reason: .varint)
            }
            event.batch = narrow
        }
        if fields & IOTRAP_TRACE_F_DEPTH != 0 { event.depth = try cursor.varint32() }
        event.flags = fields & IOTRAP_TRACE_F_FLAGS != 0 ? try cursor.varint32() : 0
        event.after = try distance(fields & IOTRAP_TRACE_F_AFTER, &cursor, event)
        event.after2 = try distance(fields & IOTRAP_TRACE_F_AFTER2, &cursor, event)
        event.isAfterFile = fields & IOTRAP_TRACE_F_AFTER_FILE != 0
    }

    @inline(__always)
    private func distance(
        _ present: UInt32, _ cursor: inout PayloadCursor, _ event: TraceEvent
    ) throws(TraceFault) -> UInt32 {
        if present == 0 { return 0 }
        let value = try cursor.varint()
        // Itself, or before the first.
        guard let narrow = UInt32(exactly: value), value > 0, value <= event.index else {
            throw TraceFault(reason: .dependency(distance: value, index: event.index))
        }
        return narrow
    }

    private static func readKind(
        _ cursor: inout PayloadCursor, _ event: inout TraceEvent
    ) throws(TraceFault) {
        let call = try cursor.byte()
        let operation = try cursor.byte()
        guard let knownCall = TraceCall(rawValue: call) else {
            throw TraceFault(reason: .field("call", value: UInt64(call)))
        }
        guard let knownOperation = TraceOperation(rawValue: operation) else {
            throw TraceFault(reason: .field("operation", value: UInt64(operation)))
        }
        event.call = knownCall
        event.operation = knownOperation
    }
}
