import IOTrace
import IOTrapStats

/// The table of `iotrap trace info`.
struct TraceTable {
    private let summary: TraceSummary

    /// Files that are shown; the JSON has all.
    private static let filesMax = 20

    init(_ summary: TraceSummary) {
        self.summary = summary
    }

    var text: String {
        (head + operations + files).joined(separator: "\n") + "\n"
    }

    private var head: [String] {
        var origin = summary.metadata["producer"] ?? "unknown"
        if let profile = summary.metadata["profile"] { origin += " " + profile }
        if let format = summary.metadata["format"] { origin += " --from " + format }
        let size = Units.bytes(summary.fileBytes)
        let perEvent = Units.ratio(summary.bytesPerEvent)
        var lines = [
            "trace     \(printable(summary.path)) (format version 1, \(summary.end.name))",
            "made by   \(printable(origin))",
            "size      \(size), \(summary.totals.events) events, \(perEvent) bytes an event",
            "time      \(Units.span(summary.durationNanoseconds))",
            "threads   \(summary.threads.count)",
            "batches   \(summary.batches)",
            "depth     up to \(summary.depthMax)",
            "waiting   \(summary.dependent) events depend on others",
        ]
        if summary.totals.dropped > 0 { lines.append("dropped   \(summary.totals.dropped) events") }
        return lines
    }

    private var operations: [String] {
        var lines = ["", row(["OPERATION", "EVENTS", "BYTES", "ERRORS", "P50", "P99", "MAX"])]
        for operation in TraceOperation.allCases {
            let sum = summary.operations[Int(operation.rawValue)]
            if sum.events == 0 { continue }
            lines.append(
                row([
                    operation.name, Units.count(sum.events), Units.bytes(sum.bytes),
                    Units.count(sum.errors), Units.latency(sum.latency.percentile(0.5)),
                    Units.latency(sum.latency.percentile(0.99)),
                    Units.latency(sum.latency.maxNanoseconds),
                ]))
        }
        return lines
    }

    private var files: [String] {
        let used = summary.files.enumerated().filter { $1.use.events > 0 }
            .sorted { $0.element.use.events > $1.element.use.events }
        var lines = ["", row(["EVENTS", "READ", "WRITTEN", "SIZE", "FILE"])]
        for (_, entry) in used.prefix(Self.filesMax) {
            let size = entry.file?.sizeBytes.map(Units.bytes) ?? "-"
            lines.append(
                row([
                    Units.count(entry.use.events), Units.bytes(entry.use.readBytes),
                    Units.bytes(entry.use.writeBytes), size,
                    printable(entry.file?.originalPath ?? "-"),
                ]))
        }
        if used.count > Self.filesMax {
            lines.append("and \(used.count - Self.filesMax) more files; --json lists all")
        }
        return lines
    }

    private func row(_ cells: [String]) -> String {
        cells.enumerated().map { index, cell in
            if index == cells.count - 1 { return cell }
            return cell + String(repeating: " ", count: max(1, 16 - cell.count))
        }.joined()
    }
}
