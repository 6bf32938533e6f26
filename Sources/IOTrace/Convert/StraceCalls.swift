/// What the calls of a traced program mean: its descriptors, positions and requests.
struct StraceCalls {
    /// An open file description: descriptors made by dup(2) and fork(2) share it.
    private final class Description {
        let file: UInt32
        var position: UInt64 = 0
        let appends: Bool

        init(file: UInt32, appends: Bool) {
            self.file = file
            self.appends = appends
        }
    }

    /// The descriptors of one process; its threads share them.
    private final class Descriptors {
        var table: [Int64: Description] = [:]
    }

    private struct Request {
        let number: UInt64
    }

    private var processes: [UInt32: Descriptors] = [:]
    /// What io_submit started, by the data of the request; the oldest first.
    private var requests: [String: [Request]] = [:]
    private var batches: UInt32 = 0

    /// Data calls: what they do, and the arguments with length and offset (-1: the position).
    static let transfers: [String: (call: TraceCall, isRead: Bool, offset: Int)] = [
        "read": (.read, true, -1), "write": (.write, false, -1),
        "pread64": (.pread, true, 3), "pwrite64": (.pwrite, false, 3),
        "readv": (.readv, true, -1), "writev": (.writev, false, -1),
        "preadv": (.preadv, true, 3), "pwritev": (.pwritev, false, 3),
        "preadv2": (.preadv, true, 3), "pwritev2": (.pwritev, false, 3),
    ]

    static let syncs: [String: (call: TraceCall, operation: TraceOperation)] = [
        "fsync": (.fsync, .fsync), "fdatasync": (.fdatasync, .fdatasync),
        "sync_file_range": (.syncFileRange, .syncFileRange), "sync": (.sync, .sync),
        "syncfs": (.sync, .sync), "ftruncate": (.truncate, .truncate),
        "fallocate": (.allocate, .allocate),
    ]

    /// Errors of the output pass as they are, in the dress that the reader's loop expects.
    static func rethrow<Result>(
        _ body: () throws(TraceError) -> Result
    ) throws(TraceFault) -> Result {
        do throws(TraceError) {
            return try body()
        } catch {
            throw TraceFault(reason: error.reason)
        }
    }

    /// Takes a call that has ended.
    mutating func take(
        _ call: StraceCall, thread: UInt32, at time: UInt64, reserved: UInt64?,
        _ target: inout ImportTarget
    ) throws(TraceError) {
        if Self.transfers[call.name] != nil || Self.syncs[call.name] != nil {
            let event = self.event(call, thread: thread, at: time)
            return try put(event, call, reserved, &target)
        }
        switch call.name {
        case "open", "openat", "creat": try open(call, thread, at: time, &target)
        case "close": try close(call, thread, at: time, &target)
        case "dup", "dup2", "dup3", "fcntl": duplicate(call, thread)
        case "lseek": seek(call, thread)
        case "clone", "clone3", "fork", "vfork": fork(call, thread)
        case "io_submit": try submit(call, thread, at: time, &target)
        case "io_getevents", "io_pgetevents": try reap(call, at: time, &target)
        case "mmap", "sendfile", "copy_file_range", "splice", "io_uring_enter":
            target.report.lose("calls that a trace has no place for: \(call.name)")
        default: break
        }
    }

    /// The event of a call that moves data or makes it durable; nil for others, and where the file
    /// is not known.
    mutating func event(_ call: StraceCall, thread: UInt32, at time: UInt64) -> TraceEvent? {
        if let transfer = Self.transfers[call.name] {
            return self.transfer(call, transfer, thread, at: time)
        }
        guard let sync = Self.syncs[call.name] else { return nil }
        return self.sync(call, sync, thread, at: time)
    }

    func reportLosses(_ report: inout ConversionReport) {
        let count = requests.values.reduce(0) { $0 + $1.count }
        if count > 0 { report.lose("io_submit requests without an end", UInt64(count)) }
    }

    private mutating func descriptors(_ thread: UInt32) -> Descriptors {
        if let known = processes[thread] { return known }
        // strace names threads only once there are several: the one without a name is the first.
        let new = processes[0] ?? Descriptors()
        processes[thread] = new
        return new
    }

    private func put(
        _ event: TraceEvent?, _ call: StraceCall, _ reserved: UInt64?, _ target: inout ImportTarget
    ) throws(TraceError) {
        guard var event else {
            target.report.lose("I/O on descriptors whose open is not in the log")
            if let reserved { try target.withdraw(reserved) }
            return
        }
        let end = event.submitNanoseconds + call.nanoseconds
        if let reserved {
            event.submitNanoseconds = target.submitTime(of: reserved) ?? event.submitNanoseconds
            try target.replace(reserved, by: event)
            let last = event.submitNanoseconds + call.nanoseconds
            return try target.complete(reserved, at: last, result: call.result ?? 0)
        }
        ImportTarget.finish(&event, at: end, result: call.result ?? 0)
        try target.append(event)
    }

