import Glibc

/// A new file: private to the user, made under its own name, or in the place of an older one once
/// it is whole. Links are not followed. Removed again unless it is finished.
public struct OutputFile: ~Copyable {
    /// The name given.
    public let path: String
    /// Bytes written so far.
    public private(set) var byteCount: UInt64 = 0

    private let descriptor: Int32
    /// The name it has until it replaces another file.
    private let temporary: String?
    private var isFinished = false
    /// Whether what was written is of use even when the writer ends early.
    private let isKept: Bool

    /// Makes the file with mode 0600.
    ///
    /// - Parameters:
    ///   - replaces: whether an existing regular file is replaced, at the end and at once.
    ///   - isKept: whether it stays when it was never finished.
    /// - Throws: `.exists`, `.notRegular` or `.system`.
    public init(path: String, replaces: Bool = false, isKept: Bool = false) throws(TraceError) {
        let place = try Self.place(path, replaces: replaces)
        descriptor = try Self.create(place ?? path, path: path)
        temporary = place
        self.path = path
        self.isKept = isKept
    }

    /// The temporary name under which a file is made that replaces another one.
    private static func place(_ path: String, replaces: Bool) throws(TraceError) -> String? {
        var status = stat()
        if lstat(path, &status) != 0 { return nil }
        if status.st_mode & S_IFMT != S_IFREG { throw TraceError(path: path, reason: .notRegular) }
        if !replaces { throw TraceError(path: path, reason: .exists) }
        return "\(path).\(getpid()).partial"
    }

    private static func create(_ name: String, path: String) throws(TraceError) -> Int32 {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = open(name, flags, 0o600)
        if descriptor >= 0 { return descriptor }
        let code = errno
        throw TraceError(
            path: path, reason: code == EEXIST ? .exists : .system(call: "open", errno: code))
    }

    deinit {
        close(descriptor)
        if !isFinished && !isKept { unlink(temporary ?? path) }
    }

    /// Appends bytes. Throws `.system` when the file system refuses them.
    public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(TraceError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 {
                let code = count < 0 ? errno : ENOSPC
                throw TraceError(path: path, reason: .system(call: "write", errno: code))
            }
            byteCount += UInt64(count)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Makes the content durable and gives the file its name.
    public mutating func finish() throws(TraceError) {
        if fsync(descriptor) != 0 && errno != EINVAL {
            throw TraceError(path: path, reason: .system(call: "fsync", errno: errno))
        }
        if let temporary, rename(temporary, path) != 0 {
            throw TraceError(path: path, reason: .system(call: "rename", errno: errno))
        }
        isFinished = true
    }
}
