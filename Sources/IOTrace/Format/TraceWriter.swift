import CIOTrap

/// Sums over a trace.
public struct TraceTotals: Equatable, Sendable {
    /// Events in the trace.
    public var events: UInt64 = 0
    /// Entries of the file table.
    public var files: UInt64 = 0
    /// Events that the writer had to drop.
    public var dropped: UInt64 = 0
    /// Chunks before the one that holds the totals.
    public var chunks: UInt64 = 0

    /// Nothing.
    public init() {}
}

/// Writes a trace of one stream from its start to its end, in bounded memory.
///
/// Every chunk goes to the file in one write, so that what is there can be read at any time. A
/// writer that goes away without `finish` removes the file, unless it was made with `isKept`.
public struct TraceWriter: ~Copyable {
    /// What was written so far.
    public private(set) var totals = TraceTotals()

    private var output: OutputFile
    private let codec: TraceCodec
    private let isOrdered: Bool
    private let compressor = Compressor()
    private var encoder = EventEncoder()
    private var lastSubmit: UInt64 = 0

    /// The events of the chunk to come.
    private let buffer: UnsafeMutableRawBufferPointer
    private var used = 0
    private var chunk = ChunkHeader(kind: .events)
    /// Chunk header and stored payload, as they are written.
    private let stored: UnsafeMutableRawBufferPointer
    private var filesPayload: [UInt8] = []
    private var filesPending: UInt32 = 0
    private var metadataBytes = 0
    private var pathBytes = 0

    /// Bytes of a chunk before compression, about.
    private static let chunkBytes = 1 << 18

    /// Makes the file and writes the header.
    ///
    /// - Parameters:
    ///   - replaces: whether an existing file is replaced, once the trace is finished.
    ///   - isKept: whether the file stays when the writer goes away unfinished.
    /// - Throws: `.exists`, `.notRegular` or `.system`.
    public init(
        path: String, header: TraceHeader = TraceHeader(), codec: TraceCodec = .zstd,
        replaces: Bool = false, isKept: Bool = false
    ) throws(TraceError) {
        var output = try OutputFile(path: path, replaces: replaces, isKept: isKept)
        try output.write(header.bytes)
        self.init(output: output, codec: codec, isOrdered: header.isOrdered)
    }

    private init(output: consuming OutputFile, codec: TraceCodec, isOrdered: Bool) {
        self.output = output
        self.codec = codec
        self.isOrdered = isOrdered
        buffer = .allocate(byteCount: Self.chunkBytes, alignment: 16)
        // Files and metadata make chunks that are a little larger.
        stored = .allocate(
            byteCount: ChunkHeader.byteCount + Int(IOTRAP_TRACE_CHUNK_BYTES_MAX), alignment: 16)
    }

    deinit {
        buffer.deallocate()
        stored.deallocate()
    }

    /// Bytes in the file so far.
    public var byteCount: UInt64 { output.byteCount }

    /// Appends an entry to the file table and returns its number: the first is 0.
    ///
    /// - Throws: `.path` for a path that must not be in a trace, `.tooLarge` beyond the limits of
    ///   the format, `.system`.
    public mutating func addFile(_ file: TraceFile) throws(TraceError) -> UInt32 {
        var path = file.path
        let fault = path.withUTF8 { TraceFile.fault(of: UnsafeRawBufferPointer($0)) }
        if let fault { throw failure(.path(fault)) }
        if totals.files >= UInt64(IOTRAP_TRACE_FILES_MAX) {
            throw failure(
                .tooLarge("files", value: totals.files + 1, limit: UInt64(IOTRAP_TRACE_FILES_MAX)))
        }
        pathBytes += path.utf8.count
        if pathBytes > Int(IOTRAP_TRACE_PATHS_BYTES_MAX) {
            let limit = UInt64(IOTRAP_TRACE_PATHS_BYTES_MAX)
            throw failure(.tooLarge("bytes of paths", value: UInt64(pathBytes), limit: limit))
        }
        if file.sizeBytes ?? 0 > Int64.max {
            throw failure(.range(offset: 0, length: file.sizeBytes ?? 0))
        }
        let number = UInt32(totals.files)
        var flags = file.sizeBytes == nil ? 0 : IOTRAP_TRACE_FILE_SIZE_KNOWN
        if file.isAbsolute { flags |= IOTRAP_TRACE_FILE_ABSOLUTE }
        for value in [
            UInt64(number), UInt64(flags), UInt64(file.openFlags), UInt64(file.mode),
            file.sizeBytes ?? 0, UInt64(path.utf8.count),
        ] { filesPayload += Varint.bytes(value) }
        filesPayload += path.utf8
        filesPending += 1
        totals.files += 1
        if filesPayload.count >= Self.chunkBytes { try flushFiles() }
        return number
    }

