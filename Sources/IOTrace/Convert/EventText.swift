import IOTrapStats

/// Events as lines of CSV and JSON. The schema stands in docs/trace-format.md.
enum EventText {
    /// The columns of CSV, in their order, and the members of JSON.
    static let titles = [
        "stream", "index", "submit_ns", "complete_ns", "call", "operation", "thread", "file",
        "path",
        "open_flags", "file_size", "offset", "length", "result", "batch", "depth", "flags", "after",
        "after2", "after_file",
    ]

    /// A line of CSV; what is not known is empty.
    static func csv(_ event: TraceEvent, _ file: TraceFile?) -> String {
        values(event, file).map { $0 ?? "" }.joined(separator: ",") + "\n"
    }

    /// A line of JSON; what is not known is null.
    static func json(_ event: TraceEvent, _ file: TraceFile?) -> String {
        let texts: Set<String> = ["call", "operation", "path"]
        var line = "{"
        for (title, value) in zip(titles, values(event, file, quotes: false)) {
            if line.utf8.count > 1 { line += "," }
            line += "\"\(title)\":"
            line += value.map { texts.contains(title) ? JSON.quoted($0) : $0 } ?? "null"
        }
        return line + "}\n"
    }

    private static func values(
        _ event: TraceEvent, _ file: TraceFile?, quotes: Bool = true
    ) -> [String?] {
        let path = file.map { quotes ? csvField($0.originalPath) : $0.originalPath }
        let hasFile = event.file != TraceEvent.noFile
        return [
            "\(event.stream)", "\(event.index)", "\(event.submitNanoseconds)",
            event.isComplete ? "\(event.completeNanoseconds)" : nil, event.call.name,
            event.operation.name, "\(event.thread)", hasFile ? "\(event.file)" : nil, path,
            file.map { "\($0.openFlags)" }, file?.sizeBytes.map { "\($0)" }, "\(event.offset)",
            "\(event.length)", event.isComplete ? "\(event.result)" : nil, "\(event.batch)",
            "\(event.depth)", "\(event.flags)", "\(event.after)", "\(event.after2)",
            event.isAfterFile ? "true" : "false",
        ]
    }
}

/// Events as members of "traceEvents": calls that wait as slices of their thread, others as pairs
/// of begin and end, which may overlap.
struct PerfettoEvents {
    private let processID: UInt32
    private var isFirst = true
    private var number: UInt64 = 0

    init(processID: UInt32) {
        self.processID = processID
    }

    mutating func text(
        _ event: TraceEvent, _ file: TraceFile?, _ report: inout ConversionReport
    ) -> String {
        number += 1
        if !event.isComplete { report.lose("requests without an end") }
        var head = "\"name\":\"\(event.operation.name)\",\"cat\":\"\(event.call.name)\","
        head += "\"pid\":\(processID),\"tid\":\(event.thread),"
        let start = "\"ts\":" + Self.microseconds(event.submitNanoseconds)
        let arguments = Self.arguments(event, file)
        if event.operation == .commit {
            return line("{\"ph\":\"i\",\"s\":\"t\",\(head)\(start)}")
        }
        if Self.waits(event.call) && event.isComplete {
            let duration = "\"dur\":" + Self.microseconds(event.latencyNanoseconds)
            return line("{\"ph\":\"X\",\(head)\(start),\(duration),\(arguments)}")
        }
        let identity = "\"id\":\(number),"
        let begin = line("{\"ph\":\"b\",\(identity)\(head)\(start),\(arguments)}")
        if !event.isComplete { return begin }
        let end = "\"ts\":" + Self.microseconds(event.completeNanoseconds)
        return begin + line("{\"ph\":\"e\",\(identity)\(head)\(end)}")
    }

    private mutating func line(_ text: String) -> String {
        defer { isFirst = false }
        return isFirst ? text : ",\n" + text
    }

    private static func waits(_ call: TraceCall) -> Bool {
        switch call {
        case .ioSubmit, .aioRead, .aioWrite, .aioFsync, .lioListio, .ioUring, .block: false
        default: true
        }
    }

    private static func arguments(_ event: TraceEvent, _ file: TraceFile?) -> String {
        let path = JSON.quoted(file?.originalPath ?? "")
        return "\"args\":{\"path\":\(path),\"offset\":\(event.offset),\"length\":\(event.length),"
            + "\"result\":\(event.result),\"depth\":\(event.depth),\"batch\":\(event.batch)}"
    }

    /// Nanoseconds as microseconds with three decimals.
    static func microseconds(_ value: UInt64) -> String {
        let fraction = String(value % 1000)
        return "\(value / 1000)." + String(repeating: "0", count: 3 - fraction.utf8.count)
            + fraction
    }
}
