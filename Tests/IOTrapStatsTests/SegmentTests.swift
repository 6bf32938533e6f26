import CIOTrap
import Foundation
import Glibc
import Testing

@testable import IOTrapStats

@Suite("Reading a segment")
struct SegmentTests {
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

    @Test("The header is read as it was written")
    func header() throws {
        var fixture = SegmentFixture(blocks: 2, program: "/opt/a program")
        fixture.setHeader {
            $0.ring = IOTRAP_RING_REFUSED.rawValue
            $0.ring_errno = UInt32(EPERM)
            $0.flags = IOTRAP_STATS_FLAG_KEEP | IOTRAP_STATS_FLAG_ENDED
            $0.ended_ns = $0.started_ns + 5_000_000_000
            $0.threads_uncounted = 3
        }
        let header = try read(fixture).header
        #expect(header.program == "/opt/a program")
        #expect(header.processID == getpid())
        #expect(header.mode == .auto)
        #expect(header.ring == .refused)
        #expect(header.ringErrno == EPERM)
        #expect(header.settings == [.auto, .on, .off, .auto, .on, .off, .off])
        #expect(header.keep && header.ended)
        #expect(header.state == .ended)
        #expect(header.ageNanoseconds == 5_000_000_000)
        #expect(header.threadsUncounted == 3)
        #expect(header.blockCount == 2)
    }

