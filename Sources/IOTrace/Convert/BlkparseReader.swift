/// Reads the text of blkparse: requests that are issued to a device (D) and completed (C).
struct BlkparseReader {
    private struct Key: Hashable {
        let device: Substring
        let sector: UInt64
        let count: UInt64
    }

    /// Requests under way, by what they are known again by; the oldest first.
    private var issued: [Key: [UInt64]] = [:]
    private var inFlight: UInt32 = 0
    private var start: UInt64?

    mutating func read(
        _ lines: inout LineReader, _ target: inout ImportTarget
    ) throws(TraceError) {
        while let line = try lines.next() {
            let words = line.split(separator: " ")
            // Device, processor, sequence, seconds, process, action, kind of request.
            guard words.count >= 7, words[0].contains(","), UInt64(words[1]) != nil,
                let time = DecimalSeconds.nanoseconds(words[3])
            else {
                // The summary at the end, and messages.
                if !line.isEmpty { target.report.lose("lines that are no action") }
                continue
            }
            if start == nil { start = time }
            let sinceStart = time > start! ? time - start! : 0
            switch words[5] {
            case "D": try issue(words, at: sinceStart, lines, &target)
            case "C": try complete(words, at: sinceStart, lines, &target)
            default: target.report.lose("actions that are neither D nor C")
            }
        }
        let open = issued.values.reduce(0) { $0 + $1.count }
        if open > 0 { target.report.lose("requests without an end", UInt64(open)) }
    }

    private mutating func issue(
        _ words: [Substring], at time: UInt64, _ lines: borrowing LineReader,
        _ target: inout ImportTarget
    ) throws(TraceError) {
        let kind = words[6]
        let (sector, count) = try Self.place(words, lines)
        var event = TraceEvent()
        if kind.contains("D") {
            event.operation = .discard
        } else if kind.contains("W") {
            event.operation = .write
        } else if kind.contains("R") {
            event.operation = .read
        } else if kind.contains("F") {
            event.operation = .fdatasync
        } else {
            target.report.lose("requests that move no data")
            return
        }
        // "F" behind the letter of the data is FUA: durable when complete, as with RWF_DSYNC.
        if event.operation == .write, kind.drop(while: { $0 != "W" }).contains("F") {
            event.flags = 2
        }
        event.isAfterFile = event.operation == .fdatasync
        event.call = .block
        event.submitNanoseconds = time
        event.thread = UInt32(words[4]) ?? 0
        event.offset = sector * 512
        event.length = count * 512
        let device = words[0].replacing(",", with: "-")
        event.file = try target.file("block/\(device)")
        inFlight += 1
        event.depth = inFlight
        let key = Key(device: words[0], sector: sector, count: count)
        issued[key, default: []].append(try target.begin(event))
    }

    private mutating func complete(
        _ words: [Substring], at time: UInt64, _ lines: borrowing LineReader,
        _ target: inout ImportTarget
    ) throws(TraceError) {
        let (sector, count) = try Self.place(words, lines)
        let key = Key(device: words[0], sector: sector, count: count)
        guard let number = issued[key]?.first else {
            target.report.lose("completions without a start")
            return
        }
        issued[key]?.removeFirst()
        if issued[key]?.isEmpty == true { issued[key] = nil }
        inFlight -= 1
        // "[0]" at the end is the error.
        let error = words.last?.first == "[" ? Int64(words.last!.dropFirst().dropLast()) ?? 0 : 0
        let result = error == 0 ? Int64(count) * 512 : -abs(max(-4095, min(error, 4095)))
        try target.complete(number, at: time, result: result)
    }

    /// "SECTOR + COUNT"; a flush has none.
    private static func place(
        _ words: [Substring], _ lines: borrowing LineReader
    ) throws(TraceError) -> (sector: UInt64, count: UInt64) {
        guard words.count >= 10, words[8] == "+" else { return (0, 0) }
        guard let sector = UInt64(words[7]), let count = UInt64(words[9]), sector < 1 << 53,
            count < 1 << 32
        else { throw lines.failure("sector and count are no numbers") }
        return (sector, count)
    }
}
