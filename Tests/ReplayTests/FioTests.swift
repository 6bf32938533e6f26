import Foundation
import Glibc
import Testing

@Suite("fio replays what was exported")
struct FioTests {
    private static let fio = "/usr/bin/fio"

    /// Bytes and requests of reads and of writes.
    private struct Moved: Equatable {
        var bytes: [Int] = []
        var requests: [Int] = []
    }

    private func replay(_ scratch: Scratch, _ trace: String) throws -> Moved {
        let outcome = try scratch.iotrap([
            "replay", trace, "--on", scratch("target"), "--engine", "libaio", "--pace", "asap",
            "--json", scratch("out.json"),
        ])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let run = try scratch.results()[0]
        var moved = Moved()
        moved.bytes = try ["bytes_read", "bytes_written"].map { try #require(run[$0] as? Int) }
        let classes = try #require(run["classes"] as? [[String: Any]])
        moved.requests = ["read", "write"].map { operation in
            let sum = classes.first {
                $0["operation"] as? String == operation && $0["size"] as? String == "all"
            }
            return sum?["requests"] as? Int ?? 0
        }
        return moved
    }

    /// Runs fio on an exported log, among the files that a replay made.
    private func fio(_ scratch: Scratch, _ log: String) throws -> Moved {
        let options = [
            // At the end of a log fio leaves out what is in flight: one request at a time.
            "--name=log", "--read_iolog=\(log)", "--ioengine=psync", "--iodepth=1",
            "--replay_no_stall=1", "--output-format=json", "--output=\(scratch("fio.json"))",
        ]
        let process = try scratch.start(
            ["-C", scratch("target"), Self.fio] + options, program: "/usr/bin/env")
        let outcome = try scratch.wait(process)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let text = try scratch.text("fio.json")
        let start = try #require(text.range(of: "{\n")).lowerBound
        let object = try JSONSerialization.jsonObject(with: Data(text[start...].utf8))
        let jobs = try #require((object as? [String: Any])?["jobs"] as? [[String: Any]])
        let job = try #require(jobs.first)
        #expect(job["error"] as? Int == 0)
        var moved = Moved()
        for way in ["read", "write"] {
            let numbers = try #require(job[way] as? [String: Any])
            moved.bytes.append(try #require(numbers["io_bytes"] as? Int))
            moved.requests.append(try #require(numbers["total_ios"] as? Int))
        }
        return moved
    }

    @Test(
        "It moves the same bytes of each operation as iotrap replay",
        arguments: ["hana-mixed", "hana-backup", "postgres-oltp", "kafka-log"])
    func sameBytes(profile: String) throws {
        if access(Self.fio, X_OK) != 0 {
            print("SKIP \(#function): no \(Self.fio); it comes with Debian's fio")
            return
        }
        let scratch = try Scratch()
        let trace = scratch("load.trace")
        let generated = try scratch.iotrap(
            ["generate", profile, "-o", trace, "--seconds", "1", "--scale", "0.001"])
        #expect(generated.status == 0, "\(generated.errors)")
        let ours = try replay(scratch, trace)
        #expect(ours.bytes.reduce(0, +) > 0)
        for format in ["iolog2", "iolog3"] {
            let log = scratch(format)
            let exported = try scratch.iotrap(["trace", "export", trace, "--to", format, "-o", log])
            #expect(exported.status == 0, "\(exported.errors)")
            #expect(try fio(scratch, log) == ours, "\(format)")
        }
    }
}
