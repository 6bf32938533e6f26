import CIOTrap

/// An entry of the file table: a file as it was opened, once for each set of open flags.
public struct TraceFile: Equatable, Sendable {
    /// Relative, with no empty, "." or ".." component: safe to append to any directory.
    public var path: String
    /// Flags of open(2) as Linux on x86-64 numbers them, without O_CREAT, O_EXCL and O_TRUNC.
    public var openFlags: UInt32
    /// Permissions in mode bits; 0: not known.
    public var mode: UInt32
    /// Bytes when it was opened, nil when not known.
    public var sizeBytes: UInt64?
    /// Whether the path was absolute, below "/".
    public var isAbsolute: Bool

    /// An entry; nothing is checked until it is written.
    public init(
        path: String, openFlags: UInt32 = 2, mode: UInt32 = 0, sizeBytes: UInt64? = nil,
        isAbsolute: Bool = false
    ) {
        self.path = path
        self.openFlags = openFlags
        self.mode = mode
        self.sizeBytes = sizeBytes
        self.isAbsolute = isAbsolute
    }

    /// The path as the program had it.
    public var originalPath: String { isAbsolute ? "/" + path : path }

    /// Makes a path fit for a trace: "." and empty components go, ".." takes away the one before it
    /// by name alone, as far as the root.
    public static func normalized(_ path: String) -> (path: String, isAbsolute: Bool) {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return (parts.isEmpty ? "root" : parts.joined(separator: "/"), path.hasPrefix("/"))
    }

    /// Why a path must not be in a trace; nil when it may.
    static func fault(of path: UnsafeRawBufferPointer) -> TraceError.PathFault? {
        if path.isEmpty { return .empty }
        if path.count > IOTRAP_TRACE_PATH_BYTES_MAX { return .tooLong }
        if path[0] == UInt8(ascii: "/") { return .absolute }
        var start = 0
        for index in 0...path.count {
            if index < path.count {
                if path[index] == 0 { return .nul }
                if path[index] != UInt8(ascii: "/") { continue }
            }
            let length = index - start
            if length == 0 { return .emptyComponent }
            let isDot = path[start] == UInt8(ascii: ".")
            if length == 1 && isDot { return .dot }
            if length == 2 && isDot && path[start + 1] == UInt8(ascii: ".") { return .parent }
            start = index + 1
        }
        return nil
    }
}
