/// Text that goes to a new file in large pieces.
struct TextOutput: ~Copyable {
    private var file: OutputFile
    private var buffer: [UInt8] = []

    init(path: String, replaces: Bool) throws(TraceError) {
        file = try OutputFile(path: path, replaces: replaces)
        buffer.reserveCapacity(1 << 17)
    }

    mutating func write(_ text: String) throws(TraceError) {
        buffer += text.utf8
        if buffer.count >= 1 << 16 { try flush() }
    }

    consuming func finish() throws(TraceError) {
        try flush()
        try file.finish()
    }

    private mutating func flush() throws(TraceError) {
        try file.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }
}
