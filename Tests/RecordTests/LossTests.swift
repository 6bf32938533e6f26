import Foundation
import Glibc
import IOTrace
import Testing

extension Record {
    /// What is lost when something ends too soon or has no room. The program is never harmed.
    @Suite("Losses", .serialized)
    struct LossTests {
        private func record(_ way: String) throws -> (Scratch, Outcome)? {
            let scratch = try Scratch()
            guard let program = try scratch.program("lives") else { return nil }
            return (scratch, try scratch.record([], [program, scratch("data"), way]))
        }

        @Test(
            "Nothing is lost when the program is killed, crashes or fails",
            arguments: [("kill", 137), ("crash", 134), ("status", 42)])
        func ends(way: String, status: Int32) throws {
            guard let (scratch, outcome) = try record(way) else { return }
            #expect(outcome.status == status, "\(outcome.errors)")
            try scratch.expectSame(outcome)
        }

        @Test("When iotrap record is killed, the rest is kept and finished later")
        func recorderKilled() throws {
            let before = buffersInMemory()
            let scratch = try Scratch()
            guard let program = try scratch.program("lives") else { return }
            let recorder = try scratch.start(
                [
                    builtCommand, "record", "-o", scratch("trace"), "--", program, scratch("data"),
                    "wait",
                ],
                output: "said")
            #expect(try eventually { try scratch.text("said").contains("ready") })
            kill(recorder.processID, SIGKILL)
            #expect(try recorder.wait().status == 137)
            #expect(!scratch.exists("trace"))
            // What is there stands in the way of another one.
            let again = try scratch.record([], ["/bin/true"])
            #expect(again.status == 2)
            #expect(again.errors.contains("iotrap trace finish"), "\(again.errors)")
            for command in [["trace", "info"], ["replay", "--on", scratch("target")]] {
                let early = try scratch.iotrap(command + [scratch("trace")])
                #expect(early.status != 0)
                #expect(early.errors.contains("iotrap trace finish"), "\(early.errors)")
            }
            // As an interrupted attempt leaves it.
            try Data("half".utf8).write(to: URL(fileURLWithPath: scratch("trace.parts/assembled")))
            let finish = try scratch.iotrap(["trace", "finish", scratch("trace")])
            #expect(finish.status == 0, "\(finish.errors)")
            try scratch.expectSame(
                Outcome(status: 0, output: try scratch.text("said"), errors: ""))
            #expect(!scratch.exists("trace.parts"))
            #expect(buffersInMemory() == before)
            try killWaiting(scratch)
            let twice = try scratch.iotrap(["trace", "finish", scratch("trace")])
            #expect(twice.status == 1)
            #expect(twice.errors.contains("is not there"), "\(twice.errors)")
        }

        /// Ends the programs that wait for it.
        private func killWaiting(_ scratch: Scratch) throws {
            for line in try scratch.text("said").split(separator: "\n")
            where line.hasPrefix("ready ") {
                kill(try #require(pid_t(line.dropFirst(6))), SIGKILL)
            }
        }

        @Test("A part that is torn gives what is whole")
        func torn() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("lives") else { return }
            let recorder = try scratch.start(
                [
                    builtCommand, "record", "-o", scratch("trace"), "--", "/bin/sh", "-c",
                    "\(program) data many & \(program) data wait; wait",
                ], output: "said")
            #expect(
                try eventually {
                    try scratch.text("said").components(separatedBy: "ready").count == 3
                })
            kill(recorder.processID, SIGKILL)
            #expect(try recorder.wait().status == 137)
            try killWaiting(scratch)
            let parts = try FileManager.default.contentsOfDirectory(atPath: scratch("trace.parts"))
                .filter { $0.contains("-") }.sorted()
            let part = scratch("trace.parts/\(try #require(parts.last))")
            var status = stat()
            try #require(stat(part, &status) == 0 && truncate(part, status.st_size - 7) == 0)
            let finish = try scratch.iotrap(["trace", "finish", scratch("trace")])
            #expect(finish.status == 0, "\(finish.errors)")
            #expect(finish.errors.contains("torn"), "\(finish.errors)")
            let found = try scratch.lines()
            let said = Set(scratch.said(try scratch.text("said")))
            #expect(found.count > 1000 && found.count < 10002)
            #expect(found.allSatisfy { said.contains($0) })
        }

        @Test("A limit of file sizes does not end the program; what does not fit is counted")
        func fileSizeLimit() throws {
            guard let (scratch, outcome) = try record("limited") else { return }
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("reads 50000"))
            try expectDropped(scratch, outcome, all: 50000 + 11 + 1, "limit")
        }

        @Test("--max bounds the trace; what comes after is counted")
        func greatestSize() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("libaio_calls") else { return }
            let outcome = try scratch.record(
                ["--max", "1M"], [program, scratch("data"), "2", "10000"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let said = scratch.said(outcome.output).count
            try expectDropped(scratch, outcome, all: nil, "greatest size")
            let found = try scratch.lines().count
            #expect(found > 10_000 && found < said)
            var status = stat()
            #expect(stat(scratch("trace"), &status) == 0 && status.st_size <= 1 << 20)
        }

        private func expectDropped(
            _ scratch: Scratch, _ outcome: Outcome, all: Int?, _ reason: String
        ) throws {
            #expect(outcome.errors.contains(reason), "\(outcome.errors)")
            var reader = try TraceReader(path: scratch("trace"))
            var count = 0
            while try reader.next() != nil { count += 1 }
            #expect(reader.end == .complete)
            #expect(reader.totals.dropped > 0)
            if let all { #expect(count + Int(reader.totals.dropped) == all) }
        }

        @Test("A full disk costs events, and neither the program nor its errno")
        func fullDisk() throws {
            guard geteuid() == 0 else {
                print("SKIP fullDisk: mounting a small file system needs root")
                return
            }
            let scratch = try Scratch()
            guard let program = try scratch.program("libaio_calls") else { return }
            let script = """
                mkdir small && mount -t tmpfs -o size=300k tmpfs small || exit 77
                "$1" record -o small/trace -- "$2" data 2 10000 >said
                echo "recorded $?" >&2
                rm -f small/trace.parts/junk
                mount -o remount,size=30M small
                "$1" trace finish small/trace
                echo "finished $?" >&2
                cp small/trace trace
                """
            let outcome = try scratch.run([
                "/usr/bin/unshare", "-m", "/bin/sh", "-c", script, "sh", builtCommand, program,
            ])
            if outcome.status == 77 {
                print("SKIP fullDisk: no tmpfs can be mounted")
                return
            }
            #expect(outcome.errors.contains("no space for parts"), "\(outcome.errors)")
            let all = 2 * (3 + 80000)
            #expect(scratch.said(try scratch.text("said")).count == all)
            let found = try scratch.lines()
            let said = Set(scratch.said(try scratch.text("said")))
            #expect(found.count > 1000 && found.count < all)
            #expect(found.allSatisfy { said.contains($0) || $0.hasSuffix(" 0") })
        }
    }
}
