import CIOTrap
import Glibc
import IOTrace
import IOTrapEngine
import IOTrapStats

/// `iotrap record`: runs a program with the library preloaded and makes a trace of its I/O.
enum RecordCommand {
    private struct Request {
        var settings = Settings()
        var options = RecordingOptions()
        var output: String?
        var program: [ByteString] = []
    }

    private static let valid =
        "-o, --filter, --max, --anonymise, --mode, --set, --pool, --config, --force, --help, --"

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        guard var request = try parse(arguments) else { return ExitStatus.success }
        guard let output = request.output else {
            throw .usage("no output given; write iotrap record -o FILE -- PROGRAM [ARGUMENT]...")
        }
        guard let name = request.program.first else {
            throw .usage("no program given; write iotrap record -o FILE -- PROGRAM [ARGUMENT]...")
        }
        var environment = Environment.ofProcess()
        let configuration = try request.settings.apply(to: &environment)
        if configuration.mode == IOTRAP_MODE_OFF.rawValue {
            throw .usage("mode off records nothing; use observe to record and change nothing")
        }
        let library = try Library.find()
        var target = try Target(finding: name, path: environment["PATH"])
        try target.check(against: library)
        for warning in target.warnings { Diagnostics.complain(warning) }
        environment.set("LD_PRELOAD", library.preload(before: environment["LD_PRELOAD"]))
        request.options.program = target.path.text
        let recording: Recording
        do throws(TraceError) {
            recording = try Recording.begin(output: output, options: request.options)
        } catch {
            throw CommandFailure(message: "\(error)", status: ExitStatus.usage)
        }
        environment.set("IOTRAP_TRACE", ByteString(recording.buffers))
        let child: SupervisedChild
        do throws(CommandFailure) {
            child = try SupervisedChild(
                Launch(path: target.path, arguments: request.program, environment: environment))
        } catch {
            recording.remove()
            throw error
        }
        let status = child.waitForEnd()
        return finish(recording, as: output) ? status : max(status, ExitStatus.nothing)
    }

    /// Makes the trace and says what came of it; false when that failed.
    static func finish(_ recording: Recording, as output: String) -> Bool {
        do throws(TraceError) {
            tell(try recording.finish(), output)
            return true
        } catch {
            Diagnostics.complain("\(error)")
            Diagnostics.complain(
                "what was recorded is kept in \(recording.parts); then: iotrap trace finish "
                    + output)
            return false
        }
    }

    private static func tell(_ report: RecordingReport, _ output: String) {
        let ratio =
            report.events == 0 ? "-" : Units.ratio(Double(report.bytes) / Double(report.events))
        Diagnostics.complain(
            "\(output): \(report.events) events, \(report.files) files, "
                + "\(report.processes) processes, \(Units.bytes(report.bytes)), "
                + "\(ratio) bytes an event, \(report.droppedCount) dropped")
        for (reason, count) in report.drops {
            Diagnostics.complain("\(count) events dropped: \(reason)")
        }
        for (what, count) in report.assumptions {
            Diagnostics.complain("the offset of \(count) events is assumed: \(what)")
        }
        if report.damagedChunks > 0 {
            Diagnostics.complain("\(report.damagedChunks) chunks were torn and are left out")
        }
        if report.isMemoryLost {
            Diagnostics.complain(
                "the buffers in memory are gone: the last events of each thread are missing, and "
                    + "nobody knows how many were dropped")
        }
    }

    /// Nil when help was printed.
    private static func parse(_ arguments: [ByteString]) throws(CommandFailure) -> Request? {
        var request = Request()
        var reader = OptionReader(arguments, command: "record", valid: valid)
        while let (name, value) = reader.next() {
            switch name {
            case "-o", "--output": request.output = try reader.value(of: name, value).text
            case "--filter":
                let pattern = try reader.value(of: name, value)
                if pattern.isEmpty {
                    throw .usage("--filter has no pattern; write it as --filter '*.db'")
                }
                request.options.filters.append(pattern.bytes)
            case "--max":
                request.options.bytesMax = try size(try reader.value(of: name, value))
            case "--anonymise", "--anonymize":
                try reader.refuseValue(of: name, value)
                request.options.isAnonymised = true
            case "--force":
                try reader.refuseValue(of: name, value)
                request.options.replaces = true
            case "--mode": request.settings.mode = try reader.value(of: name, value)
            case "--set": request.settings.items.append(try reader.value(of: name, value))
            case "--pool": request.settings.poolItems.append(try reader.value(of: name, value))
            case "--config": request.settings.file = try reader.value(of: name, value)
            case "--help", "-h":
                Diagnostics.write(Help.record, to: STDOUT_FILENO)
                return nil
            default: throw reader.unknown(name)
            }
        }
        request.program = reader.rest
        return request
    }

    /// A number of bytes: digits and a unit of 1024.
    private static func size(_ value: ByteString) throws(CommandFailure) -> UInt64 {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        var digits = value.text
        var unit: UInt64 = 1
        if let last = digits.last, let factor = units[Character(last.uppercased())] {
            unit = factor
            digits.removeLast()
        }
        let least: UInt64 = 1 << 20
        guard let number = UInt64(digits),
            case let (bytes, isTooMuch) =
                number.multipliedReportingOverflow(by: unit), !isTooMuch, bytes >= least
        else {
            throw .usage("wrong value '\(value.text)' of --max; write a size from 1M, such as 2G")
        }
        return bytes
    }
}
