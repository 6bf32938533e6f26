import CIOTrap
import Glibc

/// An open file with one owner, closed when the owner lets go of it.
///
/// Each operation says where in the file it works; there is no file position. There are two forms
/// of each: the synchronous one blocks its thread, the asynchronous one its task only. Any number
/// of operations may be under way, in any number of tasks (see ``IOSharedFile``).
///
/// ```swift
/// let file = try await IOFile.open("data.db", .readWrite, options: [.create])
/// try await file.write(bytes.span.bytes, at: 0)
/// try await file.sync()
/// ```
///
/// A task that is cancelled cancels its operations and waits for them: no memory is read or written
/// after a call returned.
public struct IOFile: ~Copyable, Sendable {
    /// What the file is opened for.
    public enum Access: Sendable {
        case readOnly, writeOnly, readWrite

        var flags: Int32 {
            switch self {
            case .readOnly: O_RDONLY
            case .writeOnly: O_WRONLY
            case .readWrite: O_RDWR
            }
        }
    }

    /// How the file is opened.
    public struct Options: OptionSet, Sendable {
        /// Flags of open(2).
        public let rawValue: Int32
        /// Options of flags of open(2).
        public init(rawValue: Int32) { self.rawValue = rawValue }
        /// Makes the file if there is none.
        public static let create = Options(rawValue: O_CREAT)
        /// Fails if the file is there.
        public static let exclusive = Options(rawValue: O_CREAT | O_EXCL)
        /// Empties the file.
        public static let truncate = Options(rawValue: O_TRUNC)
        /// Past the page cache (`O_DIRECT`): addresses, lengths and offsets must be aligned.
        public static let direct = Options(rawValue: 0o40000)
        /// Each write ends when its data is on the storage (`O_DSYNC`).
        public static let durableWrites = Options(rawValue: O_DSYNC)
        /// Does not follow a link in the last part of the path.
        public static let noFollow = Options(rawValue: O_NOFOLLOW)
    }

    /// Whether a file is spread over the paths of a mount pool (see ``IOPools``).
    public enum PoolUse: UInt32, Sendable {
        /// If it lies in one.
        case automatic = 0
        /// By the path that was opened only.
        case never = 1
        /// Else opening fails with `ENODEV`.
        case required = 2
    }

    let handle: FileHandle

    init(handle: FileHandle) { self.handle = handle }

    /// Opens a file.
    /// - Parameters:
    ///   - path: from the current directory, unless it begins with "/"
    ///   - access: what for
    ///   - options: how
    ///   - permissions: the mode of a new file, less the process's umask
    ///   - pool: whether mount pools serve it
    /// - Throws: `.open` with what open(2) said.
    public static func open(
        _ path: String, _ access: Access = .readOnly, options: Options = [],
        permissions: UInt32 = 0o644, pool: PoolUse = .automatic
    ) throws(IOError) -> IOFile {
        Engine.start()
        var how = fileOptions(pool)
        var file: OpaquePointer?
        let error = iotrap_file_open(
            path, access.flags | options.rawValue, permissions, &how, &file)
        guard error == 0, let file else {
            throw IOError(.open, path: path, reason: .system(-error))
        }
        return IOFile(handle: FileHandle(file, path: path))
    }

    /// Takes over an open descriptor.
    /// - Parameter path: how errors name it
    /// - Throws: `.open` with `EBADF` when it is none.
    public static func adopt(
        _ descriptor: Int32, path: String, pool: PoolUse = .automatic
    ) throws(IOError) -> IOFile {
        Engine.start()
        var how = fileOptions(pool)
        var file: OpaquePointer?
        let error = iotrap_file_adopt(descriptor, &how, &file)
        guard error == 0, let file else {
            throw IOError(.open, path: path, reason: .system(-error))
        }
        return IOFile(handle: FileHandle(file, path: path))
    }

    /// Closes the file.
    ///
    /// Letting go of it does the same, but nobody hears of an error then.
    /// - Throws: `.close` with what close(2) said. The file is closed all the same, unless that is
    ///   `EBUSY`: then operations of an ``IOQueue`` are under way, and the last one closes it.
    public consuming func close() throws(IOError) {
        let error = handle.close()
        guard error == 0 else { throw handle.failure(.close, result: Int64(error)) }
    }

    /// The path as it was opened.
    public var path: String { handle.path }

    /// The descriptor, for calls that this library does not have. It must not be closed.
    public var descriptor: Int32 { handle.descriptor }

    /// What addresses must be a multiple of, in bytes; 1 unless opened with `.direct`.
    public var memoryAlignment: Int { Int(handle.memoryMask) + 1 }

    /// What offsets and lengths must be a multiple of, in bytes; 1 unless opened with `.direct`.
    public var offsetAlignment: Int { Int(handle.offsetMask) + 1 }

    /// Bytes in the file now.
    /// - Throws: `.stat` with what fstat(2) said.
    public func size() throws(IOError) -> Int64 {
        let size = iotrap_file_size(handle.file)
        guard size >= 0 else { throw handle.failure(.stat, result: size) }
        return size
    }

    /// Makes the file longer, with zeros, or shorter.
    /// - Throws: `.resize` with what ftruncate(2) said.
    public func resize(to bytes: Int64) throws(IOError) {
        while ftruncate(handle.descriptor, off_t(bytes)) != 0 {
            guard errno == EINTR else { throw handle.failure(.resize, .system(errno)) }
        }
    }

    static func fileOptions(_ pool: PoolUse) -> iotrap_file_options {
        var options = iotrap_file_options()
        options.struct_size = UInt32(MemoryLayout<iotrap_file_options>.size)
        options.pool = pool.rawValue
        return options
    }
}

/// A file that several tasks use at once; closed with the last reference.
public final class IOSharedFile: Sendable {
    /// The file.
    public let file: IOFile

    /// Shares a file.
    public init(_ file: consuming IOFile) { self.file = file }
}
