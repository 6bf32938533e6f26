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
        /// Where reads ended that found something.
        var readEnd: UInt64 = 0
        /// The same without what had been written before, in the order of the trace.
        var unwrittenEnd: UInt64 = 0
        /// Where the file ended for what was written to it so far.
        var writtenEnd: UInt64 = 0
        /// A read found less than it asked for: the file must be no longer than it was.
        var hasEnded = false
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

    private var numbers: [String: Int] = [:]
    private var isUsed: [Bool] = []
    /// Entries of the file table that events of other ranks write.
    private var foreignFiles: Set<Int> = []
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
            while let event = try reader.next() { take(event, reader.file(event.file)) }
            for number in 0..<reader.fileCount {
                let file = reader.file(UInt32(number))
                files.append(number < isUsed.count && isUsed[number] ? file : nil)
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

    private mutating func take(_ event: TraceEvent, _ file: TraceFile?) {
        readCount += 1
        if let share {
            if !share.isOwn(event, history) {
                if event.operation == .write { foreignFiles.insert(Int(event.file)) }
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
        guard event.file != TraceEvent.noFile, let file else { return }
        let content = use(file, Int(event.file))
        contentWeights[content] &+= weight
        guard !event.isError else { return }
        if event.operation == .truncate { contents[content].writtenEnd = event.offset }
        guard event.operation.movesData else { return }
        lengthMax = max(lengthMax, min(event.length, UInt64(IOTRAP_REPLAY_LENGTH_MAX)))
        note(event, &contents[content])
        if (event.offset | event.length) & 4095 != 0 && (event.offset | event.length) & 511 == 0 {
            verifyBlock = 512
        }
    }

    /// The content of a file that an event uses.
    private mutating func use(_ file: TraceFile, _ number: Int) -> Int {
        while isUsed.count <= number {
            isUsed.append(false)
            contentOfFile.append(0)
        }
        if isUsed[number] { return contentOfFile[number] }
        isUsed[number] = true
        let content = numbers[file.path] ?? contents.count
        if content == contents.count {
            contents.append(Content(path: file.path))
            contentWeights.append(0)
            numbers[file.path] = content
        }
        contentOfFile[number] = content
        contents[content].sizeBytes = max(contents[content].sizeBytes, file.sizeBytes ?? 0)
        return content
    }

    /// What a read or a write says of how long its file was.
    private func note(_ event: TraceEvent, _ content: inout Content) {
        content.end = max(content.end, event.end)
        if event.operation == .write {
            content.writtenEnd = max(content.writtenEnd, event.end)
            return
        }
        // A read at the end of a file found less than it asked for.
        let moved = event.isComplete ? UInt64(max(0, event.result)) : event.length
        if moved < event.length { content.hasEnded = true }
        guard moved > 0 else { return }
        let found = event.offset &+ min(event.length, moved)
        content.readEnd = max(content.readEnd, found)
        if found > content.writtenEnd { content.unwrittenEnd = max(content.unwrittenEnd, found) }
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
        for file in foreignFiles { isForeign[whole.contentOfFile[file]] = true }
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
        contentOfFile += [Int](repeating: 0, count: files.count - contentOfFile.count)
        for index in contents.indices {
            // In the order of another trace nobody knows what was there when it was read.
            let isExact = isOrdered && contents[index].hasEnded
            let read = isExact ? contents[index].unwrittenEnd : contents[index].readEnd
            contents[index].sizeBytes = max(contents[index].sizeBytes, read)
            contents[index].preparedBytes = min(contents[index].sizeBytes, contents[index].end)
        }
        isWrittenByOthers = [Bool](repeating: false, count: contents.count)
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
