import Foundation
import Glibc
import IOTrace
import Testing

/// The repository that this test belongs to.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().resolvingSymlinksInPath()

/// The command as `make` built it.
let builtCommand = repository.appendingPathComponent("build/bin/iotrap").path

/// What a command printed and how it ended: its exit status, or 128 + the signal's number.
struct Outcome {
    let status: Int32
    let output: String
    let errors: String
}

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/var/tmp/iotrap-record-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        try FileManager.default.createDirectory(
            atPath: self("data"), withIntermediateDirectories: false)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Starts a program, named by its path.
    func start(
        _ words: [String], _ variables: [String: String] = [:], output: String = "output"
    ) throws -> ChildProcess {
        let own = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "IOTRAP_STATS": "off"]
        return try ChildProcess(
            words[0], Array(words.dropFirst()), environment: own.merging(variables) { $1 },
            directory: path, outputPath: self(output), errorsPath: self("errors"))
    }

    func run(_ words: [String], _ variables: [String: String] = [:]) throws -> Outcome {
        try start(words, variables).wait()
    }

    func iotrap(_ arguments: [String], _ variables: [String: String] = [:]) throws -> Outcome {
        try run([builtCommand] + arguments, variables)
    }

    /// Records a program; `options` come before the program's words.
    func record(
        _ options: [String] = [], _ words: [String], _ variables: [String: String] = [:]
    ) throws -> Outcome {
        try iotrap(["record", "-o", self("trace")] + options + ["--"] + words, variables)
    }

    func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: self(name))), as: UTF8.self)
    }

    func exists(_ name: String) -> Bool { access(self(name), F_OK) == 0 }

    /// Compiles a program of `programs`; nil, with a skip, without a compiler or libaio.
    func program(_ name: String, _ test: String = #function) throws -> String? {
        let needs = name.hasPrefix("libaio") ? ["/usr/include/libaio.h"] : []
        for file in ["/usr/bin/cc"] + needs where access(file, R_OK) != 0 {
            print("SKIP \(test): \(file) is not there")
            return nil
        }
        let folder = repository.appendingPathComponent("Tests/RecordTests/programs").path
        let options = ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Werror"]
        let words =
            ["/usr/bin/cc"] + options + ["\(folder)/\(name).c", "-o", self(name)]
            + (needs.isEmpty ? [] : ["-laio"])
        let built = try run(words)
        try #require(built.status == 0, "\(built.errors)")
        return self(name)
    }

    /// The events of a trace on files in `data`, in the words of the programs.
    func lines(of trace: String = "trace") throws -> [String] {
        var reader = try TraceReader(path: self(trace))
        var lines: [String] = []
        while let event = try reader.next() {
            guard let file = reader.file(event.file), file.path.contains("/data/") else { continue }
            let name = file.path.split(separator: "/").last ?? ""
            lines.append(
                "\(event.operation.name) \(name) \(event.offset) \(event.length) \(event.result)")
        }
        try #require(reader.end == .complete)
        return lines.sorted()
    }

    /// What a program said it did.
    func said(_ output: String) -> [String] {
        output.split(separator: "\n").map(String.init).filter {
            $0.split(separator: " ").count == 5
        }
        .sorted()
    }

    /// Checks that a trace has what a program said, and nothing else.
    func expectSame(
        _ outcome: Outcome, trace: String = "trace", at location: SourceLocation = #_sourceLocation
    ) throws {
        let said = said(outcome.output)
        let found = try lines(of: trace)
        #expect(!said.isEmpty, sourceLocation: location)
        var missing = said
        var extra: [String] = []
        for line in found {
            if let index = missing.firstIndex(of: line) {
                missing.remove(at: index)
            } else {
                extra.append(line)
            }
        }
        #expect(missing.isEmpty, "missing: \(missing.prefix(10))", sourceLocation: location)
        #expect(extra.isEmpty, "not said: \(extra.prefix(10))", sourceLocation: location)
    }
}

/// Directories of recordings in memory that are there now.
func buffersInMemory() -> Set<String> {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/dev/shm")) ?? []
    return Set(names.filter { $0.hasPrefix("iotrap-record-") })
}

/// Waits until something holds that another process brings about. The bound only keeps a broken
/// test from waiting for ever.
func eventually(_ condition: () throws -> Bool) throws -> Bool {
    for _ in 0..<6000 {
        if try condition() { return true }
        usleep(10_000)
    }
    return false
}
