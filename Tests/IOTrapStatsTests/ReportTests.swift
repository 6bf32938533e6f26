import CIOTrap
import Foundation
import Glibc
import Testing

@testable import IOTrapStats

@Suite("Reports")
struct ReportTests {
    /// A snapshot with some traffic.
    private func busySnapshot(program: String = "/usr/bin/database") throws -> Snapshot {
        let directory = try TemporaryDirectory()
        let path = try SegmentFixture(program: program).write(to: directory, name: "segment")
        var snapshot = try Segment(name: path, path: path).snapshot()
        for operation in Operation.allCases {
            var totals = OperationTotals()
            totals.calls = 123_456_789_012
            totals.accelerated = 61_728_394_506
            totals.bytes = .max
            totals.errors = 9999
            for value: UInt64 in [999, 999_499, 1 << 37] { totals.latency.record(value) }
            snapshot.operations[operation.rawValue] = totals
        }
        for technique in Technique.allCases {
            var totals = TechniqueTotals()
            totals.calls = 1_000_000
            totals.bytes = 1 << 50
            totals.requests = 31_000_000
            totals.batches = 1_000_000
            totals.trials = 12
            totals.engaged = 3
            totals.dropped = 2
            snapshot.techniques[technique.rawValue] = totals
        }
        for reason in Reason.allCases {
            snapshot.reasons[reason.rawValue] = UInt64(1000 * (reason.rawValue + 1))
        }
        return snapshot
    }

    @Test("Everything fits into 100 columns, in aligned columns")
    func widthAndAlignment() throws {
        var snapshot = try busySnapshot(
            program: String(repeating: "/directory", count: 24) + "/database")
        snapshot.header.ring = .refused
        snapshot.header.ringErrno = ENOTEMPTY
        snapshot.processCount = 10_000
        let text = Report(snapshot, state: .running).text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines[0].hasPrefix("...") && lines[0].contains("/directory/database  pid "))
        for line in lines { #expect(line.count <= 100, "\(line)") }
        let title = try #require(lines.firstIndex { $0.hasPrefix("OPERATION") })
        let rows = lines[title...(title + Operation.allCases.count)]
        // Numbers are aligned to the right, so all rows end in the same column.
        #expect(Set(rows.map(\.count)).count == 1, "\(text)")
    }

    @Test("The head tells program, process, state, mode and how much is accelerated")
    func head() throws {
        let text = Report(try busySnapshot(), state: .running).text
        #expect(text.hasPrefix("/usr/bin/database  pid \(getpid())  running for "))
        #expect(text.contains("\nmode auto  io_uring not needed yet\n"))
        #expect(text.contains("\ntechniques: ring auto, split on, group-sync off, libaio auto, "))
        #expect(text.contains(" offload off,\n            mount-pools off\n"))
        #expect(text.contains("accelerated 50.0 % of 2.84 T calls"))
    }

    @Test("Depth is requests per batch, and reasons come by weight with their share")
    func depthAndReasons() throws {
        let text = Report(try busySnapshot(), state: .running).text
        #expect(text.contains("31.0"))
        let reasons = text.components(separatedBy: "PASSED THROUGH")[1].split(separator: "\n")
        #expect(reasons[1].hasPrefix("mapped"))
        #expect(reasons[1].contains("7.7 %"))
        #expect(reasons.count == Reason.allCases.count + 1)
    }

    @Test("Idle operations and reasons are left out")
    func idle() throws {
        var snapshot = try busySnapshot()
        snapshot.operations[Operation.pread.rawValue] = OperationTotals()
        snapshot.reasons[Reason.append.rawValue] = 0
        snapshot.techniques[Technique.offload.rawValue] = TechniqueTotals()
        let lines = Report(snapshot, state: .ended).text.split(separator: "\n")
        #expect(!lines.contains { $0.hasPrefix("pread ") })
        #expect(lines.contains { $0.hasPrefix("preadv ") })
        #expect(!lines.contains { $0.hasPrefix("append ") })
        #expect(!lines.contains { $0.hasPrefix("offload ") })
        #expect(lines.contains { $0.hasPrefix("split ") })
    }

    @Test("A program's name cannot act on the terminal")
    func controlCharacters() throws {
        let snapshot = try busySnapshot(program: "/tmp/\u{1b}[2J\u{07}\u{9b}x\n")
        let text = Report(snapshot, state: .died).text
        #expect(text.hasPrefix("/tmp/\\x1b[2J\\x07\\x9bx\\x0a  pid "))
    }

