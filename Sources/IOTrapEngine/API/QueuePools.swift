import CIOTrap
import CIOTrapEngine
import Synchronization

/// Operations on files of a mount pool: the service thread has them, as it has those of
/// asynchronous I/O, and gives them back through a stack in the queue.
enum QueuePools {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot
    typealias Request = RequestPool.Request

    /// RWF_HIPRI: a hint, and a ring that does not poll refuses it.
    private static let highPriorityFlag: UInt32 = 1

    // MARK: - Files

    /// True for a descriptor whose file a pool spreads.
    static func isPooled(_ descriptor: Int32) -> Bool {
        Pools.areActive && Classification.classify(descriptor)?.kind == .pooled
    }

    /// The paths of the pool that a file is in; 1: in none.
    static func paths(_ descriptor: Int32) -> UInt32 {
        guard Pools.areActive else { return 1 }
        let slot = DescriptorTable.load(descriptor)
        guard slot.kind == .pooled, let record = PoolFiles.enter(slot.file, slot.generation)
        else { return 1 }
        defer { PoolFiles.leave(record) }
        return Pools.pool(record.pointee.pool).pointee.path_count
    }

    // MARK: - Out

    /// Hands an operation to the service thread; false when it goes to its own path like any other.
    static func hand(
        _ q: Queue, _ slot: Slot, _ number: UInt32, _ file: LibraryFiles.File
    ) -> Bool {
        guard Pools.areActive, let kind = kind(slot), let request = RequestPool.take()
        else { return false }
        fill(q, slot, request, number, kind, file.pointee.descriptor)
        prepare(request)
        guard request.pointee.pool_file != 0 else {
            RequestPool.give(request)
            return false
        }
        slot.pointee.state = UInt8(IOTRAP_SLOT_POOL.rawValue)
        slot.pointee.notes |= UInt8(IOTRAP_NOTE_POOL)
        q.pointee.in_pool &+= 1
        if Service.submit(first: request.pointee.number + 1, count: 1) { return true }
        q.pointee.in_pool &-= 1
        slot.pointee.notes &= ~UInt8(IOTRAP_NOTE_POOL)
        PoolTarget.withdraw(request)
        RequestPool.give(request)
        return false
    }

    private static func kind(_ slot: Slot) -> iotrap_request_kind? {
        switch UInt32(slot.pointee.io.kind) {
        case IOTRAP_IO_READ.rawValue: IOTRAP_REQUEST_READ
        case IOTRAP_IO_WRITE.rawValue: IOTRAP_REQUEST_WRITE
        case IOTRAP_IO_READV.rawValue: IOTRAP_REQUEST_READV
        case IOTRAP_IO_WRITEV.rawValue: IOTRAP_REQUEST_WRITEV
        case IOTRAP_IO_FSYNC.rawValue: IOTRAP_REQUEST_FSYNC
        case IOTRAP_IO_FDATASYNC.rawValue: IOTRAP_REQUEST_FDATASYNC
        default: nil
        }
    }

    private static func fill(
        _ q: Queue, _ slot: Slot, _ request: Request, _ number: UInt32,
        _ kind: iotrap_request_kind, _ descriptor: Int32
    ) {
        let io = slot.pointee.io
        let moved = slot.pointee.moved
        RequestPool.setNext(request, 0)
        request.pointee.kind = UInt8(kind.rawValue)
        request.pointee.flags = 0
        request.pointee.destination = UInt8(IOTRAP_TO_QUEUE.rawValue)
        request.pointee.order = 0
        request.pointee.descriptor = descriptor
        request.pointee.rw_flags = io.rw_flags & ~highPriorityFlag
        request.pointee.priority = UInt32(io.priority)
        request.pointee.address = io.buffer.map { $0 + Int(moved) }
        request.pointee.length = UInt32(truncatingIfNeeded: io.length - moved)
        request.pointee.comparison = 0
        request.pointee.offset = io.offset + Int64(moved)
        request.ownerWord.pointee.store(UInt64(UInt(bitPattern: q)), ordering: .relaxed)
        request.pointee.data = UInt64(number)
        request.pointee.started_ns = iotrap_clock()
        request.pointee.file = 0
        request.pointee.file_generation = 0
        request.pointee.epoch = 0
        request.pointee.state = 0
        request.pointee.group = 0
        request.pointee.pool_file = 0
    }

    private static func prepare(_ request: Request) {
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(request.pointee.descriptor, &facts) == 0 else { return }
        if Requests.isSync(request) { return PoolSyncs.prepare(request, facts) }
        let bytes = bytes(request)
        let end = request.pointee.offset &+ Int64(bitPattern: bytes)
        if Requests.writes(request), end > iotrap_file_size_limit() { return }
        PoolTarget.prepare(request, facts, bytes: bytes)
    }

