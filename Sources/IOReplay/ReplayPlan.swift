import CIOReplay
import CIOTrap
import IOTrace

/// What a trace needs, found by reading all of it before anything is touched.
package struct ReplayPlan {
    /// What one path of the trace needs.
    struct Content {
        let path: String
        /// Bytes that must be there before the start.
        var preparedBytes: UInt64 = 0
        /// The first byte that no event reaches.
        var end: UInt64 = 0
        /// Bytes of the file before the start.
        var sizeBytes: UInt64 = 0
    }

    /// The trace.
    let path: String
    /// The file table; nil where no event uses an entry.
    private(set) var files: [TraceFile?] = []
    /// For each file, the number of its content.
    private(set) var contentOfFile: [Int] = []
    /// The distinct paths.
    private(set) var contents: [Content] = []
    /// Recorded threads in the order in which they appear.
    private(set) var sources: [UInt32: UInt16] = [:]
    /// Events that are replayed.
    package private(set) var eventCount: UInt64 = 0
    /// Events of the trace when it was read; it may be longer by now.
    private(set) var readCount: UInt64 = 0
    /// What each content, and each recorded thread, weighs when a trace is shared out.
    private(set) var contentWeights: [UInt64] = []
    private(set) var sourceWeights: [UInt64] = []
    /// What this rank replays; nil: all.
    private(set) var share: RankShare?
    /// By content: whether several ranks write it.
    private(set) var isWrittenByOthers: [Bool] = []
    /// The longest read or write, as it will be made.
    private(set) var lengthMax: UInt64 = 0
    /// The largest depth of one thread; 0 if it has to be found out.
    private(set) var depthMax: UInt32 = 0
    /// Whether some depth has to be found out from times.
    private(set) var hasUnknownDepth = false
    /// The submit time of the first event.
    private(set) var firstNanoseconds: UInt64 = .max
    /// Whether the events come in the order of their times.
    let isOrdered: Bool
    /// A block under verification: 4096, or 512 if that fits the trace better.
    private(set) var verifyBlock: UInt32 = 4096
    /// Something to know about the trace; nil if it is complete.
    package private(set) var warning: String?

    /// What events ask of an entry of the file table.
    private struct Use {
        var isUsed = false
        var end: UInt64 = 0
        var readEnd: UInt64 = 0
        var weight: UInt64 = 0
        /// Whether a rank that replays none of the writes here makes some.
        var hasForeignWrites = false
    }

    private var uses: [Use] = []
    private var lastThread: (number: UInt32, source: Int)?
    private var history: StreamHistory
    /// What a request weighs beside its bytes.
    private static let requestWeight: UInt64 = 16384

    /// Reads a trace to its end; once more for the share of a rank.
    ///
    /// - Throws: the error of the trace, or that no event can be replayed.
    package init(trace path: String, rank: ReplayRank? = nil) throws(ReplayError) {
        let whole = try ReplayPlan(path, nil, firstNanoseconds: .max)
        if whole.eventCount == 0 {
            throw ReplayError("\(path): holds no event; record or generate a longer trace")
        }
        guard let rank, rank.count > 1 else {
            self = whole
            return
        }
        let share = RankShare(whole, rank)
        self = try ReplayPlan(path, share, firstNanoseconds: whole.firstNanoseconds)
        adopt(whole)
    }

    private init(
        _ path: String, _ share: RankShare?, firstNanoseconds: UInt64
    ) throws(ReplayError) {
        self.path = path
        self.share = share
        self.firstNanoseconds = firstNanoseconds
        // Events of a stream are read in their order, whatever the order of the replay.
        history = StreamHistory()
        do throws(TraceError) {
            var reader = try TraceReader(path: path)
            isOrdered = reader.header.isOrdered
            while let event = try reader.next() { take(event) }
            for number in 0..<reader.fileCount {
                let file = reader.file(UInt32(number))
                files.append(number < uses.count && uses[number].isUsed ? file : nil)
            }
            note(reader.end, reader.totals)
        } catch {
            throw ReplayError(error.description)
        }
        if sources.count > Int(IOTRAP_REPLAY_SOURCES_MAX) {
            throw ReplayError(
                "\(path): has \(sources.count) threads, over \(IOTRAP_REPLAY_SOURCES_MAX); "
                    + "replay a part of it")
        }
        gatherContents()
    }

    private mutating func take(_ event: TraceEvent) {
        readCount += 1
        if let share {
            if !share.isOwn(event, history) {
                if event.operation == .write && share.rank.share == .thread {
                    use(of: event.file) { $0.hasForeignWrites = true }
                }
                return
            }
            history.append(event)
        }
        eventCount += 1
        firstNanoseconds = min(firstNanoseconds, event.submitNanoseconds)
        let weight = event.operation.movesData ? event.length &+ Self.requestWeight : 0
        sourceWeights[source(of: event.thread)] &+= weight
        if ReplayDepth.isSynchronous(event.call) {
            depthMax = max(depthMax, 1)
        } else if event.depth == 0 {
            hasUnknownDepth = true
        } else {
            depthMax = max(depthMax, event.depth)
        }
        guard event.file != TraceEvent.noFile else { return }
        use(of: event.file) { use in
            use.isUsed = true
            use.weight &+= weight
        }
        guard event.operation.movesData, !event.isError else { return }
        lengthMax = max(lengthMax, min(event.length, UInt64(IOTRAP_REPLAY_LENGTH_MAX)))
        use(of: event.file) { use in
            use.end = max(use.end, event.end)
            if event.operation == .write { return }
            // A read at the end of a file found less than it asked for.
            let moved = event.isComplete ? UInt64(max(0, event.result)) : event.length
            let found = event.offset &+ min(event.length, moved)
            if moved > 0 { use.readEnd = max(use.readEnd, found) }
        }
        if (event.offset | event.length) & 4095 != 0 && (event.offset | event.length) & 511 == 0 {
            verifyBlock = 512
        }
    }

    @inline(__always)
    private mutating func use(of file: UInt32, _ change: (inout Use) -> Void) {
        while uses.count <= Int(file) { uses.append(Use()) }
        change(&uses[Int(file)])
    }

    private mutating func source(of thread: UInt32) -> Int {
        if let lastThread, lastThread.number == thread { return lastThread.source }
        let source = sources[thread].map(Int.init) ?? sourceWeights.count
        if source == sourceWeights.count {
            sources[thread] = UInt16(truncatingIfNeeded: source)
            sourceWeights.append(0)
        }
        lastThread = (thread, source)
        return source
    }

    /// Files that ranks share are prepared alike by all of them.
    private mutating func adopt(_ whole: ReplayPlan) {
        var isForeign = [Bool](repeating: false, count: whole.contents.count)
        for (file, use) in uses.enumerated() where use.hasForeignWrites {
            isForeign[whole.contentOfFile[file]] = true
        }
        for (file, entry) in files.enumerated() where entry != nil {
            let number = whole.contentOfFile[file]
            contents[contentOfFile[file]] = whole.contents[number]
            isWrittenByOthers[contentOfFile[file]] = isForeign[number]
        }
    }

    private mutating func note(_ end: TraceReader.End, _ totals: TraceTotals) {
        switch end {
        case .torn(let offset, let bytes):
            warning =
                "\(path): ends within a chunk at byte \(offset); \(bytes) bytes are left out"
        case .unfinished: warning = "\(path): has no end; its writer goes on or was killed"
        case .complete where totals.dropped > 0:
            warning = "\(path): \(totals.dropped) events were dropped when it was written"
        default: break
        }
    }

    private mutating func gatherContents() {
        var numbers: [String: Int] = [:]
        contentOfFile = [Int](repeating: 0, count: files.count)
        for (index, file) in files.enumerated() {
            guard let file else { continue }
            let number = numbers[file.path] ?? contents.count
            if number == contents.count {
                contents.append(Content(path: file.path))
                contentWeights.append(0)
                numbers[file.path] = number
            }
            contentOfFile[index] = number
            let size = max(file.sizeBytes ?? 0, uses[index].readEnd)
            contents[number].sizeBytes = max(contents[number].sizeBytes, size)
            contents[number].end = max(contents[number].end, uses[index].end)
            contentWeights[number] &+= uses[index].weight
        }
        isWrittenByOthers = [Bool](repeating: false, count: contents.count)
        for index in contents.indices {
            contents[index].preparedBytes = min(contents[index].sizeBytes, contents[index].end)
        }
    }

    /// Bytes that the files will take, of which parts may be there already.
    var bytesNeeded: UInt64 {
        contents.reduce(0) { sum, content in
            // What is written behind the prepared part needs space as well.
            let (next, isTooMuch) = sum.addingReportingOverflow(content.end)
            return isTooMuch ? .max : next
        }
    }
}

/// How many requests of one thread may be in flight.
enum ReplayDepth {
    /// Whether the caller waits inside the call.
    static func isSynchronous(_ call: TraceCall) -> Bool {
        switch call {
        case .ioSubmit, .aioRead, .aioWrite, .aioFsync, .lioListio, .ioUring, .block, .other: false
        default: true
        }
    }
}
