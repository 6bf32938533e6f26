import CIOTrap
import CIOTrapEngine
import Synchronization

/// Queues of iotrap_queue.h: opening, closing, and who may use them.
///
/// An operation is a *slot* from its adding until its completion is taken. Slots are found by index
/// and are in one list at a time: free, added, done, or none while the kernel, the service thread
/// or another slot holds them.
enum Queues {
    typealias Queue = UnsafeMutablePointer<iotrap_queue_core>
    typealias Slot = UnsafeMutablePointer<iotrap_slot>

    enum Limit {
        static let depth: UInt32 = 16384
        static let depthDefault: UInt32 = 128
        static let slots: UInt32 = 16384
        /// Registered slots for *_FILE operations: as many of these are in flight at once.
        static let innerFiles: UInt32 = 256
        static let entriesMinimum: UInt32 = 8
        /// How often in a row the kernel may refuse to wait before the ring counts as gone.
        static let refusals = 1000
    }

    static let knownFlags =
        IOTRAP_QUEUE_UNBOUND | IOTRAP_QUEUE_PLAIN | IOTRAP_QUEUE_RING | IOTRAP_QUEUE_STRICT
        | IOTRAP_QUEUE_NO_WAKE

    // MARK: - Finding

    /// The queue that a handle names, whoever asks.
    @inline(__always)
    static func find(_ handle: OpaquePointer?) -> Queue? {
        guard let record = Library.find(handle, IOTRAP_HANDLE_QUEUE) else { return nil }
        return UnsafeMutableRawPointer(record).assumingMemoryBound(to: iotrap_queue_core.self)
    }

    /// The queue for a call by its owner; nil and `code` when it cannot be made.
    @inline(__always)
    static func enter(_ handle: OpaquePointer?, _ code: inout Int32) -> Queue? {
        guard let q = find(handle) else {
            code = Library.misuse(
                "queue: closed already, or no queue", LibraryError.badHandle)
            return nil
        }
        // A forked child's thread has the same address as its parent's.
        if q.pointee.record.process == Library.currentProcess(),
            q.pointee.owner == UnsafeMutableRawPointer(iotrap_self())
        {
            return q
        }
        return enterForeign(q, &code)
    }

    @inline(never)
    private static func enterForeign(_ q: Queue, _ code: inout Int32) -> Queue? {
        guard q.pointee.record.process == Library.currentProcess() else {
            code = Library.misuse("queue: of the parent process", LibraryError.badHandle)
            return nil
        }
        if q.pointee.flags & IOTRAP_QUEUE_UNBOUND != 0 { return q }
        code = Library.misuse(
            "queue: used by a thread that did not open it", LibraryError.permission)
        return nil
    }

    static func isOwner(_ q: Queue) -> Bool {
        q.pointee.flags & IOTRAP_QUEUE_UNBOUND != 0
            || q.pointee.owner == UnsafeMutableRawPointer(iotrap_self())
    }

    @inline(__always)
    static func slot(_ q: Queue, _ number: UInt32) -> Slot { q.pointee.slots + Int(number &- 1) }

    @inline(__always)
    static func number(_ q: Queue, _ slot: Slot) -> UInt32 {
        UInt32(truncatingIfNeeded: slot - q.pointee.slots) &+ 1
    }

    // MARK: - Opening

    static func refusal(_ options: UnsafePointer<iotrap_queue_options>) -> Int32 {
        let size = MemoryLayout<iotrap_queue_options>.size
        let o = options.pointee
        guard o.struct_size >= size else { return LibraryError.invalid }
        guard OptionBytes.areZero(options, from: size, to: o.struct_size) else {
            return LibraryError.tooBig
        }
        let backends = IOTRAP_QUEUE_PLAIN | IOTRAP_QUEUE_RING
        guard o.flags & ~knownFlags == 0, o.flags & backends != backends,
            o.depth <= Limit.depth, o.file_slots <= Limit.slots, o.buffer_slots <= Limit.slots,
            o.reserved_word == 0, o.reserved == (0, 0, 0)
        else { return LibraryError.invalid }
        return 0
    }

