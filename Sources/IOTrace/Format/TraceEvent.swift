/// What a program called: the interface of an event. Numbers as in `enum iotrap_trace_call`.
public enum TraceCall: UInt8, Sendable, CaseIterable {
    case other = 0
    case read, write, pread, pwrite, readv, writev
    /// preadv, preadv2
    case preadv
    /// pwritev, pwritev2
    case pwritev
    case fsync, fdatasync
    case syncFileRange
    /// sync, syncfs
    case sync
    /// truncate, ftruncate
    case truncate
    /// fallocate, posix_fallocate
    case allocate
    case open, close
    case ioSubmit
    case aioRead, aioWrite, aioFsync, lioListio
    case ioUring
    /// A request of a block device.
    case block

    /// The name in tables and CSV: that of the function where there is one.
    public var name: String {
        switch self {
        case .syncFileRange: "sync_file_range"
        case .allocate: "fallocate"
        case .ioSubmit: "io_submit"
        case .aioRead: "aio_read"
        case .aioWrite: "aio_write"
        case .aioFsync: "aio_fsync"
        case .lioListio: "lio_listio"
        case .ioUring: "io_uring"
        default: "\(self)"
        }
    }
}

/// What an event did. Numbers as in `enum iotrap_trace_operation`.
public enum TraceOperation: UInt8, Sendable, CaseIterable {
    case read = 0
    case write
    case fsync
    case fdatasync
    case syncFileRange
    /// Everything that is dirty, or (with a file) everything on its file system.
    case sync
    /// The offset is the new size in bytes, the length is 0.
    case truncate
    /// The flags are the mode of fallocate(2).
    case allocate
    case discard
    case open
    case close
    /// No I/O: what the event depends on made a transaction durable.
    case commit

    /// The name in tables, CSV and JSON.
    public var name: String { self == .syncFileRange ? "sync_file_range" : "\(self)" }

    /// Whether bytes move.
    public var movesData: Bool { self == .read || self == .write }

    /// Whether it makes earlier writes durable.
    public var isSync: Bool {
        switch self {
        case .fsync, .fdatasync, .syncFileRange, .sync: true
        default: false
        }
    }
}

/// One I/O request, from submission to completion.
public struct TraceEvent: Equatable, Sendable {
    /// The file of an event that has none.
    public static let noFile = UInt32.max

    /// Nanoseconds since the start of the trace.
    public var submitNanoseconds: UInt64 = 0
    /// Completion minus submission in nanoseconds; 0 when `isComplete` is false.
    public var latencyNanoseconds: UInt64 = 0
    /// Bytes from the start of the file; at most 2^63 - 1, as is the end of the event.
    public var offset: UInt64 = 0
    /// Bytes asked for.
    public var length: UInt64 = 0
    /// Bytes moved, 0 for other operations, or -errno; 0 when `isComplete` is false.
    public var result: Int64 = 0
    /// Number of the file in the table of the trace, or `noFile`.
    public var file: UInt32 = 0
    /// Number of the thread that submitted.
    public var thread: UInt32 = 0
    /// Requests of one submission share a number above 0; 0: submitted alone.
    public var batch: UInt32 = 0
    /// Requests in flight once this one was submitted, it included; 0: not known.
    public var depth: UInt32 = 0
    /// RWF_ flags, or the mode of fallocate(2).
    public var flags: UInt32 = 0
    /// An event that must be complete before this one is submitted, as the distance back in the
    /// events of the same stream: 1 is the one before. 0: none. Earlier by construction, so there
    /// are no cycles.
    public var after: UInt32 = 0
    /// A second one; 0: none.
    public var after2: UInt32 = 0
    /// What the program called.
    public var call = TraceCall.other
    /// What it did.
    public var operation = TraceOperation.read
    /// Whether all writes of its file that were submitted before it, in any stream, must be
    /// complete before this one is submitted.
    public var isAfterFile = false
    /// False: still in flight when the trace ended.
    public var isComplete = true
    /// The stream (writer) that it belongs to; set by the reader.
    public var stream: UInt32 = 0
    /// Events of the same stream before it; set by the reader.
    public var index: UInt64 = 0

    /// A complete read of nothing at the start of the trace.
    public init() {}

    /// Nanoseconds since the start of the trace; the submit time when `isComplete` is false.
    public var completeNanoseconds: UInt64 { submitNanoseconds &+ latencyNanoseconds }

    /// The first byte behind the event.
    public var end: UInt64 { offset &+ length }

    /// Whether the request ended with an error.
    public var isError: Bool { result < 0 }

    /// The result that needs no space in a trace: all bytes moved.
    @inline(__always)
    var predictedResult: Int64 {
        isComplete && operation.movesData ? Int64(truncatingIfNeeded: length) : 0
    }
}