    /// Appends a pair of metadata, such as the profile and its parameters, or the name of a thread.
    /// Readers keep the last value of a key. At most 1 MiB in all.
    public mutating func addMetadata(_ pairs: [(key: String, value: String)]) throws(TraceError) {
        var payload: [UInt8] = []
        for (key, value) in pairs {
            payload += Varint.bytes(UInt64(key.utf8.count)) + Array(key.utf8)
            payload += Varint.bytes(UInt64(value.utf8.count)) + Array(value.utf8)
            metadataBytes += key.utf8.count + value.utf8.count
        }
        if pairs.isEmpty { return }
        if metadataBytes > Int(IOTRAP_TRACE_METADATA_BYTES_MAX) {
            let limit = UInt64(IOTRAP_TRACE_METADATA_BYTES_MAX)
            throw failure(.tooLarge("metadata", value: UInt64(metadataBytes), limit: limit))
        }
        try flush()
        var header = ChunkHeader(kind: .metadata)
        header.recordCount = UInt32(pairs.count)
        try write(header, payload)
    }

    /// Appends an event. `stream` and `index` of it are not looked at: they come from the order.
    ///
    /// - Throws: `.range`, `.time`, `.dependency`, `.field` or `.unknownFile` for an event that no
    ///   reader would take; `.system`.
    public mutating func append(_ event: TraceEvent) throws(TraceError) {
        do throws(TraceFault) {
            try EventRules.check(event, index: totals.events)
        } catch {
            throw failure(error.reason)
        }
        if UInt64(event.file) >= totals.files && event.file != TraceEvent.noFile {
            throw failure(.unknownFile(event.file))
        }
        if isOrdered && event.submitNanoseconds < lastSubmit { throw failure(.time) }
        lastSubmit = event.submitNanoseconds
        if used == 0 {
            chunk.baseNanoseconds = event.submitNanoseconds
            chunk.firstEvent = totals.events
            encoder.startChunk(baseNanoseconds: event.submitNanoseconds)
        }
        let start = (buffer.baseAddress! + used).assumingMemoryBound(to: UInt8.self)
        used += encoder.put(event, at: start) - start
        chunk.recordCount &+= 1
        totals.events &+= 1
        if used > Self.chunkBytes - EventEncoder.eventBytesMax { try flush() }
    }

    /// Counts events that could not be written.
    public mutating func drop(_ count: UInt64) {
        totals.dropped += count
    }

    /// Writes what is buffered, so that readers see it.
    public mutating func flush() throws(TraceError) {
        try flushFiles()
        if used == 0 { return }
        let header = chunk
        let payload = UnsafeRawBufferPointer(rebasing: buffer[..<used])
        used = 0
        chunk.recordCount = 0
        try write(header, payload)
    }

    /// Writes what is buffered and the totals, makes the file durable and gives it its name.
    public consuming func finish() throws(TraceError) -> TraceTotals {
        try flush()
        var header = ChunkHeader(kind: .end)
        header.recordCount = 1
        let numbers = [totals.events, totals.files, totals.dropped, totals.chunks]
        let sum = totals
        try write(header, numbers.flatMap(Varint.bytes))
        try output.finish()
        return sum
    }

    private mutating func flushFiles() throws(TraceError) {
        if filesPending == 0 { return }
        var header = ChunkHeader(kind: .files)
        header.recordCount = filesPending
        let payload = filesPayload
        filesPayload = []
        filesPending = 0
        try write(header, payload)
    }

    private mutating func write(_ header: ChunkHeader, _ payload: [UInt8]) throws(TraceError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: payload.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: payload)
        try write(header, UnsafeRawBufferPointer(copy))
    }

    private mutating func write(
        _ header: ChunkHeader, _ payload: UnsafeRawBufferPointer
    ) throws(TraceError) {
        var header = header
        let space = UnsafeMutableRawBufferPointer(rebasing: stored[ChunkHeader.byteCount...])
        var count = payload.count
        if codec == .zstd, let compressed = compressor.compress(payload, into: space) {
            header.codec = .zstd
            count = compressed
        } else {
            space.copyMemory(from: payload)
        }
        header.rawBytes = UInt32(payload.count)
        header.storedBytes = UInt32(count)
        header.payloadChecksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: space[..<count]))
        stored.copyBytes(from: header.bytes)
        try output.write(
            UnsafeRawBufferPointer(rebasing: stored[..<(ChunkHeader.byteCount + count)]))
        totals.chunks += 1
    }

    private func failure(_ reason: TraceError.Reason) -> TraceError {
        TraceError(path: output.path, offset: output.byteCount, reason: reason)
    }
}

extension OutputFile {
    /// Appends bytes. Throws `.system` when the file system refuses them.
    mutating func write(_ bytes: [UInt8]) throws(TraceError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try write(UnsafeRawBufferPointer(copy))
    }
}
