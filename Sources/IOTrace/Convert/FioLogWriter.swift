/// Writes fio's logs. fio takes files by name, reads times in microseconds, and knows reads,
/// writes, trims and two kinds of sync.
struct FioLogWriter {
    private let version: Int
    /// By name: whether it is open. Only names that were added are in it.
    private var files: [String: Bool] = [:]
    /// The time that the waits of version 2 have come to, in microseconds.
    private var waited: UInt64 = 0
    private var last: UInt64 = 0
    private var thread: UInt32?
    /// Entries of the file table that were counted as a loss.
    private var described: Set<UInt32> = []

    /// What version 2 leaves out of a wait.
    private static let shortestWait: UInt64 = 100

    init(version: Int) {
        self.version = version
    }

    func begin(_ text: inout TextOutput) throws(TraceError) {
        try text.write("fio version \(version) iolog\n")
    }

    /// Closes what is open.
    func end(_ text: inout TextOutput) throws(TraceError) {
        for (name, isOpen) in files.sorted(by: { $0.key < $1.key }) where isOpen {
            try text.write("\(stamp)\(name) close\n")
        }
    }

    mutating func write(
        _ event: TraceEvent, _ file: TraceFile?, _ text: inout TextOutput,
        _ report: inout ConversionReport
    ) throws(TraceError) {
        guard let file, let action = Self.action(event) else {
            report.lose("operations that fio does not have: \(event.operation.name)")
            return
        }
        let name = Self.name(file, &report)
        if event.operation.movesData && event.length == 0 {
            report.lose("requests of no bytes")
            return
        }
        countLosses(event, &report)
        try moveTime(event, name, &text, &report)
        if files[name] == nil {
            try text.write("\(stamp)\(name) add\n")
            files[name] = false
        }
        report.events += 1
        if file.sizeBytes != nil && described.insert(event.file).inserted {
            report.lose("sizes of files, which must be there before fio runs")
        }
        switch event.operation {
        case .open:
            if files[name] == false { try text.write("\(stamp)\(name) open\n") }
            files[name] = true
        case .close:
            if files[name] == true { try text.write("\(stamp)\(name) close\n") }
            files[name] = false
        default:
            if files[name] == false { try text.write("\(stamp)\(name) open\n") }
            files[name] = true
            try text.write("\(stamp)\(name) \(action) \(event.offset) \(event.length)\n")
        }
    }

    /// The time at the start of a line of version 3.
    private var stamp: String { version == 3 ? "\(last) " : "" }

    private mutating func moveTime(
        _ event: TraceEvent, _ name: String, _ text: inout TextOutput,
        _ report: inout ConversionReport
    ) throws(TraceError) {
        let time = event.submitNanoseconds / 1000
        if event.submitNanoseconds % 1000 != 0 { report.lose("parts of a microsecond") }
        if time < last {
            report.lose("times that go back")
            return
        }
        last = time
        if version == 3 || time < waited + Self.shortestWait {
            if version == 2 && time != waited { report.lose("waits below 100 us") }
            return
        }
        if files[name] == nil {
            try text.write("\(name) add\n")
            files[name] = false
        }
        try text.write("\(name) wait \(time - waited) 0\n")
        waited = time
    }

    private static func action(_ event: TraceEvent) -> String? {
        switch event.operation {
        case .read: "read"
        case .write: "write"
        case .fsync: "sync"
        case .fdatasync: "datasync"
        case .discard: "trim"
        case .open: "open"
        case .close: "close"
        default: nil
        }
    }

    /// fio ends a name at a blank, and takes at most 255 bytes.
    private static func name(_ file: TraceFile, _ report: inout ConversionReport) -> String {
        var name = ""
        for scalar in file.originalPath.unicodeScalars {
            if scalar.value <= 0x20 || scalar == "%" {
                let hex = String(scalar.value, radix: 16)
                name += hex.utf8.count < 2 ? "%0\(hex)" : "%\(hex)"
            } else {
                name.unicodeScalars.append(scalar)
            }
        }
        if name != file.originalPath { report.lose("names with blanks, written as %20") }
        if name.utf8.count > 255 { report.lose("names over 255 bytes, which fio cuts") }
        return name
    }

    private mutating func countLosses(_ event: TraceEvent, _ report: inout ConversionReport) {
        if event.latencyNanoseconds > 0 { report.lose("completion times") }
        if event.result != event.predictedResult { report.lose("errors and short results") }
        if event.batch > 0 { report.lose("batches") }
        if event.depth > 0 { report.lose("in-flight depths") }
        if event.after > 0 || event.after2 > 0 || event.isAfterFile { report.lose("dependencies") }
        if event.flags != 0 { report.lose("flags") }
        if event.call != .other { report.lose("calls") }
        if let thread, thread != event.thread { report.lose("threads") }
        if thread == nil { thread = event.thread }
    }
}
