import CIOTrap
import Foundation
import Glibc
import Testing

@testable import IOTrapStats

@Suite("Paths of mount pools")
struct PathTests {
    private static let hana = [("hana", "/mnt/a"), ("hana", "/mnt/b"), ("logs", "/mnt/c")]

    /// Writes the bytes and reads them back as a segment.
    private func read(_ fixture: SegmentFixture) throws -> Snapshot {
        let directory = try TemporaryDirectory()
        let path = try fixture.write(to: directory, name: "segment")
        return try Segment(name: path, path: path).snapshot()
    }

    /// The reason for which the bytes are refused, nil when they are not.
    private func refusal(_ fixture: SegmentFixture) throws -> SegmentError.Reason? {
        do {
            _ = try read(fixture)
            return nil
        } catch let error as SegmentError {
            return error.reason
        }
    }

    /// A path with some traffic.
    private func busyPath(_ pool: String, _ path: String, bytes: UInt64) -> PathTotals {
        var totals = PathTotals(pool: pool, path: path)
        totals.state = .up
        totals.files = 3
        totals.requests = 5000
        totals.readBytes = bytes
        totals.syncs = 12
        totals.inFlightBytes = 16 << 20
        totals.windowBytes = 64 << 20
        totals.rateBytes = 104_857_600
        totals.latencyNanoseconds = 1_100_000
        for _ in 0..<99 { totals.latency.record(1_000_000) }
        totals.latency.record(8_000_000)
        return totals
    }

    /// The lines of the table of paths.
    private func table(_ paths: [PathTotals]) throws -> [String] {
        var snapshot = try read(SegmentFixture())
        snapshot.paths = paths
        let lines = Report(snapshot, state: .running).text.split(
            separator: "\n", omittingEmptySubsequences: false)
        return Array(lines.drop { !$0.hasPrefix("MOUNT POOLS") }.prefix { !$0.isEmpty })
            .map(String.init)
    }

