import CIOTrap
import Testing

@testable import IOTrace

@Suite("The format")
struct FormatTests {
    @Test("The checksum is CRC-32C")
    func checksum() {
        let digits = Array("123456789".utf8)
        #expect(digits.withUnsafeBytes { CRC32C.checksum($0) } == 0xe306_9283)
        let zeros = [UInt8](repeating: 0, count: 32)
        #expect(zeros.withUnsafeBytes { CRC32C.checksum($0) } == 0x8a91_36aa)
        #expect(CRC32C.checksum(UnsafeRawBufferPointer(start: nil, count: 0)) == 0)
    }

    @Test("Calls and operations have the numbers of the header")
    func numbers() {
        #expect(TraceCall.allCases.count == Int(IOTRAP_TRACE_CALL_COUNT.rawValue))
        #expect(TraceOperation.allCases.count == Int(IOTRAP_TRACE_OP_COUNT.rawValue))
        #expect(TraceCall.ioSubmit.rawValue == UInt8(IOTRAP_TRACE_CALL_IO_SUBMIT.rawValue))
        #expect(TraceCall.block.rawValue == UInt8(IOTRAP_TRACE_CALL_BLOCK.rawValue))
        #expect(TraceCall.aioFsync.rawValue == UInt8(IOTRAP_TRACE_CALL_AIO_FSYNC.rawValue))
        #expect(TraceOperation.commit.rawValue == UInt8(IOTRAP_TRACE_OP_COMMIT.rawValue))
        #expect(TraceOperation.truncate.rawValue == UInt8(IOTRAP_TRACE_OP_TRUNCATE.rawValue))
    }

    @Test(
        "Numbers of all sizes come back",
        arguments: [0, 1, 127, 128, 16383, 16384, 1 << 32, .max >> 1, .max - 1, .max] as [UInt64])
    func varints(value: UInt64) throws {
        let bytes = Varint.bytes(value)
        let (found, isAtEnd) = try bytes.withUnsafeBytes { buffer in
            var cursor = PayloadCursor(buffer)
            return (try cursor.varint(), cursor.isAtEnd)
        }
        #expect(found == value && isAtEnd)
        #expect(Varint.zigzag(Varint.unzigzag(value)) == value)
        var copy = [UInt8](repeating: 0, count: 10)
        let count = copy.withUnsafeMutableBufferPointer {
            Varint.put(value, at: $0.baseAddress!) - $0.baseAddress!
        }
        #expect(Array(copy[..<count]) == bytes)
    }

    @Test("Every field of an event comes back", arguments: [TraceCodec.raw, .zstd])
    func roundTrip(codec: TraceCodec) throws {
        let scratch = try Scratch()
        let events = variedEvents(100_000)
        try writeTrace(scratch("t"), events, codec: codec, flushEvery: 30_001)
        let back = try Content(of: scratch("t"))
        #expect(back.events == events)
        #expect(back.files == testFiles)
        #expect(back.header.processID == 4711 && back.header.isOrdered)
        #expect(back.header.startedRealtimeNanoseconds == 1_700_000_000_000_000_000)
        #expect(back.metadata == ["producer": "test", "note": "ä"])
        #expect(back.end == .complete)
        #expect(back.totals.events == 100_000 && back.totals.dropped == 3)
    }

    @Test("Extreme values fit into the space of an event")
    func longest() throws {
        let scratch = try Scratch()
        var first = TraceEvent()
        first.submitNanoseconds = UInt64(Int64.max)
        var event = TraceEvent()
        event.latencyNanoseconds = UInt64(Int64.max)
        event.offset = UInt64(Int64.max) - 1
        event.length = 1
        event.result = -4095
        event.thread = .max
        event.file = 2
        event.batch = .max
        event.depth = .max
        event.flags = .max
        event.after = 1
        event.after2 = 1
        event.isAfterFile = true
        event.call = .block
        event.operation = .commit
        var writer = try TraceWriter(path: scratch("t"))
        for file in testFiles { _ = try writer.addFile(file) }
        try writer.append(first)
        try writer.append(event)
        _ = try writer.finish()
        event.index = 1
        #expect(try Content(of: scratch("t")).events == [first, event])
    }

    @Test("A trace that grows is read as far as it goes, and on from there")
    func growing() throws {
        let scratch = try Scratch()
        let events = variedEvents(100)
        var writer = try TraceWriter(path: scratch("t"))
        for file in testFiles { _ = try writer.addFile(file) }
        var reader = try TraceReader(path: scratch("t"))
        #expect(try reader.next() == nil)
        #expect(reader.end == .unfinished)
        for event in events[..<50] { try writer.append(event) }
        try writer.flush()
        for event in events[..<50] { #expect(try reader.next() == event) }
        #expect(try reader.next() == nil)
        #expect(reader.end == .unfinished)
        for event in events[50...] { try writer.append(event) }
        _ = try writer.finish()
        for event in events[50...] { #expect(try reader.next() == event) }
        #expect(try reader.next() == nil)
        #expect(reader.end == .complete)
        reader.rewind()
        for event in events { #expect(try reader.next() == event) }
        #expect(try reader.next() == nil)
        #expect(reader.end == .complete)
    }

    @Test("A writer that goes away unfinished leaves nothing, or what it was told to keep")
    func abandoned() throws {
        let scratch = try Scratch()
        for isKept in [false, true] {
            do {
                var writer = try TraceWriter(path: scratch("t"), isKept: isKept)
                _ = try writer.addFile(testFiles[0])
                try writer.append(TraceEvent())
                try writer.flush()
            }
            let names = try names(in: scratch.path)
            #expect(names == (isKept ? ["t"] : []))
        }
        let kept = try Content(of: scratch("t"))
        #expect(kept.events.count == 1)
        #expect(kept.end == .unfinished)
    }
}
