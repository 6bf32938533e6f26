import Glibc
import IOReplay
import IOTrapStats

/// `iotrap kpi`: the certification figures of SAP HANA, measured and judged.
enum KPICommand {
    private struct Request {
        var volume: KPIVolume?
        var directory = ""
        var scale: UInt64 = 1
        var json: String?
        var isForced = false
        var isBoth = false
        /// One line of the table, for a child process.
        var row: Int?
        var preload = PreloadedRun()
    }

    /// --quick divides the sizes of files by it.
    private static let quickScale: UInt64 = 64

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var request = Request()
        var reader = OptionReader(
            arguments, command: "kpi",
            valid: "--volume, --quick, --both, --json, --force, --iotrap, --mode, --set, --pool, "
                + "--help")
        let operands = try reader.operands(help: ReplayHelp.kpi) {
            (name, value, reader) throws(CommandFailure) in
            try read(name, value, &reader, &request)
        }
        guard let directories = operands else { return ExitStatus.success }
        guard let volume = request.volume, directories.count == 1 else {
            let what = request.volume == nil ? "no volume" : "no directory, or more than one,"
            throw .usage("\(what) given; write iotrap kpi --volume data|log DIR")
        }
        request.directory = directories[0]
        if !request.isBoth { try request.preload.startAgain(with: arguments, command: "kpi") }
        let ways = request.isBoth ? try both(request, volume) : try own(request, volume)
        let report = KPIReport(volume: volume, scale: request.scale, ways: ways)
        if let path = request.json { try OutputText.write(report.json, to: path) }
        if request.row != nil { return ExitStatus.success }
        Diagnostics.write(report.text, to: STDOUT_FILENO)
        return report.passes ? ExitStatus.success : ExitStatus.nothing
    }

    private static func read(
        _ name: String, _ attached: ByteString?, _ reader: inout OptionReader,
        _ request: inout Request
    ) throws(CommandFailure) {
        switch name {
        case "--volume":
            let value = try reader.value(of: name, attached).text
            guard let volume = KPIVolume(rawValue: value) else {
                throw .usage("unknown volume '\(value)' of --volume; valid volumes: data, log")
            }
            request.volume = volume
        case "--json": request.json = try reader.value(of: name, attached).text
        case "--row":
            request.row = try reader.number(of: name, attached, in: 0...5)
        case "--quick":
            try reader.refuseValue(of: name, attached)
            request.scale = quickScale
        case "--both":
            try reader.refuseValue(of: name, attached)
            request.isBoth = true
        case "--force":
            try reader.refuseValue(of: name, attached)
            request.isForced = true
        default:
            if try !request.preload.read(name, attached, &reader) { throw reader.unknown(name) }
        }
    }

    /// Measures in this process: all lines, or the one asked for.
    private static func own(
        _ request: Request, _ volume: KPIVolume
    ) throws(CommandFailure) -> [KPIReport.Way] {
        var cells: [[KPICell]] = []
        do throws(ReplayError) {
            let measurement = try KPIMeasurement(
                directory: request.directory, volume: volume, scale: request.scale,
                isForced: request.isForced)
            for (index, row) in KPIRow.table(of: volume).enumerated() {
                if let wanted = request.row, wanted != index {
                    cells.append([])
                    continue
                }
                guard let found = try measurement.measure(row) else { throw interrupted }
                cells.append(found)
            }
        } catch {
            if error == interrupted {
                throw CommandFailure(
                    message: error.description, status: ExitStatus.interrupted)
            }
            throw .usage(error.description)
        }
        return [(PreloadedRun.isUnderIotrap ? "iotrap" : "plain", cells)]
    }

    private static let interrupted = ReplayError("interrupted; run iotrap kpi again")

    /// Measures each line in two processes, plain and under the library, in turns.
    private static func both(
        _ request: Request, _ volume: KPIVolume
    ) throws(CommandFailure) -> [KPIReport.Way] {
        var plain: [[KPICell]] = []
        var preloaded: [[KPICell]] = []
        let own = request.preload
        for (index, row) in KPIRow.table(of: volume).enumerated() {
            if row.leastMebibytes.isEmpty {
                plain.append([])
                preloaded.append([])
                continue
            }
            let arguments = childArguments(request, volume, index)
            // Whichever comes first finds an emptier cache of the storage: sides change.
            for isPlain in index % 2 == 0 ? [true, false] : [false, true] {
                let launch =
                    isPlain
                    ? Launch(
                        path: "/proc/self/exe", arguments: ["iotrap"] + arguments,
                        environment: Environment.ofProcess())
                    : try own.launch(arguments: arguments)
                let cells = try result(of: launch, request)
                if isPlain { plain.append(cells) } else { preloaded.append(cells) }
            }
        }
        return [("plain", plain), ("iotrap", preloaded)]
    }

    /// Where a child leaves its result, beside the file that it measures.
    private static func resultPath(_ request: Request) -> String {
        request.directory + "/.iotrap-kpi.json"
    }

    private static func childArguments(
        _ request: Request, _ volume: KPIVolume, _ row: Int
    ) -> [ByteString] {
        var arguments: [ByteString] = ["kpi", "--volume", ByteString(volume.rawValue)]
        arguments += ["--row", ByteString(String(row)), "--json"]
        arguments.append(ByteString(resultPath(request)))
        if request.scale > 1 { arguments.append("--quick") }
        if request.isForced { arguments.append("--force") }
        return arguments + ["--", ByteString(request.directory)]
    }

    private static func result(
        of launch: Launch, _ request: Request
    ) throws(CommandFailure) -> [KPICell] {
        let status = try SupervisedChild(launch).waitForEnd()
        let path = resultPath(request)
        defer { unlink(path) }
        // It has said what went wrong.
        if status != 0 { exit(status) }
        guard let bytes = smallFile(path), let cells = KPIReport.cells(in: bytes) else {
            throw .usage("\(path): holds no result; run iotrap kpi again")
        }
        return cells
    }
}