    @Test("Every number of a record is read from its own place")
    func numbers() throws {
        var fixture = SegmentFixture(blocks: 2, paths: Self.hana)
        // Every 64-bit word after state and files holds its own number, in the record in between.
        let first = MemoryLayout<iotrap_stats_path>.offset(of: \.requests)! / 8
        let words = MemoryLayout<iotrap_stats_path>.size / 8
        fixture.bytes.withUnsafeMutableBytes { raw in
            for word in first..<words {
                raw.storeBytes(
                    of: UInt64(word - first + 1),
                    toByteOffset: SegmentFixture.pathOffset(1) + word * 8, as: UInt64.self)
            }
        }
        fixture.setPath(1) {
            $0.state = IOTRAP_PATH_STALLED.rawValue
            $0.files = .max
        }
        fixture.setBlock(1) { $0.operations.2.calls = 77 }
        let snapshot = try read(fixture)
        #expect(snapshot[.pread].calls == 77, "blocks come after the paths")
        #expect(snapshot.header.pathCount == 3)
        #expect(snapshot.paths.map(\.pool) == ["hana", "hana", "logs"])
        #expect(snapshot.paths.map(\.path) == ["/mnt/a", "/mnt/b", "/mnt/c"])
        let path = snapshot.paths[1]
        #expect(path.state == .stalled && path.files == UInt64(UInt32.max))
        // Follows the declarations of iotrap_stats.h one after the other.
        var word: UInt64 = 0
        func next() -> UInt64 {
            word += 1
            return word
        }
        #expect([path.requests, path.readBytes, path.writeBytes] == [next(), next(), next()])
        #expect([path.syncs, path.errors, path.reissued] == [next(), next(), next()])
        #expect([path.ejections, path.returns] == [next(), next()])
        #expect([path.hedges, path.hedgesWon] == [next(), next()])
        #expect([path.inFlightBytes, path.windowBytes] == [next(), next()])
        #expect([path.rateBytes, path.latencyNanoseconds] == [next(), next()])
        #expect([path.latency.count, path.latency.sumNanoseconds] == [next(), next()])
        #expect(path.latency.maxNanoseconds == next())
        for bucket in path.latency.buckets { #expect(bucket == next()) }
        #expect(word == UInt64(words - first))
        #expect(snapshot.paths[0] == PathTotals(pool: "hana", path: "/mnt/a"))
        #expect(snapshot.paths[2] == PathTotals(pool: "logs", path: "/mnt/c"))
    }

    @Test("Names as long as their fields allow are read, endless ones are refused")
    func names() throws {
        let pool = String(repeating: "n", count: 31)
        let path = "/" + String(repeating: "p", count: 222)
        var fixture = SegmentFixture(paths: [("a", "/a"), (pool, path)])
        let snapshot = try read(fixture)
        #expect(snapshot.paths[1].pool == pool && snapshot.paths[1].path == path)
        let whole = fixture
        fixture.setPath(1) { $0.pool.31 = 1 }
        #expect(
            try refusal(fixture)
                == .field("length of the pool's name of path 1", found: 32, expected: 31))
        fixture = whole
        fixture.setPath(1) { record in
            withUnsafeMutableBytes(of: &record.path) { $0[223] = UInt8(ascii: "x") }
        }
        #expect(
            try refusal(fixture)
                == .field("length of the name of path 1", found: 224, expected: 223))
    }

    @Test("A state that does not exist is refused", arguments: [4, 5, 1 << 31, UInt32.max])
    func unknownState(_ state: UInt32) throws {
        var fixture = SegmentFixture(paths: Self.hana)
        for index in 0...3 {
            fixture.setPath(2) { $0.state = UInt32(index) }
            #expect(try read(fixture).paths[2].state.rawValue == index)
        }
        fixture.setPath(2) { $0.state = state }
        #expect(
            try refusal(fixture) == .field("state of path 2", found: UInt64(state), expected: 3))
    }

    @Test("As many paths as the layout allows are read, one more is refused")
    func limit() throws {
        let paths = (0..<129).map { ("pool", "/\($0)") }
        let most = SegmentFixture(paths: Array(paths.prefix(128)))
        #expect(try read(most).paths.last?.path == "/127")
        #expect(
            try refusal(SegmentFixture(paths: paths))
                == .field("path_count", found: 129, expected: 128))
    }

    @Test("A header length that does not follow from the count of paths is refused")
    func headerLength() throws {
        var fixture = SegmentFixture(paths: Self.hana)
        let needed = UInt64((4096 + 3 * MemoryLayout<iotrap_stats_path>.size + 4095) / 4096 * 4096)
        for length: UInt32 in [0, 4096, UInt32(needed) - 4096, UInt32(needed) + 4096, .max] {
            fixture.setHeader { $0.header_bytes = length }
            #expect(
                try refusal(fixture)
                    == .field("header_bytes", found: UInt64(length), expected: needed))
        }
    }

    @Test("A file cut inside the records of paths, or by the last byte, is truncated")
    func truncation() throws {
        let whole = SegmentFixture(paths: Self.hana)
        let lengths = [
            4097, SegmentFixture.pathOffset(1), SegmentFixture.pathOffset(3), 8 * 4096,
            whole.bytes.count - 1,
        ]
        for length in lengths {
            var cut = whole
            cut.bytes.removeLast(cut.bytes.count - length)
            #expect(
                try refusal(cut)
                    == .truncated(
                        bytes: UInt64(length), expectedBytes: UInt64(whole.bytes.count)))
        }
    }

    @Test("Random damage to header and records never does more than throw")
    func randomDamage() throws {
        var generator = SeededGenerator(seed: 4)
        let whole = SegmentFixture(paths: Self.hana)
        let directory = try TemporaryDirectory()
        var (refused, shown) = (0, 0)
        for _ in 0..<300 {
            var damaged = whole
            for _ in 0..<Int.random(in: 1...40, using: &generator) {
                let byte = Int.random(
                    in: 4096..<SegmentFixture.pathOffset(3), using: &generator)
                damaged.bytes[byte] = UInt8.random(in: 0...255, using: &generator)
            }
            let path = try damaged.write(to: directory, name: "segment")
            do throws(SegmentError) {
                let snapshot = try Segment(name: path, path: path).snapshot()
                let text = Report(snapshot, state: .running).text
                #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 }, "\(text)")
                _ = Report.json(snapshot, state: .died)
                shown += 1
            } catch {
                refused += 1
                #expect(error.description.hasPrefix(path + ": "))
            }
        }
        #expect(refused > 0 && shown > 0)
    }

    @Test("One line a path shows how it is doing")
    func lines() throws {
        var slow = busyPath("hana", "/mnt/hana/b", bytes: 1 << 30)
        slow.state = .ejected
        slow.ejections = 2
        slow.reissued = 31
        slow.hedges = 9
        slow.hedgesWon = 4
        slow.errors = 17
        slow.windowBytes = 0
        slow.rateBytes = 0
        slow.writeBytes = 1 << 30
        let lines = try table([
            busyPath("hana", "/mnt/hana/a", bytes: 6 << 30), slow,
            PathTotals(pool: "hana", path: "/mnt/hana/c"),
        ])
        #expect(
            lines == [
                "MOUNT POOLS        STATE     SHARE  MB/S      P50      P99  WINDOW  FLIGHT"
                    + "  EJECTED  REISSUED  HEDGES  ERRORS  SYNCS",
                "hana  /mnt/hana/a  up       75.0 %   105  1.01 ms  1.01 ms  64.0 M  16.0 M"
                    + "        0         0       -       0     12",
                "hana  /mnt/hana/b  ejected  25.0 %     -  1.01 ms  1.01 ms       -  16.0 M"
                    + "        2        31     4/9      17     12",
                "hana  /mnt/hana/c  unused    0.0 %     -        -        -       -     0 B"
                    + "        0         0       -       0      0",
            ])
    }

    @Test("Paths stand pool by pool, and shares are of their own pool")
    func grouping() throws {
        let lines = try table([
            busyPath("data", "/d1", bytes: 300), busyPath("logs", "/l1", bytes: 7),
            busyPath("data", "/d2", bytes: 100),
        ])
        #expect(lines.count == 4)
        let expected = [("data  /d1 ", "75.0"), ("data  /d2 ", "25.0"), ("logs  /l1 ", "100.0")]
        for (line, (start, share)) in zip(lines.dropFirst(), expected) {
            #expect(line.hasPrefix(start) && line.contains(" \(share) % "), "\(line)")
        }
    }

    @Test("Nothing is shown without pools")
    func noPools() throws {
        #expect(try table([]) == [])
        let text = Report(try read(SegmentFixture()), state: .running).text
        #expect(!text.contains("MOUNT POOLS"))
    }

    @Test("Long names are cut, at the front of paths, so that lines fit into 120 columns")
    func width() throws {
        let pool = String(repeating: "pool", count: 7)
        let path = "/mnt" + String(repeating: "/directory", count: 20)
        var extreme = PathTotals(pool: pool, path: path + "/z")
        extreme.state = .stalled
        for word in [
            \PathTotals.readBytes, \.writeBytes, \.syncs, \.errors, \.reissued, \.ejections,
            \.hedges, \.hedgesWon, \.rateBytes,
        ] as [WritableKeyPath<PathTotals, UInt64>] {
            extreme[keyPath: word] = 123_456_789_012_345
        }
        extreme.windowBytes = 1023
        extreme.inFlightBytes = 1023
        for _ in 0..<10 { extreme.latency.record(99_900) }
        let paths = [busyPath("a", "/mnt/short", bytes: 9), extreme]
        let lines = try table(paths)
        #expect(Set(lines.map(\.count)).count == 1, "numbers end in one column")
        #expect(lines[0].count <= 120)
        #expect(lines[2].hasPrefix("poo"), "\(lines[2])")
        #expect(lines[2].contains(" ...") && lines[2].contains("tory/z stalled "), "\(lines[2])")
        // A path that lost its front already says so, however short it is.
        #expect(try table([busyPath("p", "mnt/x", bytes: 1)])[1].hasPrefix("p  ...mnt/x "))
        // With less to show the same columns stand closer before names are cut.
        let middling = try table([busyPath("hana", "/hana/shared/data/mnt00001", bytes: 9)])
        #expect(middling[1].hasPrefix("hana  /hana/shared/data/mnt00001 up "), "\(middling[1])")
        #expect(middling[1].count <= 120)
        let longPool = try table([busyPath("the-pool-of-the-database", "/mnt/a", bytes: 9)])
        #expect(longPool[1].hasPrefix("the-pool-of-the-database  /mnt/a up "), "\(longPool[1])")
    }

    @Test("Names cannot act on the terminal")
    func controlCharacters() throws {
        let lines = try table([busyPath("a\u{1b}[2J", "/x\u{07}", bytes: 1)])
        #expect(lines[1].hasPrefix("a\\x1b[2J  /x\\x07 "))
    }

    @Test("JSON holds every number of every path")
    func json() throws {
        var snapshot = try read(SegmentFixture())
        var path = busyPath("hana", "/mnt/\"a\"", bytes: 77)
        path.writeBytes = 78
        path.errors = 79
        path.reissued = 80
        path.ejections = 81
        path.returns = 82
        path.hedges = 84
        path.hedgesWon = 83
        snapshot.paths = [path, PathTotals(pool: "hana", path: "/mnt/b")]
        let text = Report.json(snapshot, state: .running)
        let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let object = try #require(parsed as? [String: Any])
        let paths = try #require(object["mount_pool_paths"] as? [[String: Any]])
        try #require(paths.count == 2)
        #expect(paths[0]["pool"] as? String == "hana")
        #expect(paths[0]["path"] as? String == "/mnt/\"a\"")
        #expect(paths[0]["state"] as? String == "up" && paths[1]["state"] as? String == "unused")
        for (name, value) in [
            ("files", 3), ("requests", 5000), ("read_bytes", 77), ("write_bytes", 78),
            ("syncs", 12), ("errors", 79), ("reissued", 80), ("ejections", 81), ("returns", 82),
            ("hedges", 84), ("hedges_won", 83), ("in_flight_bytes", 16 << 20),
            ("window_bytes", 64 << 20), ("rate_bytes_per_second", 104_857_600),
            ("smoothed_latency_ns", 1_100_000),
        ] {
            #expect(paths[0][name] as? Int == value, "\(name)")
        }
        #expect((paths[0]["latency"] as? [String: Any])?["max_ns"] as? Int == 8_000_000)
        for name in ["window_bytes", "rate_bytes_per_second", "smoothed_latency_ns"] {
            #expect(paths[1][name] is NSNull, "\(name)")
        }
    }

    @Test("An ended process has nothing in flight")
    func inFlight() throws {
        var fixture = SegmentFixture(paths: Self.hana)
        fixture.setPath(1) { ($0.in_flight_bytes, $0.window_bytes) = (4096, 1 << 20) }
        #expect(try read(fixture).paths[1].inFlightBytes == 4096)
        fixture.setHeader { $0.flags = IOTRAP_STATS_FLAG_ENDED }
        let path = try read(fixture).paths[1]
        #expect(path.inFlightBytes == 0 && path.windowBytes == 1 << 20)
    }

    @Test("Processes that use the same paths are summed up path by path")
    func merging() throws {
        var one = try read(SegmentFixture())
        one.paths = [busyPath("hana", "/a", bytes: 100), busyPath("hana", "/b", bytes: 50)]
        var other = one
        other.paths = [busyPath("logs", "/b", bytes: 1), busyPath("hana", "/b", bytes: 5)]
        other.paths[1].state = .ejected
        other.paths[1].rateBytes = 7
        other.paths[1].windowBytes = 128 << 20
        var sum = one
        sum.merge(other)
        #expect(sum.paths.map(\.path) == ["/a", "/b", "/b"])
        #expect(sum.paths[0] == one.paths[0] && sum.paths[2] == other.paths[0])
        let both = sum.paths[1]
        #expect(both.pool == "hana" && both.readBytes == 55 && both.requests == 10_000)
        #expect(both.state == .ejected && both.files == 6 && both.syncs == 24)
        #expect(both.rateBytes == 104_857_600 && both.windowBytes == 128 << 20)
        #expect(both.inFlightBytes == 32 << 20 && both.latency.count == 200)
        sum.merge(one)
        #expect(sum.paths[1].state == .ejected && sum.paths[1].readBytes == 105)
    }
}
