/// The lines of a text file, one at a time.
struct LineReader: ~Copyable {
    /// Bytes of a line at most; a longer one is an error.
    static let lineBytesMax = 1 << 20

    private let file: InputFile
    private var buffer: [UInt8] = []
    private var used = 0
    private var offset: UInt64 = 0
    /// The number of the last line, from 1.
    private(set) var number: UInt64 = 0
    /// Where it starts, in bytes from the start of the file.
    private(set) var lineOffset: UInt64 = 0

    init(path: String) throws(TraceError) {
        file = try InputFile(path: path)
    }

    /// The next line without its end; nil behind the last. What is no UTF-8 is replaced.
    mutating func next() throws(TraceError) -> String? {
        var searched = used
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { used = end + 1 }
                return line(to: end)
            }
            searched = buffer.count
            if try !fill(&searched) { break }
        }
        if used == buffer.count { return nil }
        defer { used = buffer.count }
        return line(to: buffer.count)
    }

    /// An error about the last line.
    func failure(_ text: String) -> TraceError {
        TraceError(path: file.path, offset: lineOffset, reason: .line(number, text))
    }

    private mutating func line(to end: Int) -> String {
        number += 1
        lineOffset = offset - UInt64(buffer.count - used)
        var bytes = buffer[used..<end]
        if bytes.last == UInt8(ascii: "\r") { bytes = bytes.dropLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads more behind what is there. False at the end of the file.
    private mutating func fill(_ searched: inout Int) throws(TraceError) -> Bool {
        searched -= used
        buffer.removeFirst(used)
        used = 0
        if buffer.count > Self.lineBytesMax {
            number += 1
            throw failure("the line is longer than \(Self.lineBytesMax) bytes")
        }
        let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
        defer { space.deallocate() }
        let count = try file.read(space, at: offset)
        buffer += space[..<count]
        offset += UInt64(count)
        return count > 0
    }
}
