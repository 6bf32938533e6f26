import Glibc
import IOReplay
import IOTrapStats

/// `iotrap replay`: replays a trace on a directory and prints what it measured.
enum ReplayCommand {
    /// What the command line says.
    struct Request {
        var options = ReplayOptions()
        var repeats = 1
        var json: String?
        var ranks = RankOptions()
        var preload = PreloadedRun()
    }

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        var request = Request()
        var reader = OptionReader(
            arguments, command: "replay",
            valid: "--on, --engine, --pace, --threads, --verify, --repeat, --json, --force, "
                + "--iotrap, --mode, --set, --pool, --rank, --ranks, --results, --share, "
                + "--start-within, --help")
        let operands = try reader.operands(help: ReplayHelp.replay) {
            (name, value, reader) throws(CommandFailure) in
            try read(name, value, &reader, &request)
        }
        guard let traces = operands else { return ExitStatus.success }
        guard traces.count == 1 else {
            throw .usage(
                traces.isEmpty
                    ? "no trace given; write iotrap replay FILE --on DIR"
                    : "one trace at a time, not '\(traces[1])' as well; run iotrap replay again")
        }
        if request.options.target.isEmpty {
            throw .usage("no directory given; write iotrap replay \(traces[0]) --on DIR")
        }
        request.options.trace = traces[0]
        try setRank(&request)
        try request.preload.startAgain(with: arguments, command: "replay")
        return try replay(request)
    }

    private static func read(
        _ name: String, _ attached: ByteString?, _ reader: inout OptionReader,
        _ request: inout Request
    ) throws(CommandFailure) {
        switch name {
        case "--on": request.options.target = try reader.value(of: name, attached).text
        case "--json": request.json = try reader.value(of: name, attached).text
        case "--engine":
            let value = try reader.value(of: name, attached).text
            guard let engine = ReplayEngine(rawValue: value) else {
                let valid = ReplayEngine.allCases.map(\.rawValue).joined(separator: ", ")
                throw .usage("unknown engine '\(value)' of --engine; valid engines: \(valid)")
            }
            request.options.engine = engine
        case "--pace":
            let value = try reader.value(of: name, attached).text
            guard let pace = ReplayPace(value) else {
                throw .usage(
                    "wrong pace '\(value)' of --pace; write recorded, asap, or x10 for ten times "
                        + "as fast")
            }
            request.options.pace = pace
        case "--threads":
            let value = try reader.value(of: name, attached)
            request.options.threads =
                value.text == "keep" ? nil : try reader.number(of: name, value, in: 1...256)
        case "--repeat":
            request.repeats = try reader.number(of: name, attached, in: 1...1000)
        case "--verify":
            try reader.refuseValue(of: name, attached)
            request.options.verifies = true
        case "--force":
            try reader.refuseValue(of: name, attached)
            request.options.isForced = true
        default:
            if try request.ranks.read(name, attached, &reader) { return }
            if try !request.preload.read(name, attached, &reader) { throw reader.unknown(name) }
        }
    }

    /// Puts the rank into the options.
    private static func setRank(_ request: inout Request) throws(CommandFailure) {
        guard let rank = try request.ranks.rank() else { return }
        if request.json != nil {
            throw .usage(
                "--json is one file for \(rank.count) ranks; leave it out: each writes one to "
                    + "--results")
        }
        request.options.rank = rank
        request.options.results = request.ranks.results
        request.options.startWithinSeconds = request.ranks.startWithinSeconds
        request.json = "\(request.ranks.results)/rank-\(rank.number).json"
    }

    private static func replay(_ request: Request) throws(CommandFailure) -> Int32 {
        var report = ReplayReport()
        report.rank = request.options.rank
        let progress = ProgressBar()
        do throws(ReplayError) {
            let replay = try Replay(request.options)
            report.settings = settings(request, lanes: replay.lanes)
            for _ in 0..<request.repeats {
                guard let run = try replay.run(progress.show) else { break }
                report.runs.append(run)
                if run.isPartial { break }
            }
            progress.clear()
            for line in replay.warnings { Diagnostics.complain(line) }
        } catch {
            progress.clear()
            throw CommandFailure(message: error.description, status: ExitStatus.usage)
        }
        guard let last = report.runs.last else {
            throw CommandFailure(
                message: "interrupted before the first request; nothing was measured",
                status: ExitStatus.interrupted)
        }
        Diagnostics.write(report.text, to: STDOUT_FILENO)
        if let path = request.json { try OutputText.write(report.json, to: path) }
        if last.isPartial { return ExitStatus.interrupted }
        let isWrong = report.runs.contains { $0.faultCount > 0 || $0.errors > 0 }
        return isWrong ? ExitStatus.nothing : ExitStatus.success
    }

    private static func settings(
        _ request: Request, lanes: Int
    ) -> [(name: String, value: String)] {
        let options = request.options
        let ranks = options.rank.map { rank in
            [
                ("rank", String(rank.number)), ("ranks", String(rank.count)),
                ("share", rank.share.rawValue),
            ]
        }
        return [
            ("trace", options.trace), ("target", options.target),
            ("engine", options.engine.rawValue), ("pace", options.pace.text),
            ("threads", String(lanes)), ("verify", options.verifies ? "on" : "off"),
            ("iotrap", PreloadedRun.isUnderIotrap ? "on" : "off"),
        ] + (ranks ?? [])
    }
}
