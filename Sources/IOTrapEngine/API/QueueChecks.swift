import CIOTrap
import CIOTrapEngine

/// What is asked of an operation before it is added, and what is noted of a call that failed.
enum QueueChecks {
    typealias Queue = Queues.Queue
    typealias IO = UnsafePointer<iotrap_io>

    static let transferMaximum: UInt64 = 0x7fff_f000
    static let vectorsMaximum: UInt64 = 1024
    static let links = IOTRAP_IO_LINK | IOTRAP_IO_HARDLINK

    private static let knownFlags: UInt32 = 0xff

    // MARK: - Kinds

    @inline(__always)
    static func isTransfer(_ kind: UInt16) -> Bool {
        kind >= UInt16(IOTRAP_IO_READ.rawValue) && kind <= UInt16(IOTRAP_IO_WRITEV.rawValue)
    }

    @inline(__always)
    static func isVectored(_ kind: UInt16) -> Bool {
        kind == UInt16(IOTRAP_IO_READV.rawValue) || kind == UInt16(IOTRAP_IO_WRITEV.rawValue)
    }

    @inline(__always)
    static func isSync(_ kind: UInt16) -> Bool {
        kind == UInt16(IOTRAP_IO_FSYNC.rawValue) || kind == UInt16(IOTRAP_IO_FDATASYNC.rawValue)
    }

    /// Operations that open and close their file themselves.
    @inline(__always)
    static func isFile(_ kind: UInt16) -> Bool {
        kind == UInt16(IOTRAP_IO_READ_FILE.rawValue)
            || kind == UInt16(IOTRAP_IO_WRITE_FILE.rawValue)
    }

    @inline(__always)
    static func reads(_ kind: UInt16) -> Bool {
        kind == UInt16(IOTRAP_IO_READ.rawValue) || kind == UInt16(IOTRAP_IO_READV.rawValue)
            || kind == UInt16(IOTRAP_IO_READ_FILE.rawValue)
    }

    @inline(__always)
    static func writes(_ kind: UInt16) -> Bool {
        kind == UInt16(IOTRAP_IO_WRITE.rawValue) || kind == UInt16(IOTRAP_IO_WRITEV.rawValue)
            || kind == UInt16(IOTRAP_IO_WRITE_FILE.rawValue)
    }

    // MARK: - Refusing

    /// Notes why a call failed; returns `code`.
    @inline(never)
    static func refuse(
        _ q: Queue, _ code: Int32, _ why: iotrap_refusal_reason, _ io: IO? = nil,
        limit: UInt64 = 0, file: LibraryFiles.File? = nil
    ) -> Int32 {
        q.pointee.refusal.code = code
        q.pointee.refusal.why = why.rawValue
        q.pointee.refusal.operation = UInt32(io?.pointee.kind ?? UInt16.max)
        q.pointee.refusal.length = io?.pointee.length ?? 0
        q.pointee.refusal.offset = io?.pointee.offset ?? 0
        q.pointee.refusal.address = UInt64(UInt(bitPattern: io?.pointee.buffer))
        q.pointee.refusal.limit = limit
        q.pointee.refusal.has_file = 0
        let handle = io?.pointee.file
        if let file = file ?? LibraryFiles.find(handle) ?? LibraryFiles.findFormer(handle) {
            iotrap_refusal_set_path(address(of: &q.pointee.refusal), LibraryFiles.name(file))
        } else if let path = io?.pointee.path {
            iotrap_refusal_set_path(address(of: &q.pointee.refusal), path)
        }
        return code
    }

    // MARK: - Operations

    /// 0 when an operation may be added; nothing is changed but the refusal.
    ///
    /// - Parameter follows: flags of the operation before it; a link there leads to this one.
    @inline(__always)
    static func examine(_ q: Queue, _ io: IO, follows: UInt32) -> Int32 {
        let kind = io.pointee.kind
        let flags = io.pointee.flags
        // The usual case first: a transfer of a file, with nothing special.
        if kind <= UInt16(IOTRAP_IO_WRITE.rawValue), kind != 0, flags & ~links == 0,
            io.pointee.length <= transferMaximum, io.pointee.offset >= 0,
            io.pointee.reserved == (0, 0, 0)
        {
            guard let file = LibraryFiles.find(io.pointee.file) else { return closed(q, io) }
            return alignment(q, io, file)
        }
        return examineRest(q, io, follows)
    }

