import CIOTrap

/// What a segment says about its process: `struct iotrap_stats_header`, checked.
public struct SegmentHeader: Equatable, Sendable {
    /// The program's path, cut at the front when it is longer than 255 bytes.
    public var program: String
    /// The process ID.
    public var processID: Int32
    /// How far the library goes in this process.
    public var mode: Mode
    /// What became of io_uring.
    public var ring: RingState
    /// Why io_uring was refused; 0 otherwise.
    public var ringErrno: Int32
    /// The setting of each technique, by `Technique.rawValue`.
    public var settings: [Setting]
    /// The segment was asked to stay after the process.
    public var keep: Bool
    /// The process ended in an orderly way.
    public var ended: Bool
    /// Start in nanoseconds of CLOCK_REALTIME.
    public var startedRealtimeNanoseconds: UInt64
    /// Start in nanoseconds of CLOCK_MONOTONIC.
    public var startedNanoseconds: UInt64
    /// End in nanoseconds of CLOCK_MONOTONIC, 0 while running.
    public var endedNanoseconds: UInt64
    /// Threads that found no block, whose calls are in no number.
    public var threadsUncounted: UInt64
    /// Thread blocks in use.
    public var blockCount: Int
    /// Paths of mount pools that have a record.
    public var pathCount = 0
}

extension SegmentHeader {
    /// Bytes that a header of this version takes in the file, without the records of paths.
    public static let headerBytes = Int(IOTRAP_STATS_HEADER_BYTES)

    /// Bytes that the record of a path takes in the file.
    public static let pathBytes = MemoryLayout<iotrap_stats_path>.stride

    /// Bytes before the first block: the header and this many records of paths, in whole pages.
    public static func bytesBeforeBlocks(pathCount: Int) -> Int {
        (headerBytes + pathCount * pathBytes + 4095) & ~4095
    }

    /// Bytes before the first block of this segment.
    var bytesBeforeBlocks: Int { Self.bytesBeforeBlocks(pathCount: pathCount) }

    /// Bytes that a thread block of this version takes in the file: whole pages.
    public static let blockBytes = (MemoryLayout<iotrap_stats_block>.size + 4095) & ~4095

    /// Checks a header that was read from the file at `path`.
    ///
    /// `bytes` holds `headerBytes` bytes, aligned for 64-bit integers. Throws for anything that
    /// this version of the library never writes.
    init(validating bytes: UnsafeRawBufferPointer, path: String) throws(SegmentError) {
        let raw = bytes.load(as: iotrap_stats_header.self)
        if raw.magic == 0 { throw SegmentError(path: path, reason: .unfinished) }
        if raw.magic != IOTRAP_STATS_MAGIC {
            throw SegmentError(path: path, reason: .notASegment)
        }
        if raw.version != IOTRAP_STATS_VERSION {
            throw SegmentError(
                path: path, reason: .version(found: raw.version, expected: IOTRAP_STATS_VERSION))
        }
        try Self.checkLayout(raw, path: path)
        guard let mode = Mode(rawValue: Int(raw.mode)) else {
            throw SegmentError.damaged(path, "mode", raw.mode, IOTRAP_MODE_FORCE.rawValue)
        }
        guard let ring = RingState(rawValue: Int(raw.ring)) else {
            throw SegmentError.damaged(path, "ring", raw.ring, IOTRAP_RING_REFUSED.rawValue)
        }
        self.init(
            program: Self.program(in: bytes), processID: Int32(raw.process_id), mode: mode,
            ring: ring, ringErrno: Int32(raw.ring_errno),
            settings: try Self.settings(in: bytes, path: path),
            keep: raw.flags & IOTRAP_STATS_FLAG_KEEP != 0,
            ended: raw.flags & IOTRAP_STATS_FLAG_ENDED != 0,
            startedRealtimeNanoseconds: raw.started_realtime_ns,
            startedNanoseconds: raw.started_ns, endedNanoseconds: raw.ended_ns,
            threadsUncounted: raw.threads_uncounted, blockCount: Int(raw.block_count),
            pathCount: Int(raw.path_count))
    }

    /// Checks the fields that say where things are, and those that have a limit.
    private static func checkLayout(
        _ raw: iotrap_stats_header, path: String
    ) throws(SegmentError) {
        // Before header_bytes, which follows from it.
        if raw.path_count > IOTRAP_STATS_PATHS_MAX {
            throw SegmentError.damaged(path, "path_count", raw.path_count, IOTRAP_STATS_PATHS_MAX)
        }
        let headerBytes = UInt32(bytesBeforeBlocks(pathCount: Int(raw.path_count)))
        for (name, found, expected) in [
            ("path_bytes", raw.path_bytes, UInt32(pathBytes)),
            ("header_bytes", raw.header_bytes, headerBytes),
            ("block_bytes", raw.block_bytes, UInt32(blockBytes)),
            ("operation_count", raw.operation_count, IOTRAP_OP_COUNT.rawValue),
            ("technique_count", raw.technique_count, IOTRAP_TECHNIQUE_COUNT.rawValue),
            ("reason_count", raw.reason_count, IOTRAP_REASON_COUNT.rawValue),
            ("bucket_count", raw.bucket_count, IOTRAP_STATS_BUCKETS),
        ] where found != expected {
            throw SegmentError.damaged(path, name, found, expected)
        }
        // Limits, named by the largest value that is allowed.
        for (name, found, limit) in [
            ("block_count", raw.block_count, IOTRAP_STATS_BLOCKS_MAX),
            ("process_id", raw.process_id, UInt32(Int32.max)),
            ("ring_errno", raw.ring_errno, 4095),
        ] where found > limit {
            throw SegmentError.damaged(path, name, found, limit)
        }
    }

    /// The program's path up to its NUL, or all of the field when a hostile writer left none.
    private static func program(in bytes: UnsafeRawBufferPointer) -> String {
        let start = MemoryLayout<iotrap_stats_header>.offset(of: \.program)!
        let field = bytes[start..<MemoryLayout<iotrap_stats_header>.size].prefix(256)
        return String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func settings(
        in bytes: UnsafeRawBufferPointer, path: String
    ) throws(SegmentError) -> [Setting] {
        let start = MemoryLayout<iotrap_stats_header>.offset(of: \.technique_settings)!
        var settings: [Setting] = []
        for technique in Technique.allCases {
            let value = bytes[start + technique.rawValue]
            guard let setting = Setting(rawValue: Int(value)) else {
                throw SegmentError.damaged(
                    path, "setting of " + technique.name, UInt32(value),
                    IOTRAP_SETTING_AUTO.rawValue)
            }
            settings.append(setting)
        }
        return settings
    }
}

extension SegmentError {
    /// A field with a value that this version never writes.
    static func damaged(
        _ path: String, _ field: String, _ found: UInt32, _ expected: UInt32
    ) -> SegmentError {
        SegmentError(
            path: path, reason: .field(field, found: UInt64(found), expected: UInt64(expected)))
    }
}
