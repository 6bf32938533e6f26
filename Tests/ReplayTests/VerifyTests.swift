import CIOReplay
import Foundation
import IOTrace
import Testing

@Suite("Verification names what storage does wrong")
struct VerifyTests {
    /// Two writes of block 2 with a read after each, then reads of all blocks.
    private let events: [TraceEvent] = [
        event(.write, block: 2, call: .pwrite), event(.read, block: 2, call: .pread),
        event(.write, block: 2, call: .pwrite), event(.read, block: 2, call: .pread),
        event(.write, block: 5, call: .pwrite), event(.read, block: 3, call: .pread),
    ]

    private func replay(_ scratch: Scratch, fault: String, _ events: [TraceEvent]? = nil) throws
        -> (Outcome, [[String: Any]])?
    {
        guard let library = try scratch.faultyLibrary() else { return nil }
        let trace = try scratch.trace(events ?? self.events)
        let outcome = try scratch.iotrap(
            [
                "replay", trace, "--on", scratch("target"), "--engine", "sync", "--pace", "asap",
                "--verify", "--json", scratch("out.json"),
            ], ["LD_PRELOAD": library, "FAULT": fault, "FAULT_OFFSET": "8192"])
        let checks = try #require(try scratch.results()[0]["verification"] as? [String: Any])
        let faults = try #require(checks["first_faults"] as? [[String: Any]])
        #expect(checks["faults"] as? Int == faults.count)
        // Three reads, and at the end the six blocks that the trace reaches.
        #expect(checks["blocks_checked"] as? Int == 9)
        #expect(outcome.status == (faults.isEmpty ? 0 : 1), "\(outcome.output)")
        return (outcome, faults)
    }

    private func names(_ fault: [String: Any], _ kind: String, offset: Int) -> Bool {
        fault["kind"] as? String == kind && fault["offset"] as? Int == offset
            && fault["path"] as? String == "data/file"
    }

    @Test("Storage that works has no fault")
    func good() throws {
        let scratch = try Scratch()
        guard let (outcome, faults) = try replay(scratch, fault: "none") else { return }
        #expect(faults.isEmpty, "\(outcome.output)")
    }

