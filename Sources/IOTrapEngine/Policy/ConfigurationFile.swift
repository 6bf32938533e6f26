import CIOTrapEngine

/// What a configuration file holds, in pages of its own until the value ends.
public struct ConfigurationFile: ~Copyable {
    /// A longer file is refused.
    public static var bytesMax: Int { 64 << 10 }

    private let pages: UnsafeMutableRawPointer
    private let count: Int

    /// Reads a file.
    ///
    /// - Parameter path: an absolute path: the directory of a program that is started by another
    ///   one need not be that in which the variable was set.
    public init(_ path: UnsafePointer<CChar>) throws(PoolError) {
        guard path[0] == CChar(UInt8(ascii: "/")) else { throw PoolError(.relativeFile) }
        guard let pages = iotrap_pages(Self.bytesMax, 1) else { throw PoolError(.noMemory) }
        let count = iotrap_read_file(path, pages, Self.bytesMax)
        guard count >= 0 else {
            iotrap_pages_free(pages, Self.bytesMax)
            throw PoolError(Self.fault(Int32(truncatingIfNeeded: -count)))
        }
        self.pages = pages
        self.count = count
    }

    deinit { iotrap_pages_free(pages, Self.bytesMax) }

    /// Calls `body` with its bytes, which are gone when the value is.
    public borrowing func withBytes<Result>(
        _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        body(UnsafeBufferPointer(start: pages.assumingMemoryBound(to: UInt8.self), count: count))
    }

    private static func fault(_ code: Int32) -> PoolFault {
        switch code {
        case 2, 20: .missingFile  // ENOENT, ENOTDIR
        case 27: .longFile  // EFBIG
        case 6, 21, 22: .irregularFile  // ENXIO of a socket, EISDIR, EINVAL
        default: .unreadableFile
        }
    }
}
