import CIOTrap

/// Makes the events of a trace from records in the order of time: joins requests with their ends,
/// numbers files and threads, and finds depths.
struct RecordingAssembly: ~Copyable {
    /// A request that has not ended.
    private struct Pending: Hashable {
        var process: Int
        var key: UInt64
    }

    private struct Waiting {
        var event: TraceEvent
        var isReady: Bool
        var content: Int?
    }

    private var writer: TraceWriter
    private var files: RecordedFileTable
    private var threads: [UInt64: UInt32] = [:]
    private var depths: [DepthCounter] = []
    private var batches: [UInt64: (local: UInt32, number: UInt32)] = [:]
    private var batchCount: UInt32 = 0
    /// Events from the number `first` on, in the order of submission; those that are not ready wait
    /// for their end.
    private var queue: [Waiting] = []
    private var head = 0
    private var first: UInt64 = 0
    private var pending: [Pending: [UInt64]] = [:]

    /// Events that wait at most; the oldest is then taken to have never completed.
    private static let waitingMax = 1 << 20

    init(_ writer: consuming TraceWriter, hash: PathHash?) throws(TraceError) {
        self.writer = writer
        files = RecordedFileTable(hash: hash)
    }

    mutating func take(
        _ record: RawRecord, process: Int, stream: UInt32, files named: [UInt32: RawFile]
    ) throws(TraceError) {
        if record.kind == .done {
            try end(record, process)
            return
        }
        assert(record.kind != .moved && record.kind != .position)
        guard let call = TraceCall(rawValue: record.call),
            let operation = TraceOperation(rawValue: record.operation)
        else { return }
        var event = TraceEvent()
        event.call = call
        event.operation = operation
        event.submitNanoseconds = record.time
        event.thread = thread(process, record.thread)
        event.flags = record.flags
        event.isAfterFile = operation == .fsync || operation == .fdatasync
        event.file = TraceEvent.noFile
        let isEvent = record.kind == .event
        var content: Int?
        if let number = record.file {
            // Its name was dropped: nobody knows what this was about.
            guard let file = named[number] else {
                writer.drop(1)
                return
            }
            let place = try files.place(process, number, file, &writer)
            content = place.content
            event.file = place.file
            // A file that is cut by its path has its new size when it is looked at.
            if place.isNew, operation != .truncate { try adjustSize(file, place.content, event) }
        }
        Self.setRange(&event, record)
        if !isEvent, operation == .write, let content, let number = record.file,
            (named[number]?.openFlags ?? 0) & Self.append != 0
        {
            event.offset = files.sizeBytes(content)
        }
        if record.batch != 0 { event.batch = batch(process, stream, record.batch) }
        if isEvent {
            ImportTarget.finish(&event, at: record.time &+ record.latency, result: record.result)
            if let content { files.note(event, content) }
            try enqueue(Waiting(event: event, isReady: true))
        } else {
            (event.isComplete, event.latencyNanoseconds, event.result) = (false, 0, 0)
            if let content { files.begin(event, content) }
            let number = first + UInt64(queue.count - head)
            pending[Pending(process: process, key: record.key), default: []].append(number)
            try enqueue(Waiting(event: event, isReady: false, content: content))
        }
    }

    /// Writes down how many offsets are assumed, and counts what was left out.
    mutating func note(_ positions: FilePositions) throws(TraceError) {
        writer.drop(positions.unknownCount)
        let assumed = positions.sharedCount + positions.unconfirmedCount
        if assumed > 0 { try writer.addMetadata([("offsets.assumed", "\(assumed)")]) }
    }

    consuming func finish() throws(TraceError) -> TraceTotals {
        try drain(all: true)
        return try writer.finish()
    }

    /// O_APPEND
    private static let append: UInt32 = 0o2000

    /// Offset and length, as far as a trace can hold them: a call that failed may have asked for
    /// anything.
    private static func setRange(_ event: inout TraceEvent, _ record: RawRecord) {
        let limit = UInt64(Int64.max)
        event.offset = min(record.offset, limit)
        event.length = min(record.length, limit - event.offset)
    }

    private mutating func thread(_ process: Int, _ number: UInt32) -> UInt32 {
        let key = UInt64(process) << 32 | UInt64(number)
        if let known = threads[key] { return known }
        let new = UInt32(threads.count)
        threads[key] = new
        depths.append(DepthCounter())
        return new
    }

    private mutating func batch(_ process: Int, _ stream: UInt32, _ local: UInt32) -> UInt32 {
        let key = UInt64(process) << 32 | UInt64(stream)
        if let last = batches[key], last.local == local { return last.number }
        batchCount &+= 1
        batches[key] = (local, batchCount)
        return batchCount
    }

    /// A file that is shorter than what was recorded of it was cut, or is another one, in a way
    /// that was not seen: the trace says so where it was opened.
    private mutating func adjustSize(
        _ file: RawFile, _ content: Int, _ event: TraceEvent
    ) throws(TraceError) {
        guard let size = file.sizeBytes, files.mustCut(content, to: size, event) else { return }
        var cut = event
        cut.call = .open
        cut.operation = .truncate
        cut.offset = size
        cut.length = 0
        cut.flags = 0
        cut.isAfterFile = false
        try enqueue(Waiting(event: cut, isReady: true))
    }

    private mutating func end(_ record: RawRecord, _ process: Int) throws(TraceError) {
        let key = Pending(process: process, key: record.key)
        // POSIX AIO is asked more than once whether a request has ended.
        guard var numbers = pending[key] else { return }
        let number = numbers.removeFirst()
        pending[key] = numbers.isEmpty ? nil : numbers
        guard number >= first else { return }
        let index = head + Int(number - first)
        ImportTarget.finish(&queue[index].event, at: record.time, result: record.result)
        queue[index].isReady = true
        if let content = queue[index].content { files.end(queue[index].event, content) }
        try drain()
    }

    private mutating func enqueue(_ waiting: Waiting) throws(TraceError) {
        queue.append(waiting)
        try drain()
    }

    private mutating func drain(all: Bool = false) throws(TraceError) {
        while head < queue.count,
            all || queue[head].isReady || queue.count - head > Self.waitingMax
        {
            var event = queue[head].event
            head += 1
            first += 1
            event.depth = depths[Int(event.thread)].submit(event)
            try writer.append(event)
        }
        if head > 4096 && head * 2 > queue.count {
            queue.removeFirst(head)
            head = 0
        }
    }
}

/// How many requests of a thread are in flight.
struct DepthCounter {
    /// Times of completion of what is in flight, a heap with the earliest first.
    private var ends: [UInt64] = []
    private static let limit = 65536

    /// The depth once an event was submitted, it included.
    mutating func submit(_ event: TraceEvent) -> UInt32 {
        while let first = ends.first, first <= event.submitNanoseconds { removeFirst() }
        // What never ended would count for ever.
        guard event.isComplete, ends.count < Self.limit else { return UInt32(ends.count + 1) }
        insert(event.completeNanoseconds)
        return UInt32(max(1, ends.count))
    }

    private mutating func insert(_ time: UInt64) {
        ends.append(time)
        var child = ends.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if ends[parent] <= ends[child] { return }
            ends.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func removeFirst() {
        let last = ends.removeLast()
        if ends.isEmpty { return }
        ends[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < ends.count && ends[child] < ends[least] {
                least = child
            }
            if least == parent { return }
            ends.swapAt(parent, least)
            parent = least
        }
    }
}
