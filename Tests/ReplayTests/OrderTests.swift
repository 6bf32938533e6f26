import Foundation
import IOTrace
import Testing

@Suite("A replay keeps the order that matters")
struct OrderTests {
    /// Replays by plain calls in threads, with the write of block 0 held until that of `until` has
    /// begun; returns the calls in their order.
    private func calls(
        _ scratch: Scratch, _ events: [TraceEvent], until: UInt64,
        files: [TraceFile] = [.of("data/file", blocks: 16)], _ options: [String] = []
    ) throws -> [String]? {
        guard let library = try scratch.faultyLibrary() else { return nil }
        let trace = try scratch.trace(events, files: files)
        let variables = [
            "LD_PRELOAD": library, "FAULT": "hold", "FAULT_OFFSET": "0",
            "FAULT_UNTIL": String(until * 4096), "FAULT_LOG": scratch("log"),
        ]
        let outcome = try scratch.iotrap(
            ["replay", trace, "--on", scratch("target"), "--engine", "sync", "--pace", "asap"]
                + options, variables)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = try scratch.text("log").split(separator: "\n").map(String.init)
        // Preparation ends with a sync of each file.
        return Array(lines.drop { $0.hasPrefix("sync") })
    }

    private func place(_ line: String, _ lines: [String]) throws -> Int {
        try #require(lines.firstIndex(of: line), "\(line) in \(lines)")
    }

    @Test("An event is submitted when the one it depends on is complete, others before")
    func after() throws {
        let scratch = try Scratch()
        // Block 1 depends on block 0, which is held until block 2 of another thread begins.
        let events = [
            event(.write, block: 0), event(.write, block: 2, thread: 1),
            event(.write, block: 1, thread: 2, after: 2),
        ]
        guard let lines = try calls(scratch, events, until: 2) else { return }
        #expect(try place("begin 8192", lines) < place("end 0", lines))
        #expect(try place("begin 4096", lines) > place("end 0", lines))
    }

