import CIOTrap
import CIOTrapEngine

/// pread, pwrite and their vectored forms.
enum DataCalls {
    /// Largest transfer of one call (MAX_RW_COUNT of the kernel, for 4 KiB pages).
    static let transferMaximum: UInt64 = 0x7fff_f000
    static let vectorMaximum: Int32 = 1024
    /// Where user addresses end (TASK_SIZE_MAX of x86_64 with four levels of page tables).
    static let addressEnd: UInt64 = 0x7fff_ffff_f000
    /// Vectored calls smaller than this are too quick for a comparison to cost nothing.
    static let vectoredMinimum: UInt64 = 64 << 10

    /// What was found out about a call.
    struct Shape {
        var writes: Bool
        var isDirect: Bool
        var bytes: UInt64
        /// Elements with a length.
        var elements: Int
        /// Fit to be cut for O_DIRECT.
        var isAligned: Bool
    }

    static func serve(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>
    ) -> Int64 {
        let fd = call.pointee.descriptor
        var slot = DescriptorTable.load(fd)
        if slot.kind == .unknown || slot.kind == .openedBuffered {
            guard let found = Classification.classify(fd) else {
                return decline(thread, call, IOTRAP_REASON_BAD_DESCRIPTOR)
            }
            slot = found
        }
        if slot.kind == .pooled {
            var facts = iotrap_file_facts()
            guard iotrap_file_facts(fd, &facts) == 0 else {
                return decline(thread, call, IOTRAP_REASON_BAD_DESCRIPTOR)
            }
            if let result = PoolCalls.serve(thread, call, slot, facts) { return result }
            slot = Slot(kind: Classification.kind(of: facts), flags: facts.status_flags)
        }
        if let reason = refusal(slot, call) { return decline(thread, call, reason) }
        guard let shape = examine(call, isDirect: slot.kind == .direct) else {
            return decline(thread, call, IOTRAP_REASON_SIZE_LIMIT)
        }
        let configuration = process.pointee.configuration
        let ring = configuration.setting(IOTRAP_TECHNIQUE_RING.rawValue)
        let split = configuration.setting(IOTRAP_TECHNIQUE_SPLIT.rawValue)
        let off = IOTRAP_SETTING_OFF.rawValue
        let isLarge = shape.isDirect && shape.bytes >= configuration.splitChunkBytes * 2
        if split != off && isLarge && shape.isAligned {
            return attempt(thread, call, shape, IOTRAP_TECHNIQUE_SPLIT, split)
        }
        // Pieces that are each aligned can make up a vector that the kernel refuses as a whole.
        if shape.isDirect && shape.elements > 1 && !shape.isAligned {
            return decline(thread, call, IOTRAP_REASON_UNALIGNED)
        }
        if ring == IOTRAP_SETTING_ON.rawValue {
            return attempt(thread, call, shape, IOTRAP_TECHNIQUE_RING, ring)
        }
        let isVectored = shape.elements > 1 && shape.bytes >= vectoredMinimum
        if ring != off && shape.isDirect && isVectored && shape.isAligned {
            return attempt(thread, call, shape, IOTRAP_TECHNIQUE_RING, ring)
        }
        let isUnfit = isLarge && !shape.isAligned
        if split == off && ring == off { return decline(thread, call, IOTRAP_REASON_POLICY) }
        return decline(
            thread, call, isUnfit ? IOTRAP_REASON_UNALIGNED : IOTRAP_REASON_SINGLE_REQUEST)
    }

    /// Reasons that need no look at the buffers.
    private static func refusal(
        _ slot: Slot, _ call: UnsafeMutablePointer<iotrap_call>
    ) -> iotrap_reason? {
        switch slot.kind {
        case .notRegular: return IOTRAP_REASON_NOT_REGULAR
        case .engine, .unknown, .pooled: return IOTRAP_REASON_BAD_DESCRIPTOR
        case .buffered, .openedBuffered:
            if !process.pointee.servesBuffered {
                return bufferedReason(slot, call.pointee.operation)
            }
        case .direct:
            if !process.pointee.servesDirect { return IOTRAP_REASON_POLICY }
        }
        if process.pointee.isRestricted != 0 { return IOTRAP_REASON_IO_URING_UNAVAILABLE }
        if call.pointee.flags != 0 { return IOTRAP_REASON_FLAGS }
        if call.pointee.offset < 0 { return IOTRAP_REASON_SIZE_LIMIT }
        return nil
    }

