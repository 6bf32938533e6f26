import CIOTrap
import Testing

@testable import IOTrace

@Suite("Damaged traces")
struct DamageTests {
    /// A small trace with two chunks of events, its file and its content.
    private func small(_ scratch: Scratch, _ codec: TraceCodec) throws -> ([UInt8], Content) {
        try writeTrace(scratch("whole"), variedEvents(40), codec: codec, flushEvery: 25)
        return (try content(scratch("whole")), try Content(of: scratch("whole")))
    }

    @Test(
        "Any change of any byte is an error with a position",
        arguments: [TraceCodec.raw, .zstd])
    func flips(codec: TraceCodec) throws {
        let scratch = try Scratch()
        let (bytes, _) = try small(scratch, codec)
        for index in bytes.indices {
            for change in [0x01, 0x80, 0xff] as [UInt8] {
                var damaged = bytes
                damaged[index] ^= change
                let error = failure(of: try scratch.file("damaged", damaged))
                let found = try #require(error, "byte \(index) ^ \(change) was accepted")
                #expect(found.offset <= UInt64(index))
            }
        }
    }

    @Test(
        "A trace cut anywhere gives its whole chunks and says that it is cut",
        arguments: [TraceCodec.raw, .zstd])
    func cuts(codec: TraceCodec) throws {
        let scratch = try Scratch()
        let (bytes, whole) = try small(scratch, codec)
        var seen: Set<Int> = []
        for length in bytes.indices {
            let path = try scratch.file("cut", Array(bytes[..<length]))
            if length < TraceHeader.byteCount {
                let reason = failure(of: path)?.reason
                #expect(reason == (length == 0 ? .empty : .truncatedHeader(bytes: UInt64(length))))
                continue
            }
            let cut = try Content(of: path)
            #expect(whole.events.starts(with: cut.events))
            seen.insert(cut.events.count)
            switch cut.end {
            case .torn(let offset, let count): #expect(offset + count == UInt64(length))
            case .unfinished: break
            default: Issue.record("\(length) bytes: \(cut.end)")
            }
        }
        #expect(seen == [0, 25, 40])
    }

    @Test("Zeros behind the last chunk are a torn one; anything else behind it is damage")
    func tail() throws {
        let scratch = try Scratch()
        let (bytes, _) = try small(scratch, .raw)
        let end = ChunkHeader.byteCount + [40, 3, 3, 4].flatMap(Varint.bytes).count
        let unfinished = Array(bytes.dropLast(end))
        for zeros in [48, 1000, 200_000] {
            let padded = unfinished + [UInt8](repeating: 0, count: zeros)
            let cut = try Content(of: try scratch.file("padded", padded))
            #expect(cut.events.count == 40)
            #expect(cut.end == .torn(offset: UInt64(unfinished.count), bytes: UInt64(zeros)))
            let reason = failure(of: try scratch.file("more", padded + [1]))?.reason
            #expect(reason == .checksum(.chunkHeader))
        }
        #expect(failure(of: try scratch.file("more", bytes + [0]))?.reason == .trailing)
    }

    @Test("A chunk that is missing or there twice is a gap")
    func gaps() throws {
        let scratch = try Scratch()
        var trace = ForgedTrace()
        trace.addFile(0, "a")
        let start = trace.bytes
        func chunk(first: UInt64) -> [UInt8] {
            var part = ForgedTrace()
            part.bytes = []
            part.add(kind: 1, forgedEvent(0x20, [0])) { $0.firstEvent = first }
            return part.bytes
        }
        let good = start + chunk(first: 0) + chunk(first: 1)
        #expect(failure(of: try scratch.file("t", good)) == nil)
        let skipped = failure(of: try scratch.file("t", start + chunk(first: 1)))
        #expect(skipped?.reason == .gap(stream: 0, expected: 0, found: 1))
        #expect(skipped?.offset == UInt64(start.count))
        let twice = failure(of: try scratch.file("t", good + chunk(first: 1)))
        #expect(twice?.reason == .gap(stream: 0, expected: 2, found: 1))
    }

    @Test("What is no trace is refused, whatever it is")
    func noTrace() throws {
        let scratch = try Scratch()
        #expect(failure(of: try scratch.file("t", "hello"))?.reason == .notATrace)
        let long = [UInt8](repeating: 0x49, count: 1000)
        #expect(failure(of: try scratch.file("t", long))?.reason == .notATrace)
        #expect(failure(of: scratch("none"))?.reason == .system(call: "open", errno: 2))
        #expect(failure(of: scratch.path)?.reason == .notRegular)
        var later = TraceHeader().bytes
        later[8] = 2
        let error = failure(of: try scratch.file("t", later))
        #expect(error?.reason == .version(found: 2))
        #expect(error?.description.contains("use a newer iotrap") == true)
    }

    @Test("Kinds of chunks from 128 on are passed over, others are refused")
    func unknownKinds() throws {
        let scratch = try Scratch()
        var trace = ForgedTrace()
        trace.add(kind: 200, [1, 2, 3])
        trace.addFile(0, "a")
        trace.add(kind: 1, forgedEvent(0x20, [0]))
        var reader = try TraceReader(path: try scratch.file("t", trace.bytes))
        let event = try reader.next()
        #expect(event != nil)
        #expect(reader.unknownChunks == 1)
        trace.add(kind: 5, [])
        let reason = failure(of: try scratch.file("t", trace.bytes))?.reason
        #expect(reason == .field("kind", value: 5))
    }
}
