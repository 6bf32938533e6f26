import CIOTrap

/// What stands before a payload.
struct ChunkHeader: Equatable {
    enum Kind: UInt8 {
        case events = 1
        case files
        case metadata
        case end
    }

    /// Bytes in the file.
    static let byteCount = MemoryLayout<iotrap_trace_chunk>.size
    /// Kinds from here on may be passed over.
    static let firstOptionalKind: UInt8 = 128

    var kind: UInt8
    var codec: TraceCodec = .raw
    var storedBytes: UInt32 = 0
    var rawBytes: UInt32 = 0
    var recordCount: UInt32 = 0
    var stream: UInt32 = 0
    var baseNanoseconds: UInt64 = 0
    var firstEvent: UInt64 = 0
    var payloadChecksum: UInt32 = 0

    init(kind: Kind) {
        self.kind = kind.rawValue
    }

    /// Checks a header; nil when all of it is zero, as what a crashed file system may leave.
    init?(validating bytes: UnsafeRawBufferPointer) throws(TraceFault) {
        let header = bytes.loadUnaligned(as: iotrap_trace_chunk.self)
        let covered = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.byteCount - 4)])
        if header.crc32c == 0 && bytes.prefix(Self.byteCount).allSatisfy({ $0 == 0 }) {
            return nil
        }
        if CRC32C.checksum(covered) != header.crc32c {
            throw TraceFault(reason: .checksum(.chunkHeader))
        }
        try Self.check(header)
        guard let codec = TraceCodec(rawValue: header.codec) else {
            throw TraceFault(reason: .field("codec", value: UInt64(header.codec)))
        }
        kind = header.kind
        self.codec = codec
        storedBytes = header.stored_bytes
        rawBytes = header.raw_bytes
        recordCount = header.record_count
        stream = header.stream
        baseNanoseconds = header.base_ns
        firstEvent = header.first_event
        payloadChecksum = header.payload_crc32c
    }

    private static func check(_ header: iotrap_trace_chunk) throws(TraceFault) {
        if header.magic != IOTRAP_TRACE_CHUNK_MAGIC {
            throw TraceFault(reason: .field("magic", value: UInt64(header.magic)))
        }
        if Kind(rawValue: header.kind) == nil && header.kind < firstOptionalKind {
            throw TraceFault(reason: .field("kind", value: UInt64(header.kind)))
        }
        if header.reserved != 0 {
            throw TraceFault(reason: .field("reserved", value: UInt64(header.reserved)))
        }
        let limit = IOTRAP_TRACE_CHUNK_BYTES_MAX
        for (name, value) in [("stored", header.stored_bytes), ("raw", header.raw_bytes)]
        where value > limit {
            throw TraceFault(
                reason: .tooLarge("\(name)_bytes", value: UInt64(value), limit: UInt64(limit)))
        }
        if header.codec == TraceCodec.raw.rawValue && header.stored_bytes != header.raw_bytes {
            throw TraceFault(reason: .field("raw_bytes", value: UInt64(header.raw_bytes)))
        }
        // A record has at least one byte.
        if header.record_count > header.raw_bytes {
            throw TraceFault(reason: .field("record_count", value: UInt64(header.record_count)))
        }
        if header.base_ns > Int64.max { throw TraceFault(reason: .time) }
        if header.first_event > Int64.max {
            throw TraceFault(reason: .field("first_event", value: header.first_event))
        }
    }

    /// As it is written.
    var bytes: [UInt8] {
        var header = iotrap_trace_chunk()
        header.magic = IOTRAP_TRACE_CHUNK_MAGIC
        header.kind = kind
        header.codec = codec.rawValue
        header.stored_bytes = storedBytes
        header.raw_bytes = rawBytes
        header.record_count = recordCount
        header.stream = stream
        header.base_ns = baseNanoseconds
        header.first_event = firstEvent
        header.payload_crc32c = payloadChecksum
        header.crc32c = withUnsafeBytes(of: header) {
            CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0.dropLast(4)))
        }
        return withUnsafeBytes(of: header) { Array($0) }
    }
}
