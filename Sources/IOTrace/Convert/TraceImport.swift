/// Formats that a trace can be made from.
public enum ImportFormat: String, CaseIterable, Sendable {
    /// fio's log with waits.
    case iolog2
    /// fio's log with a time in every line.
    case iolog3
    /// The output of strace -f -ttt -T.
    case strace
    /// The text of blkparse in its default format.
    case blkparse
}

/// Makes traces from other formats.
public enum TraceImport {
    /// Makes a trace from the file at `path`, in bounded memory.
    ///
    /// - Returns: how many events were made, and what of the input a trace has no place for.
    /// - Throws: `.line` with the number of a line that cannot be understood, `.exists`,
    ///   `.notRegular` or `.system`; nothing is left then.
    public static func convert(
        _ path: String, from format: ImportFormat, output: String, codec: TraceCodec = .zstd,
        replaces: Bool = false
    ) throws(TraceError) -> ConversionReport {
        var lines = try LineReader(path: path)
        var header = TraceHeader()
        header.isOrdered = true
        let writer = try TraceWriter(
            path: output, header: header, codec: codec, replaces: replaces)
        var target = ImportTarget(writer, path: output)
        try target.addMetadata([
            ("producer", "iotrap trace import"), ("format", format.rawValue),
        ])
        do throws(TraceError) {
            try read(&lines, format, &target)
        } catch {
            // It is the line that names such a file.
            if case .path = error.reason { throw lines.failure(error.reason.text) }
            throw error
        }
        return try target.finish()
    }

    private static func read(
        _ lines: inout LineReader, _ format: ImportFormat, _ target: inout ImportTarget
    ) throws(TraceError) {
        switch format {
        case .iolog2, .iolog3:
            var log = FioLogReader(version: format == .iolog2 ? 2 : 3)
            try log.read(&lines, &target)
        case .strace:
            var log = StraceReader()
            try log.read(&lines, &target)
        case .blkparse:
            var log = BlkparseReader()
            try log.read(&lines, &target)
        }
    }
}

/// Where importers put what they find: keeps events in the order of their submission although their
/// completion is known later.
struct ImportTarget: ~Copyable {
    /// What does not fit or is not understood.
    var report = ConversionReport()

    /// The trace that is made.
    let path: String

    private var writer: TraceWriter
    private var files: [String: UInt32] = [:]
    /// Events from the number `first` on; those that are not complete wait for `complete`.
    private var queue: [(event: TraceEvent, isReady: Bool)] = []
    private var head = 0
    private var first: UInt64 = 0
    private var lastSubmit: UInt64 = 0

    /// Events that wait at most; the oldest is then taken to have never completed.
    private static let waitingMax = 1 << 18

    init(_ writer: consuming TraceWriter, path: String) {
        self.path = path
        self.writer = writer
    }

    mutating func addMetadata(_ pairs: [(key: String, value: String)]) throws(TraceError) {
        try writer.addMetadata(pairs)
    }

    /// The number of a file, by the path and the flags that it was opened with.
    mutating func file(_ path: String, flags: UInt32 = 2) throws(TraceError) -> UInt32 {
        let key = "\(flags) \(path)"
        if let number = files[key] { return number }
        let (normal, isAbsolute) = TraceFile.normalized(path)
        if normal != (isAbsolute ? String(path.dropFirst()) : path) {
            report.lose("paths with '.' or '..', taken by name")
        }
        let file = TraceFile(path: normal, openFlags: flags, isAbsolute: isAbsolute)
        let number = try writer.addFile(file)
        files[key] = number
        return number
    }

    /// Appends an event that is complete.
    mutating func append(_ event: TraceEvent) throws(TraceError) {
        _ = try enqueue(event, isReady: true)
    }

    /// Appends an event whose completion is not known yet; returns its number.
    mutating func begin(_ event: TraceEvent) throws(TraceError) -> UInt64 {
        try enqueue(event, isReady: false)
    }

    /// Completes an event. Does nothing if it waited for too long.
    mutating func complete(_ number: UInt64, at time: UInt64, result: Int64) throws(TraceError) {
        guard number >= first, Int(number - first) < queue.count - head else {
            report.lose("completions that came too late")
            return
        }
        let index = head + Int(number - first)
        Self.finish(&queue[index].event, at: time, result: result)
        queue[index].isReady = true
        try drain()
    }

    /// When an event that waits was submitted; nil if it waits no longer.
    func submitTime(of number: UInt64) -> UInt64? {
        guard number >= first, Int(number - first) < queue.count - head else { return nil }
        return queue[head + Int(number - first)].event.submitNanoseconds
    }

    /// Says what an event that waits really is.
    mutating func replace(_ number: UInt64, by event: TraceEvent) throws(TraceError) {
        guard number >= first, Int(number - first) < queue.count - head else { return }
        queue[head + Int(number - first)].event = event
    }

    /// Takes an event back that turned out to be none.
    mutating func withdraw(_ number: UInt64) throws(TraceError) {
        guard number >= first, Int(number - first) < queue.count - head else { return }
        queue[head + Int(number - first)].event.length = .max
        queue[head + Int(number - first)].isReady = true
        try drain()
    }

    /// Completion and result, as far as a trace can hold them.
    static func finish(_ event: inout TraceEvent, at time: UInt64, result: Int64) {
        event.isComplete = true
        event.latencyNanoseconds =
            time > event.submitNanoseconds ? time - event.submitNanoseconds : 0
        let most = event.operation.movesData ? Int64(clamping: event.length) : 0
        event.result = max(-4095, min(result, most))
    }

    private mutating func enqueue(_ event: TraceEvent, isReady: Bool) throws(TraceError) -> UInt64 {
        var event = event
        if !isReady { (event.isComplete, event.latencyNanoseconds, event.result) = (false, 0, 0) }
        queue.append((event, isReady))
        let number = first + UInt64(queue.count - head) - 1
        try drain()
        return number
    }

    private mutating func drain(all: Bool = false) throws(TraceError) {
        while head < queue.count,
            all || queue[head].isReady || queue.count - head > Self.waitingMax
        {
            var event = queue[head].event
            head += 1
            first += 1
            // Withdrawn.
            if event.length == .max { continue }
            if event.submitNanoseconds < lastSubmit {
                report.lose("times that go back, moved up")
                let complete = event.completeNanoseconds
                event.submitNanoseconds = lastSubmit
                event.latencyNanoseconds = complete > lastSubmit ? complete - lastSubmit : 0
            }
            lastSubmit = event.submitNanoseconds
            try writer.append(event)
            report.events += 1
        }
        if head > 4096 && head * 2 > queue.count {
            queue.removeFirst(head)
            head = 0
        }
    }

    consuming func finish() throws(TraceError) -> ConversionReport {
        try drain(all: true)
        let result = report
        _ = try writer.finish()
        return result
    }
}
