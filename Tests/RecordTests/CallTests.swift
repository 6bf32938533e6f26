import Foundation
import IOTrace
import Testing

/// Every suite of this target, one test after another: they look at what is left in memory.
@Suite(.serialized)
enum Record {}

extension Record {
    /// What is recorded is what the program did.
    @Suite("Recorded calls", .serialized)
    struct CallTests {
        private func check(_ name: String, _ arguments: [String], _ mode: String) throws {
            let scratch = try Scratch()
            guard let program = try scratch.program(name) else { return }
            let outcome = try scratch.record(
                ["--mode", mode], [program, scratch("data")] + arguments)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains(" 0 dropped"), "\(outcome.errors)")
            try scratch.expectSame(outcome)
        }

        @Test("Synchronous calls of several threads", arguments: ["observe", "auto", "force"])
        func synchronous(mode: String) throws { try check("sync_calls", ["8"], mode) }

        @Test("Batches of libaio", arguments: ["observe", "auto", "force"])
        func libaio(mode: String) throws { try check("libaio_calls", ["4", "200"], mode) }

        @Test("Batches longer than what is looked at beforehand", arguments: ["observe", "force"])
        func longBatches(mode: String) throws {
            try check("libaio_calls", ["2", "20", "100"], mode)
        }

        @Test("POSIX AIO", arguments: ["observe", "auto", "force"])
        func posix(mode: String) throws { try check("posix_calls", [], mode) }

        @Test(
            "Processes and threads that begin and end in every way",
            arguments: ["forks", "threads"])
        func lives(way: String) throws { try check("lives", [way], "auto") }

        @Test("Executed programs, by whatever way they were started")
        func executed() throws { try check("lives", ["executes"], "auto") }

        @Test("Times, threads, depths and batches")
        func details() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("libaio_calls") else { return }
            let outcome = try scratch.record(
                ["--mode", "observe"], [program, scratch("data"), "2", "50"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            var reader = try TraceReader(path: scratch("trace"))
            #expect(reader.header.isOrdered)
            #expect(reader.header.startedRealtimeNanoseconds > 1_600_000_000_000_000_000)
            var threads: Set<UInt32> = []
            var batches: [UInt32: Int] = [:]
            var depthMax: UInt32 = 0
            while let event = try reader.next() {
                threads.insert(event.thread)
                if event.operation.movesData {
                    #expect(event.isComplete && event.latencyNanoseconds > 0)
                    #expect(event.call == .ioSubmit)
                    batches[event.batch, default: 0] += 1
                    depthMax = max(depthMax, event.depth)
                }
            }
            #expect(threads.count == 2)
            #expect(batches.count == 100)
            #expect(batches.values.allSatisfy { $0 == 8 })
            #expect(depthMax == 8)
            #expect(reader.metadata["producer"] == "iotrap record")
        }

        @Test("At most 32 bytes an event")
        func size() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("libaio_calls") else { return }
            let outcome = try scratch.record([], [program, scratch("data"), "4", "500"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let events = try scratch.lines().count
            let bytes = try Data(contentsOf: URL(fileURLWithPath: scratch("trace"))).count
            #expect(events > 16000)
            #expect(bytes <= 32 * events, "\(bytes) bytes for \(events) events")
        }

        @Test(
            "A replay moves what the program moved",
            arguments: [
                ("sync_calls", ["8"], "sync"), ("libaio_calls", ["4", "100"], "libaio"),
                ("posix_calls", [], "posixaio"),
            ])
        func replay(name: String, arguments: [String], engine: String) throws {
            let scratch = try Scratch()
            guard let program = try scratch.program(name) else { return }
            let outcome = try scratch.record([], [program, scratch("data")] + arguments)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let replay = try scratch.iotrap([
                "replay", scratch("trace"), "--on", scratch("target"), "--engine", engine, "--json",
                scratch("out.json"),
            ])
            #expect(replay.status == 0, "\(replay.errors)")
            let data = try Data(contentsOf: URL(fileURLWithPath: scratch("out.json")))
            let json = try JSONSerialization.jsonObject(with: data) as? [String: Any]
            let run = try #require((json?["runs"] as? [[String: Any]])?.first)
            for (operation, key) in [("read", "bytes_read"), ("write", "bytes_written")] {
                let bytes = scratch.said(outcome.output).map { $0.split(separator: " ") }
                    .filter { $0[0] == operation }.reduce(0) { $0 + max(0, Int($1[4]) ?? 0) }
                #expect(bytes > 0)
                #expect(run[key] as? Int == bytes, "\(operation): \(replay.output)")
            }
            #expect(run["errors"] as? Int == 0)
        }
    }
}
