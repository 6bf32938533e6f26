import CIOTrap

/// One path of a mount pool: `struct iotrap_stats_path`. Transfers that were cut in pieces count
/// as several requests.
public struct PathTotals: Equatable, Sendable {
    /// The pool's name.
    public var pool: String
    /// The path as configured; one that lost its front does not begin with a slash.
    public var path: String
    /// How it is doing.
    public var state = PathState.unused
    /// Files open through it now.
    public var files: UInt64 = 0
    /// Reads and writes that ended on it.
    public var requests: UInt64 = 0
    /// Bytes read.
    public var readBytes: UInt64 = 0
    /// Bytes written.
    public var writeBytes: UInt64 = 0
    /// Syncs that ended on it.
    public var syncs: UInt64 = 0
    /// Requests and syncs that failed on it.
    public var errors: UInt64 = 0
    /// Of its requests, those sent again on another path.
    public var reissued: UInt64 = 0
    /// Times it was taken out.
    public var ejections: UInt64 = 0
    /// Times it came back.
    public var returns: UInt64 = 0
    /// Slow reads of it that were sent again on another path.
    public var hedges: UInt64 = 0
    /// Of these, those that the other path answered first.
    public var hedgesWon: UInt64 = 0
    /// Bytes in flight now.
    public var inFlightBytes: UInt64 = 0
    /// Bytes of bulk transfers that may be in flight; 0: no limit now.
    public var windowBytes: UInt64 = 0
    /// Estimate of what it carries a second, in bytes; 0: not known.
    public var rateBytes: UInt64 = 0
    /// Smoothed latency of a request; 0: not known.
    public var latencyNanoseconds: UInt64 = 0
    /// Latency of the requests that did not fail.
    public var latency = Histogram()

    /// A path on which nothing has happened yet.
    public init(pool: String, path: String) {
        self.pool = pool
        self.path = path
    }

    /// Bytes moved either way.
    public var bytes: UInt64 { saturatingSum(readBytes, writeBytes) }
}

extension PathTotals {
    /// Reads a record of `SegmentHeader.pathBytes` bytes from the file at `path`, and checks what
    /// is not a plain number. `index`: which one it is.
    init(
        validating record: UnsafeRawBufferPointer, index: Int, path: String
    ) throws(SegmentError) {
        typealias Layout = iotrap_stats_path
        let texts = (offsetOf(\Layout.pool), offsetOf(\Layout.path), offsetOf(\Layout.state))
        self.init(
            pool: try Self.text(
                record[texts.0..<texts.1], "length of the pool's name of path \(index)", path),
            path: try Self.text(
                record[texts.1..<texts.2], "length of the name of path \(index)", path))
        let state = record.load(fromByteOffset: texts.2, as: UInt32.self)
        guard let known = PathState(rawValue: Int(state)) else {
            throw SegmentError.damaged(
                path, "state of path \(index)", state, IOTRAP_PATH_EJECTED.rawValue)
        }
        self.state = known
        files = UInt64(record.load(fromByteOffset: offsetOf(\Layout.files), as: UInt32.self))
        let numbers = record.field(0)
        requests = numbers[\Layout.requests]
        readBytes = numbers[\Layout.read_bytes]
        writeBytes = numbers[\Layout.write_bytes]
        syncs = numbers[\Layout.syncs]
        errors = numbers[\Layout.errors]
        reissued = numbers[\Layout.reissued]
        ejections = numbers[\Layout.ejections]
        returns = numbers[\Layout.returns]
        hedges = numbers[\Layout.hedges]
        hedgesWon = numbers[\Layout.hedges_won]
        inFlightBytes = numbers[\Layout.in_flight_bytes]
        windowBytes = numbers[\Layout.window_bytes]
        rateBytes = numbers[\Layout.rate_bytes]
        latencyNanoseconds = numbers[\Layout.latency_ns]
        latency.add(record.field(offsetOf(\Layout.latency)))
    }

    /// The text of a field that has to end inside it.
    private static func text(
        _ field: Slice<UnsafeRawBufferPointer>, _ name: String, _ path: String
    ) throws(SegmentError) -> String {
        let text = field.prefix { $0 != 0 }
        if text.count == field.count {
            throw SegmentError.damaged(
                path, name, UInt32(field.count), UInt32(field.count - 1))
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// True for the same path of the same pool in another process.
    func isSamePath(as other: PathTotals) -> Bool {
        pool == other.pool && path == other.path
    }

    /// Adds the numbers of another process. Of what cannot be summed up the greater value stands:
    /// the worse state, the higher estimates.
    mutating func add(_ other: PathTotals) {
        if other.state.rawValue > state.rawValue { state = other.state }
        files = saturatingSum(files, other.files)
        requests = saturatingSum(requests, other.requests)
        readBytes = saturatingSum(readBytes, other.readBytes)
        writeBytes = saturatingSum(writeBytes, other.writeBytes)
        syncs = saturatingSum(syncs, other.syncs)
        errors = saturatingSum(errors, other.errors)
        reissued = saturatingSum(reissued, other.reissued)
        ejections = saturatingSum(ejections, other.ejections)
        returns = saturatingSum(returns, other.returns)
        hedges = saturatingSum(hedges, other.hedges)
        hedgesWon = saturatingSum(hedgesWon, other.hedgesWon)
        inFlightBytes = saturatingSum(inFlightBytes, other.inFlightBytes)
        windowBytes = max(windowBytes, other.windowBytes)
        rateBytes = max(rateBytes, other.rateBytes)
        latencyNanoseconds = max(latencyNanoseconds, other.latencyNanoseconds)
        latency.merge(other.latency)
    }
}
