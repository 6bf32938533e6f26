/// Reads fio's logs of versions 2 and 3. They say when and what, not how long it took: the events
/// have a latency of 0.
struct FioLogReader {
    private let version: Int
    private var time: UInt64 = 0
    private var known: Set<String> = []

    init(version: Int) {
        self.version = version
    }

    mutating func read(
        _ lines: inout LineReader, _ target: inout ImportTarget
    ) throws(TraceError) {
        let title = "fio version \(version) iolog"
        guard try lines.next() == title else {
            throw lines.failure("the first line is not '\(title)'")
        }
        while let line = try lines.next() {
            var words = line.split(separator: " ")
            if words.isEmpty { continue }
            if version == 3 {
                guard let stamp = UInt64(words.removeFirst()), stamp <= UInt64(Int64.max) / 1000
                else { throw lines.failure("no time in microseconds at the start") }
                time = stamp * 1000
            }
            switch words.count {
            case 2: try manage(String(words[0]), words[1], lines, &target)
            case 4: try transfer(words, lines, &target)
            default: throw lines.failure("\(words.count) words where 2 or 4 are expected")
            }
        }
    }

    private mutating func manage(
        _ name: String, _ action: Substring, _ lines: borrowing LineReader,
        _ target: inout ImportTarget
    ) throws(TraceError) {
        if action == "add" {
            known.insert(name)
            return
        }
        guard action == "open" || action == "close" else {
            throw lines.failure("unknown action '\(action)'")
        }
        var event = try self.event(name, lines, &target)
        event.operation = action == "open" ? .open : .close
        try target.append(event)
    }

    private mutating func transfer(
        _ words: [Substring], _ lines: borrowing LineReader, _ target: inout ImportTarget
    ) throws(TraceError) {
        guard let offset = UInt64(words[2]), let length = UInt64(words[3]) else {
            throw lines.failure("offset and length are no numbers")
        }
        if words[1] == "wait" && version == 2 {
            let (sum, isOver) = time.addingReportingOverflow(
                offset.multipliedReportingOverflow(by: 1000).partialValue)
            if offset > UInt64(Int64.max) / 1000 || isOver || sum > Int64.max {
                throw lines.failure("the waits come to more than 2^63 ns")
            }
            time = sum
            return
        }
        let operations: [Substring: TraceOperation] = [
            "read": .read, "write": .write, "sync": .fsync, "datasync": .fdatasync,
            "trim": .discard,
        ]
        guard let operation = operations[words[1]] else {
            throw lines.failure("unknown action '\(words[1])'")
        }
        if offset > Int64.max || length > UInt64(Int64.max) - offset {
            throw lines.failure("offset and length reach beyond 2^63 - 1")
        }
        var event = try self.event(String(words[0]), lines, &target)
        event.operation = operation
        event.offset = offset
        event.length = length
        event.result = event.predictedResult
        event.isAfterFile = operation.isSync
        try target.append(event)
    }

    private func event(
        _ name: String, _ lines: borrowing LineReader, _ target: inout ImportTarget
    ) throws(TraceError) -> TraceEvent {
        if !known.contains(name) { throw lines.failure("file '\(name)' was not added") }
        var event = TraceEvent()
        event.file = try target.file(name)
        event.submitNanoseconds = time
        return event
    }
}
