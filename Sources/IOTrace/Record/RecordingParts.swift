import CIOTrap
import Glibc

/// All that the processes of a recording have left, read in the order of time in bounded memory:
/// chunks are held from the time of their first record to that of their last one.
struct RecordingParts {
    /// Where records stand: in a part, or in a window.
    private struct Chunk {
        var process: Int
        var path: String
        var offset: UInt64
        var bytes: Int
        var stream: UInt32
        var base: UInt64
        /// The earliest time in it.
        var first: UInt64
    }

    /// A chunk of which records are being handed out, sorted by time.
    private struct Active {
        var records: [RawRecord]
        var next = 0
        var process: Int
        var stream: UInt32
        var order: Int
    }

    /// The files that each process named.
    private(set) var files: [[UInt32: RawFile]] = []
    /// Chunks that were damaged, or torn.
    private(set) var damaged: UInt64 = 0
    /// Processes, as pid and number.
    private(set) var names: [String] = []

    private var chunks: [Chunk] = []
    private var nextChunk = 0
    private var active: [Active] = []
    /// Chunks of each stream that are in a part, so that a window with the same is not taken twice.
    private var seen: Set<[UInt64]> = []

    /// Reads all of a recording once, to find out what is where.
    init(_ recording: Recording) throws(TraceError) {
        for name in Recording.names(in: recording.parts) where Self.isProcess(name) {
            try readPart("\(recording.parts)/\(name)", process: process(name))
        }
        for name in Recording.names(in: recording.buffers) {
            guard let dot = name.firstIndex(of: "."), Self.isProcess(String(name[..<dot])) else {
                continue
            }
            try readWindows(
                "\(recording.buffers)/\(name)", process: process(String(name[..<dot])))
        }
        chunks.sort { ($0.first, $0.process, $0.stream) < ($1.first, $1.process, $1.stream) }
    }

    /// PID-NUMBER
    private static func isProcess(_ name: String) -> Bool {
        let numbers = name.split(separator: "-", omittingEmptySubsequences: false)
        return numbers.count == 2 && numbers.allSatisfy { UInt32($0) != nil }
    }

    private mutating func process(_ name: String) -> Int {
        if let index = names.firstIndex(of: name) { return index }
        names.append(name)
        files.append([:])
        return names.count - 1
    }

    private mutating func readPart(_ path: String, process: Int) throws(TraceError) {
        let input = try InputFile(path: path)
        var buffer = GrowingBuffer()
        let headerBytes = MemoryLayout<iotrap_trace_header>.size
        let count = try input.read(buffer.space(headerBytes), at: 0)
        guard count == headerBytes,
            buffer.bytes(8).loadUnaligned(as: UInt64.self) == IOTRAP_RECORDING_PART_MAGIC
        else {
            damaged += 1
            return
        }
        let version = buffer.bytes(12).loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        if version > IOTRAP_RECORDING_VERSION {
            throw TraceError(path: path, reason: .version(found: version))
        }
        var position = UInt64(headerBytes)
        while true {
            let size = ChunkHeader.byteCount
            let found = try input.read(buffer.space(size), at: position)
            if found == 0 { return }
            guard found == size, let header = try? ChunkHeader(validating: buffer.bytes(size)),
                header.kind == UInt8(IOTRAP_RECORDING_CHUNK)
            else { break }
            let offset = position + UInt64(size)
            let bytes = Int(header.storedBytes)
            guard try input.read(buffer.space(bytes), at: offset) == bytes,
                CRC32C.checksum(buffer.bytes(bytes)) == header.payloadChecksum
            else { break }
            seen.insert([UInt64(process), UInt64(header.stream), header.firstEvent])
            add(
                Chunk(
                    process: process, path: path, offset: offset, bytes: bytes,
                    stream: header.stream, base: header.baseNanoseconds, first: 0),
                buffer.bytes(bytes))
            position = offset + UInt64(bytes)
        }
        damaged += 1
    }