    private static func bytes(_ request: Request) -> UInt64 {
        let kind = UInt32(request.pointee.kind)
        guard
            kind == IOTRAP_REQUEST_READV.rawValue || kind == IOTRAP_REQUEST_WRITEV.rawValue,
            let address = request.pointee.address
        else { return UInt64(request.pointee.length) }
        let vectors = address.assumingMemoryBound(to: iovec.self)
        var sum: UInt64 = 0
        for index in 0..<Int(request.pointee.length) {
            sum &+= UInt64(vectors[index].iov_len)
        }
        return sum
    }

    // MARK: - Back

    /// Gives an operation back, in the service thread.
    static func end(_ request: Request, _ result: Int32) {
        let outcome =
            Requests.mustRunAgain(request, result) ? Requests.runPlain(request) : result
        let number = UInt32(truncatingIfNeeded: request.pointee.data)
        guard let q = request.pointee.owner?.assumingMemoryBound(to: iotrap_queue_core.self)
        else { return RequestPool.give(request) }
        RequestPool.give(request)
        let notifiers = iotrap_queue_core_notifiers(q).atomic
        // Before the operation is over: see `Queues.close`.
        notifiers.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing)
        push(q, number, Int64(outcome))
        QueueWaits.ring(q)
        // releasing: the descriptors are not used any more
        notifiers.pointee.wrappingSubtract(1, ordering: .releasing)
    }

    private static func push(_ q: Queue, _ number: UInt32, _ result: Int64) {
        let slot = Queues.slot(q, number)
        slot.pointee.result = result
        let head = iotrap_queue_core_pool_ended(q).atomic
        var top = head.pointee.load(ordering: .relaxed)
        while true {
            slot.pointee.next = top
            // Sequentially consistent: pairs with `QueueWaits.sleep`.
            let (exchanged, seen) = head.pointee.compareExchange(
                expected: top, desired: number, ordering: .sequentiallyConsistent)
            if exchanged { return }
            top = seen
        }
    }

    /// Takes what the service thread gave back.
    @inline(never)
    static func reap(_ q: Queue) {
        // acquiring: pairs with `push`
        var top = iotrap_queue_core_pool_ended(q).atomic.pointee.exchange(
            0, ordering: .acquiring)
        // Turned over: those that ended first come first.
        var first: UInt32 = 0
        while top != 0 {
            let slot = Queues.slot(q, top)
            let below = slot.pointee.next
            slot.pointee.next = first
            first = top
            top = below
        }
        while first != 0 {
            let slot = Queues.slot(q, first)
            let number = first
            first = slot.pointee.next
            q.pointee.in_pool &-= 1
            let next = QueueEnds.complete(q, number, slot.pointee.result)
            if next != 0 { QueueStarts.run(q, next) }
        }
    }

    // MARK: - Configuration

    /// Takes over the text of a program's pools.
    static func configure(
        _ text: UnsafePointer<CChar>, _ error: UnsafeMutablePointer<CChar>?, _ bytes: Int
    ) -> Int32 {
        if process.pointee.generation == 0 { iotrap_library_start_engine(1) }
        guard process.pointee.isActive, process.pointee.configuration.usesRing else {
            return LibraryError.notSupported
        }
        guard process.pointee.pools == nil else { return LibraryError.busy }
        let size = MemoryLayout<iotrap_pool_table>.size
        guard let pages = iotrap_pages(size, 0) else { return LibraryError.noMemory }
        let table = pages.assumingMemoryBound(to: iotrap_pool_table.self)
        var count = 0
        while text[count] != 0 { count += 1 }
        let buffer = UnsafeBufferPointer(
            start: UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self), count: count)
        do throws(PoolError) {
            try PoolParser(table).parseList(buffer)
        } catch let fault {
            iotrap_pages_free(pages, size)
            write(fault, buffer, error, bytes)
            return LibraryError.invalid
        }
        process.pointee.pools = table
        Pools.start()
        guard Pools.areActive else {
            process.pointee.pools = nil
            iotrap_pages_free(pages, size)
            return LibraryError.notSupported
        }
        prepareRouting()
        return 0
    }

    private static func write(
        _ fault: PoolError, _ text: UnsafeBufferPointer<UInt8>,
        _ out: UnsafeMutablePointer<CChar>?, _ bytes: Int
    ) {
        guard let out, bytes > 0 else { return }
        var line = PathBuffer()
        _ = line.append("'")
        for index in fault.start..<min(fault.start + min(fault.count, 64), text.count) {
            let byte = text[index]
            _ = line.append(byte >= 32 && byte < 127 ? byte : UInt8(ascii: "?"))
        }
        _ = line.append("' ")
        _ = line.append(fault.reason)
        _ = line.append("; ")
        _ = line.append(fault.remedy)
        let count = min(line.count, bytes - 1)
        _ = line.withAddress { address in
            out.update(from: UnsafePointer<CChar>(bitPattern: address)!, count: count)
            return 0
        }
        out[count] = 0
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_set_pools(
    _ pools: UnsafePointer<CChar>!, _ error: UnsafeMutablePointer<CChar>!, _ bytes: Int
) -> Int32 {
    guard let pools else { return LibraryError.badAddress }
    return QueuePools.configure(pools, error, bytes)
}
