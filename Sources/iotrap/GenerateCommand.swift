import Glibc
import IOTrace
import IOTrapStats

/// `iotrap generate`: makes the trace of a load from a profile.
enum GenerateCommand {
    private static let valid =
        "--list, --show, --seconds, --scale, --seed, --set, --codec, -o, --force, --help"

    /// What the command line asks for.
    private struct Request {
        var profile: String?
        var isListed = false
        var isShown = false
        var settings: [(key: String, value: String)] = []
        var seconds: Double?
        var scale = 1.0
        var seed: UInt64 = 1
        var codec = TraceCodec.raw
        var output: String?
        var isForced = false
    }

    static func run(_ arguments: [ByteString]) throws(CommandFailure) -> Int32 {
        guard let request = try parse(arguments) else { return ExitStatus.success }
        if request.isListed {
            for profile in Profile.all {
                let padding = String(repeating: " ", count: 16 - profile.name.count)
                Diagnostics.write(
                    "\(profile.name)\(padding)\(profile.summary)\n", to: STDOUT_FILENO)
            }
            return ExitStatus.success
        }
        guard let name = request.profile else {
            throw .usage("no profile given; iotrap generate --list names them")
        }
        guard let profile = Profile.named(name) else {
            throw .usage(
                "unknown profile '\(name)'; valid profiles: "
                    + Profile.all.map(\.name).joined(separator: ", "))
        }
        let load: LoadSpecification
        do throws(TraceError) {
            load = try LoadSpecification(
                profile, settings: request.settings, seconds: request.seconds,
                scale: request.scale, seed: request.seed)
        } catch {
            throw .usage("\(error)")
        }
        if request.isShown {
            Diagnostics.write(description(load), to: STDOUT_FILENO)
            return ExitStatus.success
        }
        return try generate(load, request)
    }

    private static func generate(
        _ load: LoadSpecification, _ request: Request
    ) throws(CommandFailure) -> Int32 {
        guard let path = request.output else {
            throw .usage("no output given; write -o FILE, or --show to see the parameters")
        }
        let start = now()
        let totals: TraceTotals
        do throws(TraceError) {
            totals = try load.generate(
                to: path, codec: request.codec, replaces: request.isForced)
        } catch {
            throw TraceFailure.command(error)
        }
        let nanoseconds = max(1, now() - start)
        var status = stat()
        let bytes = stat(path, &status) == 0 ? UInt64(clamping: status.st_size) : 0
        let rate = UInt64(Double(totals.events) / Double(nanoseconds) * 1e9)
        let perEvent = totals.events == 0 ? "-" : Units.ratio(Double(bytes) / Double(totals.events))
        Diagnostics.write(
            "\(printable(path)): \(totals.events) events, \(totals.files) files, "
                + "\(Units.bytes(bytes)), \(perEvent) bytes an event, "
                + "\(Units.count(rate)) events/s\n", to: STDOUT_FILENO)
        return ExitStatus.success
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private static func description(_ load: LoadSpecification) -> String {
        let widest = load.parameters.map(\.key.count).max() ?? 0
        let widestValue = min(36, load.parameters.map(\.value.count).max() ?? 0)
        var text = "\(load.profile.name): \(load.profile.summary)\n"
        text += "--seconds \(load.seconds) --scale \(load.scale) --seed \(load.seed)\n\n"
        for parameter in load.parameters {
            let value = parameter.value.isEmpty ? "-" : parameter.value
            text += pad(parameter.key, widest) + "  " + pad(value, widestValue) + "  "
            text += parameter.meaning + "\n"
        }
        return text
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Nil when help was printed.
    private static func parse(_ arguments: [ByteString]) throws(CommandFailure) -> Request? {
        var request = Request()
        var reader = OptionReader(arguments, command: "generate", valid: valid)
        while !reader.rest.isEmpty {
            guard let (name, value) = reader.next() else {
                guard let operand = reader.nextOperand() else { continue }
                try setProfile(operand.text, &request)
                continue
            }
            switch name {
            case "--list":
                try reader.refuseValue(of: name, value)
                request.isListed = true
            case "--show":
                request.isShown = true
                if let value { try setProfile(value.text, &request) }
            case "--seconds": request.seconds = try number(&reader, name, value)
            case "--scale": request.scale = try number(&reader, name, value)
            case "--seed":
                let text = try reader.value(of: name, value).text
                guard let seed = UInt64(text) else {
                    throw .usage("wrong value '\(text)' of --seed; write a whole number")
                }
                request.seed = seed
            case "--set":
                let item = try reader.value(of: name, value)
                guard let (key, setting) = item.split(at: "=") else {
                    throw .usage("'\(item.text)' is no setting; write --set KEY=VALUE")
                }
                request.settings.append((key.text, setting.text))
            case "--codec":
                let text = try reader.value(of: name, value).text
                guard let codec = ["raw": TraceCodec.raw, "zstd": .zstd][text] else {
                    throw .usage("unknown codec '\(text)'; valid codecs: raw, zstd")
                }
                request.codec = codec
            case "-o", "--output": request.output = try reader.value(of: name, value).text
            case "--force":
                try reader.refuseValue(of: name, value)
                request.isForced = true
            case "--help", "-h":
                Diagnostics.write(Help.traces, to: STDOUT_FILENO)
                return nil
            default: throw reader.unknown(name)
            }
        }
        return request
    }

    private static func setProfile(
        _ name: String, _ request: inout Request
    ) throws(CommandFailure) {
        if let first = request.profile {
            throw .usage("one profile at a time, not '\(first)' and '\(name)'; run it again")
        }
        request.profile = name
    }

    private static func number(
        _ reader: inout OptionReader, _ name: String, _ value: ByteString?
    ) throws(CommandFailure) -> Double {
        let text = try reader.value(of: name, value).text
        guard let number = Double(text), number > 0, number.isFinite else {
            throw .usage("wrong value '\(text)' of \(name); write a number above 0")
        }
        return number
    }
}

/// How the command ends because of a trace.
enum TraceFailure {
    static func command(_ error: TraceError) -> CommandFailure {
        CommandFailure(message: "\(error)", status: ExitStatus.nothing)
    }
}
