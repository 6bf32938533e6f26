import CIOTrap

/// A record, as a recorded process wrote it.
struct RawRecord {
    enum Kind {
        case event
        case submit
        case done
        /// An event at a file position, with the position's number for its offset.
        case moved
        /// Where a file position is.
        case position
    }

    var kind = Kind.event
    /// Nanoseconds since the start of the recording: of the submission, or of the end.
    var time: UInt64 = 0
    var thread: UInt32 = 0
    var call: UInt8 = 0
    var operation: UInt8 = 0
    /// Number in its process, nil: none.
    var file: UInt32?
    var offset: UInt64 = 0
    var length: UInt64 = 0
    var flags: UInt32 = 0
    var latency: UInt64 = 0
    var result: Int64 = 0
    var batch: UInt32 = 0
    var key: UInt64 = 0
    /// An event whose offset may be that of another.
    var isAssumed = false
}

/// A file, as a recorded process named it.
struct RawFile {
    var path: [UInt8]
    var openFlags: UInt32
    var mode: UInt32
    var sizeBytes: UInt64?
}

/// Reads the records of a chunk.
struct RecordDecoder {
    private var cursor: PayloadCursor
    private var time: UInt64
    private var thread: UInt32 = 0

    init(_ payload: UnsafeRawBufferPointer, baseNanoseconds: UInt64) {
        cursor = PayloadCursor(payload)
        time = baseNanoseconds
    }

    /// The next record; nil at the end.
    ///
    /// - Parameter name: gets the files that are named on the way.
    mutating func next(_ name: (UInt32, RawFile) -> Void) throws(TraceFault) -> RawRecord? {
        while !cursor.isAtEnd {
            let kind = UInt32(try cursor.byte())
            switch kind {
            case IOTRAP_RECORD_THREAD.rawValue: thread = try cursor.varint32()
            case IOTRAP_RECORD_FILE.rawValue:
                let (number, file) = try file()
                name(number, file)
            case IOTRAP_RECORD_EVENT.rawValue: return try request(.event)
            case IOTRAP_RECORD_SUBMIT.rawValue: return try request(.submit)
            case IOTRAP_RECORD_MOVED.rawValue: return try request(.moved)
            case IOTRAP_RECORD_POSITION.rawValue: return try request(.position)
            case IOTRAP_RECORD_ASSUMED.rawValue:
                var record = try request(.event)
                record.isAssumed = true
                return record
            case IOTRAP_RECORD_DONE.rawValue:
                var record = RawRecord(kind: .done)
                try advance()
                record.time = time
                record.thread = thread
                record.key = try cursor.varint()
                record.result = try cursor.signed()
                return record
            default: throw TraceFault(reason: .field("record", value: UInt64(kind)))
            }
        }
        return nil
    }

    private mutating func request(_ kind: RawRecord.Kind) throws(TraceFault) -> RawRecord {
        var record = RawRecord(kind: kind)
        record.call = try cursor.byte()
        record.operation = try cursor.byte()
        try advance()
        record.time = time
        record.thread = thread
        let file = try cursor.varint32()
        record.file = file == 0 ? nil : file - 1
        record.offset = try cursor.varint()
        record.length = try cursor.varint()
        record.flags = try cursor.varint32()
        if kind != .submit {
            record.latency = try cursor.varint()
            record.result = try cursor.signed()
        } else {
            record.batch = try cursor.varint32()
            record.key = try cursor.varint()
        }
        return record
    }

    private mutating func advance() throws(TraceFault) {
        time = UInt64(bitPattern: Int64(bitPattern: time) &+ (try cursor.signed()))
        if time > UInt64(Int64.max) { throw TraceFault(reason: .time) }
    }

    private mutating func file() throws(TraceFault) -> (UInt32, RawFile) {
        let number = try cursor.varint32()
        let flags = try cursor.varint()
        let openFlags = try cursor.varint32()
        let mode = try cursor.varint32()
        let size = try cursor.varint()
        let path = try cursor.counted(limit: UInt64(IOTRAP_TRACE_PATH_BYTES_MAX) + 1, "path bytes")
        let isSized = flags & UInt64(IOTRAP_TRACE_FILE_SIZE_KNOWN) != 0
        return (
            number,
            RawFile(
                path: Array(path), openFlags: openFlags, mode: mode,
                sizeBytes: isSized ? min(size, UInt64(Int64.max)) : nil)
        )
    }
}
