import Foundation
import IOTrace
import Testing

/// Everything about one run of a program that must be the same with and without the library.
struct Observation: Equatable, Sendable {
    let ending: String
    let output: String
    let errors: String
    /// A line for each file left behind: name, type, size, hash.
    let tree: String

    /// The reason on the last line of a program that exits with 77.
    var skipReason: String? {
        guard ending == "exit 77" else { return nil }
        return output.split(separator: "\n").last.map { String($0.dropFirst("SKIP ".count)) }
            ?? "no reason given"
    }

    /// The first lines in which two runs differ, part by part.
    static func differences(bare: Observation, preloaded: Observation) -> String {
        let parts: [(String, KeyPath<Observation, String>)] = [
            ("ending", \.ending), ("standard output", \.output), ("standard error", \.errors),
            ("files", \.tree),
        ]
        return parts.compactMap { name, part in
            firstDifference(name, bare[keyPath: part], preloaded[keyPath: part])
        }.joined(separator: "\n")
    }

    private static func firstDifference(
        _ name: String, _ bare: String, _ preloaded: String
    ) -> String? {
        guard bare != preloaded else { return nil }
        let left = bare.split(separator: "\n", omittingEmptySubsequences: false)
        let right = preloaded.split(separator: "\n", omittingEmptySubsequences: false)
        let same = zip(left, right).prefix { $0 == $1 }.count
        let before = left[max(0, same - 3)..<same].map { "    \($0)" }
        let missing = left.dropFirst(same).prefix(5).map { "  - \($0)" }
        let added = right.dropFirst(same).prefix(5).map { "  + \($0)" }
        return (["\(name) differs from line \(same + 1):"] + before + missing + added)
            .joined(separator: "\n")
    }
}

/// Where programs run: a kind of file system.
enum Bed: String, CaseIterable, Sendable {
    case repository
    case xfs
}

/// Runs programs in fresh directories and keeps what they did bare.
actor Observer {
    static let shared = Observer()

    private var bare: [String: Observation] = [:]

    /// The program without the library; run once a bed.
    func bareRun(of program: Program, on bed: Bed) throws -> Observation {
        let key = "\(bed) \(program.name)"
        if let known = bare[key] { return known }
        let seen = try observe(program, on: bed, environment: [:])
        bare[key] = seen
        return seen
    }

    /// The program under the library, and what the library had to say about problems.
    func preloadedRun(
        of program: Program, on bed: Bed, _ mode: Mode
    ) throws -> (Observation, log: String) {
        let own = "/dev/shm/iotrap-differential-" + UUID().uuidString
        let log = NSTemporaryDirectory() + "iotrap-log-" + UUID().uuidString
        defer {
            try? FileManager.default.removeItem(atPath: own)
            try? FileManager.default.removeItem(atPath: log)
        }
        try FileManager.default.createDirectory(
            atPath: own, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        var environment = mode.environment
        environment["IOTRAP_STATS_DIR"] = own
        environment["IOTRAP_LOG"] = log
        guard mode.isRecorded else {
            let seen = try observe(program, on: bed, environment: environment)
            return (seen, (try? Repository.text(log)) ?? "")
        }
        let seen = try recorded(log + ".trace", &environment) { environment in
            try observe(program, on: bed, environment: environment)
        }
        return (seen, (try? Repository.text(log)) ?? "")
    }

    /// Runs something that is recorded, and checks that a trace comes of it.
    private func recorded(
        _ trace: String, _ environment: inout [String: String],
        _ run: ([String: String]) throws -> Observation
    ) throws -> Observation {
        let recording = try Recording.begin(output: trace, options: RecordingOptions())
        defer {
            recording.remove()
            try? FileManager.default.removeItem(atPath: trace)
        }
        environment["IOTRAP_TRACE"] = recording.buffers
        let seen = try run(environment)
        let report = try recording.finish()
        #expect(report.damagedChunks == 0)
        var reader = try TraceReader(path: trace)
        while try reader.next() != nil {}
        #expect(reader.end == .complete && reader.totals.events == report.events)
        return seen
    }

    /// A run that nothing is remembered of.
    func observe(
        _ program: Program, on bed: Bed, environment: [String: String]
    ) throws -> Observation {
        switch bed {
        case .repository: try observeHere(program, environment)
        case .xfs: try XFSBed.observe(program, environment)
        }
    }

    private func observeHere(
        _ program: Program, _ environment: [String: String]
    ) throws -> Observation {
        // The same path length for all: the name of the directory is part of the stack.
        let scratch = try Scratch()
        let result = try ProcessRun.run(program.path, [scratch.path], environment: environment)
        return Observation(
            ending: result.ending, output: result.output, errors: result.errors,
            tree: try scratch.tree())
    }
}
