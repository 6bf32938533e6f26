import CIOTrap
import CIOTrapEngine

/// Which requests of libaio may go to a ring: those that behave there exactly as with the kernel's
/// own libaio, and gain. Everything else the kernel does, errors included.
enum Eligibility {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// The first address that no program has.
    static let addressEnd: UInt64 = 1 << 47
    /// What one read or write moves at most (MAX_RW_COUNT).
    static let lengthMaximum: UInt64 = 0x7fff_f000

    /// Time of the kernel's io_submit for a request from which on O_DIRECT writes go to a ring.
    static let writesWaitNanoseconds: UInt64 = 50_000

    enum Answer {
        case ring
        case kernel(iotrap_reason)
    }

    /// Judges an iocb and fills the request's kind, descriptor, address, length and offset.
    static func judge(
        _ thread: Thread, _ iocb: iotrap_iocb, _ request: RequestPool.Request,
        _ context: ContextTable.Context, writesInFlight: Bool, sizeLimit: inout Int64
    ) -> Answer {
        if iocb.flags & IOTRAP_IOCB_FLAG_RESFD != 0 { return .kernel(IOTRAP_REASON_EVENTFD) }
        guard iocb.flags == 0, iocb.rw_flags == 0, iocb.reserved2 == 0
        else { return .kernel(IOTRAP_REASON_FLAGS) }
        let fd = Int32(bitPattern: iocb.descriptor)
        request.pointee.descriptor = fd
        request.pointee.rw_flags = 0
        request.pointee.priority = 0
        switch UInt32(iocb.opcode) {
        case IOTRAP_IOCB_PREAD, IOTRAP_IOCB_PREADV:
            if let reason = readReason(fd) { return .kernel(reason) }
            return transfer(thread, iocb, request, writes: false, sizeLimit: &sizeLimit)
        case IOTRAP_IOCB_PWRITE, IOTRAP_IOCB_PWRITEV:
            if let reason = writeReason(fd) { return .kernel(reason) }
            guard writesGain(context) else { return .kernel(IOTRAP_REASON_COMPARED) }
            return transfer(thread, iocb, request, writes: true, sizeLimit: &sizeLimit)
        case IOTRAP_IOCB_FSYNC, IOTRAP_IOCB_FDSYNC:
            // With writes of a ring in flight the sync must come after them, as it would with
            // writes that the kernel had begun first.
            guard writesInFlight, iocb.buffer == 0, iocb.offset == 0, iocb.bytes == 0,
                isFile(slot(fd))
            else { return .kernel(IOTRAP_REASON_OPCODE) }
            let dataOnly = UInt32(iocb.opcode) == IOTRAP_IOCB_FDSYNC
            request.pointee.kind = UInt8(
                (dataOnly ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC).rawValue)
            return .ring
        default:
            return .kernel(IOTRAP_REASON_OPCODE)
        }
    }

    private static func slot(_ fd: Int32) -> Slot {
        let slot = DescriptorTable.load(fd)
        if slot.kind == .unknown || slot.kind == .openedBuffered {
            return Classification.classify(fd) ?? Slot(word: 0)
        }
        return slot
    }

    private static func isFile(_ slot: Slot) -> Bool {
        slot.kind == .direct || slot.kind == .buffered || slot.kind == .pooled
    }

    private static func readReason(_ fd: Int32) -> iotrap_reason? {
        let slot = slot(fd)
        guard isFile(slot) else {
            return slot.kind == .unknown ? IOTRAP_REASON_BAD_DESCRIPTOR : IOTRAP_REASON_NOT_REGULAR
        }
        return slot.mayRead ? nil : IOTRAP_REASON_BAD_DESCRIPTOR
    }

