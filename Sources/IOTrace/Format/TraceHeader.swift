import CIOTrap

/// What a trace file says about itself at its start.
public struct TraceHeader: Equatable, Sendable {
    /// Whether submit times never fall, in the order of the file.
    public var isOrdered = false
    /// Whether it was made from a profile.
    public var isGenerated = false
    /// Whether paths are hashes.
    public var isAnonymised = false
    /// The process that was recorded; 0: none.
    public var processID: UInt32 = 0
    /// Nanoseconds since 1970 of the start of the trace; 0: not known.
    public var startedRealtimeNanoseconds: UInt64 = 0

    /// Bytes in the file.
    static let byteCount = MemoryLayout<iotrap_trace_header>.size

    /// A header that says nothing.
    public init() {}

    /// Checks the first bytes of a file; `bytes` may be fewer than a header has.
    init(validating bytes: UnsafeRawBufferPointer) throws(TraceFault) {
        if bytes.isEmpty { throw TraceFault(reason: .empty) }
        let magic = withUnsafeBytes(of: IOTRAP_TRACE_MAGIC.littleEndian) { Array($0) }
        let part = withUnsafeBytes(of: IOTRAP_RECORDING_PART_MAGIC.littleEndian) { Array($0) }
        if bytes.starts(with: part) {
            throw TraceFault(
                reason: .recording(
                    "is a part of a recording",
                    remedy: "iotrap trace finish FILE makes a trace of FILE.parts"))
        }
        if !magic.starts(with: bytes.prefix(magic.count)) {
            throw TraceFault(reason: .notATrace)
        }
        guard bytes.count >= Self.byteCount else {
            throw TraceFault(reason: .truncatedHeader(bytes: UInt64(bytes.count)))
        }
        let header = bytes.loadUnaligned(as: iotrap_trace_header.self)
        // The version first: a later one may have another checksum.
        if header.version > IOTRAP_TRACE_VERSION {
            throw TraceFault(reason: .version(found: header.version))
        }
        let covered = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.byteCount - 4)])
        if CRC32C.checksum(covered) != header.crc32c {
            throw TraceFault(reason: .checksum(.header))
        }
        if header.version == 0 { throw TraceFault(reason: .field("version", value: 0)) }
        if header.header_bytes != Self.byteCount {
            throw TraceFault(reason: .field("header_bytes", value: UInt64(header.header_bytes)))
        }
        let known = IOTRAP_TRACE_ORDERED | IOTRAP_TRACE_GENERATED | IOTRAP_TRACE_ANONYMISED
        let reserved = header.reserved.0 | header.reserved.1 | header.reserved.2
        if header.flags & ~known != 0 || reserved != 0 || header.reserved2 != 0 {
            throw TraceFault(reason: .field("flags", value: UInt64(header.flags)))
        }
        isOrdered = header.flags & IOTRAP_TRACE_ORDERED != 0
        isGenerated = header.flags & IOTRAP_TRACE_GENERATED != 0
        isAnonymised = header.flags & IOTRAP_TRACE_ANONYMISED != 0
        processID = header.process_id
        startedRealtimeNanoseconds = header.started_realtime_ns
    }

    /// As it is written.
    var bytes: [UInt8] {
        var header = iotrap_trace_header()
        header.magic = IOTRAP_TRACE_MAGIC
        header.version = IOTRAP_TRACE_VERSION
        header.header_bytes = UInt32(Self.byteCount)
        header.flags |= isOrdered ? IOTRAP_TRACE_ORDERED : 0
        header.flags |= isGenerated ? IOTRAP_TRACE_GENERATED : 0
        header.flags |= isAnonymised ? IOTRAP_TRACE_ANONYMISED : 0
        header.process_id = processID
        header.started_realtime_ns = startedRealtimeNanoseconds
        header.crc32c = withUnsafeBytes(of: header) {
            CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0.dropLast(4)))
        }
        return withUnsafeBytes(of: header) { Array($0) }
    }
}
