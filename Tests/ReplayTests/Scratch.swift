import Foundation
import Glibc
import IOTrace
import Testing

@testable import IOReplay

/// The repository that this test belongs to.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().resolvingSymlinksInPath()

/// The command as `make` built it.
let builtCommand = repository.appendingPathComponent("build/bin/iotrap").path

/// What a command printed and how it ended.
struct Outcome {
    let status: Int32
    let output: String
    let errors: String
}

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/var/tmp/iotrap-replay-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Writes a trace and returns its path.
    func trace(
        _ events: [TraceEvent], files: [TraceFile] = [.of("data/file", blocks: 16)],
        isOrdered: Bool = true
    ) throws -> String {
        var header = TraceHeader()
        header.isOrdered = isOrdered
        let path = self("\(UUID().uuidString).iotrace")
        var writer = try TraceWriter(path: path, header: header, codec: .raw)
        for file in files { _ = try writer.addFile(file) }
        for event in events { try writer.append(event) }
        _ = try writer.finish()
        return path
    }

    /// Starts the command, or what starts it. Of several at a time each needs a prefix for what
    /// it prints.
    func start(
        _ arguments: [String], _ variables: [String: String] = [:], program: String = builtCommand,
        prefix: String = ""
    ) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = [
            "PATH": "/usr/bin:/bin", "LC_ALL": "C", "IOTRAP_STATS": "off",
        ].merging(variables) { $1 }
        process.standardInput = FileHandle.nullDevice
        for name in ["output", "errors"] {
            _ = FileManager.default.createFile(atPath: self(prefix + name), contents: nil)
        }
        process.standardOutput = FileHandle(forWritingAtPath: self(prefix + "output"))
        process.standardError = FileHandle(forWritingAtPath: self(prefix + "errors"))
        try process.run()
        return process
    }

    /// Waits for its end.
    func wait(_ process: Process) throws -> Outcome {
        process.waitUntilExit()
        let signal = process.terminationReason == .uncaughtSignal ? Int32(128) : 0
        return Outcome(
            status: process.terminationStatus + signal, output: try text("output"),
            errors: try text("errors"))
    }

    /// Runs the command to its end.
    func iotrap(_ arguments: [String], _ variables: [String: String] = [:]) throws -> Outcome {
        try wait(try start(arguments, variables))
    }

    func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: self(name))), as: UTF8.self)
    }

    /// The results that a command wrote.
    func results(_ name: String = "out.json") throws -> [[String: Any]] {
        let data = try Data(contentsOf: URL(fileURLWithPath: self(name)))
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        return try #require(object?["runs"] as? [[String: Any]])
    }

    /// Compiles the library that makes storage faulty; nil, with a skip, without a compiler.
    func faultyLibrary(_ test: String = #function) throws -> String? {
        if access("/usr/bin/cc", X_OK) != 0 {
            print("SKIP \(test): no C compiler at /usr/bin/cc")
            return nil
        }
        let source = repository.appendingPathComponent("Tests/ReplayTests/programs/faulty.c").path
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/cc")
        process.arguments = [
            "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-pthread", source, "-o", self("faulty.so"),
        ]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return self("faulty.so")
    }
}

extension TraceFile {
    /// A file of so many blocks of 4 KiB, opened with O_DIRECT for reading and writing.
    static func of(_ path: String, blocks: UInt64) -> TraceFile {
        TraceFile(path: path, openFlags: 0o40002, sizeBytes: blocks * 4096)
    }
}

/// A request of one block, of an asynchronous program with up to `depth` in flight.
func event(
    _ operation: TraceOperation, block: UInt64 = 0, at microseconds: UInt64 = 0, thread: UInt32 = 0,
    file: UInt32 = 0, call: TraceCall = .ioSubmit, depth: UInt32 = 8, after: UInt32 = 0,
    isAfterFile: Bool = false, batch: UInt32 = 0
) -> TraceEvent {
    var event = TraceEvent()
    event.operation = operation
    event.call = call
    event.submitNanoseconds = microseconds * 1000
    event.latencyNanoseconds = 1000
    event.offset = block * 4096
    event.length = operation.movesData ? 4096 : 0
    event.result = operation.movesData ? 4096 : 0
    event.file = file
    event.thread = thread
    event.depth = depth
    event.after = after
    event.isAfterFile = isAfterFile
    event.batch = batch
    return event
}

/// Checks that a command was refused with one line that names reason and remedy.
func expectRefusal(
    _ outcome: Outcome, naming names: String..., at location: SourceLocation = #_sourceLocation
) {
    #expect(outcome.status == 2, "\(outcome.errors)", sourceLocation: location)
    #expect(outcome.output == "", sourceLocation: location)
    #expect(outcome.errors.hasPrefix("iotrap: "), sourceLocation: location)
    #expect(outcome.errors.contains("; "), "\(outcome.errors)", sourceLocation: location)
    #expect(
        outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)",
        sourceLocation: location)
    for name in names {
        #expect(outcome.errors.contains(name), "\(outcome.errors)", sourceLocation: location)
    }
}
