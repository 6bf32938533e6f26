import CIOTrap
import CIOTrapEngine

/// What becomes of an iocb on an emulated context: as fs/aio.c has it, error by error.
enum OwnRequests {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Request = RequestPool.Request

    enum Plan {
        /// io_submit fails with this -errno.
        case refuse(Int32)
        /// Inside io_submit, as the kernel does with it.
        case run
        /// By the service thread.
        case serve
        /// Has been done already: the result is in the request's `reserved`.
        case done
    }

    private enum FileType {
        static let directory: UInt32 = 0o040000
        static let block: UInt32 = 0o060000
        static let regular: UInt32 = 0o100000
    }

    static func plan(
        _ thread: Thread, _ iocb: iotrap_iocb, _ request: Request, _ facts: iotrap_file_facts
    ) -> Plan {
        request.pointee.descriptor = Int32(bitPattern: iocb.descriptor)
        request.pointee.rw_flags = iocb.rw_flags
        request.pointee.priority = 0
        request.pointee.address = nil
        request.pointee.length = 0
        request.pointee.offset = 0
        switch UInt32(iocb.opcode) {
        case IOTRAP_IOCB_PREAD, IOTRAP_IOCB_PREADV, IOTRAP_IOCB_PWRITE, IOTRAP_IOCB_PWRITEV:
            return transfer(thread, iocb, request, facts)
        case IOTRAP_IOCB_FSYNC, IOTRAP_IOCB_FDSYNC:
            let type = facts.mode & Classification.typeMask
            guard iocb.buffer == 0, iocb.offset == 0, iocb.bytes == 0, iocb.rw_flags == 0,
                type == FileType.regular || type == FileType.directory || type == FileType.block
            else { return .refuse(-22) }
            let dataOnly = UInt32(iocb.opcode) == IOTRAP_IOCB_FDSYNC
            request.pointee.kind = UInt8(
                (dataOnly ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC).rawValue)
            return .serve
        case IOTRAP_IOCB_POLL:
            let type = facts.mode & Classification.typeMask
            guard iocb.buffer <= 0xffff, iocb.offset == 0, iocb.bytes == 0, iocb.rw_flags == 0,
                type != FileType.regular, type != FileType.directory, type != FileType.block
            else { return .refuse(-22) }
            request.pointee.kind = UInt8(IOTRAP_REQUEST_POLL.rawValue)
            request.pointee.rw_flags = UInt32(iocb.buffer)
            return .serve
        default:
            return .refuse(-22)
        }
    }

    private static func transfer(
        _ thread: Thread, _ iocb: iotrap_iocb, _ request: Request, _ facts: iotrap_file_facts
    ) -> Plan {
        let opcode = UInt32(iocb.opcode)
        let writes = opcode == IOTRAP_IOCB_PWRITE || opcode == IOTRAP_IOCB_PWRITEV
        let isVector = opcode == IOTRAP_IOCB_PREADV || opcode == IOTRAP_IOCB_PWRITEV
        let access = facts.status_flags & OpenFlags.accessMask
        let type = facts.mode & Classification.typeMask
        if let error = flagsError(iocb, facts, writes: writes) { return .refuse(error) }
        guard writes ? access != 0 : access != OpenFlags.writeOnly else { return .refuse(-9) }
        guard type != FileType.directory else { return .refuse(-22) }
        if let error = memory(thread, iocb, request, isVector: isVector) { return .refuse(error) }
        request.pointee.offset = iocb.offset
        let kind: iotrap_request_kind
        if isVector {
            kind = writes ? IOTRAP_REQUEST_WRITEV : IOTRAP_REQUEST_READV
        } else {
            kind = writes ? IOTRAP_REQUEST_WRITE : IOTRAP_REQUEST_READ
        }
        request.pointee.kind = UInt8(kind.rawValue)
        let isFile = type == FileType.regular || type == FileType.block
        if isFile && iocb.offset < 0 { return .refuse(-22) }
        let isDirect = facts.status_flags & OpenFlags.direct != 0
        let appends = facts.status_flags & OpenFlags.append != 0
        // Everything that the kernel runs inside io_submit is run there: in the program's order.
        guard isFile, iocb.bytes > 0, iocb.rw_flags == 0, iocb.flags & IOTRAP_IOCB_FLAG_IOPRIO == 0,
            !writes || (isDirect && !appends)
        else { return .run }
        if !writes && !isDirect && !isVector && isCached(request, facts) { return .done }
        if writes {
            let end = UInt64(iocb.offset) &+ UInt64(isVector ? 0x7fff_f000 : request.pointee.length)
            if end > UInt64(iotrap_file_size_limit()) { return .run }
        }
        return .serve
    }

