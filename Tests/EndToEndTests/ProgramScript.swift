import Foundation
import Testing

/// A script of `programs/` that drives a real program in one of the library's modes.
struct ProgramScript: Sendable, CustomTestStringConvertible {
    let name: String

    var testDescription: String { name }

    /// `Tests/EndToEndTests/programs`, found from this source file.
    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "programs")

    /// Every script there is, so that a new one cannot be forgotten here.
    static let all: [ProgramScript] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".sh") }.sorted()
            .map { ProgramScript(name: String($0.dropLast(3))) }
    }()

    enum Outcome: Equatable {
        case passed
        case skipped(reason: String)
        case failed(status: Int32)
    }

    struct Run {
        let outcome: Outcome
        let output: String
        let seconds: Double
    }

    /// Far beyond any run that ends by itself, so that only a hang reaches it.
    private static let hangSeconds = 600

    /// Runs the script in a scratch directory of its own, which stays behind after a failure.
    func run(mode: String) throws -> Run {
        let started = ContinuousClock.now
        let files = FileManager.default
        // Short: the servers' sockets are below it, and their paths have a limit of 107 bytes.
        let scratch = URL(filePath: "/tmp/iotrap-e2e-\(name)-\(mode)-\(getpid())")
        let log = scratch.appendingPathExtension("log")
        try files.createDirectory(at: scratch, withIntermediateDirectories: false)
        try Data().write(to: log)
        let handle = try FileHandle(forWritingTo: log)
        let process = Process()
        // Threads that run tests block most signals, and a child inherits that: `env` undoes
        // it, or no `kill` in a script, nor the limit here, would have an effect.
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "--default-signal", "/usr/bin/timeout", "--signal=INT", "--kill-after=20",
            "\(Self.hangSeconds)", "/bin/bash",
            Self.folder.appending(path: "\(name).sh").path, mode, scratch.path,
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        process.waitUntilExit()
        try handle.close()
        let output = String(decoding: try Data(contentsOf: log), as: UTF8.self)
        let outcome = outcome(of: process, output: output)
        if case .failed = outcome {
            // The data of the failed run is what a search for the cause starts from.
        } else {
            try files.removeItem(at: scratch)
        }
        try files.removeItem(at: log)
        let elapsed = (ContinuousClock.now - started) / .seconds(1)
        return Run(outcome: outcome, output: output, seconds: elapsed)
    }

    private func outcome(of process: Process, output: String) -> Outcome {
        let status = process.terminationStatus
        guard process.terminationReason == .exit else { return .failed(status: 128 + status) }
        switch status {
        case 0: return .passed
        case 77:
            let last = output.split(separator: "\n").last
            return .skipped(reason: last.map(String.init) ?? "no reason given")
        default: return .failed(status: status)
        }
    }
}
