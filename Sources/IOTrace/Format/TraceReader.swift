import CIOTrap

/// Reads a trace from its start to its end, in bounded memory, and checks all of it.
///
/// Chunks are verified before any of their events is handed out. A trace that is still being
/// written can be read: at its present end `next` returns nil, and goes on when it is called again.
public struct TraceReader: ~Copyable {
    /// How far the trace goes.
    public enum End: Equatable, Sendable {
        /// It has not been read to its end.
        case unread
        /// Its writer ended it.
        case complete
        /// It ends between two chunks, without totals: the writer goes on, or was killed.
        case unfinished
        /// It ends within a chunk, which is left out: so many bytes from `offset` on.
        case torn(offset: UInt64, bytes: UInt64)
    }

    /// What the file says about itself.
    public let header: TraceHeader
    /// How far the trace goes, as of the last `next` that returned nil.
    public private(set) var end = End.unread
    /// What was read so far; once `end` is `complete`, what the writer said.
    public private(set) var totals = TraceTotals()
    /// Pairs of keys and values read so far.
    public private(set) var metadata: [String: String] = [:]
    /// Chunks passed over because this version does not know their kind.
    public private(set) var unknownChunks: UInt64 = 0

    private var table = FileTable()
    private let input: InputFile
    private let decompressor = Decompressor()
    private var decoder = EventDecoder()
    private var stored = GrowingBuffer()
    private var raw = GrowingBuffer()

    /// Where the next chunk starts, and the present one.
    private var position: UInt64
    private var chunkOffset: UInt64 = 0
    private var cursor = PayloadCursor(UnsafeRawBufferPointer(start: nil, count: 0))
    private var eventsLeft: UInt32 = 0
    private var streams: [UInt32: UInt64] = [:]
    private var lastSubmit: UInt64 = 0
    private var metadataBytes: UInt64 = 0

    /// Opens a trace and checks its header.
    public init(path: String) throws(TraceError) {
        if let error = Recording.unfinished(path) { throw error }
        let input = try InputFile(path: path)
        let header = try Self.readHeader(input)
        self.init(input: input, header: header)
    }

    private init(input: consuming InputFile, header: TraceHeader) {
        self.input = input
        self.header = header
        position = UInt64(TraceHeader.byteCount)
    }

    private static func readHeader(_ input: borrowing InputFile) throws(TraceError) -> TraceHeader {
        var buffer = GrowingBuffer()
        let count = try input.read(buffer.space(TraceHeader.byteCount), at: 0)
        do throws(TraceFault) {
            return try TraceHeader(validating: buffer.bytes(count))
        } catch {
            throw TraceError(path: input.path, reason: error.reason)
        }
    }

    /// Entries of the file table read so far.
    public var fileCount: Int { table.files.count }

    /// Bytes of the file read so far, and bytes that it has now.
    public var progress: (read: UInt64, all: UInt64) { (position, input.byteCount) }

    /// An entry of the file table; nil when there is none of that number so far.
    public func file(_ number: UInt32) -> TraceFile? {
        Int(number) < table.files.count ? table.files[Int(number)] : nil
    }

    /// The next event in the order of the file; nil at the end, of which `end` says more.
    ///
    /// - Throws: `TraceError` with the place of the damage. Nothing can be read behind it.
    public mutating func next() throws(TraceError) -> TraceEvent? {
        while eventsLeft == 0 {
            if try !loadChunk() { return nil }
        }
        let start = cursor.position
        do throws(TraceFault) {
            let event = try decoder.next(&cursor)
            eventsLeft &-= 1
            if eventsLeft == 0 && !cursor.isAtEnd { throw TraceFault(reason: .recordCount) }
            if event.file != TraceEvent.noFile && !table.contains(event.file) {
                throw TraceFault(reason: .unknownFile(event.file))
            }
            if header.isOrdered && event.submitNanoseconds < lastSubmit {
                throw TraceFault(reason: .time)
            }
            lastSubmit = event.submitNanoseconds
            totals.events &+= 1
            return event
        } catch {
            eventsLeft = 0
            position = chunkOffset
            throw failure(error.reason, record: start)
        }
    }

    /// Goes back to the first event. The file table stays.
    public mutating func rewind() {
        position = UInt64(TraceHeader.byteCount)
        eventsLeft = 0
        end = .unread
        totals = TraceTotals()
        streams = [:]
        lastSubmit = 0
        table.startOver()
        metadata = [:]
        metadataBytes = 0
        unknownChunks = 0
    }

    /// Reads and verifies the next chunk. False at the end.
    private mutating func loadChunk() throws(TraceError) -> Bool {
        chunkOffset = position
        let count = try input.read(stored.space(ChunkHeader.byteCount), at: position)
        if end == .complete {
            if count > 0 { throw failure(.trailing) }
            return false
        }
        if count < ChunkHeader.byteCount {
            end = count == 0 ? .unfinished : .torn(offset: position, bytes: UInt64(count))
            return false
        }
        do throws(TraceFault) {
            guard let header = try ChunkHeader(validating: stored.bytes(count)) else {
                return try endInZeros()
            }
            guard try loadPayload(header) else { return false }
            let payload = try decoded(header)
            position += UInt64(ChunkHeader.byteCount) + UInt64(header.storedBytes)
            try take(header, payload)
            return true
        } catch {
            throw failure(error.reason)
        }
    }