    /// Reads what is in the page cache, inside io_submit as the kernel does; false when some of it
    /// is not there.
    private static func isCached(_ request: Request, _ facts: iotrap_file_facts) -> Bool {
        let r = request.pointee
        var element = iovec(iov_base: r.address, iov_len: Int(r.length))
        let noWait: UInt32 = 8  // RWF_NOWAIT
        let result = iotrap_vector_flags_raw(r.descriptor, &element, 1, r.offset, noWait, 0)
        // A short read is a whole one only at the end of the file.
        guard
            result == Int(r.length)
                || (result >= 0 && r.offset &+ Int64(result) >= facts.size && facts.size > 0)
        else { return false }
        request.pointee.reserved = UInt32(truncatingIfNeeded: result)
        return true
    }

    /// Errors of aio_rw_flags and of a priority, which a transfer of nothing shows.
    private static func flagsError(
        _ iocb: iotrap_iocb, _ facts: iotrap_file_facts, writes: Bool
    ) -> Int32? {
        if iocb.flags & IOTRAP_IOCB_FLAG_IOPRIO != 0 {
            let error = iotrap_priority_error(Int32(iocb.priority))
            if error < 0 { return error }
        }
        guard iocb.rw_flags != 0 else { return nil }
        let isRegular = facts.mode & Classification.typeMask == FileType.regular
        var nothing = iovec()
        let result = iotrap_vector_flags_raw(
            Int32(bitPattern: iocb.descriptor), &nothing, 1, isRegular ? 0 : -1, iocb.rw_flags,
            writes ? 1 : 0)
        return result == -95 || result == -22 ? Int32(result) : nil
    }

    /// Notes where the data is; an error for memory that cannot be the program's.
    private static func memory(
        _ thread: Thread, _ iocb: iotrap_iocb, _ request: Request, isVector: Bool
    ) -> Int32? {
        request.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(iocb.buffer))
        guard isVector else {
            let length = min(iocb.bytes, Eligibility.lengthMaximum)
            guard iocb.buffer <= Eligibility.addressEnd,
                iocb.buffer + length <= Eligibility.addressEnd
            else { return -14 }
            request.pointee.length = UInt32(length)
            return nil
        }
        guard iocb.bytes <= 1024 else { return -22 }
        request.pointee.length = UInt32(iocb.bytes)
        guard iocb.bytes > 0 else { return nil }
        guard iocb.buffer < Eligibility.addressEnd,
            UserMemory.isReadable(thread, UInt(iocb.buffer), bytes: UInt(iocb.bytes) * 16),
            let vector = UnsafePointer<iovec>(bitPattern: UInt(iocb.buffer))
        else { return -14 }
        for index in 0..<Int(iocb.bytes) {
            let base = UInt64(UInt(bitPattern: vector[index].iov_base))
            let length = UInt64(UInt(bitPattern: vector[index].iov_len))
            if length > UInt64(Int64.max) { return -22 }
            if base >= Eligibility.addressEnd || base &+ length > Eligibility.addressEnd {
                return -14
            }
        }
        return nil
    }

    /// Runs a transfer in the calling thread; on pipes and the like without an offset.
    static func runHere(_ request: Request) -> Int32 {
        let result = Requests.runPlain(request)
        guard result == -29 else { return result }
        request.pointee.offset = -1
        return Requests.runPlain(request)
    }
}