    @Test("A sync comes after all writes of its file, in whatever order these end")
    func afterFile() throws {
        let scratch = try Scratch()
        let events = [
            event(.write, block: 0), event(.write, block: 1), event(.write, block: 2),
            event(.fdatasync, depth: 0, isAfterFile: true),
        ]
        guard let lines = try calls(scratch, events, until: 2) else { return }
        let sync = try place("sync 0", lines)
        for block in 0...2 { #expect(try place("end \(block * 4096)", lines) < sync) }
    }

    @Test("A sync does not wait for writes of another file")
    func otherFile() throws {
        let scratch = try Scratch()
        let files = [TraceFile.of("a", blocks: 4), .of("b", blocks: 4)]
        // Block 0 of a is held until block 3 of b begins, which depends on the sync of b. The read
        // makes what is prepared of a longer than a block.
        let events = [
            event(.read, block: 2), event(.write, block: 0),
            event(.write, block: 1, thread: 1, file: 1),
            event(.fdatasync, thread: 1, file: 1, depth: 0, isAfterFile: true),
            event(.write, block: 3, thread: 1, file: 1, after: 1),
        ]
        guard let lines = try calls(scratch, events, until: 3, files: files) else { return }
        #expect(try place("sync 0", lines) < place("end 0", lines))
        #expect(try place("begin 12288", lines) < place("end 0", lines))
    }

    @Test("Two descriptors of one path are one file")
    func samePath() throws {
        let scratch = try Scratch()
        let files = [TraceFile.of("a", blocks: 4), TraceFile(path: "a", openFlags: 2)]
        let events = [
            event(.write, block: 0), event(.write, block: 1),
            event(.fdatasync, file: 1, depth: 0, isAfterFile: true),
        ]
        guard let lines = try calls(scratch, events, until: 1, files: files) else { return }
        #expect(try place("end 0", lines) < place("sync 0", lines))
    }

    @Test("A thread that made plain calls makes one at a time")
    func synchronous() throws {
        let scratch = try Scratch()
        let events = (0..<12).map { event(.write, block: $0, call: .pwrite, depth: 0) }
        guard let lines = try calls(scratch, events, until: 0) else { return }
        #expect(lines.count == 24)
        for pair in 0..<12 {
            #expect(lines[2 * pair] == "begin \(pair * 4096)")
            #expect(lines[2 * pair + 1] == "end \(pair * 4096)")
        }
    }

    @Test("A commit that waits holds nobody up")
    func commit() throws {
        let scratch = try Scratch()
        let events = [
            event(.write, block: 0), event(.commit, depth: 0, after: 1), event(.write, block: 1),
        ]
        guard let lines = try calls(scratch, events, until: 1) else { return }
        #expect(try place("begin 4096", lines) < place("end 0", lines))
    }

    @Test("Requests of one batch are one submission, others are submitted alone")
    func batches() throws {
        for engine in ["libaio", "uring"] {
            let scratch = try Scratch()
            let events =
                (0..<8).map { event(.read, block: $0, depth: 16, batch: 1) }
                + (0..<3).map { event(.read, block: $0, depth: 16) }
            let outcome = try scratch.iotrap([
                "replay", try scratch.trace(events), "--on", scratch("target"), "--engine", engine,
                "--pace", "asap", "--json", scratch("out.json"),
            ])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let run = try scratch.results()[0]
            #expect(run["submissions"] as? Int == 4)
            #expect(run["requests"] as? Int == 11)
        }
    }

    @Test("Depth is as recorded, and not more")
    func depth() throws {
        for depth in [1, 3, 8] {
            let scratch = try Scratch()
            let events = (0..<200).map { event(.read, block: $0 % 16, depth: UInt32(depth)) }
            _ = try scratch.iotrap([
                "replay", try scratch.trace(events), "--on", scratch("target"), "--pace", "asap",
                "--json", scratch("out.json"),
            ])
            let most = try #require(try scratch.results()[0]["depth_max"] as? Int)
            #expect(most <= depth && (most > 1 || depth == 1))
        }
    }

    @Test("Nothing is submitted before its time")
    func pace() throws {
        let scratch = try Scratch()
        let events = (0..<20).map { event(.read, block: $0 % 16, at: UInt64($0) * 10_000) }
        for (pace, least) in [("recorded", 0.19), ("x2", 0.095)] {
            _ = try scratch.iotrap([
                "replay", try scratch.trace(events), "--on", scratch("target"), "--pace", pace,
                "--json", scratch("out.json"),
            ])
            let run = try scratch.results()[0]
            #expect(try #require(run["elapsed_seconds"] as? Double) >= least)
            let drift = try #require(run["drift_ns"] as? [String: Any])
            let timed = try #require(drift["requests"] as? Int)
            let held = try #require(drift["held_requests"] as? Int)
            #expect(timed + held == 20)
        }
    }

    @Test("A trace of several streams that is not ordered by time is sorted")
    func unordered() throws {
        let scratch = try Scratch()
        let events = [
            event(.write, block: 3, at: 3000, call: .pwrite),
            event(.write, block: 1, at: 1000, call: .pwrite),
            // Earlier by its time, but it depends on the first.
            event(.write, block: 0, at: 2000, call: .pwrite, after: 2),
        ]
        guard let library = try scratch.faultyLibrary() else { return }
        let trace = try scratch.trace(events, isOrdered: false)
        let outcome = try scratch.iotrap(
            ["replay", trace, "--on", scratch("target"), "--engine", "sync", "--pace", "asap"],
            ["LD_PRELOAD": library, "FAULT_LOG": scratch("log")])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let begins = try scratch.text("log").split(separator: "\n").filter {
            $0.hasPrefix("begin")
        }
        #expect(begins == ["begin 4096", "begin 12288", "begin 0"])
    }

    @Test("In a sorted trace an event waits for the one it names, not for its neighbour in time")
    func unorderedDependency() throws {
        let scratch = try Scratch()
        let events = [
            event(.write, block: 0, at: 3000), event(.write, block: 1, at: 1000, thread: 1),
            // It depends on the first one; the second one is before it in time, too.
            event(.write, block: 2, at: 4000, thread: 2, after: 2),
            event(.write, block: 3, at: 5000, thread: 3),
        ]
        guard let library = try scratch.faultyLibrary() else { return }
        let trace = try scratch.trace(events, isOrdered: false)
        let variables = [
            "LD_PRELOAD": library, "FAULT": "hold", "FAULT_OFFSET": "0", "FAULT_UNTIL": "12288",
            "FAULT_LOG": scratch("log"),
        ]
        let outcome = try scratch.iotrap(
            ["replay", trace, "--on", scratch("target"), "--engine", "sync", "--pace", "asap"],
            variables)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = try scratch.text("log").split(separator: "\n").map(String.init)
        #expect(try place("begin 8192", lines) > place("end 0", lines))
    }
}