    /// Measures a call; nil when its size or vector is for the kernel to judge.
    static func examine(
        _ call: UnsafeMutablePointer<iotrap_call>, isDirect: Bool
    ) -> Shape? {
        let count = call.pointee.iov_count
        guard count > 0, count <= vectorMaximum, let iov = call.pointee.iov else { return nil }
        let isVectored =
            call.pointee.operation == IOTRAP_OP_PREADV.rawValue
            || call.pointee.operation == IOTRAP_OP_PWRITEV.rawValue
        // The vector is the caller's memory and may be anything; pread's is the shim's own.
        if isVectored && iotrap_readable(iov, Int(count) * MemoryLayout<iovec>.stride) == 0 {
            return nil
        }
        var shape = Shape(
            writes: call.pointee.operation == IOTRAP_OP_PWRITE.rawValue
                || call.pointee.operation == IOTRAP_OP_PWRITEV.rawValue,
            isDirect: isDirect, bytes: 0, elements: 0, isAligned: true)
        var mixed = UInt(bitPattern: Int(truncatingIfNeeded: call.pointee.offset))
        for index in 0..<Int(count) {
            let length = iov[index].byteCount
            let start = UInt64(UInt(bitPattern: iov[index].iov_base))
            // The kernel checks every element's address before it moves a byte, empty ones too.
            guard start < addressEnd, length < addressEnd - start else { return nil }
            if length == 0 { continue }
            guard length <= transferMaximum else { return nil }
            shape.bytes += length
            shape.elements += 1
            mixed |= UInt(bitPattern: iov[index].iov_base) | UInt(length)
        }
        let end = call.pointee.offset.addingReportingOverflow(Int64(shape.bytes))
        guard shape.bytes > 0, shape.bytes <= transferMaximum, !end.overflow else { return nil }
        shape.isAligned = mixed & 511 == 0
        call.pointee.bytes = shape.bytes
        return shape
    }

    /// Serves a call by a technique, or by the plain call if the comparison says so.
    private static func attempt(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ shape: Shape, _ technique: iotrap_technique, _ setting: UInt32
    ) -> Int64 {
        var mask: UInt64 = 0
        // The kernel's own wait for a disk cannot be interrupted either; and a handler that jumped
        // out of the wait would leave requests in flight to memory that is then used otherwise.
        iotrap_signals_block(&mask)
        let result = attemptBlocked(thread, call, shape, technique, setting)
        iotrap_signals_restore(&mask)
        return result
    }

    private static func attemptBlocked(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ shape: Shape, _ technique: iotrap_technique, _ setting: UInt32
    ) -> Int64 {
        var facts = iotrap_file_facts()
        let isSplit = technique == IOTRAP_TECHNIQUE_SPLIT
        if setting == IOTRAP_SETTING_AUTO.rawValue || shape.writes || isSplit {
            // Writes rely on the size: an old one would let the pieces of a longer file overtake
            // each other, or keep a file that has grown from being cut for ever.
            let fd = call.pointee.descriptor
            let result =
                shape.writes ? iotrap_file_facts_now(fd, &facts) : iotrap_file_facts(fd, &facts)
            if result < 0 { return decline(thread, call, IOTRAP_REASON_BAD_DESCRIPTOR) }
        }
        if setting == IOTRAP_SETTING_AUTO.rawValue {
            let comparison =
                isSplit
                ? FileRecord.ComparisonIndex.split(writes: shape.writes, bytes: shape.bytes)
                : FileRecord.ComparisonIndex.vectored(writes: shape.writes, bytes: shape.bytes)
            guard
                let (record, file) = FileTable.pin(
                    device: facts.device, inode: facts.inode, fd: call.pointee.descriptor)
            else { return decline(thread, call, IOTRAP_REASON_TABLE_FULL) }
            defer { record.unpin() }
            if !Experiment.begin(call, record, file, comparison) {
                return decline(thread, call, IOTRAP_REASON_COMPARED)
            }
        }
        if shape.writes, let reason = writeRefusal(call, shape, technique, facts) {
            Experiment.withdraw(call)
            return decline(thread, call, reason)
        }
        // The kernel stops at bad memory; pieces behind it would go on into whatever lies there.
        if isSplit, !shape.writes, !isWritable(call, upTo: facts.size - call.pointee.offset) {
            if setting == IOTRAP_SETTING_AUTO.rawValue { Experiment.withdraw(call) }
            return decline(thread, call, IOTRAP_REASON_SIZE_LIMIT)
        }
        return run(thread, call, shape, technique)
    }