    @Test("Counters of all blocks are summed, each in its own place")
    func sums() throws {
        let blocks = 3
        var fixture = SegmentFixture(blocks: blocks)
        // Fills every 64-bit word of a block after thread_id with its own number.
        let words = MemoryLayout<iotrap_stats_block>.size / 8
        for block in 0..<blocks {
            let start = SegmentHeader.headerBytes + block * SegmentHeader.blockBytes
            fixture.bytes.withUnsafeMutableBytes { raw in
                for word in 1..<words {
                    raw.storeBytes(
                        of: UInt64(word), toByteOffset: start + word * 8, as: UInt64.self)
                }
            }
        }
        let snapshot = try read(fixture)
        // Follows the declarations of iotrap_stats.h one after the other.
        var word: UInt64 = 0
        func next() -> UInt64 {
            word += 1
            return word * UInt64(blocks)
        }
        for reason in Reason.allCases { #expect(snapshot[reason] == next()) }
        for operation in Operation.allCases {
            let totals = snapshot[operation]
            #expect([totals.calls, totals.bytes] == [next(), next()])
            #expect([totals.errors, totals.accelerated] == [next(), next()])
        }
        for technique in Technique.allCases {
            let totals = snapshot[technique]
            #expect([totals.calls, totals.bytes] == [next(), next()])
            #expect([totals.requests, totals.batches] == [next(), next()])
            #expect([totals.trials, totals.engaged] == [next(), next()])
            #expect([totals.dropped, totals.errors] == [next(), next()])
        }
        for interface in AsyncInterface.allCases {
            let totals = snapshot[interface: interface]
            #expect([totals.submitCalls, totals.submitted] == [next(), next()])
            #expect([totals.submitNanoseconds, totals.reapCalls] == [next(), next()])
            #expect([totals.reaped, totals.reapedInUser] == [next(), next()])
            #expect([totals.flightNanoseconds, totals.flightRequests] == [next(), next()])
            #expect([totals.cancelled, totals.errors, totals.bytes] == [next(), next(), next()])
            for route in AsyncRoute.allCases { #expect(totals[route] == next()) }
            for depth in totals.depths { #expect(depth == next()) }
        }
        let histograms =
            Operation.allCases.map { snapshot[$0].latency }
            + Technique.allCases.map { snapshot[$0].latency }
            + AsyncInterface.allCases.map { snapshot[interface: $0].flight }
        for histogram in histograms {
            #expect([histogram.count, histogram.sumNanoseconds] == [next(), next()])
            #expect(histogram.maxNanoseconds == next() / UInt64(blocks))
            for bucket in histogram.buckets { #expect(bucket == next()) }
        }
        #expect(word == UInt64(words - 1))
    }

    @Test("Counters at the limit saturate instead of overflowing")
    func saturation() throws {
        var fixture = SegmentFixture(blocks: 2)
        for index in SegmentHeader.headerBytes..<fixture.bytes.count { fixture.bytes[index] = 0xff }
        let snapshot = try read(fixture)
        #expect(snapshot.calls == .max)
        #expect(snapshot.passed == .max)
        #expect(snapshot[.pread].latency.p99 != nil)
        let text = Report(snapshot, state: .running).text
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(text)")
    }

    @Test("A file cut at any border is refused as truncated")
    func truncation() throws {
        let whole = SegmentFixture(blocks: 2)
        typealias Header = iotrap_stats_header
        typealias Block = iotrap_stats_block
        var borders: Set<Int> = [1, MemoryLayout<Header>.size, SegmentHeader.headerBytes]
        for member in [
            \Header.version, \Header.header_bytes, \Header.block_count, \Header.process_id,
            \Header.started_ns, \Header.technique_settings, \Header.program,
        ] as [PartialKeyPath<Header>] {
            borders.insert(MemoryLayout<Header>.offset(of: member)!)
        }
        for block in 0..<2 {
            let start = SegmentHeader.headerBytes + block * SegmentHeader.blockBytes
            for member in [
                \Block.reasons, \Block.operations, \Block.techniques, \Block.async,
                \Block.operation_latency, \Block.technique_latency, \Block.flight,
            ] as [PartialKeyPath<Block>] {
                borders.insert(start + MemoryLayout<Block>.offset(of: member)!)
            }
            borders.insert(start + MemoryLayout<Block>.size)
        }
        // Around each, and one byte short of everything.
        let lengths = Set(borders.flatMap { [$0 - 1, $0, $0 + 1] } + [whole.bytes.count - 1])
        for length in lengths.sorted() where length > 0 {
            var cut = whole
            cut.bytes.removeLast(cut.bytes.count - length)
            guard case .truncated(let bytes, let expected) = try refusal(cut) else {
                Issue.record("\(length) bytes were not refused as truncated")
                continue
            }
            #expect(bytes == UInt64(length))
            #expect(expected > bytes)
        }
        #expect(try refusal(whole) == nil)
    }

    @Test("Opening alone refuses a truncated file, before anything is read from its blocks")
    func truncationAtOpening() throws {
        let directory = try TemporaryDirectory()
        var fixture = SegmentFixture(blocks: 2)
        fixture.bytes.removeLast()
        let path = try fixture.write(to: directory, name: "segment")
        #expect(throws: SegmentError.self) { _ = try Segment(name: path, path: path) }
    }

    @Test("An empty file and one without magic belong to a process that is still starting")
    func unfinished() throws {
        var fixture = SegmentFixture()
        fixture.setHeader { $0.magic = 0 }
        #expect(try refusal(fixture) == .unfinished)
        fixture.bytes = []
        #expect(try refusal(fixture) == .unfinished)
    }

    @Test("A file that grew after its header was written is read")
    func largerThanAnnounced() throws {
        var fixture = SegmentFixture(blocks: 2)
        fixture.setHeader { $0.block_count = 1 }
        #expect(try read(fixture).header.blockCount == 1)
    }

    @Test("Another version is refused by its number")
    func version() throws {
        var fixture = SegmentFixture()
        for version in [0, 1, 2, 4, UInt32.max] {
            fixture.setHeader { $0.version = version }
            #expect(try refusal(fixture) == .version(found: version, expected: 3))
        }
    }

    @Test("Any flipped bit of a field that decides about the layout is refused")
    func flippedBits() throws {
        typealias Header = iotrap_stats_header
        let fixture = SegmentFixture(blocks: 1)
        let checked: [PartialKeyPath<Header>] = [
            \Header.version, \Header.header_bytes, \Header.block_bytes, \Header.operation_count,
            \Header.technique_count, \Header.reason_count, \Header.bucket_count,
            \Header.path_count, \Header.path_bytes,
        ]
        let magic = (0..<8).flatMap { byte in (0..<8).map { (byte, $0) } }
        let words = checked.flatMap { member in
            let start = MemoryLayout<Header>.offset(of: member)!
            return (start..<start + 4).flatMap { byte in (0..<8).map { (byte, $0) } }
        }
        let directory = try TemporaryDirectory()
        for (byte, bit) in magic + words {
            var flipped = fixture
            flipped.bytes[byte] ^= 1 << UInt8(bit)
            let path = try flipped.write(to: directory, name: "segment")
            #expect(throws: SegmentError.self, "byte \(byte) bit \(bit)") {
                _ = try Segment(name: path, path: path).snapshot()
            }
        }
    }

    @Test("Random damage to the header never does more than throw")
    func randomDamage() throws {
        var generator = SeededGenerator(seed: 99)
        let fixture = SegmentFixture(blocks: 1)
        let directory = try TemporaryDirectory()
        var refused = 0
        for _ in 0..<500 {
            var damaged = fixture
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let byte = Int.random(
                    in: 8..<MemoryLayout<iotrap_stats_header>.size, using: &generator)
                damaged.bytes[byte] = UInt8.random(in: 0...255, using: &generator)
            }
            let path = try damaged.write(to: directory, name: "segment")
            do throws(SegmentError) {
                let snapshot = try Segment(name: path, path: path).snapshot()
                _ = Report(snapshot, state: snapshot.header.state).text
                _ = Report.json(snapshot, state: .died)
            } catch {
                refused += 1
                #expect(error.description.hasPrefix(path + ": "))
            }
        }
        #expect(refused > 0)
    }

    @Test("A value beyond what a field can mean is refused by the field's name")
    func impossibleValues() throws {
        let changes: [(String, (inout iotrap_stats_header) -> Void)] = [
            ("block_count", { $0.block_count = IOTRAP_STATS_BLOCKS_MAX + 1 }),
            ("process_id", { $0.process_id = .max }),
            ("mode", { $0.mode = 4 }),
            ("ring", { $0.ring = 3 }),
            ("ring_errno", { $0.ring_errno = 4096 }),
            ("path_count", { $0.path_count = IOTRAP_STATS_PATHS_MAX + 1 }),
            ("path_count", { $0.path_count = .max }),
            ("header_bytes", { $0.path_count = 1 }),
            ("path_bytes", { $0.path_bytes = 0 }),
            ("path_bytes", { $0.path_bytes += 8 }),
            ("setting of ring", { $0.technique_settings.0 = 9 }),
            ("setting of offload", { $0.technique_settings.5 = 3 }),
            ("setting of mount-pools", { $0.technique_settings.6 = 3 }),
        ]
        for (name, change) in changes {
            var fixture = SegmentFixture()
            fixture.setHeader(change)
            guard case .field(name, _, _) = try refusal(fixture) else {
                Issue.record("\(name) was not refused")
                continue
            }
        }
    }

    @Test("A program name without an end is cut at the field's")
    func endlessProgramName() throws {
        var fixture = SegmentFixture()
        fixture.setHeader { header in
            withUnsafeMutableBytes(of: &header.program) { field in
                for index in field.indices { field[index] = UInt8(ascii: "p") }
            }
        }
        #expect(try read(fixture).header.program == String(repeating: "p", count: 256))
    }
}

@Suite("Files that are not to be trusted")
struct SegmentFileTests {
    /// The reason for which the file is refused.
    private func refusal(_ path: String) -> SegmentError.Reason? {
        do throws(SegmentError) {
            _ = try Segment(name: path, path: path).snapshot()
            return nil
        } catch {
            return error.reason
        }
    }

    @Test("A missing file")
    func missing() throws {
        let directory = try TemporaryDirectory()
        #expect(refusal(directory.path + "/1") == .missing)
    }

    @Test("A symbolic link, even to a good segment")
    func symbolicLink() throws {
        let directory = try TemporaryDirectory()
        let target = try SegmentFixture().write(to: directory, name: "target")
        let link = directory.path + "/1"
        #expect(symlink(target, link) == 0)
        #expect(refusal(link) == .symbolicLink)
        #expect(refusal(target) == nil)
    }

    @Test("A directory, a FIFO and a device, without waiting for a writer")
    func notRegular() throws {
        let directory = try TemporaryDirectory()
        let fifo = directory.path + "/fifo"
        #expect(mkfifo(fifo, 0o600) == 0)
        for path in [directory.path, fifo, "/dev/null"] {
            #expect(refusal(path) == .wrongKind(expected: "regular file"))
        }
    }

    @Test("A file that others may write to")
    func writableByOthers() throws {
        let directory = try TemporaryDirectory()
        let path = try SegmentFixture().write(to: directory, name: "1")
        for mode: mode_t in [0o602, 0o620, 0o666] {
            #expect(chmod(path, mode) == 0)
            #expect(refusal(path) == .writableByOthers(mode: S_IFREG | mode))
        }
    }

    @Test("A file of another user")
    func foreignOwner() throws {
        if geteuid() != 0 {
            print("SKIP foreignOwner: giving a file away needs root")
            return
        }
        let directory = try TemporaryDirectory()
        let path = try SegmentFixture().write(to: directory, name: "1")
        #expect(chown(path, 12_345, 12_345) == 0)
        #expect(refusal(path) == .foreignOwner(userID: 12_345))
    }

    @Test("A file that shrinks while it is read")
    func shrinking() throws {
        let directory = try TemporaryDirectory()
        let path = try SegmentFixture(blocks: 2).write(to: directory, name: "1")
        let segment = try Segment(name: path, path: path)
        #expect(truncate(path, off_t(SegmentHeader.headerBytes + 100)) == 0)
        #expect(throws: SegmentError.self) { try segment.snapshot() }
    }

    @Test("The message names file, reason and remedy")
    func message() {
        let error = SegmentError(path: "/x/1", reason: .version(found: 7, expected: 3))
        #expect(
            error.description
                == "/x/1: has layout version 7, this command reads version 3; "
                + "use the iotrap command of the same release as the library")
    }
}