    private mutating func transfer(
        _ call: StraceCall, _ kind: (call: TraceCall, isRead: Bool, offset: Int),
        _ thread: UInt32, at time: UInt64
    ) -> TraceEvent? {
        guard let descriptor = call.number(0),
            let description = descriptors(thread).table[descriptor]
        else { return nil }
        var event = TraceEvent()
        event.submitNanoseconds = time
        event.thread = thread
        event.file = description.file
        event.call = kind.call
        event.operation = kind.isRead ? .read : .write
        let moved = max(0, call.result ?? 0)
        let isVector = call.name.contains("v")
        event.length =
            isVector ? Self.vectorLength(call.text(1)) : UInt64(max(0, call.number(2) ?? moved))
        event.length = min(max(event.length, UInt64(moved)), 1 << 40)
        if kind.offset >= 0, let offset = call.number(kind.offset), offset >= 0 {
            event.offset = UInt64(offset)
        } else {
            event.offset = description.position
            description.position = min(description.position + UInt64(moved), 1 << 62)
        }
        event.offset = min(event.offset, 1 << 62)
        return event
    }

    /// The sum of what the elements of a vector ask for.
    private static func vectorLength(_ text: Substring) -> UInt64 {
        var sum: UInt64 = 0
        for part in text.split(separator: "iov_len=").dropFirst() {
            sum += min(UInt64(part.prefix { $0.isNumber }) ?? 0, 1 << 32)
        }
        return sum
    }

    private mutating func sync(
        _ call: StraceCall, _ kind: (call: TraceCall, operation: TraceOperation), _ thread: UInt32,
        at time: UInt64
    ) -> TraceEvent? {
        var event = TraceEvent()
        event.submitNanoseconds = time
        event.thread = thread
        event.call = kind.call
        event.operation = kind.operation
        event.file = TraceEvent.noFile
        if call.name != "sync" {
            guard let descriptor = call.number(0),
                let description = descriptors(thread).table[descriptor]
            else { return nil }
            event.file = description.file
        }
        event.isAfterFile = kind.operation.isSync
        func size(_ index: Int) -> UInt64 { UInt64(min(max(0, call.number(index) ?? 0), 1 << 62)) }
        switch kind.operation {
        case .truncate: event.offset = size(1)
        case .allocate: (event.offset, event.length) = (size(2), min(size(3), 1 << 61))
        case .syncFileRange: (event.offset, event.length) = (size(1), min(size(2), 1 << 61))
        default: break
        }
        return event
    }

    private mutating func open(
        _ call: StraceCall, _ thread: UInt32, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceError) {
        let isAt = call.name == "openat"
        let flags = call.name == "creat" ? "O_WRONLY" : call.text(isAt ? 2 : 1)
        guard let descriptor = call.result, descriptor >= 0 else { return }
        descriptors(thread).table[descriptor] = nil
        let quoted = call.text(isAt ? 1 : 0)
        guard quoted.count > 2, quoted.first == "\"", quoted.last == "\"",
            !flags.contains("O_DIRECTORY"), !flags.contains("O_PATH")
        else { return }
        let path = StraceText.unescaped(quoted.dropFirst().dropLast())
        for prefix in ["/dev/", "/proc/", "/sys/"] where path.hasPrefix(prefix) { return }
        let number = try target.file(path, flags: StraceText.openFlags(flags))
        descriptors(thread).table[descriptor] = Description(
            file: number, appends: flags.contains("O_APPEND"))
        var event = TraceEvent()
        event.operation = .open
        event.call = .open
        event.file = number
        event.thread = thread
        event.submitNanoseconds = time
        event.latencyNanoseconds = call.nanoseconds
        try target.append(event)
    }

    private mutating func close(
        _ call: StraceCall, _ thread: UInt32, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceError) {
        guard let descriptor = call.number(0),
            let description = descriptors(thread).table.removeValue(forKey: descriptor)
        else { return }
        var event = TraceEvent()
        event.operation = .close
        event.call = .close
        event.file = description.file
        event.thread = thread
        event.submitNanoseconds = time
        event.latencyNanoseconds = call.nanoseconds
        try target.append(event)
    }

    private mutating func duplicate(_ call: StraceCall, _ thread: UInt32) {
        if call.name == "fcntl" && !call.text(1).hasPrefix("F_DUPFD") { return }
        guard let old = call.number(0), let new = call.result, new >= 0 else { return }
        descriptors(thread).table[new] = descriptors(thread).table[old]
    }

    private mutating func seek(_ call: StraceCall, _ thread: UInt32) {
        guard let descriptor = call.number(0), let position = call.result, position >= 0 else {
            return
        }
        descriptors(thread).table[descriptor]?.position = min(UInt64(position), 1 << 62)
    }

