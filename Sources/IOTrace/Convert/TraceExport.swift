/// Formats that a trace can be written in.
public enum ExportFormat: String, CaseIterable, Sendable {
    /// fio's log with waits.
    case iolog2
    /// fio's log with a time in every line.
    case iolog3
    /// One line an event, with a line of titles.
    case csv
    /// One JSON object a line.
    case json
    /// Trace-event JSON, which Perfetto and Chrome show.
    case perfetto
}

/// Writes traces in other formats.
public enum TraceExport {
    /// Writes the trace at `path` to a new file, in bounded memory.
    ///
    /// - Returns: how many events were written, and what the format cannot express.
    /// - Throws: what `TraceReader` throws, `.exists`, `.notRegular` or `.system`; nothing is left
    ///   then.
    public static func export(
        _ path: String, to format: ExportFormat, output: String, replaces: Bool = false
    ) throws(TraceError) -> ConversionReport {
        var reader = try TraceReader(path: path)
        var text = try TextOutput(path: output, replaces: replaces)
        var report = ConversionReport()
        switch format {
        case .iolog2, .iolog3:
            var log = FioLogWriter(version: format == .iolog2 ? 2 : 3)
            try log.begin(&text)
            while let event = try reader.next() {
                let file = reader.file(event.file)
                try log.write(event, file, &text, &report)
            }
            try log.end(&text)
        case .csv:
            try text.write(EventText.titles.joined(separator: ",") + "\n")
            while let event = try reader.next() {
                try text.write(EventText.csv(event, reader.file(event.file)))
                report.events += 1
            }
        case .json:
            while let event = try reader.next() {
                try text.write(EventText.json(event, reader.file(event.file)))
                report.events += 1
            }
        case .perfetto: try perfetto(&reader, &text, &report)
        }
        report.end = reader.end
        try text.finish()
        return report
    }

    private static func perfetto(
        _ reader: inout TraceReader, _ text: inout TextOutput, _ report: inout ConversionReport
    ) throws(TraceError) {
        var events = PerfettoEvents(processID: reader.header.processID)
        try text.write("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")
        while let event = try reader.next() {
            try text.write(events.text(event, reader.file(event.file), &report))
            report.events += 1
        }
        try text.write("\n]}\n")
    }
}
