import Glibc

/// A file descriptor that is closed when its owner goes away.
struct OwnedDescriptor: ~Copyable {
    let number: Int32

    /// openat(2); O_CLOEXEC is added. Throws the errno of a failure.
    init(opening path: String, in directory: Int32 = AT_FDCWD, flags: Int32) throws(Errno) {
        let descriptor = openat(directory, path, flags | O_CLOEXEC)
        if descriptor < 0 { throw Errno(code: errno) }
        number = descriptor
    }

    deinit {
        Glibc.close(number)
    }

    /// fstat(2) with an error that names the file.
    func status(path: String) throws(SegmentError) -> stat {
        var status = stat()
        if fstat(number, &status) != 0 {
            throw SegmentError(path: path, reason: .system(call: "fstat", errno: errno))
        }
        return status
    }
}

/// An error number.
struct Errno: Error {
    let code: Int32
}

/// What makes two looks at a name the same file.
struct FileIdentity: Equatable {
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}