    private mutating func readWindows(_ path: String, process: Int) throws(TraceError) {
        let input = try InputFile(path: path)
        var buffer = GrowingBuffer()
        let windowBytes = Int(IOTRAP_RECORDING_WINDOW_BYTES)
        for index in 0..<IOTRAP_RECORDING_GROUP_WINDOWS {
            let start = UInt64(index) * UInt64(windowBytes)
            guard try input.read(buffer.space(windowBytes), at: start) == windowBytes,
                let base = buffer.bytes(windowBytes).baseAddress
            else { return }
            let window = base.assumingMemoryBound(to: iotrap_recording_window.self)
            let header = Int(IOTRAP_RECORDING_WINDOW_HEADER)
            let used = Int(window.pointee.used)
            guard window.pointee.magic == IOTRAP_RECORDING_WINDOW_MAGIC, used > 0,
                used <= windowBytes - header,
                !seen.contains([
                    UInt64(process), UInt64(window.pointee.stream), window.pointee.chunk,
                ])
            else { continue }
            let chunk = Chunk(
                process: process, path: path, offset: start + UInt64(header), bytes: used,
                stream: window.pointee.stream, base: window.pointee.base_ns, first: 0)
            add(chunk, UnsafeRawBufferPointer(start: base + header, count: used))
        }
    }

    /// Notes a chunk and the files that it names.
    private mutating func add(_ chunk: Chunk, _ payload: UnsafeRawBufferPointer) {
        var chunk = chunk
        chunk.first = .max
        var decoder = RecordDecoder(payload, baseNanoseconds: chunk.base)
        var named: [(UInt32, RawFile)] = []
        do throws(TraceFault) {
            while let record = try decoder.next({ named.append(($0, $1)) }) {
                chunk.first = min(chunk.first, record.time)
            }
        } catch {
            damaged += 1
        }
        for (number, file) in named { files[chunk.process][number] = file }
        if chunk.first != .max { chunks.append(chunk) }
    }

    // MARK: - In the order of time

    /// The next record, with the process and the stream that it is of; nil at the end.
    mutating func next() throws(TraceError) -> (record: RawRecord, process: Int, stream: UInt32)? {
        while nextChunk < chunks.count,
            active.isEmpty || chunks[nextChunk].first <= active[0].records[active[0].next].time
        {
            try load(chunks[nextChunk])
            nextChunk += 1
        }
        guard !active.isEmpty else { return nil }
        let first = active[0]
        let record = first.records[first.next]
        active[0].next += 1
        if active[0].next == first.records.count {
            active.swapAt(0, active.count - 1)
            active.removeLast()
        }
        sink(0)
        return (record, first.process, first.stream)
    }

    private mutating func load(_ chunk: Chunk) throws(TraceError) {
        let input = try InputFile(path: chunk.path)
        var buffer = GrowingBuffer()
        let count = try input.read(buffer.space(chunk.bytes), at: chunk.offset)
        var decoder = RecordDecoder(buffer.bytes(count), baseNanoseconds: chunk.base)
        var records: [RawRecord] = []
        // What is damaged was counted when it was seen first.
        while let record = try? decoder.next({ _, _ in }) { records.append(record) }
        let order = records.indices.sorted { (records[$0].time, $0) < (records[$1].time, $1) }
        if records.isEmpty { return }
        active.append(
            Active(
                records: order.map { records[$0] }, process: chunk.process, stream: chunk.stream,
                order: nextChunk))
        rise(active.count - 1)
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        (active[a].records[active[a].next].time, active[a].order)
            < (active[b].records[active[b].next].time, active[b].order)
    }

    private mutating func rise(_ index: Int) {
        var child = index
        while child > 0, isBefore(child, (child - 1) / 2) {
            active.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func sink(_ index: Int) {
        var parent = index
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < active.count && isBefore(child, least) {
                least = child
            }
            if least == parent { return }
            active.swapAt(parent, least)
            parent = least
        }
    }
}
