import Foundation
import Glibc
import Testing

@Suite("iotrap generate and iotrap trace")
struct TraceCommandTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func path(_ name: String) -> String { scratch.path + "/" + name }

    /// Makes a small trace.
    @discardableResult
    private func generate(_ name: String, _ more: [String] = []) throws -> Outcome {
        try scratch.iotrap(
            ["generate", "hana-mixed", "--seconds", "1", "--scale", "0.01", "-o", path(name)] + more
        )
    }

    private func bytes(_ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path(name)))
    }

    @Test("The list names every profile, and each can be shown")
    func list() throws {
        let list = try scratch.iotrap(["generate", "--list"])
        #expect(list.status == 0)
        let names = list.output.split(separator: "\n").map { String($0.prefix { $0 != " " }) }
        for name in [
            "hana-log-oltp", "hana-log-bulk", "hana-savepoint", "hana-restart", "hana-lob",
            "hana-backup", "hana-merge", "hana-mixed", "postgres-oltp", "sqlite-wal", "kafka-log",
        ] { #expect(names.contains(name)) }
        for name in names {
            let shown = try scratch.iotrap(["generate", "--show", name])
            #expect(shown.status == 0)
            #expect(shown.output.contains(".sizes ") && shown.output.contains("--seed 1"))
        }
        let changed = try scratch.iotrap(
            ["generate", "--show", "hana-lob", "--set", "lob.sizes=8K:1"])
        #expect(changed.output.contains("8K:1"))
    }

    @Test("A trace is private, made anew, and the same for the same seed")
    func output() throws {
        let outcome = try generate("a")
        #expect(outcome.status == 0 && outcome.errors == "")
        #expect(outcome.output.contains("bytes an event"))
        var status = stat()
        #expect(stat(path("a"), &status) == 0 && status.st_mode & 0o7777 == 0o600)
        try generate("b")
        try generate("c", ["--seed", "2"])
        #expect(try bytes("a") == bytes("b"))
        #expect(try bytes("a") != bytes("c"))
    }

    @Test("No file is replaced or reached through a link without being told")
    func replacing() throws {
        try scratch.file("there", Data("precious".utf8), mode: 0o644)
        expectRefusal(try generate("there"), status: 1, naming: "there", "--force")
        #expect(try bytes("there") == Data("precious".utf8))
        #expect(symlink(path("there"), path("link")) == 0)
        #expect(symlink(path("nowhere"), path("dangling")) == 0)
        for link in ["link", "dangling"] {
            for more in [[], ["--force"]] {
                expectRefusal(try generate(link, more), status: 1, naming: link)
            }
        }
        #expect(access(path("nowhere"), F_OK) != 0)
        #expect(try bytes("there") == Data("precious".utf8))
        #expect(try generate("there", ["--force"]).status == 0)
        #expect(try bytes("there").count > 1000)
        var status = stat()
        #expect(stat(path("there"), &status) == 0 && status.st_mode & 0o7777 == 0o600)
        expectRefusal(try generate("no/such/directory"), status: 1, naming: "no/such/directory")
        let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path)
        #expect(!left.contains { $0.contains("partial") })
    }

    @Test(
        "What is wrong is named",
        arguments: [
            (["generate"], "--list"), (["generate", "hana-log"], "hana-log-oltp"),
            (["generate", "hana-lob"], "-o FILE"),
            (["generate", "hana-lob", "--seconds", "0"], "--seconds"),
            (["generate", "hana-lob", "--scale", "x"], "--scale"),
            (["generate", "hana-lob", "--seed", "-1"], "--seed"),
            (["generate", "hana-lob", "--set", "lob.sizes"], "KEY=VALUE"),
            (["generate", "hana-lob", "--set", "lob.sizes=5"], "lob.sizes"),
            (["generate", "hana-lob", "--set", "x=5"], "'x'"),
            (["generate", "hana-lob", "--codec", "lz4"], "lz4"),
            (["generate", "hana-lob", "--sed", "1"], "--sed"),
            (["generate", "hana-lob", "hana-lob"], "one profile"),
            (["trace"], "info"), (["trace", "inof"], "inof"), (["trace", "info"], "FILE"),
            (["trace", "info", "a", "b"], "'b'"), (["trace", "info", "a", "--to", "csv"], "--to"),
            (["trace", "export", "a", "-o", "b"], "perfetto"),
            (["trace", "export", "a", "--to", "xml", "-o", "b"], "xml"),
            (["trace", "export", "a", "--to", "csv"], "-o FILE"),
            (["trace", "import", "a", "--from", "csv", "-o", "b"], "strace"),
        ])
    func usage(arguments: [String], naming: String) throws {
        expectRefusal(try scratch.iotrap(arguments), status: 2, naming: naming)
    }

    @Test("Help says all of it")
    func help() throws {
        for arguments in [["trace", "--help"], ["generate", "--help"], ["trace", "info", "-h"]] {
            let outcome = try scratch.iotrap(arguments)
            #expect(outcome.status == 0 && outcome.errors == "")
            for word in ["--list", "--show", "iolog3", "perfetto", "blkparse", "strace", "--force"]
            {
                #expect(outcome.output.contains(word))
            }
            let longest = outcome.output.split(separator: "\n").map(\.count).max()
            #expect(longest ?? 0 <= 100)
        }
    }

    @Test("Information as a table and as JSON")
    func info() throws {
        try generate("t")
        let table = try scratch.iotrap(["trace", "info", path("t")])
        #expect(table.status == 0 && table.errors == "")
        for word in ["hana-mixed", "OPERATION", "read", "write", "commit", "hana/log/log-0"] {
            #expect(table.output.contains(word))
        }
        let json = try scratch.iotrap(["trace", "info", "--json", path("t")])
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        let members = try #require(object as? [String: Any])
        #expect(members["end"] as? String == "complete")
        let perEvent = try #require(members["bytes_per_event"] as? Double)
        #expect(perEvent > 1 && perEvent < 32)
    }

    @Test("A damaged trace is refused with its place, a torn one is read as far as it goes")
    func damage() throws {
        try generate("t", ["--codec", "zstd"])
        var damaged = try bytes("t")
        let place = damaged.count / 2
        damaged[place] ^= 1
        try scratch.file("damaged", damaged)
        let outcome = try scratch.iotrap(["trace", "info", path("damaged")])
        expectRefusal(outcome, status: 1, naming: "at byte", "checksum")
        let export = try scratch.iotrap(
            ["trace", "export", path("damaged"), "--to", "csv", "-o", path("csv")])
        expectRefusal(export, status: 1, naming: "at byte")
        #expect(access(path("csv"), F_OK) != 0)
        try scratch.file("torn", try bytes("t").dropLast(100))
        let torn = try scratch.iotrap(["trace", "info", path("torn")])
        #expect(torn.status == 0)
        #expect(torn.errors.contains("torn") && torn.output.contains("OPERATION"))
        try scratch.file("empty", Data())
        expectRefusal(
            try scratch.iotrap(["trace", "info", path("empty")]), status: 1, naming: "is empty")
    }

    @Test("Export and import, with what gets lost on the standard error output")
    func conversion() throws {
        try generate("t")
        for format in ["iolog2", "iolog3", "csv", "json", "perfetto"] {
            let outcome = try scratch.iotrap(
                ["trace", "export", path("t"), "--to", format, "-o", path(format)])
            #expect(outcome.status == 0)
            #expect(outcome.errors.contains("not expressed") == format.hasPrefix("iolog"))
            var status = stat()
            #expect(stat(path(format), &status) == 0 && status.st_mode & 0o7777 == 0o600)
        }
        let again = try scratch.iotrap(
            ["trace", "export", path("t"), "--to", "csv", "-o", path("csv")])
        expectRefusal(again, status: 1, naming: "--force")
        for format in ["iolog2", "iolog3"] {
            let outcome = try scratch.iotrap(
                ["trace", "import", path(format), "--from", format, "-o", path(format + ".t")])
            #expect(outcome.status == 0 && outcome.errors == "")
            let info = try scratch.iotrap(["trace", "info", path(format + ".t")])
            #expect(info.status == 0)
        }
        let wrong = try scratch.iotrap(
            ["trace", "import", path("iolog2"), "--from", "iolog3", "-o", path("x")])
        expectRefusal(wrong, status: 1, naming: "line 1")
    }
}