    /// What must be certain before the pieces of a write may overtake each other.
    private static func writeRefusal(
        _ call: UnsafeMutablePointer<iotrap_call>, _ shape: Shape, _ technique: iotrap_technique,
        _ facts: iotrap_file_facts
    ) -> iotrap_reason? {
        // Flags are those of the description, which another process may have changed.
        if facts.status_flags & OpenFlags.append != 0 { return IOTRAP_REASON_APPEND }
        let end = call.pointee.offset + Int64(shape.bytes)
        // The kernel sends SIGXFSZ to the caller; from a ring it would go elsewhere.
        if end > iotrap_file_size_limit() { return IOTRAP_REASON_SIZE_LIMIT }
        let isCut = technique == IOTRAP_TECHNIQUE_SPLIT || shape.elements > 1
        // A failed piece must not leave a file longer than the count that is returned.
        if isCut && end > facts.size { return IOTRAP_REASON_EXTENDS_FILE }
        // Nor may pieces behind a bad address be written: the kernel would have stopped there.
        if isCut && !isReadable(call) { return IOTRAP_REASON_SIZE_LIMIT }
        return nil
    }

    /// True when the memory for the first so many bytes can take them. More is not asked for: a
    /// read over the end of the file does not touch it.
    private static func isWritable(
        _ call: UnsafeMutablePointer<iotrap_call>, upTo bytes: Int64
    ) -> Bool {
        var left = Int(max(0, bytes))
        for index in 0..<Int(call.pointee.iov_count) where left > 0 {
            let element = call.pointee.iov![index]
            let count = min(left, Int(element.byteCount))
            left -= count
            if count != 0, iotrap_buffer_writable(element.iov_base, count) == 0 { return false }
        }
        return true
    }

    static func isReadable(_ call: UnsafeMutablePointer<iotrap_call>) -> Bool {
        for index in 0..<Int(call.pointee.iov_count) {
            let element = call.pointee.iov![index]
            if element.iov_len != 0,
                iotrap_buffer_readable(element.iov_base, Int(element.byteCount)) == 0
            {
                return false
            }
        }
        return true
    }

    private static func run(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ shape: Shape, _ technique: iotrap_technique
    ) -> Int64 {
        let configuration = process.pointee.configuration
        let isSplit = technique == IOTRAP_TECHNIQUE_SPLIT
        let cursor = PieceCursor(
            iov: call.pointee.iov!, count: Int(call.pointee.iov_count),
            offset: call.pointee.offset, limit: Int64(shape.bytes),
            chunkBytes: isSplit ? configuration.splitChunkBytes : transferMaximum)
        var transfer = Transfer(
            writes: shape.writes, descriptor: call.pointee.descriptor,
            depth: Int(configuration.splitDepth))
        if call.pointee.started_ns == 0 { call.pointee.started_ns = iotrap_clock() }
        guard let outcome = Backends.run(thread, &transfer, cursor) else {
            Experiment.withdraw(call)
            return decline(thread, call, IOTRAP_REASON_IO_URING_UNAVAILABLE)
        }
        // The bytes that the plain call moves again are the same.
        if outcome.isUnserved || outcome.isMisfit {
            Experiment.withdraw(call)
            return decline(thread, call, IOTRAP_REASON_RETRIED)
        }
        let nanoseconds = iotrap_clock() &- call.pointee.started_ns
        Recording.batches(
            thread, technique, requests: outcome.requests, batches: outcome.batches)
        let isTrial = Experiment.isTrial(call)
        Recording.served(
            thread, call, technique, result: outcome.result, nanoseconds: nanoseconds,
            isTrial: isTrial)
        if call.pointee.file != 0 {
            Experiment.finish(thread, call, result: outcome.result, nanoseconds: nanoseconds)
        }
        return outcome.result
    }
}
