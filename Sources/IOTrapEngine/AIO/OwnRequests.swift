import CIOTrap
import CIOTrapEngine

/// What becomes of an iocb on an emulated context: as fs/aio.c has it, error by error.
enum OwnRequests {
    typealias Request = RequestPool.Request

    enum Plan {
        /// io_submit fails with this -errno.
        case refuse(Int32)
        /// Inside io_submit, as the kernel does with it.
        case run
        /// By the service thread.
        case serve
        /// Has been done already, with this result.
        case done(Int32)
    }

    enum FileType {
        static let fifo: UInt32 = 0o010000
        static let character: UInt32 = 0o020000
        static let directory: UInt32 = 0o040000
        static let block: UInt32 = 0o060000
        static let regular: UInt32 = 0o100000
        static let socket: UInt32 = 0o140000
    }

    private enum Flags {
        static let dataSync: UInt32 = 2
        static let noWait: UInt32 = 8
        static let appendBoth: UInt32 = 0x30  // RWF_APPEND and RWF_NOAPPEND
        static let everywhere: UInt32 = 0x3f  // known to every file since Linux 6.9
        static let known: UInt32 = 0x1ff
        static let unknown: UInt32 = 0x8000_0000
    }

    /// The kernel's access_ok on x86: the last page of the lower half is nobody's.
    private static let userEnd: UInt64 = 0x7fff_ffff_f000
    private static let userEndLarge: UInt64 = 0xff_ffff_ffff_f000

    static func plan(
        _ iocb: iotrap_iocb, _ request: Request, _ facts: iotrap_file_facts
    ) -> Plan {
        request.pointee.descriptor = Int32(bitPattern: iocb.descriptor)
        request.pointee.rw_flags = iocb.rw_flags
        request.pointee.priority = 0
        request.pointee.address = nil
        request.pointee.length = 0
        request.pointee.offset = 0
        let type = facts.mode & Classification.typeMask
        switch UInt32(iocb.opcode) {
        case IOTRAP_IOCB_PREAD, IOTRAP_IOCB_PREADV, IOTRAP_IOCB_PWRITE, IOTRAP_IOCB_PWRITEV:
            return transfer(iocb, request, facts, type)
        case IOTRAP_IOCB_FSYNC, IOTRAP_IOCB_FDSYNC:
            guard iocb.buffer == 0, iocb.offset == 0, iocb.bytes == 0, iocb.rw_flags == 0,
                type == FileType.regular || type == FileType.directory || type == FileType.block
            else { return .refuse(-22) }
            let dataOnly = UInt32(iocb.opcode) == IOTRAP_IOCB_FDSYNC
            request.pointee.kind = UInt8(
                (dataOnly ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC).rawValue)
            guard isPseudo(iocb, facts) else { return .serve }
            let result = Requests.runPlain(request)
            return result == -22 ? .refuse(-22) : .done(result)
        case IOTRAP_IOCB_POLL:
            guard iocb.buffer <= 0xffff, iocb.offset == 0, iocb.bytes == 0, iocb.rw_flags == 0
            else { return .refuse(-22) }
            return OwnPolls.plan(request, UInt16(iocb.buffer), facts)
        default:
            return .refuse(-22)
        }
    }