    /// Opens a queue: 0 and its handle, or -errno.
    static func open(
        _ options: iotrap_queue_options, _ out: UnsafeMutablePointer<OpaquePointer?>
    ) -> Int32 {
        guard let record = Library.take() else { return LibraryError.noMemory }
        let q = UnsafeMutableRawPointer(record).assumingMemoryBound(to: iotrap_queue_core.self)
        q.pointee.flags = options.flags
        q.pointee.depth = options.depth == 0 ? Limit.depthDefault : options.depth
        q.pointee.number = Library.nextQueueNumber()
        q.pointee.file_slots = options.file_slots
        q.pointee.buffer_slots = options.buffer_slots
        q.pointee.wake_event = -1
        q.pointee.completion_event = -1
        if options.flags & IOTRAP_QUEUE_UNBOUND == 0 {
            q.pointee.owner = UnsafeMutableRawPointer(iotrap_self())
        }
        if options.flags & IOTRAP_QUEUE_STRICT != 0 { Library.setStrict(true) }
        let result = fill(q)
        guard result == 0 else {
            release(q)
            Library.give(record)
            return result
        }
        out.pointee = Library.publish(record, IOTRAP_HANDLE_QUEUE)
        return 0
    }

    private static func fill(_ q: Queue) -> Int32 {
        q.pointee.wake_event = iotrap_eventfd()
        guard q.pointee.wake_event >= 0 else { return q.pointee.wake_event }
        if q.pointee.flags & IOTRAP_QUEUE_PLAIN == 0 {
            let refusal = makeRing(q)
            if refusal != 0 && q.pointee.flags & IOTRAP_QUEUE_RING != 0 { return refusal }
        }
        let inner = q.pointee.ring == nil ? 0 : min(q.pointee.depth, Limit.innerFiles)
        guard makeRegion(q, inner) else { return LibraryError.noMemory }
        guard q.pointee.ring != nil else { return 0 }
        return registerTables(q, inner)
    }

    private static func makeRing(_ q: Queue) -> Int32 {
        let insists = q.pointee.flags & IOTRAP_QUEUE_RING != 0
        if process.pointee.isRestricted != 0 { return LibraryError.permission }
        if !insists {
            // A filter may kill for a system call it does not list, and there is no asking first.
            if iotrap_seccomp_filtered() != 0 { return LibraryError.permission }
            if process.pointee.isActive && !process.pointee.configuration.usesRing {
                return LibraryError.permission
            }
        }
        var entries = Limit.entriesMinimum
        while entries < q.pointee.depth &* 2 { entries &*= 2 }
        var error: Int32 = 0
        let isBound: Int32 = q.pointee.flags & IOTRAP_QUEUE_UNBOUND == 0 ? 1 : 0
        guard let ring = iotrap_ring_create_queue(entries, isBound, &error) else { return error }
        guard !process.pointee.isActive || ThreadRing.register(ring) else {
            iotrap_ring_destroy(ring)
            return LibraryError.noMemory
        }
        q.pointee.ring = ring
        return 0
    }

    /// One piece of memory for slots and tables.
    private static func makeRegion(_ q: Queue, _ inner: UInt32) -> Bool {
        let slotBytes = MemoryLayout<iotrap_slot>.stride * Int(q.pointee.depth)
        let tables = Int(q.pointee.file_slots) + Int(q.pointee.buffer_slots)
        let tableBytes = MemoryLayout<iotrap_registered>.stride * tables
        let innerBytes = Int(inner) * 4
        let bytes = slotBytes + tableBytes + innerBytes
        guard let pages = iotrap_pages(bytes, 1) else { return false }
        q.pointee.region_bytes = UInt64(bytes)
        q.pointee.slots = pages.assumingMemoryBound(to: iotrap_slot.self)
        if tables > 0 {
            q.pointee.registered = (pages + slotBytes).assumingMemoryBound(
                to: iotrap_registered.self)
        }
        q.pointee.inner_next = (pages + slotBytes + tableBytes).assumingMemoryBound(
            to: UInt32.self)
        for index in 0..<Int(q.pointee.depth) {
            q.pointee.slots[index].next =
                index + 1 < Int(q.pointee.depth) ? UInt32(index) + 2 : 0
            // The memory is there from now on.
            q.pointee.slots[index].state = UInt8(IOTRAP_SLOT_FREE.rawValue)
        }
        q.pointee.free_slots = 1
        return true
    }

