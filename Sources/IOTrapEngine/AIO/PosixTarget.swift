import CIOTrap
import CIOTrapEngine

/// What must be known of a request's descriptor.
struct PosixTarget {
    var descriptor: Int32 = -1
    /// IOTRAP_REQUEST_*
    var order: UInt8 = 0
    /// A pipe, socket or the like: it has no offsets.
    var isStream = false
    /// A ring would wait for data where a plain call says that there are none, or succeed where it
    /// fails; and a plain call does not wait.
    var isPlain = false

    /// Neither pipe nor socket nor device: it may be one that cannot be read or written at all,
    /// and the ring would wait until it can.
    var isTried = false
    /// A file that is written through the page cache.
    var isCached = false

    init() {}

    /// IOTRAP_SUBMIT_*
    var flags: UInt8 {
        if isPlain { return UInt8(IOTRAP_SUBMIT_PLAIN) }
        if isTried { return UInt8(IOTRAP_SUBMIT_TRIED) }
        return isCached ? UInt8(IOTRAP_SUBMIT_CACHED) : 0
    }

    /// Asks the kernel: the order of requests rests on the answer.
    init(_ block: UnsafeMutablePointer<iotrap_aiocb>, _ kind: UInt32) {
        let fd = block.pointee.descriptor
        // The library's own descriptors do not exist for the program.
        guard DescriptorTable.load(fd).kind != .engine else { return }
        descriptor = fd
        let asked = iotrap_file_type(fd)
        guard asked >= 0 else { return }
        let type = UInt32(asked)
        let isFile = type == Classification.regular
        let isStorage = isFile || type == FileType.blockDevice
        let isRead = kind == IOTRAP_REQUEST_READ.rawValue
        // Flags make no difference to reads of storage.
        let answer = isRead && isStorage ? 0 : iotrap_status_flags(fd)
        guard answer >= 0 else { return }
        let status = UInt32(answer)
        isStream = !isStorage && type != FileType.directory && type != FileType.character
        let appends =
            kind == IOTRAP_REQUEST_WRITE.rawValue && isFile && status & OpenFlags.append != 0
        let isSync =
            kind == IOTRAP_REQUEST_FSYNC.rawValue || kind == IOTRAP_REQUEST_FDATASYNC.rawValue
        order = isStorage ? UInt8(IOTRAP_REQUEST_STORAGE) : 0
        if isSync {
            order |= UInt8(IOTRAP_REQUEST_BARRIER)
            return
        }
        if !isStorage || appends { order |= UInt8(IOTRAP_REQUEST_SERIAL) }
        let mayWait = status & OpenFlags.nonBlocking == 0
        isPlain =
            type == FileType.directory || (!isStorage && (!mayWait || block.pointee.bytes == 0))
            || (isStorage && endsBeyondRange(block))
        isTried = type == FileType.none && !isPlain
        let goesThrough = OpenFlags.direct | OpenFlags.dataSync
        isCached =
            isFile && kind == IOTRAP_REQUEST_WRITE.rawValue
            && status & goesThrough == 0 && block.pointee.bytes <= Self.cachedMaximum
    }

    /// A larger copy keeps the service thread from its other work too long.
    private static let cachedMaximum: UInt64 = 256 << 10

    /// No file is that long; there are some of the kernel's own that do not mind.
    private func endsBeyondRange(_ block: UnsafeMutablePointer<iotrap_aiocb>) -> Bool {
        block.pointee.bytes > UInt64(Int64.max)
            || block.pointee.offset > Int64.max - Int64(block.pointee.bytes)
    }

    /// True when a descriptor seems to be a file read through the page cache. Only for trying: if
    /// it is not, the kernel refuses.
    static func mayBeCached(_ fd: Int32) -> Bool {
        var slot: Slot? = DescriptorTable.load(fd)
        if slot?.kind == .unknown || slot?.kind == .openedBuffered {
            slot = Classification.classify(fd)
        }
        return slot?.kind == .buffered || (slot?.kind == .pooled && slot?.isDirect == false)
    }

    private enum FileType {
        static let none: UInt32 = 0
        static let character: UInt32 = 0o020000
        static let directory: UInt32 = 0o040000
        static let blockDevice: UInt32 = 0o060000
    }
}

extension OpenFlags {
    static let nonBlocking: UInt32 = 0o4000
    /// O_DSYNC, which O_SYNC includes.
    static let dataSync: UInt32 = 0o10000
}
