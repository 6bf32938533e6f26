import Foundation
import Glibc
import IOTrace
import Testing

@Suite("A replay touches its own files and nothing else")
struct TargetTests {
    private let events = [event(.write, block: 1), event(.read, block: 0)]

    private func replay(_ scratch: Scratch, _ options: [String] = []) throws -> Outcome {
        try scratch.iotrap(
            ["replay", try scratch.trace(events), "--on", scratch("target"), "--pace", "asap"]
                + options)
    }

    private func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    @Test("A directory is made, and used again")
    func again() throws {
        let scratch = try Scratch()
        for _ in 0..<2 {
            let outcome = try replay(scratch)
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch("target"))
        #expect(names.sorted() == [".iotrap-replay", "data"])
    }

    @Test("A directory that holds something else is refused, and used with --force")
    func foreign() throws {
        let scratch = try Scratch()
        mkdir(scratch("target"), 0o700)
        try write("mine", scratch("target/precious"))
        expectRefusal(try replay(scratch), naming: "target", "'precious'", "--force")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scratch("target"))
                == ["precious"])
        let outcome = try replay(scratch, ["--force"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try scratch.text("target/precious") == "mine")
    }

    @Test("Links are not followed, whatever they are part of")
    func links() throws {
        for name in ["data", "data/file"] {
            let scratch = try Scratch()
            mkdir(scratch("target"), 0o700)
            mkdir(scratch("outside"), 0o700)
            try write("mine", scratch("outside/file"))
            if name == "data" {
                symlink(scratch("outside"), scratch("target/data"))
            } else {
                mkdir(scratch("target/data"), 0o700)
                symlink(scratch("outside/file"), scratch("target/data/file"))
            }
            expectRefusal(try replay(scratch, ["--force"]), naming: "data/file")
            #expect(try scratch.text("outside/file") == "mine")
        }
    }

    @Test("A file that is also elsewhere is refused, and so is what is no file")
    func notOwn() throws {
        let scratch = try Scratch()
        mkdir(scratch("target"), 0o700)
        mkdir(scratch("target/data"), 0o700)
        try write("mine", scratch("outside"))
        link(scratch("outside"), scratch("target/data/file"))
        expectRefusal(try replay(scratch, ["--force"]), naming: "data/file")
        #expect(try scratch.text("outside") == "mine")
        unlink(scratch("target/data/file"))
        mkfifo(scratch("target/data/file"), 0o600)
        expectRefusal(try replay(scratch, ["--force"]), naming: "data/file")
    }

    @Test("A trace whose path leaves the target is refused before anything is made")
    func traversal() throws {
        let scratch = try Scratch()
        let files = [TraceFile.of("xx/escaped", blocks: 4)]
        let path = try scratch.trace(events, files: files)
        var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        // The first chunk, at 64, is the file table; its path becomes "../escaped".
        let name = Array("xx/escaped".utf8)
        let place = try #require(
            bytes.indices.first { bytes[$0...].starts(with: name) })
        bytes.replaceSubrange(place..<(place + 2), with: Array("..".utf8))
        let count = Int(bytes[72]) | Int(bytes[73]) << 8
        func put(_ checksum: UInt32, at place: Int) {
            for index in 0..<4 { bytes[place + index] = UInt8(checksum >> (8 * index) & 0xff) }
        }
        put(bytes[112..<(112 + count)].withUnsafeBytes { CRC32C.checksum($0) }, at: 104)
        put(bytes[64..<108].withUnsafeBytes { CRC32C.checksum($0) }, at: 108)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let outcome = try scratch.iotrap(["replay", path, "--on", scratch("target")])
        expectRefusal(outcome, naming: path, "'..'")
        #expect(access(scratch("target"), F_OK) != 0)
        #expect(access(scratch("escaped"), F_OK) != 0)
    }

    @Test("A trace that needs more room than there is is refused before a file is made")
    func room() throws {
        let scratch = try Scratch()
        var far = event(.write)
        far.offset = 1 << 61
        let trace = try scratch.trace([far])
        let outcome = try scratch.iotrap(["replay", trace, "--on", scratch("target")])
        expectRefusal(outcome, naming: "room", "bytes")
        #expect(access(scratch("target/data"), F_OK) != 0)
    }

    @Test("Wrong input is refused by name")
    func wrongInput() throws {
        let scratch = try Scratch()
        let trace = try scratch.trace(events)
        let target = scratch("target")
        func run(_ options: String...) throws -> Outcome {
            try scratch.iotrap(["replay"] + options)
        }
        expectRefusal(try run(), naming: "no trace")
        expectRefusal(try run(trace), naming: "--on DIR")
        expectRefusal(try run(trace, trace, "--on", target), naming: "one trace")
        expectRefusal(try run(trace, "--on", target, "--engine", "spdk"), naming: "'spdk'", "uring")
        expectRefusal(try run(trace, "--on", target, "--pace", "x0"), naming: "'x0'", "recorded")
        expectRefusal(try run(trace, "--on", target, "--threads", "0"), naming: "'0'", "1 to 256")
        expectRefusal(try run(trace, "--on", target, "--repeat", "-1"), naming: "'-1'")
        expectRefusal(try run(trace, "--on", target, "--speed"), naming: "'--speed'", "--pace")
        expectRefusal(try run(trace, "--on", scratch("no/target")), naming: "no/target")
        expectRefusal(try run(scratch("missing"), "--on", target), naming: "missing")
        expectRefusal(try run(try scratch.trace([]), "--on", target), naming: "no event")
        #expect(access(target, F_OK) != 0)
    }

    @Test("SIGINT ends a replay with what it measured")
    func interrupt() throws {
        let scratch = try Scratch()
        // The first one makes the file longer, the second is an hour away.
        let events = [event(.write, block: 20), event(.read, at: 3_600_000_000)]
        let process = try scratch.start([
            "replay", try scratch.trace(events), "--on", scratch("target"), "--json",
            scratch("out.json"),
        ])
        var isWritten = false
        for _ in 0..<3000 where !isWritten {
            var status = stat()
            isWritten =
                stat(scratch("target/data/file"), &status) == 0 && status.st_size == 21 * 4096
            if !isWritten { usleep(10_000) }
        }
        #expect(isWritten)
        kill(process.processIdentifier, SIGINT)
        let outcome = try scratch.wait(process)
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.output.contains("PARTIAL"))
        let run = try scratch.results()[0]
        #expect(run["partial"] as? Bool == true)
        #expect(run["requests"] as? Int == 1)
    }

    @Test("Requests that fail are counted and named")
    func failures() throws {
        let scratch = try Scratch()
        let files = [TraceFile(path: "f", openFlags: 0, sizeBytes: 65536)]
        let trace = try scratch.trace(
            [event(.write, block: 3), event(.read, block: 1)], files: files)
        let outcome = try scratch.iotrap(["replay", trace, "--on", scratch("target")])
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("FAILED: 1 requests; the first: f at offset 12288"))
    }
}
