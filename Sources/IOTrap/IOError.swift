import Glibc

/// What an operation was.
public enum IOOperation: String, Sendable {
    case open, close, read, write, sync, append, stat
    case makeDirectory = "make directory"
    case remove, rename, resize, cancel, submit
    case queue = "set up a queue"
    case registerBuffers = "register buffers"
    case start = "start the engine"
}

/// A failed operation: which one, on which file, why, and what to do about it.
public struct IOError: Error, Equatable, Sendable {
    /// Why an operation failed.
    public enum Reason: Equatable, Sendable {
        /// The kernel said so; the number is that of errno(3).
        case system(Int32)
        /// The file was opened with `O_DIRECT`, and address, length or offset is no multiple of
        /// what it needs.
        case misaligned(field: String, value: UInt64, multiple: UInt64)
        /// The file ended before the read had all it was told to get: it is shorter than expected,
        /// or was cut meanwhile.
        case endOfFile(expected: Int, found: Int)
        /// The file took fewer bytes than it was given, without an error.
        case incomplete(expected: Int, written: Int)
        /// As many operations are in flight as the queue has room for.
        case queueFull(depth: Int)
        /// The deadline passed first. A write may have happened in part.
        case deadlinePassed
        /// The task was cancelled first. A write may have happened in part.
        case cancelled
        /// The pool has no buffer left.
        case poolEmpty(count: Int)
        /// An argument that no file would take.
        case invalid(String)
    }

    /// The operation that failed.
    public let operation: IOOperation
    /// The file's path as it was opened; empty where there is no file.
    public let path: String
    /// Why it failed.
    public let reason: Reason

    /// A failure of an operation on the file of a path.
    public init(_ operation: IOOperation, path: String, reason: Reason) {
        self.operation = operation
        self.path = path
        self.reason = reason
    }

    /// The number of errno(3) that says most nearly the same.
    public var errno: Int32 {
        switch reason {
        case .system(let number): number
        case .misaligned, .invalid: EINVAL
        case .endOfFile: ENODATA
        case .incomplete: ENOSPC
        case .queueFull: EAGAIN
        case .deadlinePassed: ETIME
        case .cancelled: ECANCELED
        case .poolEmpty: ENOBUFS
        }
    }

    /// What to do about it, in a sentence; nil where there is nothing to say.
    public var remedy: String? {
        switch reason {
        case .system(let number): IOError.remedy(number)
        case .misaligned(_, _, let multiple):
            "use an IOBuffer, and lengths and offsets that are multiples of \(multiple)"
        case .endOfFile: "use read(into:at:), which says how much there is"
        case .incomplete: "look at free space and quota, and write the rest again"
        case .queueFull: "take completions first, or make the queue deeper"
        case .deadlinePassed: "give it more time, or look at what the storage is doing"
        case .cancelled: nil
        case .poolEmpty: "give buffers back, make the pool larger, or wait with nextBuffer()"
        case .invalid: nil
        }
    }

    private static func remedy(_ number: Int32) -> String? {
        switch number {
        case EBADF:
            "the descriptor was closed, or not opened for this: close IOFile only with close()"
        case EINVAL: "look at offset and length; O_DIRECT needs both and the address aligned"
        case ENOSPC, EDQUOT: "make room on the file system"
        case EMFILE, ENFILE: "close files, or raise RLIMIT_NOFILE"
        case EACCES, EPERM: "look at the owner and mode of the file and of its directories"
        case ENOENT: "look at the spelling, or open with .create"
        case EFBIG: "look at RLIMIT_FSIZE"
        case ENOMEM: "raise RLIMIT_MEMLOCK, or use fewer registered buffers"
        case ENOSYS: "io_uring is switched off here: `iotrap doctor` says why"
        case EIO: "the storage failed: look at the kernel's log, and write unsynced data again"
        default: nil
        }
    }
}

extension IOError: CustomStringConvertible {
    /// "read data.db: Input/output error (errno 5): the storage failed: ..."
    public var description: String {
        let what = path.isEmpty ? operation.rawValue : "\(operation.rawValue) \(path)"
        let advice = remedy.map { ": \($0)" } ?? ""
        return "\(what): \(explanation)\(advice)"
    }

    private var explanation: String {
        switch reason {
        case .system(let number): "\(String(cString: strerror(number))) (errno \(number))"
        case .misaligned(let field, let value, let multiple):
            "\(field) \(value) is no multiple of \(multiple), which O_DIRECT needs here"
        case .endOfFile(let expected, let found):
            "the file ended after \(found) of \(expected) bytes"
        case .incomplete(let expected, let written):
            "the file took \(written) of \(expected) bytes"
        case .queueFull(let depth): "\(depth) operations are in flight, and no more fit"
        case .deadlinePassed: "the deadline passed"
        case .cancelled: "cancelled"
        case .poolEmpty(let count): "all \(count) buffers are in use"
        case .invalid(let text): text
        }
    }
}
