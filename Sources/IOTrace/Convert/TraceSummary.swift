/// What is in a trace, in numbers.
public struct TraceSummary: Sendable {
    /// Of one operation.
    public struct Operation: Sendable {
        /// Requests.
        public internal(set) var events: UInt64 = 0
        /// Bytes asked for.
        public internal(set) var bytes: UInt64 = 0
        /// Requests that ended with an error.
        public internal(set) var errors: UInt64 = 0
        /// Requests that never completed.
        public internal(set) var incomplete: UInt64 = 0
        /// Latencies of those that did.
        public internal(set) var latency = LatencyCounts()
    }

    /// Of one entry of the file table.
    public struct File: Sendable {
        /// Requests.
        public internal(set) var events: UInt64 = 0
        /// Bytes asked for by reads.
        public internal(set) var readBytes: UInt64 = 0
        /// Bytes asked for by writes.
        public internal(set) var writeBytes: UInt64 = 0
        /// The first byte behind everything that was read or written.
        public internal(set) var reachBytes: UInt64 = 0
    }

    /// The file.
    public let path: String
    /// What it says about itself.
    public let header: TraceHeader
    /// Its pairs of keys and values.
    public private(set) var metadata: [String: String] = [:]
    /// How far it goes.
    public private(set) var end = TraceReader.End.unread
    /// Sums over all of it.
    public private(set) var totals = TraceTotals()
    /// Bytes of the file.
    public private(set) var fileBytes: UInt64 = 0
    /// By operation; those that do not occur have no events.
    public private(set) var operations: [Operation]
    /// The file table, and what was done to each entry.
    public private(set) var files: [(file: TraceFile?, use: File)] = []
    /// Threads, at most 65536 of them.
    public private(set) var threads: Set<UInt32> = []
    /// Submissions of several requests.
    public private(set) var batches: UInt64 = 0
    /// Events that wait for others.
    public private(set) var dependent: UInt64 = 0
    /// The largest depth.
    public private(set) var depthMax: UInt32 = 0
    /// The submit times of the first and the last event in nanoseconds.
    public private(set) var firstNanoseconds = UInt64.max
    /// The last completion in nanoseconds.
    public private(set) var lastNanoseconds: UInt64 = 0

    /// Reads a trace to its end. Throws what `TraceReader` throws.
    public init(of path: String) throws(TraceError) {
        var reader = try TraceReader(path: path)
        self.path = path
        header = reader.header
        operations = Array(repeating: Operation(), count: TraceOperation.allCases.count)
        var lastBatch: UInt32 = 0
        while let event = try reader.next() {
            add(event)
            if event.batch != lastBatch && event.batch != 0 { batches += 1 }
            lastBatch = event.batch
        }
        metadata = reader.metadata
        end = reader.end
        totals = reader.totals
        fileBytes = reader.progress.all
        grow(reader.fileCount)
        for index in files.indices { files[index].file = reader.file(UInt32(index)) }
        if totals.events == 0 { firstNanoseconds = 0 }
    }

    /// From the first submission to the last completion.
    public var durationNanoseconds: UInt64 {
        lastNanoseconds > firstNanoseconds ? lastNanoseconds - firstNanoseconds : 0
    }

    /// Bytes that an event takes in the file.
    public var bytesPerEvent: Double {
        totals.events == 0 ? 0 : Double(fileBytes) / Double(totals.events)
    }

    private mutating func grow(_ count: Int) {
        while files.count < count { files.append((nil, File())) }
    }

    private mutating func add(_ event: TraceEvent) {
        let index = Int(event.operation.rawValue)
        operations[index].events += 1
        let bytes = event.operation.movesData ? event.length : 0
        operations[index].bytes = operations[index].bytes &+ bytes
        if event.isError { operations[index].errors += 1 }
        if event.isComplete {
            operations[index].latency.add(event.latencyNanoseconds)
        } else {
            operations[index].incomplete += 1
        }
        firstNanoseconds = min(firstNanoseconds, event.submitNanoseconds)
        lastNanoseconds = max(lastNanoseconds, event.completeNanoseconds)
        if threads.count < 65536 { threads.insert(event.thread) }
        depthMax = max(depthMax, event.depth)
        if event.after > 0 || event.after2 > 0 || event.isAfterFile { dependent += 1 }
        if event.file == TraceEvent.noFile { return }
        grow(Int(event.file) + 1)
        let file = Int(event.file)
        files[file].use.events += 1
        guard event.operation.movesData else { return }
        files[file].use.reachBytes = max(files[file].use.reachBytes, event.end)
        if event.operation == .read {
            files[file].use.readBytes = files[file].use.readBytes &+ bytes
        } else {
            files[file].use.writeBytes = files[file].use.writeBytes &+ bytes
        }
    }
}

/// How often latencies occur, in classes that are an eighth of a power of two wide.
public struct LatencyCounts: Sendable {
    private var counts: [UInt64] = []
    /// All of them.
    public private(set) var count: UInt64 = 0
    /// The largest, in nanoseconds.
    public private(set) var maxNanoseconds: UInt64 = 0

    mutating func add(_ nanoseconds: UInt64) {
        if counts.isEmpty { counts = Array(repeating: 0, count: 512) }
        counts[Self.index(nanoseconds)] += 1
        count += 1
        maxNanoseconds = max(maxNanoseconds, nanoseconds)
    }

    /// The latency in nanoseconds that a share of all (0 to 1) do not exceed, to 12 %; 0 of none.
    public func percentile(_ share: Double) -> UInt64 {
        var left = UInt64((Double(count) * share).rounded(.up))
        for (index, count) in counts.enumerated() {
            if count >= left { return min(Self.upperBound(index), maxNanoseconds) }
            left -= count
        }
        return maxNanoseconds
    }

    private static func index(_ value: UInt64) -> Int {
        if value < 8 { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return (exponent - 2) * 8 + Int((value >> (UInt64(exponent) - 3)) & 7)
    }

    private static func upperBound(_ index: Int) -> UInt64 {
        if index < 8 { return UInt64(index) }
        let exponent = UInt64(index / 8 + 2)
        return (UInt64(8 + index % 8 + 1) << (exponent - 3)) &- 1
    }
}
