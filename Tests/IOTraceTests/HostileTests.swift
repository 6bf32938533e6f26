import CIOTrap
import Testing

@testable import IOTrace

/// Traces whose checksums are right and whose content is not.
@Suite("Hostile traces")
struct HostileTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func reason(_ trace: ForgedTrace) throws -> TraceError.Reason? {
        failure(of: try scratch.file("t", trace.bytes))?.reason
    }

    /// One event behind a file table with one entry.
    private func reason(event: [UInt8]) throws -> TraceError.Reason? {
        var trace = ForgedTrace()
        trace.addFile(0, "a")
        trace.add(kind: 1, event)
        let error = failure(of: try scratch.file("t", trace.bytes))
        // The second chunk, and in it the first record.
        if let error { #expect(error.offset > 64 && error.payloadOffset == 0) }
        return error?.reason
    }

    @Test(
        "A path that leads out of a directory is refused",
        arguments: [
            ("/etc/passwd", .absolute), ("../a", .parent), ("a/../../b", .parent),
            ("a/..", .parent),
            ("..", .parent), (".", .dot), ("a/./b", .dot), ("a//b", .emptyComponent),
            ("a/", .emptyComponent), ("", .empty), ("a\0b", .nul),
            (String(repeating: "a/", count: 2047) + "ab", .tooLong),
        ] as [(String, TraceError.PathFault)])
    func paths(path: String, fault: TraceError.PathFault) throws {
        var trace = ForgedTrace()
        trace.addFile(0, path)
        let found = try reason(trace)
        if fault == .tooLong {
            #expect(found == .tooLarge("bytes of a path", value: 4096, limit: 4095))
        } else {
            #expect(found == .path(fault))
        }
        var writer = try TraceWriter(path: scratch("w"), replaces: true)
        do throws(TraceError) {
            _ = try writer.addFile(TraceFile(path: path))
            Issue.record("was written")
        } catch {
            #expect(error.reason == .path(fault))
        }
    }

    @Test("A path that is not UTF-8 is refused")
    func notUTF8() throws {
        var trace = ForgedTrace()
        trace.add(kind: 2, [0, 0, 0, 0, 0, 2, 0xff, 0xfe])
        #expect(try reason(trace) == .path(.notUTF8))
    }

    @Test("Names that only look like '..' are names")
    func harmlessPaths() throws {
        var trace = ForgedTrace()
        for (index, path) in ["...", "..a", "a..", ".a/b.", "a/.../b"].enumerated() {
            trace.addFile(UInt64(index), path)
        }
        #expect(try reason(trace) == nil)
    }

    @Test("Offsets and lengths of 2^63 and more are refused")
    func ranges() throws {
        let top = UInt64(Int64.max)
        // Offset, length, latency.
        func event(_ offset: Int64, _ length: UInt64) -> [UInt8] {
            forgedEvent(
                0x38, Varint.bytes(Varint.zigzag(offset)) + Varint.bytes(length) + [0])
        }
        #expect(try reason(event: event(.max, 0)) == nil)
        #expect(try reason(event: event(0, top)) == nil)
        #expect(try reason(event: event(1, top)) == .range(offset: 1, length: top))
        #expect(try reason(event: event(0, top + 1)) == .range(offset: 0, length: top + 1))
        #expect(try reason(event: event(0, .max)) == .range(offset: 0, length: .max))
        #expect(try reason(event: event(.max, .max)) == .range(offset: top, length: .max))
        #expect(try reason(event: event(-1, 1)) == .range(offset: .max, length: 1))
        #expect(try reason(event: event(.min, 0)) == .range(offset: top + 1, length: 0))
    }

    @Test("Times before the start or beyond 2^63 are refused")
    func times() throws {
        #expect(try reason(event: forgedEvent(0x20, time: -1, [0])) == .time)
        #expect(try reason(event: forgedEvent(0x20, time: .max, [0])) == nil)
        #expect(try reason(event: forgedEvent(0x20, time: .max, [1])) == .time)
        #expect(try reason(event: forgedEvent(0x20, Varint.bytes(.max))) == .time)
        var header = TraceHeader()
        header.isOrdered = true
        var trace = ForgedTrace(header)
        trace.addFile(0, "a")
        trace.add(
            kind: 1, forgedEvent(0x20, time: 5, [0]) + forgedEvent(0x20, time: -1, [0]), records: 2)
        #expect(try reason(trace) == .time)
    }

    @Test("A dependency on itself or on nothing is refused, so there are no cycles")
    func dependencies() throws {
        let fields = UInt32(0x20 | 0x400)
        #expect(
            try reason(event: forgedEvent(fields, [0, 0])) == .dependency(distance: 0, index: 0))
        #expect(
            try reason(event: forgedEvent(fields, [0, 1])) == .dependency(distance: 1, index: 0))
        let far = UInt64(1) << 40
        #expect(
            try reason(event: forgedEvent(fields, [0] + Varint.bytes(far)))
                == .dependency(distance: far, index: 0))
        var trace = ForgedTrace()
        trace.addFile(0, "a")
        trace.add(kind: 1, forgedEvent(0x20, [0]) + forgedEvent(fields, [0, 1]), records: 2)
        #expect(try reason(trace) == nil)
    }

    @Test("Results, calls, operations, fields and files that do not exist are refused")
    func values() throws {
        let result = UInt32(0x20 | 0x40)
        func signed(_ value: Int64) -> [UInt8] { Varint.bytes(Varint.zigzag(value)) }
        #expect(try reason(event: forgedEvent(result, [0] + signed(-4095))) == nil)
        #expect(
            try reason(event: forgedEvent(result, [0] + signed(-4096)))
                == .field("result", value: 4096))
        #expect(
            try reason(event: forgedEvent(result, [0] + signed(1))) == .field("result", value: 1))
        #expect(try reason(event: forgedEvent(0x40, signed(-5))) == .field("result", value: 5))
        #expect(try reason(event: forgedEvent(0x21, [24, 0, 0])) == .field("call", value: 24))
        #expect(try reason(event: forgedEvent(0x21, [0, 12, 0])) == .field("operation", value: 12))
        #expect(try reason(event: forgedEvent(0x2000)) == .field("fields", value: 0x2000))
        #expect(try reason(event: forgedEvent(0x24, [2, 0])) == .unknownFile(1))
        #expect(try reason(event: forgedEvent(0x24, [0, 0])) == nil)
        let long = [UInt8](repeating: 0xff, count: 9)
        #expect(try reason(event: forgedEvent(0x30, long + [2])) == .varint)
        #expect(try reason(event: forgedEvent(0x22, Varint.bytes(1 << 32))) == .varint)
        #expect(try reason(event: forgedEvent(0xa0, [0] + signed(-1))) == .varint)
        #expect(try reason(event: forgedEvent(0x20)) == .recordCount)
    }

    @Test("More or fewer records than announced are refused")
    func recordCounts() throws {
        for count in [0, 2, 3] as [UInt32] {
            var trace = ForgedTrace()
            trace.addFile(0, "a")
            trace.add(kind: 1, forgedEvent(0x20, [0]), records: count)
            #expect(try reason(trace) == .recordCount)
        }
        var trace = ForgedTrace()
        trace.add(kind: 1, [0, 0], records: 1_000_000_000)
        #expect(try reason(trace) == .field("record_count", value: 1_000_000_000))
    }

    @Test("A billion files, or one with a number in the billions, take no memory")
    func files() throws {
        var trace = ForgedTrace()
        trace.addFile(999_999_999, "a")
        let limit = UInt64(IOTRAP_TRACE_FILES_MAX)
        #expect(
            try reason(trace) == .tooLarge("file number", value: 999_999_999, limit: limit))
        trace = ForgedTrace()
        trace.addFile(0, "a")
        trace.addFile(0, "b")
        #expect(try reason(trace) == .fileNumber(0))
        trace = ForgedTrace()
        trace.addFile(0, "a", size: 1 << 63)
        #expect(try reason(trace) == .range(offset: 0, length: 1 << 63))
        trace = ForgedTrace()
        trace.addFile(0, "a", count: 1 << 62)
        #expect(
            try reason(trace) == .tooLarge("bytes of a path", value: 1 << 62, limit: 4095))
        trace = ForgedTrace()
        trace.addFile(0, "a", count: 2)
        #expect(try reason(trace) == .recordCount)
    }

    @Test("Paths are bounded in all")
    func pathBytes() throws {
        let name = Array(repeating: UInt8(ascii: "a"), count: 4000)
        var trace = ForgedTrace()
        for chunk in 0..<17 {
            var payload: [UInt8] = []
            for file in 0..<1000 {
                let numbers: [UInt64] = [UInt64(chunk * 1000 + file), 0, 0, 0, 0, 4000]
                payload += numbers.flatMap(Varint.bytes) + name
            }
            trace.add(kind: 2, payload, records: 1000)
        }
        let limit = UInt64(IOTRAP_TRACE_PATHS_BYTES_MAX)
        let most = (limit / 4000 + 1) * 4000
        #expect(try reason(trace) == .tooLarge("bytes of paths", value: most, limit: limit))
    }

    @Test("Chunks over 4 MiB are refused before memory is taken")
    func chunkSizes() throws {
        let limit = UInt64(IOTRAP_TRACE_CHUNK_BYTES_MAX)
        for size in [UInt32(limit) + 1, .max] {
            var trace = ForgedTrace()
            trace.add(kind: 1, [0]) { $0.storedBytes = size }
            let value = UInt64(size)
            #expect(try reason(trace) == .tooLarge("stored_bytes", value: value, limit: limit))
            trace = ForgedTrace()
            trace.add(kind: 1, [0], codec: .zstd, raw: size)
            #expect(try reason(trace) == .tooLarge("raw_bytes", value: value, limit: limit))
        }
    }

    @Test("Frames that are none, or hold more or less than announced, are refused")
    func compression() throws {
        let payload = [UInt8](repeating: 7, count: 1000)
        var space = [UInt8](repeating: 0, count: 2000)
        let compressor = Compressor()
        let count = try #require(
            payload.withUnsafeBytes { input in
                space.withUnsafeMutableBytes { compressor.compress(input, into: $0) }
            })
        let frame = Array(space[..<count])
        for (bytes, raw) in [
            (frame, 999), (frame, 1001), (frame + [0], 1000), (Array(frame.dropLast()), 1000),
            ([1, 2, 3], 1000), ([], 1000),
        ] as [([UInt8], UInt32)] {
            var trace = ForgedTrace()
            trace.add(kind: 3, bytes, codec: .zstd, raw: raw)
            guard case .compression = try reason(trace) else {
                Issue.record("\(bytes.count) \(raw): \(String(describing: try reason(trace)))")
                continue
            }
        }
    }

    @Test("Metadata is bounded in all")
    func metadata() throws {
        var trace = ForgedTrace()
        for _ in 0..<3 {
            let value = [UInt8](repeating: 0x61, count: 1 << 20)
            trace.add(kind: 3, [1, 0x6b] + Varint.bytes(1 << 20) + value)
        }
        let limit = UInt64(IOTRAP_TRACE_METADATA_BYTES_MAX)
        #expect(
            try reason(trace) == .tooLarge("metadata", value: 2 * limit + 4, limit: limit))
    }

    @Test("Totals that differ from what was read are refused")
    func totals() throws {
        for (numbers, expected) in [
            ([1, 1, 0, 2], nil), ([2, 1, 0, 2], .totals("events", expected: 2, found: 1)),
            ([1, 0, 0, 2], .totals("files", expected: 0, found: 1)),
            ([1, 1, 0, 3], .totals("chunks", expected: 3, found: 2)),
            ([1, 1, 0], .recordCount), ([1, 1, 0, 2, 0], .recordCount),
        ] as [([UInt64], TraceError.Reason?)] {
            var trace = ForgedTrace()
            trace.addFile(0, "a")
            trace.add(kind: 1, forgedEvent(0x20, [0]))
            trace.add(kind: 4, numbers.flatMap(Varint.bytes))
            #expect(try reason(trace) == expected)
        }
    }

    @Test("A writer refuses what a reader would refuse")
    func writer() throws {
        var header = TraceHeader()
        header.isOrdered = true
        var writer = try TraceWriter(path: scratch("w"), header: header)
        _ = try writer.addFile(TraceFile(path: "a"))
        var late = TraceEvent()
        late.submitNanoseconds = 10
        try writer.append(late)
        let changes: [(TraceError.Reason, (inout TraceEvent) -> Void)] = [
            (.time, { $0.submitNanoseconds = 9 }),
            (.time, { $0.latencyNanoseconds = .max }),
            (.unknownFile(1), { $0.file = 1 }),
            (.range(offset: 1 << 63, length: 0), { $0.offset = 1 << 63 }),
            (.dependency(distance: 2, index: 1), { $0.after = 2 }),
            (.field("result", value: 1), { $0.result = 1 }),
            (
                .field("result", value: 5),
                {
                    $0.result = -5; $0.isComplete = false
                }
            ),
        ]
        for (reason, change) in changes {
            var event = late
            change(&event)
            do throws(TraceError) {
                try writer.append(event)
                Issue.record("\(reason): was written")
            } catch {
                #expect(error.reason == reason)
            }
        }
        let totals = try writer.finish()
        #expect(totals.events == 1)
        #expect(failure(of: scratch("w")) == nil)
    }
}