    private static func transfer(
        _ iocb: iotrap_iocb, _ request: Request, _ facts: iotrap_file_facts, _ type: UInt32
    ) -> Plan {
        let opcode = UInt32(iocb.opcode)
        let writes = opcode == IOTRAP_IOCB_PWRITE || opcode == IOTRAP_IOCB_PWRITEV
        let isVector = opcode == IOTRAP_IOCB_PREADV || opcode == IOTRAP_IOCB_PWRITEV
        let access = facts.status_flags & OpenFlags.accessMask
        let hasPriority = iocb.flags & IOTRAP_IOCB_FLAG_IOPRIO != 0
        if hasPriority {
            let error = iotrap_priority_error(Int32(iocb.priority))
            if error < 0 { return .refuse(error) }
            request.pointee.priority = UInt32(UInt16(bitPattern: iocb.priority))
        }
        // Who opened the file for neither can do neither: three is no mode.
        let mayTransfer = writes ? access == 1 || access == 2 : access == 0 || access == 2
        guard mayTransfer else { return .refuse(flagsError(iocb) ?? -9) }
        guard type != FileType.directory else { return .refuse(flagsError(iocb) ?? -22) }
        var kind = writes ? IOTRAP_REQUEST_WRITE : IOTRAP_REQUEST_READ
        if isVector { kind = writes ? IOTRAP_REQUEST_WRITEV : IOTRAP_REQUEST_READV }
        request.pointee.kind = UInt8(kind.rawValue)
        request.pointee.offset = iocb.offset
        var total: UInt64 = 0
        let error =
            isVector ? vector(iocb, request, writes, &total) : buffer(iocb, request, &total)
        if error < 0 { return .refuse(flagsError(iocb) ?? error) }
        // rw_verify_area
        guard iocb.offset >= 0, UInt64(iocb.offset) + total <= UInt64(Int64.max) else {
            return .refuse(flagsError(iocb) ?? -22)
        }
        // Sockets know no place.
        if type == FileType.socket && iocb.offset != 0 { return .done(-29) }
        guard isStorage(iocb, facts), total > 0, iocb.rw_flags == 0 else { return .run }
        return placement(request, facts, writes, total)
    }

    /// Files of procfs and its kin are regular by type only: many cannot do what files can.
    private static func isPseudo(_ iocb: iotrap_iocb, _ facts: iotrap_file_facts) -> Bool {
        let fd = Int32(bitPattern: iocb.descriptor)
        // A pool's file was asked before; on network file systems that asks the server.
        if PoolTarget.isKnown(fd, facts) { return false }
        return iotrap_file_is_pseudo(fd, facts.device) != 0
    }

    private static func isStorage(_ iocb: iotrap_iocb, _ facts: iotrap_file_facts) -> Bool {
        let type = facts.mode & Classification.typeMask
        return type == FileType.block || (type == FileType.regular && !isPseudo(iocb, facts))
    }

    /// What the kernel says of flags no matter what the file is, and before anything else.
    private static func flagsError(_ iocb: iotrap_iocb) -> Int32? {
        if iocb.rw_flags & ~Flags.known != 0 { return -95 }
        return iocb.rw_flags & Flags.appendBoth == Flags.appendBoth ? -22 : nil
    }

    /// Where a transfer of a file goes. Everything that the kernel runs inside io_submit is run
    /// there: in the program's order.
    private static func placement(
        _ request: Request, _ facts: iotrap_file_facts, _ writes: Bool, _ total: UInt64
    ) -> Plan {
        let isDirect = facts.status_flags & OpenFlags.direct != 0
        if !writes {
            if !isDirect, let result = cached(request, facts, total) { return .done(result) }
            return .serve
        }
        guard isDirect, facts.status_flags & OpenFlags.append == 0 else { return .run }
        let end = UInt64(request.pointee.offset) + total
        // Whoever exceeds the limit gets a signal: not the service thread.
        return end > UInt64(iotrap_file_size_limit()) ? .run : .serve
    }

    /// Reads what is in the page cache, inside io_submit as the kernel does; nil when some of it
    /// is not there.
    private static func cached(
        _ request: Request, _ facts: iotrap_file_facts, _ total: UInt64
    ) -> Int32? {
        request.pointee.rw_flags = Flags.noWait
        let result = Int64(Requests.runPlain(request))
        request.pointee.rw_flags = 0
        guard result >= 0 else { return nil }
        // A short read is a whole one only at the end of the file.
        let isWhole =
            UInt64(result) == total
            || (facts.size > 0 && request.pointee.offset &+ result >= facts.size)
        return isWhole ? Int32(result) : nil
    }

    // MARK: - Memory

    /// True for memory that can be the program's, whether there is any or not.
    private static func isUser(_ base: UInt64, _ length: UInt64) -> Bool {
        if base <= userEnd && length <= userEnd - base { return true }
        guard base <= userEndLarge, length <= userEndLarge - base else { return false }
        // Only with five levels of page tables is anything there.
        return UserMemory.isReadableNow(base + (length > 8 ? length - 8 : 0), bytes: 8)
    }

