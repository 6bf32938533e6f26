import Glibc
import IOTrace
import IOTrapStats

/// `iotrap trace`: what is in a trace, and traces from and to other formats.
enum TraceCommand {
    /// What the command line asks for.
    private struct Request {
        var operands: [String] = []
        var isJSON = false
        var format: String?
        var output: String?
        var isForced = false
    }

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        guard let action = arguments.first?.text else {
            throw .usage("no action given; write iotrap trace info, export, import or finish")
        }
        if ["--help", "-h", "help"].contains(action) {
            Diagnostics.write(Help.traces, to: STDOUT_FILENO)
            return ExitStatus.success
        }
        guard ["info", "export", "import", "finish"].contains(action) else {
            throw .usage(
                "unknown action '\(action)' of iotrap trace; valid actions: info, export, "
                    + "import, finish")
        }
        guard let request = try parse(Array(arguments.dropFirst()), action) else {
            return ExitStatus.success
        }
        guard let path = request.operands.first, request.operands.count == 1 else {
            throw .usage(
                request.operands.isEmpty
                    ? "no file given; write iotrap trace \(action) FILE"
                    : "one file at a time, not '\(request.operands[1])' as well; run it again")
        }
        do throws(TraceError) {
            switch action {
            case "info": return try info(path, request)
            case "finish": return try finish(path, request)
            case "export":
                let format = try choice(request, ExportFormat.self, option: "--to")
                let report = try TraceExport.export(
                    path, to: format, output: request.output ?? "", replaces: request.isForced)
                return tell(report, path: path, output: request.output ?? "")
            default:
                let format = try choice(request, ImportFormat.self, option: "--from")
                let report = try TraceImport.convert(
                    path, from: format, output: request.output ?? "", replaces: request.isForced)
                return tell(report, path: path, output: request.output ?? "")
            }
        } catch {
            if case .parameter(let text) = error.reason { throw .usage(text) }
            throw TraceFailure.command(error)
        }
    }

    /// The format, once it and the output are there.
    private static func choice<Format: RawRepresentable & CaseIterable>(
        _ request: Request, _ formats: Format.Type, option: String
    ) throws(TraceError) -> Format where Format.RawValue == String {
        let list = formats.allCases.map(\.rawValue).joined(separator: ", ")
        guard let name = request.format else {
            throw wrong("no format given; write \(option) and one of: \(list)")
        }
        guard let format = Format(rawValue: name) else {
            throw wrong("unknown format '\(name)'; valid formats of \(option): \(list)")
        }
        if request.output == nil { throw wrong("no output given; write -o FILE") }
        return format
    }

    private static func wrong(_ text: String) -> TraceError {
        TraceError(path: "", reason: .parameter(text))
    }

    private static func info(_ path: String, _ request: Request) throws(TraceError) -> Int32 {
        let summary = try TraceSummary(of: path)
        let text = request.isJSON ? summary.json : TraceTable(summary).text
        Diagnostics.write(text, to: STDOUT_FILENO)
        tell(summary.end, path: path)
        return ExitStatus.success
    }

    /// Makes the trace of a recording that was left unfinished.
    private static func finish(_ path: String, _ request: Request) throws(TraceError) -> Int32 {
        guard let recording = try Recording.find(output: path, replaces: request.isForced) else {
            throw TraceError(
                path: "\(path).parts",
                reason: .recording("is not there", remedy: "give the FILE of iotrap record -o FILE")
            )
        }
        return RecordCommand.finish(recording, as: path) ? ExitStatus.success : ExitStatus.nothing
    }

    /// Says on the standard error output that a trace does not go on to its end.
    private static func tell(_ end: TraceReader.End, path: String) {
        switch end {
        case .torn(let offset, let bytes):
            Diagnostics.complain(
                "\(path): the last chunk is torn: \(bytes) bytes at byte \(offset) were left out")
        case .unfinished:
            Diagnostics.complain("\(path): has no end: its writer goes on, or was killed")
        case .complete, .unread: break
        }
    }

    private static func tell(_ report: ConversionReport, path: String, output: String) -> Int32 {
        tell(report.end, path: path)
        for (what, count) in report.losses {
            Diagnostics.complain("not expressed: \(what) (\(count))")
        }
        Diagnostics.write("\(printable(output)): \(report.events) events\n", to: STDOUT_FILENO)
        return ExitStatus.success
    }

    /// Nil when help was printed.
    private static func parse(
        _ arguments: [ByteString], _ action: String
    ) throws(CommandFailure) -> Request? {
        let own =
            action == "info"
            ? "--json"
            : action == "finish"
                ? "--force" : action == "export" ? "--to, -o, --force" : "--from, -o, --force"
        var request = Request()
        var reader = OptionReader(
            arguments, command: "trace \(action)", valid: own + ", --help")
        while !reader.rest.isEmpty {
            guard let (name, value) = reader.next() else {
                if let operand = reader.nextOperand() { request.operands.append(operand.text) }
                continue
            }
            switch (action, name) {
            case (_, "--help"), (_, "-h"):
                Diagnostics.write(Help.traces, to: STDOUT_FILENO)
                return nil
            case ("info", "--json"):
                try reader.refuseValue(of: name, value)
                request.isJSON = true
            case ("export", "--to"), ("import", "--from"):
                request.format = try reader.value(of: name, value).text
            case ("export", "-o"), ("import", "-o"), ("export", "--output"),
                ("import", "--output"):
                request.output = try reader.value(of: name, value).text
            case ("export", "--force"), ("import", "--force"), ("finish", "--force"):
                try reader.refuseValue(of: name, value)
                request.isForced = true
            default: throw reader.unknown(name)
            }
        }
        return request
    }
}