    private func failure(_ reason: TraceError.Reason, record: Int? = nil) -> TraceError {
        TraceError(
            path: input.path, offset: chunkOffset, payloadOffset: record.map { UInt64($0) },
            reason: reason)
    }

    /// What a crash of the machine may leave: a file longer than its data. Anything but zeros to
    /// the end is damage.
    private mutating func endInZeros() throws(TraceFault) -> Bool {
        var offset = position
        while true {
            let count: Int
            do throws(TraceError) {
                count = try input.read(stored.space(1 << 16), at: offset)
            } catch {
                throw TraceFault(reason: error.reason)
            }
            if stored.bytes(count).contains(where: { $0 != 0 }) {
                throw TraceFault(reason: .checksum(.chunkHeader))
            }
            offset += UInt64(count)
            if count < 1 << 16 { break }
        }
        end = .torn(offset: position, bytes: offset - position)
        return false
    }

    /// Reads the stored payload. False when the file ends before it does.
    private mutating func loadPayload(_ header: ChunkHeader) throws(TraceFault) -> Bool {
        let expected = Int(header.storedBytes)
        let count: Int
        do throws(TraceError) {
            count = try input.read(
                stored.space(expected), at: position + UInt64(ChunkHeader.byteCount))
        } catch {
            throw TraceFault(reason: error.reason)
        }
        if count < expected {
            let bytes = UInt64(ChunkHeader.byteCount + count)
            end = .torn(offset: position, bytes: bytes)
            return false
        }
        if CRC32C.checksum(stored.bytes(expected)) != header.payloadChecksum {
            throw TraceFault(reason: .checksum(.payload))
        }
        return true
    }

    private mutating func decoded(
        _ header: ChunkHeader
    ) throws(TraceFault) -> UnsafeRawBufferPointer {
        let input = stored.bytes(Int(header.storedBytes))
        if header.codec == .raw { return input }
        try decompressor.decompress(input, into: raw.space(Int(header.rawBytes)))
        return raw.bytes(Int(header.rawBytes))
    }

    private mutating func take(
        _ chunk: ChunkHeader, _ payload: UnsafeRawBufferPointer
    ) throws(TraceFault) {
        var records = PayloadCursor(payload)
        switch ChunkHeader.Kind(rawValue: chunk.kind) {
        case .events: return try startEvents(chunk, payload)
        case .files:
            for _ in 0..<chunk.recordCount { try table.read(&records) }
            totals.files = table.count
        case .metadata: try readMetadata(chunk, &records)
        case .end: try readTotals(&records)
        case nil:
            unknownChunks += 1
            totals.chunks += 1
            return
        }
        if !records.isAtEnd { throw TraceFault(reason: .recordCount) }
        if chunk.kind != ChunkHeader.Kind.end.rawValue { totals.chunks += 1 }
    }

    private mutating func startEvents(
        _ chunk: ChunkHeader, _ payload: UnsafeRawBufferPointer
    ) throws(TraceFault) {
        let expected = streams[chunk.stream] ?? 0
        if chunk.firstEvent != expected {
            throw TraceFault(
                reason: .gap(stream: chunk.stream, expected: expected, found: chunk.firstEvent))
        }
        if chunk.recordCount == 0 && chunk.rawBytes != 0 { throw TraceFault(reason: .recordCount) }
        streams[chunk.stream] = expected + UInt64(chunk.recordCount)
        let limit = Int(IOTRAP_TRACE_STREAMS_MAX)
        if streams.count > limit {
            let count = UInt64(streams.count)
            throw TraceFault(reason: .tooLarge("streams", value: count, limit: UInt64(limit)))
        }
        decoder.startChunk(chunk)
        cursor = PayloadCursor(payload)
        eventsLeft = chunk.recordCount
        totals.chunks += 1
    }

    private mutating func readMetadata(
        _ chunk: ChunkHeader, _ records: inout PayloadCursor
    ) throws(TraceFault) {
        let limit = UInt64(IOTRAP_TRACE_METADATA_BYTES_MAX)
        for _ in 0..<chunk.recordCount {
            let key = try records.counted(limit: limit, "bytes of a key")
            let value = try records.counted(limit: limit, "bytes of a value")
            metadataBytes += UInt64(key.count + value.count) + 1
            if metadataBytes > 2 * limit {
                throw TraceFault(reason: .tooLarge("metadata", value: metadataBytes, limit: limit))
            }
            metadata[String(decoding: key, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
        }
    }

    private mutating func readTotals(_ records: inout PayloadCursor) throws(TraceFault) {
        for (name, found) in [("events", totals.events), ("files", totals.files)] {
            let expected = try records.varint()
            if found != expected {
                throw TraceFault(reason: .totals(name, expected: expected, found: found))
            }
        }
        totals.dropped = try records.varint()
        let chunks = try records.varint()
        if chunks != totals.chunks {
            throw TraceFault(reason: .totals("chunks", expected: chunks, found: totals.chunks))
        }
        end = .complete
    }
}

/// Memory that grows to the largest size asked for.
struct GrowingBuffer: ~Copyable {
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    deinit {
        memory.deallocate()
    }

    /// Space for so many bytes. What was there is gone if it had to grow.
    mutating func space(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if memory.count < count {
            memory.deallocate()
            memory = .allocate(byteCount: max(count, 1 << 16), alignment: 16)
        }
        return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
    }

    /// The first bytes.
    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[..<count])
    }
}
