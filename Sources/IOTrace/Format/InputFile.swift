import Glibc

/// A regular file that is read at any place, and may grow meanwhile.
struct InputFile: ~Copyable {
    let path: String
    private let descriptor: Int32

    /// Opens a file; what is no regular file is refused, and nothing waits for a FIFO's writer.
    init(path: String) throws(TraceError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        if descriptor < 0 {
            throw TraceError(path: path, reason: .system(call: "open", errno: errno))
        }
        var status = stat()
        let isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        if !isRegular { throw TraceError(path: path, reason: .notRegular) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Bytes now.
    var byteCount: UInt64 {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(clamping: status.st_size) : 0
    }

    /// Reads as many bytes as there are, at most as many as fit.
    func read(
        _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
    ) throws(TraceError) -> Int {
        var count = 0
        while count < buffer.count {
            let next = pread(
                descriptor, buffer.baseAddress! + count, buffer.count - count,
                off_t(offset) + off_t(count))
            if next < 0 && errno == EINTR { continue }
            if next < 0 {
                throw TraceError(
                    path: path, offset: offset, reason: .system(call: "pread", errno: errno))
            }
            if next == 0 { break }
            count += next
        }
        return count
    }
}