    /// import_ubuf
    private static func buffer(
        _ iocb: iotrap_iocb, _ request: Request, _ total: inout UInt64
    ) -> Int32 {
        total = min(iocb.bytes, Eligibility.lengthMaximum)
        request.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(iocb.buffer))
        request.pointee.length = UInt32(total)
        return isUser(iocb.buffer, total) ? 0 : -14
    }

    /// __import_iovec
    private static func vector(
        _ iocb: iotrap_iocb, _ request: Request, _ writes: Bool, _ total: inout UInt64
    ) -> Int32 {
        // The kernel keeps the number of elements in an unsigned int.
        let count = UInt32(truncatingIfNeeded: iocb.bytes)
        guard count <= 1024 else { return -22 }
        request.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(iocb.buffer))
        request.pointee.length = count
        guard count > 0 else {
            setPlain(request, writes, 0, 0)
            return 0
        }
        guard UserMemory.isReadableNow(iocb.buffer, bytes: UInt64(count) * 16),
            let elements = UnsafeRawPointer(bitPattern: UInt(iocb.buffer))
        else { return -14 }
        var isOutside = false
        for index in 0..<Int(count) {
            let base = elements.loadUnaligned(fromByteOffset: index * 16, as: UInt64.self)
            let length = elements.loadUnaligned(fromByteOffset: index * 16 + 8, as: UInt64.self)
            guard length <= UInt64(Int64.max) else { return -22 }
            let room = Eligibility.lengthMaximum - total
            let taken = min(length, room)
            // A single element is cut to length before it is looked at, several are afterwards.
            if !isUser(base, count == 1 ? taken : length) { isOutside = true }
            total += taken
            if count == 1 { setPlain(request, writes, base, taken) }
        }
        return isOutside ? -14 : 0
    }

    /// A vector of one element is a plain buffer.
    private static func setPlain(
        _ request: Request, _ writes: Bool, _ base: UInt64, _ length: UInt64
    ) {
        request.pointee.kind = UInt8(
            (writes ? IOTRAP_REQUEST_WRITE : IOTRAP_REQUEST_READ).rawValue)
        request.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(base))
        request.pointee.length = UInt32(length)
    }

    /// True for requests that the kernel must have when io_submit returns: vectors, which it has
    /// copied then, and what the end of the process must not take away.
    static func mustBeWithKernel(_ request: Request) -> Bool {
        UInt32(request.pointee.kind) == IOTRAP_REQUEST_READV.rawValue || Requests.writes(request)
    }

    // MARK: - Running

    /// Runs a transfer in the calling thread: its result, or why io_submit refuses it.
    static func runHere(
        _ iocb: iotrap_iocb, _ request: Request, _ facts: iotrap_file_facts
    ) -> Plan {
        let asked = iocb.rw_flags
        let isFile = isStorage(iocb, facts)
        // Files without read_iter and write_iter take no flags, and libaio does not take them.
        // For the others this one has no meaning.
        if !isFile && asked == 0 { request.pointee.rw_flags = Flags.dataSync }
        var result = Requests.runPlain(request)
        if result == -29 && !isFile {
            // Pipes and the like: read without a place.
            request.pointee.offset = -1
            result = Requests.runPlain(request)
        }
        if result == -95 {
            if isFile && isFromFile(request, asked) { return .done(result) }
            return .refuse(asked == 0 ? -22 : -95)
        }
        if result == -22 && !isFile && asked == 0 {
            // Files that cannot be read, or written, at all say so before they look at flags.
            request.pointee.rw_flags = Flags.unknown
            if Requests.runPlain(request) == -22 { return .refuse(-22) }
        }
        if result == -22 && asked & Flags.appendBoth == Flags.appendBoth { return .refuse(-22) }
        return .done(result)
    }

    /// True when EOPNOTSUPP comes from the file's own function, for a write that may not wait: the
    /// file takes the flag, as a read past all ends shows, but not this way.
    private static func isFromFile(_ request: Request, _ flags: UInt32) -> Bool {
        guard flags & Flags.noWait != 0, flags & ~Flags.everywhere == 0, Requests.writes(request)
        else { return false }
        var byte: UInt64 = 0
        return withUnsafeMutablePointer(to: &byte) { pointer in
            var element = iovec(iov_base: pointer, iov_len: 1)
            return iotrap_vector_flags_raw(
                request.pointee.descriptor, &element, 1, 1 << 62, Flags.noWait, 0) != -95
        }
    }
}