    @Test("A write that was acknowledged and not made is lost")
    func lost() throws {
        let scratch = try Scratch()
        guard let (outcome, faults) = try replay(scratch, fault: "lost") else { return }
        // After the first write, after the second, and at the end.
        #expect(faults.count == 3)
        #expect(faults.allSatisfy { names($0, "lost", offset: 8192) })
        #expect(faults.map { $0["expected_version"] as? Int } == [1, 2, 2])
        #expect(faults.allSatisfy { $0["found_version"] as? Int == 0 })
        #expect(
            outcome.output.contains(
                "lost: data/file at offset 8192: expected version 1, found version 0"))
    }

    @Test("A write of which a half was made is torn, with both versions")
    func torn() throws {
        let scratch = try Scratch()
        guard let (_, faults) = try replay(scratch, fault: "torn") else { return }
        #expect(faults.count == 3)
        #expect(faults.allSatisfy { names($0, "torn", offset: 8192) })
        #expect(faults.map { $0["found_version"] as? Int } == [1, 2, 2])
        #expect(faults.allSatisfy { $0["second_version"] as? Int == 0 })
    }

    @Test("A write that went elsewhere is missing here and misplaced there")
    func misplaced() throws {
        let scratch = try Scratch()
        guard let (_, faults) = try replay(scratch, fault: "misplaced") else { return }
        #expect(faults.filter { names($0, "lost", offset: 8192) }.count == 3)
        // Found by the read of block 3, and at the end.
        let there = faults.filter { names($0, "misplaced", offset: 12288) }
        #expect(there.count == 2)
        #expect(there.allSatisfy { $0["belongs_to"] as? String == "data/file at 8192" })
        #expect(there.allSatisfy { $0["found_version"] as? Int == 2 })
    }

    @Test("A read that shows an older version once is stale")
    func stale() throws {
        let scratch = try Scratch()
        guard let (_, faults) = try replay(scratch, fault: "stale") else { return }
        #expect(faults.count == 2)
        #expect(faults.allSatisfy { names($0, "stale", offset: 8192) })
        #expect(faults.map { $0["expected_version"] as? Int } == [1, 2])
        #expect(faults.map { $0["found_version"] as? Int } == [0, 1])
    }

    @Test("Reads during writes, and writes that overlap, are no faults, by any engine")
    func concurrent() throws {
        var random: UInt64 = 9
        let events = (0..<3000).map { index -> TraceEvent in
            random = random &* 6_364_136_223_846_793_005 &+ 1
            let block = random >> 40 & 7
            let operation: TraceOperation = random >> 50 & 1 == 0 ? .read : .write
            var event = event(operation, block: block, thread: UInt32(index % 3), depth: 16)
            event.length = 4096 * (1 + random >> 55 & 3)
            event.result = Int64(event.length)
            return event
        }
        for engine in ["sync", "libaio", "uring", "posixaio"] {
            let scratch = try Scratch()
            let outcome = try scratch.iotrap([
                "replay", try scratch.trace(events), "--on", scratch("target"), "--engine", engine,
                "--pace", "asap", "--verify",
            ])
            #expect(outcome.status == 0, "\(engine): \(outcome.output)\(outcome.errors)")
            #expect(outcome.output.contains(" 0 wrong"))
        }
    }

    @Test("A block that a read saw half written, while it was written, is not judged")
    func halves() throws {
        let scratch = try Scratch()
        guard let library = try scratch.faultyLibrary() else { return }
        let trace = try scratch.trace([
            event(.write, block: 2), event(.read, block: 2, thread: 1),
            event(.read, block: 1, thread: 1, after: 2),
        ])
        let outcome = try scratch.iotrap(
            [
                "replay", trace, "--on", scratch("target"), "--engine", "sync", "--pace", "asap",
                "--verify",
            ], ["LD_PRELOAD": library, "FAULT": "halves", "FAULT_OFFSET": "8192"])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains(" 0 wrong, 1 unknown"), "\(outcome.output)")
    }

    @Test("Blocks that were written in part are not judged")
    func partial() throws {
        let scratch = try Scratch()
        var part = event(.write, call: .pwrite)
        part.offset = 8192 + 512
        part.length = 1000
        part.result = 1000
        let files = [TraceFile(path: "f", openFlags: 2, sizeBytes: 65536)]
        let trace = try scratch.trace([part, event(.read, block: 2, call: .pread)], files: files)
        let outcome = try scratch.iotrap([
            "replay", trace, "--on", scratch("target"), "--pace", "asap", "--verify",
        ])
        #expect(outcome.status == 0, "\(outcome.output)")
        #expect(outcome.output.contains(" 0 wrong, 1 unknown"))
    }

    @Test("A block is judged by its place, its version and every byte")
    func blocks() {
        var block = [UInt8](repeating: 0, count: 512)
        var fault = iotrap_replay_fault()
        func check(_ block: [UInt8], floor: UInt32 = 3, ceiling: UInt32 = 5) -> UInt32 {
            iotrap_replay_check_block(block, 512, 7, 1, 1024, floor, ceiling, &fault)
        }
        let zero = check(block)
        #expect(zero == IOTRAP_REPLAY_FAULT_LOST.rawValue)
        #expect(fault.found == IOTRAP_REPLAY_VERSION_UNKNOWN)
        for version: UInt32 in 2...6 {
            iotrap_replay_fill_block(&block, 512, 7, 1, 1024, version)
            let kind = check(block)
            switch version {
            case 2: #expect(kind == IOTRAP_REPLAY_FAULT_LOST.rawValue)
            case 6: #expect(kind == IOTRAP_REPLAY_FAULT_CORRUPT.rawValue)
            default: #expect(kind == IOTRAP_REPLAY_FAULT_NONE.rawValue)
            }
        }
        iotrap_replay_fill_block(&block, 512, 7, 1, 1024, 4)
        for index in block.indices {
            var changed = block
            changed[index] ^= 0x10
            #expect(check(changed) != IOTRAP_REPLAY_FAULT_NONE.rawValue, "byte \(index)")
        }
        // Of another run: nothing of it counts.
        iotrap_replay_fill_block(&block, 512, 8, 1, 1024, 4)
        let other = check(block)
        #expect(other != IOTRAP_REPLAY_FAULT_NONE.rawValue)
    }
}
