/// Why a statistics segment or its directory cannot be used.
///
/// Printed as one line that names the file, the reason and the remedy.
public struct SegmentError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The reason, for programs.
    public enum Reason: Equatable, Sendable {
        /// There is no such file or directory.
        case missing
        /// A system call failed with this errno.
        case system(call: String, errno: Int32)
        /// The name is a symbolic link.
        case symbolicLink
        /// Neither a regular file nor, where one is expected, a directory.
        case wrongKind(expected: String)
        /// It belongs to a user whose files are not trusted.
        case foreignOwner(userID: UInt32)
        /// Others may write to it.
        case writableByOthers(mode: UInt32)
        /// The process has not written its header yet, or died before it did.
        case unfinished
        /// It does not start with the magic number.
        case notASegment
        /// It was written by another version of the library.
        case version(found: UInt32, expected: UInt32)
        /// A header field has a value that this version never writes.
        case field(String, found: UInt64, expected: UInt64)
        /// It ends before the data that its header announces.
        case truncated(bytes: UInt64, expectedBytes: UInt64)
    }

    /// The file or directory.
    public let path: String
    /// The reason, for programs.
    public let reason: Reason

    /// An error about the file at `path`.
    public init(path: String, reason: Reason) {
        self.path = path
        self.reason = reason
    }

    /// File, reason and remedy in one line.
    public var description: String {
        "\(printable(path)): \(reason.text); \(reason.remedy)"
    }
}

extension SegmentError.Reason {
    /// The reason in words.
    var text: String {
        switch self {
        case .missing: "does not exist"
        case .system(let call, let code): "\(call) failed: \(errorText(code))"
        case .symbolicLink: "is a symbolic link"
        case .wrongKind(let expected): "is not a \(expected)"
        case .foreignOwner(let userID): "belongs to user \(userID)"
        case .writableByOthers(let mode):
            "can be written by other users (mode \(String(mode & 0o7777, radix: 8)))"
        case .unfinished: "has no header yet"
        case .notASegment: "is not a statistics segment"
        case .version(let found, let expected):
            "has layout version \(found), this command reads version \(expected)"
        case .field(let name, let found, let expected):
            "is damaged: \(name) is \(found), not \(expected)"
        case .truncated(let bytes, let expected):
            "is truncated: \(bytes) bytes, its header asks for \(expected)"
        }
    }

    /// What to do about it.
    var remedy: String {
        switch self {
        case .missing: "start the program with iotrap run"
        case .system: "check the permissions of the file and its directory"
        case .symbolicLink, .notASegment: "remove it: the library creates only segments there"
        case .wrongKind: "remove it, or set IOTRAP_STATS_DIR to another directory"
        case .foreignOwner: "run iotrap as that user"
        case .writableByOthers: "remove it, or take the permission away with chmod go-w"
        case .unfinished: "try again, and remove it if the process is gone"
        case .version: "use the iotrap command of the same release as the library"
        case .field, .truncated: "remove it: the process that wrote it cannot be shown"
        }
    }
}