    @Test("JSON holds every number, and any program name")
    func json() throws {
        var snapshot = try busySnapshot(program: "/tmp/\"quoted\\\u{1b}ü")
        snapshot.header.ringErrno = EPERM
        let text = Report.json(snapshot, state: .running)
        let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let object = try #require(parsed as? [String: Any])
        #expect(object["program"] as? String == "/tmp/\"quoted\\\u{1b}ü")
        #expect(object["state"] as? String == "running")
        #expect((object["ring"] as? [String: Any])?["errno"] as? Int == Int(EPERM))
        let operations = try #require(object["operations"] as? [String: [String: Any]])
        #expect(Set(operations.keys) == Set(Operation.allCases.map(\.name)))
        #expect(operations["pread"]?["calls"] as? Int == 123_456_789_012)
        let latency = try #require(operations["pread"]?["latency"] as? [String: Any])
        #expect(latency["max_ns"] as? Int == 1 << 37)
        #expect(latency["p50_ns"] as? UInt64 == snapshot[.pread].latency.p50)
        let techniques = try #require(object["techniques"] as? [String: [String: Any]])
        #expect(techniques["split"]?["depth_mean"] as? Double == 31)
        #expect(techniques["split"]?["setting"] as? String == "on")
        let reasons = try #require(object["passed_by_reason"] as? [String: Int])
        #expect(reasons["io-uring-unavailable"] == 14_000)
    }

    @Test("Merging adds up everything but the head")
    func merging() throws {
        let one = try busySnapshot()
        var both = one
        both.merge(one)
        #expect(both.processCount == 2)
        #expect(both.calls == 2 * one.calls)
        #expect(both.passed == 2 * one.passed)
        #expect(both[.ring].requests == 2 * one[.ring].requests)
        #expect(both[.pread].latency.count == 2 * one[.pread].latency.count)
        #expect(Report(both, state: .ended).text.contains(" and 1 more process "))
        var (idle, working, refused) = (one, one, one)
        idle.header.ring = .unused
        working.header.ring = .working
        (refused.header.ring, refused.header.ringErrno) = (.refused, 38)
        working.merge(idle)
        #expect(working.header.ring == .working)
        idle.merge(working)
        #expect(idle.header.ring == .working)
        idle.merge(refused)
        #expect(idle.header.ring == .refused && idle.header.ringErrno == 38)
    }
}

@Suite("Units")
struct UnitsTests {
    @Test(
        "Counts",
        arguments: [
            (0, "0"), (9999, "9999"), (10_000, "10.0 k"), (12_345, "12.3 k"), (999_499, "999 k"),
            (999_500, "1.00 M"), (1_234_567, "1.23 M"), (.max, "18.4 E"),
        ] as [(UInt64, String)])
    func counts(_ value: UInt64, _ text: String) {
        #expect(Units.count(value) == text)
    }

    @Test(
        "Bytes",
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (4096, "4.00 KiB"),
            (1 << 20, "1.00 MiB"), ((1 << 20) - 1, "1.00 MiB"), (10_220_000_000, "9.52 GiB"),
            (.max, "16.0 EiB"),
        ] as [(UInt64, String)])
    func bytes(_ value: UInt64, _ text: String) {
        #expect(Units.bytes(value) == text)
    }

    @Test(
        "Latencies",
        arguments: [
            (0, "0 ns"), (999, "999 ns"), (1000, "1.00 us"), (9_994, "9.99 us"), (9_996, "10.0 us"),
            (99_960, "100 us"), (999_600, "1.00 ms"), (2_500_000_000, "2.50 s"),
        ] as [(UInt64, String)])
    func latencies(_ value: UInt64, _ text: String) {
        #expect(Units.latency(value) == text)
    }

    @Test("Shares never claim all or nothing wrongly")
    func shares() {
        #expect(Units.share(0, of: 0) == "-")
        #expect(Units.share(0, of: 7) == "0.0 %")
        #expect(Units.share(7, of: 7) == "100.0 %")
        #expect(Units.share(999_999, of: 1_000_000) == "99.9 %")
        #expect(Units.share(1, of: 1_000_000) == "0.1 %")
        #expect(Units.share(1, of: 3) == "33.3 %")
    }

    @Test(
        "Spans of time",
        arguments: [
            (1_500_000_000, "1.50 s"), (123_000_000_000, "2 min 3 s"),
            (7_380_000_000_000, "2 h 3 min"), (180_000_000_000_000, "2 d 2 h"),
        ] as [(UInt64, String)])
    func spans(_ value: UInt64, _ text: String) {
        #expect(Units.span(value) == text)
    }
}
