import CIOTrap
import CIOTrapEngine

/// What must be known of a request's descriptor.
struct PosixTarget {
    var descriptor: Int32 = -1
    /// IOTRAP_REQUEST_*
    var order: UInt8 = 0
    /// A pipe or socket: it has no offsets.
    var isStream = false

    init() {}

    /// Asks the kernel: the order of requests rests on the answer.
    init(_ block: UnsafeMutablePointer<iotrap_aiocb>, _ kind: UInt32) {
        let fd = block.pointee.descriptor
        // The library's own descriptors do not exist for the program.
        guard DescriptorTable.load(fd).kind != .engine else { return }
        descriptor = fd
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(fd, &facts) == 0 else { return }
        let type = facts.mode & Classification.typeMask
        let isFile = type == Classification.regular
        let isStorage = isFile || type == FileType.blockDevice
        isStream = type == FileType.pipe || type == FileType.socket
        let appends =
            kind == IOTRAP_REQUEST_WRITE.rawValue && isFile
            && facts.status_flags & OpenFlags.append != 0
        let isSync =
            kind == IOTRAP_REQUEST_FSYNC.rawValue || kind == IOTRAP_REQUEST_FDATASYNC.rawValue
        var flags: UInt32 = isStorage ? IOTRAP_REQUEST_STORAGE : 0
        if isSync {
            flags |= IOTRAP_REQUEST_BARRIER
        } else if !isStorage || appends {
            flags |= IOTRAP_REQUEST_SERIAL
        }
        order = UInt8(flags)
    }

    /// True when a descriptor seems to be a file read through the page cache. Only for trying: if it
    /// is not, the kernel refuses.
    static func mayBeCached(_ fd: Int32) -> Bool {
        var slot: Slot? = DescriptorTable.load(fd)
        if slot?.kind == .unknown || slot?.kind == .openedBuffered {
            slot = Classification.classify(fd)
        }
        return slot?.kind == .buffered
    }

    private enum FileType {
        static let pipe: UInt32 = 0o010000
        static let blockDevice: UInt32 = 0o060000
        static let socket: UInt32 = 0o140000
    }
}
