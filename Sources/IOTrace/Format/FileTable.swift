import CIOTrap

/// The file table of a trace, as far as it was read.
struct FileTable {
    /// By number; nil where a number was passed over.
    private(set) var files: [TraceFile?] = []
    /// Entries read since the start or `startOver`.
    private(set) var count: UInt64 = 0
    private var pathBytes: UInt64 = 0
    private var isSecondReading = false

    func contains(_ number: UInt32) -> Bool {
        Int(number) < files.count && files[Int(number)] != nil
    }

    /// The same entries will come again.
    mutating func startOver() {
        count = 0
        isSecondReading = true
    }

    /// Reads one entry.
    mutating func read(_ cursor: inout PayloadCursor) throws(TraceFault) {
        let number = try cursor.varint32()
        let flags = try cursor.varint32()
        let openFlags = try cursor.varint32()
        let mode = try cursor.varint32()
        let size = try cursor.varint()
        let bytes = try cursor.counted(
            limit: UInt64(IOTRAP_TRACE_PATH_BYTES_MAX), "bytes of a path")
        if number >= IOTRAP_TRACE_FILES_MAX {
            throw TraceFault(
                reason: .tooLarge(
                    "file number", value: UInt64(number), limit: UInt64(IOTRAP_TRACE_FILES_MAX)))
        }
        let known = IOTRAP_TRACE_FILE_SIZE_KNOWN | IOTRAP_TRACE_FILE_ABSOLUTE
        if flags & ~known != 0 {
            throw TraceFault(reason: .field("file flags", value: UInt64(flags)))
        }
        if size > Int64.max { throw TraceFault(reason: .range(offset: 0, length: size)) }
        if let fault = TraceFile.fault(of: bytes) { throw TraceFault(reason: .path(fault)) }
        guard let path = String(validating: bytes, as: UTF8.self) else {
            throw TraceFault(reason: .path(.notUTF8))
        }
        let file = TraceFile(
            path: path, openFlags: openFlags, mode: mode,
            sizeBytes: flags & IOTRAP_TRACE_FILE_SIZE_KNOWN != 0 ? size : nil,
            isAbsolute: flags & IOTRAP_TRACE_FILE_ABSOLUTE != 0)
        try insert(file, number, pathBytes: UInt64(bytes.count))
    }

    private mutating func insert(
        _ file: TraceFile, _ number: UInt32, pathBytes: UInt64
    ) throws(TraceFault) {
        count += 1
        if isSecondReading && contains(number) && files[Int(number)] == file { return }
        if contains(number) { throw TraceFault(reason: .fileNumber(number)) }
        self.pathBytes += pathBytes
        let limit = UInt64(IOTRAP_TRACE_PATHS_BYTES_MAX)
        if self.pathBytes > limit {
            throw TraceFault(
                reason: .tooLarge("bytes of paths", value: self.pathBytes, limit: limit))
        }
        while files.count <= Int(number) { files.append(nil) }
        files[Int(number)] = file
    }
}
