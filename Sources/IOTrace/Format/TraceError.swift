/// Why a trace cannot be read or written: the file, the place in it, the reason and the remedy.
public struct TraceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong with a path of the file table.
    public enum PathFault: String, Sendable {
        case empty = "it is empty"
        case tooLong = "it is longer than 4095 bytes"
        case absolute = "it is absolute"
        case nul = "it holds a NUL"
        case emptyComponent = "it has an empty component"
        case dot = "it has a component '.'"
        case parent = "it has a component '..'"
        case notUTF8 = "it is not UTF-8"
    }

    /// The part of a file that a checksum covers.
    public enum Part: String, Sendable {
        case header
        case chunkHeader = "chunk header"
        case payload = "chunk"
    }

    /// The reason, for programs.
    public enum Reason: Equatable, Sendable {
        /// A system call failed with this errno.
        case system(call: String, errno: Int32)
        /// The file to be made is there.
        case exists
        /// It is no regular file.
        case notRegular
        /// It has no byte.
        case empty
        /// It ends within the header.
        case truncatedHeader(bytes: UInt64)
        /// It does not start with the magic number.
        case notATrace
        /// It was written by a later version.
        case version(found: UInt32)
        /// The bytes are not those that were written.
        case checksum(Part)
        /// A field has a value that no writer of this version writes.
        case field(String, value: UInt64)
        /// A chunk is larger than a reader has to take.
        case tooLarge(String, value: UInt64, limit: UInt64)
        /// A compressed chunk cannot be decompressed.
        case compression(String)
        /// Events of a stream are missing, or there twice.
        case gap(stream: UInt32, expected: UInt64, found: UInt64)
        /// The totals at the end differ from what was read.
        case totals(String, expected: UInt64, found: UInt64)
        /// Data behind the last chunk.
        case trailing
        /// A chunk ends within a record, or holds more than its records.
        case recordCount
        /// A number takes more than ten bytes or 64 bits.
        case varint
        /// An offset, a length or their sum is 2^63 or more.
        case range(offset: UInt64, length: UInt64)
        /// A time is before the start or beyond 2^63 ns.
        case time
        /// An event of a file that is not in the table.
        case unknownFile(UInt32)
        /// A number of a file is used for another one.
        case fileNumber(UInt32)
        /// A path that must not be in a trace.
        case path(PathFault)
        /// An event depends on itself or on one before the first.
        case dependency(distance: UInt64, index: UInt64)
        /// A line of an imported file cannot be read; the number counts from 1.
        case line(UInt64, String)
        /// A parameter of a profile.
        case parameter(String)
        /// A recording that cannot begin or go on.
        case recording(String, remedy: String)
    }

    /// The file.
    public let path: String
    /// Bytes from the start of the file to the part that is wrong: a header or a chunk.
    public let offset: UInt64
    /// Bytes from the start of the decoded payload of that chunk to the record that is wrong.
    public let payloadOffset: UInt64?
    /// The reason, for programs.
    public let reason: Reason

    /// An error about the file at `path`, at `offset` bytes.
    public init(path: String, offset: UInt64 = 0, payloadOffset: UInt64? = nil, reason: Reason) {
        self.path = path
        self.offset = offset
        self.payloadOffset = payloadOffset
        self.reason = reason
    }

    /// File, place, reason and remedy in one line.
    public var description: String {
        let place =
            switch reason {
            case .system, .exists, .notRegular, .empty, .parameter, .notATrace, .recording: ""
            case .line(let number, _): " line \(number)"
            default: " at byte \(offset)" + (payloadOffset.map { " (record at +\($0))" } ?? "")
            }
        return "\(path)\(place): \(reason.text); \(reason.remedy)"
    }
}

extension TraceError.Reason {
    /// The reason in words.
    var text: String {
        switch self {
        case .system(let call, let code): "\(call) failed: \(errnoText(code))"
        case .exists: "exists already"
        case .notRegular: "is not a regular file"
        case .empty: "is empty"
        case .truncatedHeader(let bytes): "ends after \(bytes) bytes, within the header"
        case .notATrace: "is not an iotrap trace"
        case .version(let found): "has format version \(found), this command reads version 1"
        case .checksum(let part): "the checksum of the \(part.rawValue) is wrong"
        case .field(let name, let value): "\(name) is \(value)"
        case .tooLarge(let name, let value, let limit): "\(name) is \(value), over \(limit)"
        case .compression(let text): "the chunk cannot be decompressed: \(text)"
        case .gap(let stream, let expected, let found):
            "stream \(stream) goes on with event \(found), not \(expected)"
        case .totals(let name, let expected, let found):
            "there are \(found) \(name), the end of the trace says \(expected)"
        case .trailing: "there is data behind the end of the trace"
        case .recordCount: "the chunk does not hold the records that it announces"
        case .varint: "a number is malformed"
        case .range(let offset, let length):
            "offset \(offset) and length \(length) reach beyond 2^63 - 1"
        case .time: "a time is before the start or beyond 2^63 ns"
        case .unknownFile(let number): "file \(number) is not in the file table"
        case .fileNumber(let number): "file number \(number) is in use or out of turn"
        case .path(let fault): "a path is not allowed: \(fault.rawValue)"
        case .dependency(let distance, let index):
            "event \(index) depends on the one \(distance) before it, which is none that is earlier"
        case .line(_, let text): text
        case .parameter(let text): text
        case .recording(let text, _): text
        }
    }

    /// What to do about it.
    var remedy: String {
        switch self {
        case .system: "check the name, the permissions and the space left"
        case .exists: "give --force to replace it"
        case .notRegular: "give the name of a regular file"
        case .empty: "the program that writes it has not begun, or was killed at once"
        case .truncatedHeader, .notATrace: "give a file that iotrap has written"
        case .version: "use a newer iotrap"
        case .line: "mend or remove the line"
        case .parameter: "see iotrap generate --show PROFILE"
        case .recording(_, let remedy): remedy
        default: "the file is damaged: fetch it again or record anew"
        }
    }
}