    @inline(never)
    private static func closed(_ q: Queue, _ io: IO) -> Int32 {
        if io.pointee.file == nil {
            return refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_TARGET, io)
        }
        return Library.misuse(
            "operation on a closed file",
            refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_CLOSED, io))
    }

    private static func alignment(_ q: Queue, _ io: IO, _ file: LibraryFiles.File) -> Int32 {
        let offset = UInt64(file.pointee.offset_alignment)
        let memory = UInt64(file.pointee.memory_alignment)
        if offset <= 1 { return 0 }
        let invalid = LibraryError.invalid
        if UInt64(bitPattern: io.pointee.offset) % offset != 0 {
            return refuse(
                q, invalid, IOTRAP_REFUSED_OFFSET_ALIGNMENT, io, limit: offset, file: file)
        }
        if isVectored(io.pointee.kind) { return 0 }
        if io.pointee.length % offset != 0 {
            return refuse(
                q, invalid, IOTRAP_REFUSED_LENGTH_ALIGNMENT, io, limit: offset, file: file)
        }
        if UInt64(UInt(bitPattern: io.pointee.buffer)) % max(1, memory) != 0 {
            return refuse(
                q, invalid, IOTRAP_REFUSED_BUFFER_ALIGNMENT, io, limit: memory, file: file)
        }
        return 0
    }

    private static func examineRest(_ q: Queue, _ io: IO, _ follows: UInt32) -> Int32 {
        let kind = io.pointee.kind
        let flags = io.pointee.flags
        let invalid = LibraryError.invalid
        guard kind < UInt16(IOTRAP_IO_BATCH.rawValue) else {
            return refuse(q, invalid, IOTRAP_REFUSED_KIND, io)
        }
        guard flags & ~knownFlags == 0, flags & allowed(kind) == flags else {
            return refuse(q, invalid, IOTRAP_REFUSED_FLAGS, io)
        }
        guard io.pointee.reserved == (0, 0, 0) else {
            return refuse(q, invalid, IOTRAP_REFUSED_RESERVED, io)
        }
        if isFile(kind), (flags | follows) & links != 0 {
            return refuse(q, invalid, IOTRAP_REFUSED_LINK, io)
        }
        if isTransfer(kind) || isFile(kind) {
            let maximum = isVectored(kind) ? vectorsMaximum : transferMaximum
            guard io.pointee.length <= maximum else {
                return refuse(q, invalid, IOTRAP_REFUSED_LENGTH, io)
            }
            guard io.pointee.offset >= 0 else {
                return refuse(q, invalid, IOTRAP_REFUSED_OFFSET, io)
            }
        }
        let usesPath =
            isFile(kind) || kind == UInt16(IOTRAP_IO_OPEN.rawValue)
            || kind == UInt16(IOTRAP_IO_STAT.rawValue)
        let usesBuffer =
            isVectored(kind) || kind == UInt16(IOTRAP_IO_STAT.rawValue)
        if (usesPath && io.pointee.path == nil) || (usesBuffer && io.pointee.buffer == nil) {
            return refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL, io)
        }
        let target = target(q, io)
        guard target == 0, flags & IOTRAP_IO_FIXED_BUFFER != 0 else { return target }
        return buffer(q, io)
    }

    /// The flags that an operation of a kind takes.
    private static func allowed(_ kind: UInt16) -> UInt32 {
        var flags = links | IOTRAP_IO_QUIET | IOTRAP_IO_WORKER
        if isTransfer(kind) || isSync(kind) { flags |= IOTRAP_IO_SLOT | IOTRAP_IO_DESCRIPTOR }
        if isTransfer(kind), !isVectored(kind) {
            flags |= IOTRAP_IO_FIXED_BUFFER | IOTRAP_IO_WHOLE
        }
        if isFile(kind) { flags |= IOTRAP_IO_FIXED_BUFFER }
        if kind == UInt16(IOTRAP_IO_OPEN.rawValue) || kind == UInt16(IOTRAP_IO_CLOSE.rawValue) {
            flags |= IOTRAP_IO_SLOT
        }
        return flags
    }

    private static func target(_ q: Queue, _ io: IO) -> Int32 {
        let flags = io.pointee.flags
        if flags & IOTRAP_IO_SLOT != 0 {
            guard flags & IOTRAP_IO_DESCRIPTOR == 0 else {
                return refuse(q, LibraryError.invalid, IOTRAP_REFUSED_FLAGS, io)
            }
            guard io.pointee.slot < q.pointee.file_slots else {
                return refuse(
                    q, LibraryError.invalid, IOTRAP_REFUSED_SLOT, io,
                    limit: UInt64(q.pointee.file_slots))
            }
            guard isTransfer(io.pointee.kind),
                let file = q.pointee.registered![Int(io.pointee.slot)].file
            else { return 0 }
            return alignment(q, io, file)
        }
        guard flags & IOTRAP_IO_DESCRIPTOR == 0,
            isTransfer(io.pointee.kind) || isSync(io.pointee.kind)
        else { return 0 }
        guard let file = LibraryFiles.find(io.pointee.file) else { return closed(q, io) }
        return isTransfer(io.pointee.kind) ? alignment(q, io, file) : 0
    }

    private static func buffer(_ q: Queue, _ io: IO) -> Int32 {
        guard io.pointee.buffer_index < q.pointee.buffer_slots else {
            return refuse(
                q, LibraryError.invalid, IOTRAP_REFUSED_BUFFER_INDEX, io,
                limit: UInt64(q.pointee.buffer_slots))
        }
        let memory = QueueTables.buffer(q, io.pointee.buffer_index).pointee
        guard memory.bytes > 0 else {
            return refuse(
                q, LibraryError.badAddress, IOTRAP_REFUSED_BUFFER_INDEX, io,
                limit: UInt64(q.pointee.buffer_slots))
        }
        let start = UInt64(UInt(bitPattern: io.pointee.buffer))
        guard start >= memory.address, start - memory.address <= memory.bytes,
            io.pointee.length <= memory.bytes - (start - memory.address)
        else {
            return refuse(
                q, LibraryError.badAddress, IOTRAP_REFUSED_BUFFER_RANGE, io, limit: memory.bytes)
        }
        return 0
    }
}
