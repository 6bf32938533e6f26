import Foundation
import Glibc
import Testing

/// The repository that this test belongs to.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().resolvingSymlinksInPath()

/// The command as `make` built it.
let builtCommand = repository.appendingPathComponent("build/bin/iotrap").path
/// The library as `make` built it.
let builtLibrary = repository.appendingPathComponent("build/lib/libiotrap-preload.so").path

/// A scratch directory with statistics of its own, in which commands are run.
final class Scratch {
    let path: String
    /// IOTRAP_STATS_DIR of everything that is run here.
    var statistics: String { path + "/statistics" }

    init() throws {
        var template = Array("/tmp/iotrap-command-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        mkdir(statistics, 0o700)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Makes a file and returns its path.
    @discardableResult
    func file(_ name: String, _ content: Data, mode: mode_t = 0o600) throws -> String {
        let path = self.path + "/" + name
        try content.write(to: URL(fileURLWithPath: path))
        try #require(chmod(path, mode) == 0)
        return path
    }

    /// A copy of the command, with a library or without, as an installation elsewhere.
    func installation(at prefix: String = "prefix", library: Data?) throws -> String {
        let root = path + "/" + prefix
        let files = FileManager.default
        try files.createDirectory(atPath: root + "/bin", withIntermediateDirectories: true)
        try files.createDirectory(atPath: root + "/lib", withIntermediateDirectories: true)
        try files.copyItem(atPath: builtCommand, toPath: root + "/bin/iotrap")
        if let library { try file(prefix + "/lib/libiotrap-preload.so", library, mode: 0o755) }
        return root + "/bin/iotrap"
    }

    /// Starts a program; its standard input is empty unless given.
    func start(
        _ program: String, _ arguments: [String], _ variables: [String: String] = [:],
        input: Int32? = nil
    ) throws -> ChildProcess {
        var environment = ["PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"]
        environment["IOTRAP_STATS_DIR"] = statistics
        environment.merge(variables) { $1 }
        let name = UUID().uuidString
        return try ChildProcess(
            program, arguments, environment: environment, input: input,
            outputPath: "\(path)/output-\(name)", errorsPath: "\(path)/errors-\(name)")
    }

    /// Runs a program to its end.
    func run(
        _ program: String, _ arguments: [String], _ variables: [String: String] = [:]
    ) throws -> Outcome {
        try start(program, arguments, variables).wait()
    }

    /// Runs the built command to its end.
    func iotrap(_ arguments: [String], _ variables: [String: String] = [:]) throws -> Outcome {
        try run(builtCommand, arguments, variables)
    }

    /// The names of all files and directories below the statistics directory.
    func statisticsLeft() -> [String] {
        FileManager.default.enumerator(atPath: statistics)?.allObjects as? [String] ?? []
    }

    /// Compiles a C program with the system's compiler.
    func compile(_ source: String, _ options: [String] = []) throws -> String {
        let program = path + "/" + UUID().uuidString
        let input = try file("source.c", Data(source.utf8))
        let result = try run("/usr/bin/cc", ["-O1", "-o", program, input] + options)
        try #require(result.status == 0, "\(result.errors)")
        return program
    }
}

/// Whether a test has to be skipped because its helper cannot be compiled; says so in the form that
/// the test runner counts.
func lacksCompiler(_ test: String = #function) -> Bool {
    if access("/usr/bin/cc", X_OK) == 0 { return false }
    print("SKIP \(test): no C compiler at /usr/bin/cc")
    return true
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

/// Checks that a command was refused with one clear line that names what it is about.
func expectRefusal(
    _ outcome: Outcome, status: Int32, naming names: String...,
    at location: SourceLocation = #_sourceLocation
) {
    #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: location)
    #expect(outcome.output == "", sourceLocation: location)
    let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 2 && lines.last == "", "one line: \(lines)", sourceLocation: location)
    #expect(outcome.errors.hasPrefix("iotrap: "), sourceLocation: location)
    // Reason and remedy.
    #expect(outcome.errors.contains("; "), "\(outcome.errors)", sourceLocation: location)
    for name in names {
        #expect(
            outcome.errors.contains(name), "\(name) in: \(outcome.errors)",
            sourceLocation: location)
    }
}
