import CIOTrap
import Foundation
import Glibc
import Testing

@testable import IOTrace

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/iotrap-trace-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func callAsFunction(_ name: String) -> String { path + "/" + name }

    /// Makes a file and returns its path.
    func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: self(name)))
        return self(name)
    }

    func file(_ name: String, _ text: String) throws -> String {
        try file(name, Array(text.utf8))
    }
}

/// The bytes of a file.
func content(_ path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}

/// All that a trace holds.
struct Content: Equatable {
    var header = TraceHeader()
    var files: [TraceFile?] = []
    var events: [TraceEvent] = []
    var metadata: [String: String] = [:]
    var end = TraceReader.End.unread
    var totals = TraceTotals()

    init() {}

    /// Reads a trace to its end.
    init(of path: String) throws(TraceError) {
        var reader = try TraceReader(path: path)
        while let event = try reader.next() { events.append(event) }
        header = reader.header
        files = (0..<reader.fileCount).map { reader.file(UInt32($0)) }
        metadata = reader.metadata
        end = reader.end
        totals = reader.totals
    }
}

/// The error of reading a trace to its end; nil when it can be read.
func failure(of path: String) -> TraceError? {
    do throws(TraceError) {
        _ = try Content(of: path)
        return nil
    } catch {
        return error
    }
}

/// Events that use every field, with small and extreme values.
func variedEvents(_ count: Int, files: UInt32 = 3) -> [TraceEvent] {
    var random = SystemLikeGenerator(state: 7)
    var time: UInt64 = 0
    return (0..<count).map { index in
        var event = TraceEvent()
        time += random.next(below: 3) * random.next(below: 100_000)
        event.submitNanoseconds = time
        event.operation = TraceOperation.allCases[Int(random.next(below: 12))]
        event.call = TraceCall.allCases[Int(random.next(below: 24))]
        event.isComplete = random.next(below: 10) > 0
        event.latencyNanoseconds = event.isComplete ? random.next(below: 1 << 30) : 0
        event.offset =
            random.next(below: 8) == 0 ? UInt64(Int64.max) >> 1 : random.next(below: 9) << 12
        event.length =
            random.next(below: 8) == 0 ? UInt64(Int64.max) >> 1 : random.next(below: 9) << 9
        event.file =
            random.next(below: 20) == 0
            ? TraceEvent.noFile : UInt32(random.next(below: UInt64(files)))
        event.thread = random.next(below: 20) == 0 ? .max : UInt32(random.next(below: 3))
        event.batch = random.next(below: 9) == 0 ? .max : UInt32(random.next(below: 5))
        event.depth = UInt32(random.next(below: 4))
        event.flags = random.next(below: 5) == 0 ? .max : 0
        event.after = index == 0 ? 0 : UInt32(random.next(below: UInt64(index) + 1))
        event.after2 = random.next(below: 3) == 0 ? event.after : 0
        event.isAfterFile = random.next(below: 5) == 0
        event.result = event.predictedResult
        if event.isComplete && random.next(below: 6) == 0 {
            event.result = -Int64(random.next(below: 4096))
        }
        event.index = UInt64(index)
        return event
    }
}

/// A small generator of numbers that only tests use.
struct SystemLikeGenerator {
    var state: UInt64

    mutating func next(below bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }
}

/// Writes a trace with three files, metadata and the given events.
func writeTrace(
    _ path: String, _ events: [TraceEvent], codec: TraceCodec = .zstd, flushEvery: Int = .max
) throws(TraceError) {
    var header = TraceHeader()
    header.isOrdered = true
    header.processID = 4711
    header.startedRealtimeNanoseconds = 1_700_000_000_000_000_000
    var writer = try TraceWriter(path: path, header: header, codec: codec)
    try writer.addMetadata([("producer", "test"), ("note", "ä")])
    for file in testFiles { _ = try writer.addFile(file) }
    for (index, event) in events.enumerated() {
        try writer.append(event)
        if index % flushEvery == flushEvery - 1 { try writer.flush() }
    }
    writer.drop(3)
    _ = try writer.finish()
}

let testFiles = [
    TraceFile(path: "data/one", openFlags: 0x4002, mode: 0o600, sizeBytes: 1 << 40),
    TraceFile(path: "log/Überlauf", openFlags: 1),
    TraceFile(path: "hana/data", openFlags: 0, sizeBytes: 0, isAbsolute: true),
]

/// The bytes of a trace, put together by hand: what no writer would write.
struct ForgedTrace {
    var bytes: [UInt8]

    init(_ header: TraceHeader = TraceHeader()) {
        bytes = header.bytes
    }

    /// Appends a chunk whose checksums are right.
    mutating func add(
        kind: UInt8, _ payload: [UInt8], records: UInt32 = 1, codec: TraceCodec = .raw,
        raw: UInt32? = nil, _ change: (inout ChunkHeader) -> Void = { _ in }
    ) {
        var header = ChunkHeader(kind: .events)
        header.kind = kind
        header.codec = codec
        header.storedBytes = UInt32(payload.count)
        header.rawBytes = raw ?? UInt32(payload.count)
        header.recordCount = records
        header.payloadChecksum = payload.withUnsafeBytes { CRC32C.checksum($0) }
        change(&header)
        bytes += header.bytes + payload
    }

    /// Appends an entry of the file table.
    mutating func addFile(
        _ number: UInt64, _ path: String, size: UInt64 = 0, count: UInt64? = nil
    ) {
        let length = count ?? UInt64(path.utf8.count)
        let numbers: [UInt64] = [number, 1, 2, 0, size, length]
        add(kind: 2, numbers.flatMap(Varint.bytes) + Array(path.utf8))
    }
}

/// The bytes of an event, field by field.
func forgedEvent(_ fields: UInt32, time: Int64 = 0, _ rest: [UInt8] = []) -> [UInt8] {
    [UInt8(fields & 0xff), UInt8(fields >> 8)] + Varint.bytes(Varint.zigzag(time)) + rest
}

/// The names in a directory, sorted.
func names(in path: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path).sorted()
}