    /// Buffered writes and appends the kernel does inside io_submit, one after the other: programs
    /// may rely on that order, and on a sync that follows.
    private static func writeReason(_ fd: Int32) -> iotrap_reason? {
        let slot = slot(fd)
        guard isFile(slot) else {
            return slot.kind == .unknown ? IOTRAP_REASON_BAD_DESCRIPTOR : IOTRAP_REASON_NOT_REGULAR
        }
        guard slot.kind == .direct else { return IOTRAP_REASON_ORDERED }
        // The slot is a hint, and this a decision with a consequence.
        let flags = iotrap_status_flags(fd)
        guard flags >= 0 else { return IOTRAP_REASON_BAD_DESCRIPTOR }
        let status = UInt32(flags)
        let access = status & OpenFlags.accessMask
        guard access == OpenFlags.writeOnly || access == OpenFlags.readWrite,
            status & OpenFlags.path == 0
        else { return IOTRAP_REASON_BAD_DESCRIPTOR }
        guard status & OpenFlags.direct != 0, status & OpenFlags.append == 0
        else { return IOTRAP_REASON_ORDERED }
        return nil
    }

    /// Whether O_DIRECT writes gain by a ring: not where the kernel's io_submit only starts them. A
    /// ring may have to ask a worker (ext4 allocates blocks there), which costs a tenth.
    private static func writesGain(_ context: ContextTable.Context) -> Bool {
        process.pointee.configuration.setting(IOTRAP_TECHNIQUE_LIBAIO.rawValue)
            == IOTRAP_SETTING_ON.rawValue
            || context.pointee.kernel_submit_ns > writesWaitNanoseconds
    }

    private static func transfer(
        _ thread: Thread, _ iocb: iotrap_iocb, _ request: RequestPool.Request, writes: Bool,
        sizeLimit: inout Int64
    ) -> Answer {
        let isVector =
            UInt32(iocb.opcode) == IOTRAP_IOCB_PREADV || UInt32(iocb.opcode) == IOTRAP_IOCB_PWRITEV
        guard iocb.offset >= 0, iocb.buffer < addressEnd, iocb.bytes > 0
        else { return .kernel(IOTRAP_REASON_SIZE_LIMIT) }
        let bytes: UInt64
        if isVector {
            guard let sum = vectorBytes(thread, iocb) else {
                return .kernel(IOTRAP_REASON_SIZE_LIMIT)
            }
            bytes = sum
            request.pointee.length = UInt32(iocb.bytes)
        } else {
            guard iocb.bytes <= lengthMaximum, iocb.buffer + iocb.bytes <= addressEnd
            else { return .kernel(IOTRAP_REASON_SIZE_LIMIT) }
            bytes = iocb.bytes
            request.pointee.length = UInt32(bytes)
        }
        guard iocb.offset <= Int64.max - Int64(bytes)
        else { return .kernel(IOTRAP_REASON_SIZE_LIMIT) }
        if writes {
            if sizeLimit < 0 { sizeLimit = iotrap_file_size_limit() }
            // The kernel sends SIGXFSZ to the thread that exceeds the limit: not to be a worker.
            guard iocb.offset + Int64(bytes) <= sizeLimit
            else { return .kernel(IOTRAP_REASON_SIZE_LIMIT) }
        }
        let kind: iotrap_request_kind
        if isVector {
            kind = writes ? IOTRAP_REQUEST_WRITEV : IOTRAP_REQUEST_READV
        } else {
            kind = writes ? IOTRAP_REQUEST_WRITE : IOTRAP_REQUEST_READ
        }
        request.pointee.kind = UInt8(kind.rawValue)
        request.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(iocb.buffer))
        request.pointee.offset = iocb.offset
        return .ring
    }

    /// Bytes of a vector in the program's memory; nil for one that the kernel had better judge.
    private static func vectorBytes(_ thread: Thread, _ iocb: iotrap_iocb) -> UInt64? {
        guard iocb.bytes <= 1024,
            UserMemory.isReadable(
                thread, UInt(iocb.buffer), bytes: UInt(iocb.bytes) &* 16),
            let vector = UnsafePointer<iovec>(bitPattern: UInt(iocb.buffer))
        else { return nil }
        var sum: UInt64 = 0
        for index in 0..<Int(iocb.bytes) {
            let base = UInt64(UInt(bitPattern: vector[index].iov_base))
            let length = UInt64(UInt(bitPattern: vector[index].iov_len))
            guard length <= lengthMaximum, base < addressEnd, base + length <= addressEnd
            else { return nil }
            sum += length
        }
        return sum > 0 && sum <= lengthMaximum ? sum : nil
    }
}
