import Foundation
import Glibc
import Testing

/// The repository that this test belongs to.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().resolvingSymlinksInPath().path

/// A program, and how it ended.
struct Tool {
    let status: Int32
    let output: String
    let errors: String

    /// Runs an example as `make examples` built it, or a program of the system.
    init(_ name: String, _ arguments: String..., input: String = "", in folder: String = "/") throws
    {
        let built = repository + "/.build/examples/debug/" + name
        let isExample = ["wal", "restore", "checksum", "tutorial"].contains(name)
        if isExample {
            try #require(access(built, X_OK) == 0, "\(built) is missing: run make examples")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: isExample ? built : "/usr/bin/env")
        process.arguments = isExample ? arguments : [name] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        // Files instead of pipes: nobody has to read them while the program runs.
        let scratch = try Scratch()
        try input.write(toFile: scratch("in"), atomically: false, encoding: .utf8)
        for name in ["out", "err"] {
            #expect(FileManager.default.createFile(atPath: scratch(name), contents: nil))
        }
        process.standardInput = FileHandle(forReadingAtPath: scratch("in"))
        process.standardOutput = FileHandle(forWritingAtPath: scratch("out"))
        process.standardError = FileHandle(forWritingAtPath: scratch("err"))
        try process.run()
        process.waitUntilExit()
        status = process.terminationStatus
        output = try String(contentsOfFile: scratch("out"), encoding: .utf8)
        errors = try String(contentsOfFile: scratch("err"), encoding: .utf8)
    }
}

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/var/tmp/iotrap-example-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let folder = (self(name) as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: self(name)))
    }

    func read(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: self(name))))
    }

    /// Makes an archive with Python's tarfile, which takes names that tar itself refuses: `members`
    /// is code that adds to `tar`.
    func archive(_ name: String, format: String = "PAX_FORMAT", _ members: String) throws -> String
    {
        let script = """
            import io, sys, tarfile
            tar = tarfile.open(sys.argv[1], "w", format=tarfile.\(format))
            def add(name, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644, time=1000000000):
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.mode, info.mtime = kind, link, mode, time
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            \(members)
            tar.close()
            """
        let tool = try Tool("python3", "-c", script, self(name))
        try #require(tool.status == 0, "\(tool.errors)")
        return self(name)
    }
}
