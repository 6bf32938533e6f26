/// Reads what `strace -f -ttt -T` prints: I/O calls on files that the log shows being opened.
///
/// Descriptors belong to processes; threads share them, children get a copy. Positions of read(2)
/// and write(2) are followed from the open on. What io_submit(2) starts is matched with what
/// io_getevents(2) returns by the data of the requests.
struct StraceReader {
    /// Calls that are interrupted in the log, by thread.
    private var unfinished: [UInt32: (text: String, number: UInt64?)] = [:]
    private var calls = StraceCalls()
    private var start: UInt64?
    private var lastTime: UInt64 = 0

    mutating func read(
        _ lines: inout LineReader, _ target: inout ImportTarget
    ) throws(TraceError) {
        while let text = try lines.next() {
            guard let line = StraceLine(text) else {
                if !text.isEmpty { target.report.lose("lines that are no call with a time") }
                continue
            }
            if start == nil { start = line.nanoseconds }
            let time = line.nanoseconds > start! ? line.nanoseconds - start! : 0
            do throws(TraceFault) {
                try take(line, at: time, &target)
            } catch {
                if case .system = error.reason {
                    throw TraceError(path: target.path, reason: error.reason)
                }
                throw lines.failure(error.reason.text)
            }
        }
        for _ in unfinished { target.report.lose("calls without an end") }
        calls.reportLosses(&target.report)
    }

    private mutating func take(
        _ line: StraceLine, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceFault) {
        var text = line.text
        if text.hasPrefix("---") || text.hasPrefix("+++") {
            if text.hasPrefix("+++") { unfinished[line.thread] = nil }
            return
        }
        if let range = text.firstRange(of: " <unfinished ...>") {
            text.removeSubrange(range.lowerBound...)
            unfinished[line.thread] = (text, nil)
            try reserve(line.thread, text, at: time, &target)
            return
        }
        var number: UInt64?
        if text.hasPrefix("<... "), let end = text.firstRange(of: " resumed>") {
            guard let begun = unfinished.removeValue(forKey: line.thread) else {
                target.report.lose("ends of calls without a start")
                return
            }
            text = begun.text + text[end.upperBound...]
            number = begun.number
        }
        guard let call = StraceCall(text) else {
            target.report.lose("lines that are no call with a time")
            return
        }
        try StraceCalls.rethrow { () throws(TraceError) in
            try calls.take(call, thread: line.thread, at: time, reserved: number, &target)
        }
    }

    /// Keeps the place of a call in the order of submissions.
    private mutating func reserve(
        _ thread: UInt32, _ text: String, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceFault) {
        guard let call = StraceCall(text + ") = ?"),
            let event = calls.event(call, thread: thread, at: time)
        else { return }
        let number = try StraceCalls.rethrow { () throws(TraceError) in try target.begin(event) }
        unfinished[thread]?.number = number
    }
}

/// A line with its thread and time taken off.
struct StraceLine {
    var thread: UInt32 = 0
    let nanoseconds: UInt64
    let text: String

    init?(_ line: String) {
        var rest = Substring(line)
        if rest.hasPrefix("[pid ") {
            rest = rest.dropFirst(5)
            guard let end = rest.firstIndex(of: "]"),
                let number = UInt32(rest[..<end].filter { $0 != " " })
            else { return nil }
            thread = number
            rest = rest[rest.index(after: end)...]
        } else if let blank = rest.firstIndex(of: " "), let number = UInt32(rest[..<blank]) {
            thread = number
            rest = rest[blank...]
        }
        rest = rest.drop { $0 == " " }
        guard let blank = rest.firstIndex(of: " "),
            let time = DecimalSeconds.nanoseconds(rest[..<blank])
        else { return nil }
        nanoseconds = time
        text = String(rest[blank...].drop { $0 == " " })
    }
}

/// A call: its name, its arguments as text, and what came of it.
struct StraceCall {
    let name: String
    let arguments: [Substring]
    /// -errno for failures, nil for "?".
    let result: Int64?
    let nanoseconds: UInt64