    private static func registerTables(_ q: Queue, _ wanted: UInt32) -> Int32 {
        guard let ring = q.pointee.ring else { return 0 }
        var inner = iotrap_ring_opens_slots(ring) != 0 ? wanted : 0
        let files = q.pointee.file_slots
        while files + inner > 0 {
            let result = iotrap_ring_register_files(ring, files + inner)
            if result >= 0 { break }
            // RLIMIT_NOFILE limits the table; what *_FILE can do without comes last.
            if inner == 0 { return result }
            inner /= 2
        }
        q.pointee.inner_files = inner
        for index in 0..<inner {
            q.pointee.inner_next![Int(index)] = index + 1 < inner ? index + 2 : 0
        }
        q.pointee.free_inner = inner > 0 ? 1 : 0
        if q.pointee.buffer_slots > 0,
            iotrap_ring_register_buffers(ring, q.pointee.buffer_slots) < 0
        {
            q.pointee.plain_buffers = 1
        }
        return 0
    }

    // MARK: - Closing

    static func close(_ q: Queue) -> Int32 {
        guard q.pointee.in_callback == 0 else {
            return QueueChecks.refuse(q, LibraryError.deadlock, IOTRAP_REFUSED_CALLBACK)
        }
        q.pointee.is_closing = 1
        QueueEnds.dropAdded(q)
        QueueCancels.everything(q)
        var refusals = 0
        while q.pointee.in_ring + q.pointee.in_pool > 0, refusals < Limit.refusals {
            let result = QueueStarts.enter(q, waitFor: 1, timeout: 10_000_000)
            let isHarmless =
                result >= 0 || result == LibraryError.timeout || result == LibraryError.interrupted
            refusals = isHarmless ? 0 : refusals + 1
            QueueEnds.reap(q)
        }
        QueueEnds.dropDone(q)
        for index in 0..<Int(q.pointee.file_slots) {
            if let file = q.pointee.registered![index].file {
                LibraryFiles.leave(file, q.pointee.number)
            }
            QueueTables.closePlain(q, index)
        }
        let record = UnsafeMutableRawPointer(q).assumingMemoryBound(to: iotrap_record.self)
        // A handle that is used from now on names nothing; the record is used again later.
        release(q)
        Library.give(record)
        return 0
    }

    private static func release(_ q: Queue) {
        // Threads that are about to write to an eventfd would write to whoever has its number next.
        while iotrap_queue_core_notifiers(q).atomic.pointee.load(ordering: .acquiring) != 0 {
            iotrap_pause_ns(10_000)
        }
        if let ring = q.pointee.ring {
            if process.pointee.isActive {
                ThreadRing.release(ring)
            } else {
                iotrap_ring_destroy(ring)
            }
        }
        if q.pointee.wake_event >= 0 { iotrap_close_raw(q.pointee.wake_event) }
        if q.pointee.completion_event >= 0 { iotrap_close_raw(q.pointee.completion_event) }
        if q.pointee.region_bytes > 0 {
            iotrap_pages_free(
                UnsafeMutableRawPointer(q.pointee.slots), Int(q.pointee.region_bytes))
        }
        q.pointee.ring = nil
        q.pointee.region_bytes = 0
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_open(
    _ options: UnsafePointer<iotrap_queue_options>!,
    _ queue: UnsafeMutablePointer<OpaquePointer?>!
) -> Int32 {
    guard let queue else { return LibraryError.badAddress }
    guard let options else { return Queues.open(iotrap_queue_options(), queue) }
    let refusal = Queues.refusal(options)
    return refusal != 0 ? refusal : Queues.open(options.pointee, queue)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_close(_ queue: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return Queues.close(q)
}