    private mutating func fork(_ call: StraceCall, _ thread: UInt32) {
        guard let child = call.result.flatMap({ UInt32(exactly: $0) }), child > 0 else { return }
        let own = descriptors(thread)
        if call.arguments.contains(where: { $0.contains("CLONE_FILES") }) {
            processes[child] = own
        } else {
            let copy = Descriptors()
            copy.table = own.table
            processes[child] = copy
        }
    }

    private mutating func submit(
        _ call: StraceCall, _ thread: UInt32, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceError) {
        let accepted = Int(max(0, call.result ?? 0))
        let blocks = StraceText.withoutStrings(call.text(2)).split(separator: "{").filter {
            $0.contains("aio_fildes=")
        }
        if accepted > blocks.count {
            target.report.lose(
                "io_submit requests that strace cut off", UInt64(accepted - blocks.count))
        }
        if blocks.count > 1 { batches &+= 1 }
        for block in blocks.prefix(accepted) {
            guard let descriptor = Int64(StraceText.field("aio_fildes", block)),
                let description = descriptors(thread).table[descriptor],
                let operation = StraceText.operation(StraceText.field("aio_lio_opcode", block))
            else {
                target.report.lose("I/O on descriptors whose open is not in the log")
                continue
            }
            var event = TraceEvent()
            event.submitNanoseconds = time
            event.thread = thread
            event.file = description.file
            event.call = .ioSubmit
            event.operation = operation
            event.batch = blocks.count > 1 ? batches : 0
            event.offset = min(UInt64(StraceText.field("aio_offset", block)) ?? 0, 1 << 62)
            event.length = min(UInt64(StraceText.field("aio_nbytes", block)) ?? 0, 1 << 40)
            event.isAfterFile = operation.isSync
            let data = StraceText.field("aio_data", block)
            let number = try target.begin(event)
            requests[data, default: []].append(Request(number: number))
        }
    }

    private mutating func reap(
        _ call: StraceCall, at time: UInt64, _ target: inout ImportTarget
    ) throws(TraceError) {
        for event in call.text(3).split(separator: "{") where event.contains("res=") {
            let data = StraceText.field("data", event)
            guard let request = requests[data]?.first else { continue }
            requests[data]?.removeFirst()
            if requests[data]?.isEmpty == true { requests[data] = nil }
            let result = Int64(StraceText.field("res", event)) ?? 0
            try target.complete(request.number, at: time + call.nanoseconds, result: result)
        }
    }
}

/// Pieces of strace's text.
enum StraceText {
    /// A member of a structure, without what follows it; data that is not printed is 0.
    static func field(_ name: String, _ text: Substring) -> String {
        for part in text.split(separator: ",") {
            let member = part.drop { " {[".contains($0) }
            guard member.hasPrefix(name + "=") else { continue }
            let value = member.dropFirst(name.count + 1).prefix { !"}])<".contains($0) }
            return value == "NULL" ? "0" : String(value)
        }
        return "0"
    }

    /// The text with what stands in quotes left out: data may hold anything.
    static func withoutStrings(_ text: Substring) -> Substring {
        var result: [UInt8] = []
        var isQuoted = false
        var isEscaped = false
        for byte in text.utf8 {
            if isEscaped {
                isEscaped = false
            } else if isQuoted && byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted {
                result.append(byte)
            }
        }
        return Substring(decoding: result, as: UTF8.self)
    }

    static func operation(_ code: String) -> TraceOperation? {
        switch code {
        case "IOCB_CMD_PREAD", "IOCB_CMD_PREADV": .read
        case "IOCB_CMD_PWRITE", "IOCB_CMD_PWRITEV": .write
        case "IOCB_CMD_FSYNC": .fsync
        case "IOCB_CMD_FDSYNC": .fdatasync
        default: nil
        }
    }

    /// A path with strace's escapes replaced by what they stand for.
    static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        let letters: [UInt8: UInt8] = [
            UInt8(ascii: "n"): 10, UInt8(ascii: "t"): 9, UInt8(ascii: "r"): 13,
            UInt8(ascii: "v"): 11, UInt8(ascii: "f"): 12,
        ]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let next = rest.first else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(3).prefix { (0x30...0x37).contains($0) }
            if digits.isEmpty {
                rest.removeFirst()
                bytes.append(letters[next] ?? next)
            } else {
                rest = rest.dropFirst(digits.count)
                bytes.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1) - 48 }))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The flags that the file table keeps.
    static func openFlags(_ text: Substring) -> UInt32 {
        let known: [Substring: UInt32] = [
            "O_WRONLY": 1, "O_RDWR": 2, "O_APPEND": 0o2000, "O_NONBLOCK": 0o4000,
            "O_DSYNC": 0o10000, "O_DIRECT": 0o40000, "O_LARGEFILE": 0o100000,
            "O_NOFOLLOW": 0o400000, "O_NOATIME": 0o1000000, "O_CLOEXEC": 0o2000000,
            "O_SYNC": 0o4010000,
        ]
        return text.split(separator: "|").reduce(0) { $0 | (known[$1] ?? 0) }
    }
}