    init?(_ text: String) {
        guard let open = text.firstIndex(of: "(") else { return nil }
        name = String(text[..<open])
        let body = text[text.index(after: open)...]
        guard let (list, end) = Self.split(body) else { return nil }
        arguments = list
        var tail = body[end...].drop { $0 == ")" || $0 == " " }
        guard tail.first == "=" else { return nil }
        tail = tail.dropFirst().drop { $0 == " " }
        var duration: UInt64 = 0
        if tail.last == ">", let start = tail.lastIndex(of: "<"),
            let time = DecimalSeconds.nanoseconds(tail[tail.index(after: start)...].dropLast())
        {
            duration = time
        }
        nanoseconds = duration
        let word = tail.prefix { $0 != " " && $0 != "<" }
        if word == "-1" {
            let code = tail.dropFirst(word.count).drop { $0 == " " }.prefix { $0 != " " }
            result = -Int64(ErrorNames.number(String(code)) ?? 5)
        } else if word.hasPrefix("0x") {
            result = Int64(word.dropFirst(2), radix: 16)
        } else {
            result = Int64(word)
        }
    }

    /// The arguments, at the commas that are outside of quotes and brackets, and where they end.
    private static func split(_ body: Substring) -> ([Substring], Substring.Index)? {
        var list: [Substring] = []
        var depth = 0
        var start = body.startIndex
        var isQuoted = false
        var isEscaped = false
        let bytes = body.utf8
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if isQuoted {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isQuoted = false
                }
            } else {
                switch byte {
                case UInt8(ascii: "\""): isQuoted = true
                case UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: "("): depth += 1
                case UInt8(ascii: ")") where depth == 0:
                    list.append(trimmed(body[start..<index]))
                    return (list, index)
                case UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ")"): depth -= 1
                case UInt8(ascii: ",") where depth == 0:
                    list.append(trimmed(body[start..<index]))
                    start = bytes.index(after: index)
                default: break
                }
            }
            index = bytes.index(after: index)
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return text
    }

    /// A whole number; what a descriptor's name follows with -y is left out.
    func number(_ index: Int) -> Int64? {
        guard index < arguments.count else { return nil }
        let word = arguments[index].prefix { $0 != "<" }
        if word == "AT_FDCWD" { return -100 }
        if word.hasPrefix("0x") { return Int64(word.dropFirst(2), radix: 16) }
        return Int64(word)
    }

    func text(_ index: Int) -> Substring { index < arguments.count ? arguments[index] : "" }
}

/// Seconds with up to nine decimals, exact.
enum DecimalSeconds {
    static func nanoseconds(_ text: some StringProtocol) -> UInt64? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].utf8.count <= 9, let seconds = UInt64(parts[0]),
            let fraction = UInt64(parts[1]), seconds < 9_000_000_000
        else { return nil }
        var scale: UInt64 = 1
        for _ in parts[1].utf8.count..<9 { scale *= 10 }
        return seconds * 1_000_000_000 + fraction * scale
    }
}

/// Numbers of the errors that I/O ends with.
enum ErrorNames {
    private static let numbers: [String: Int32] = [
        "EPERM": 1, "ENOENT": 2, "EINTR": 4, "EIO": 5, "ENXIO": 6, "EBADF": 9, "EAGAIN": 11,
        "ENOMEM": 12, "EACCES": 13, "EFAULT": 14, "EBUSY": 16, "EEXIST": 17, "ENOTDIR": 20,
        "EISDIR": 21, "EINVAL": 22, "ENFILE": 23, "EMFILE": 24, "EFBIG": 27, "ENOSPC": 28,
        "ESPIPE": 29, "EROFS": 30, "EPIPE": 32, "ELOOP": 40, "EOPNOTSUPP": 95, "ETIMEDOUT": 110,
        "ESTALE": 116, "EDQUOT": 122, "ECANCELED": 125, "ENOSYS": 38, "ENAMETOOLONG": 36,
    ]

    static func number(_ name: String) -> Int32? { numbers[name] }
}
