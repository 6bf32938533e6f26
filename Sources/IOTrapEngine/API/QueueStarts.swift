import CIOTrap
import CIOTrapEngine
import Synchronization

/// Starting what was added.
///
/// Operations that are linked form a *chain*. Where the ring can run a chain by itself it gets it
/// as a whole; otherwise each waits in the slot of the one before it until that has ended.
enum QueueStarts {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    /// Entries after which a submission is begun although more are to come.
    private static let portion: UInt32 = 4

    // MARK: - The kernel

    /// Enters the kernel: submits what is in the ring, and waits. -errno, or what was submitted.
    @discardableResult
    static func enter(_ q: Queue, waitFor: UInt32, timeout: UInt64) -> Int32 {
        guard let ring = q.pointee.ring else {
            guard waitFor > 0 else { return 0 }
            let result = iotrap_event_wait(q.pointee.wake_event, timeout)
            return result < 0 ? result : 0
        }
        q.pointee.counts.enters &+= 1
        return iotrap_ring_enter(ring, waitFor, timeout, nil)
    }

    /// Room in the ring for so many entries; false when the kernel takes nothing for the moment.
    private static func hasRoom(_ q: Queue, _ ring: OpaquePointer, _ entries: UInt32) -> Bool {
        if iotrap_ring_room(ring) >= entries { return true }
        enter(q, waitFor: 0, timeout: UInt64.max)
        return iotrap_ring_room(ring) >= entries
    }

    // MARK: - Chains

    private struct Chain {
        var count: UInt32 = 0
        var entries: UInt32 = 0
        /// The last of it: index + 1.
        var last: UInt32 = 0
        /// The ring cannot run it by itself.
        var isStepwise = false
        var needsInner = false
    }

    /// Looks at the chain that the added operations begin with.
    private static func look(_ q: Queue) -> Chain {
        var chain = Chain()
        var number = q.pointee.added.first
        while number != 0 {
            let slot = Queues.slot(q, number)
            chain.count &+= 1
            chain.last = number
            chain.entries &+= iotrap_ring_entries_of(slot)
            if isSpecial(q, slot) { chain.isStepwise = true }
            if QueueChecks.isFile(slot.pointee.io.kind) {
                chain.needsInner = true
                // Without registered slots `issue` runs it with plain calls.
                if q.pointee.inner_files == 0 { chain.isStepwise = true }
            }
            let flags = slot.pointee.io.flags
            if flags & QueueChecks.links == 0 { break }
            if flags & IOTRAP_IO_WHOLE != 0 { chain.isStepwise = true }
            number = slot.pointee.next
        }
        return chain
    }

    /// True for operations that do not simply go to the ring.
    @inline(__always)
    private static func isSpecial(_ q: Queue, _ slot: Slot) -> Bool {
        if q.pointee.ring == nil || slot.pointee.notes & UInt8(IOTRAP_NOTE_CANCELLED) != 0 {
            return true
        }
        if slot.pointee.io.deadline_ns != 0, slot.pointee.io.deadline_ns <= iotrap_clock() {
            return true
        }
        return target(q, slot)?.pointee.pooled ?? 0 != 0
    }

    /// The file that an operation is about, if it has a handle.
    @inline(__always)
    static func target(_ q: Queue, _ slot: Slot) -> LibraryFiles.File? {
        if let file = slot.pointee.file { return file }
        guard slot.pointee.io.flags & IOTRAP_IO_SLOT != 0 else { return nil }
        return q.pointee.registered![Int(slot.pointee.io.slot)].file
    }

    /// Starts what was added: the number of operations.
    static func start(_ q: Queue) -> UInt32 {
        var started: UInt32 = 0
        q.pointee.is_held_back = 0
        while q.pointee.added.first != 0 {
            let chain = look(q)
            if chain.needsInner, q.pointee.ring != nil, q.pointee.inner_files > 0,
                q.pointee.free_inner == 0
            {
                q.pointee.is_held_back = 1
                break
            }
            guard chain.isStepwise ? startStepwise(q, chain) : startWhole(q, chain) else {
                q.pointee.is_held_back = 1
                break
            }
            started &+= chain.count
        }
        if started > 0 {
            q.pointee.counts.submitted &+= UInt64(started)
            let inFlight = q.pointee.in_ring &+ q.pointee.in_pool
            if inFlight > q.pointee.counts.in_flight_maximum {
                q.pointee.counts.in_flight_maximum = inFlight
            }
        }
        return started
    }

    private static func startWhole(_ q: Queue, _ chain: Chain) -> Bool {
        guard let ring = q.pointee.ring, hasRoom(q, ring, chain.entries) else { return false }
        for _ in 0..<chain.count {
            let number = QueueAdds.removeFirst(q, &q.pointee.added)
            give(q, ring, number, isLast: number == chain.last)
        }
        q.pointee.added_count &-= chain.count
        // The kernel holds all of a submission back from the device until its last entry is
        // prepared; in portions the device works meanwhile. Whole files are not worth that: many at
        // a time cost less.
        if q.pointee.added.first != 0, !chain.needsInner, iotrap_ring_queued(ring) >= portion {
            enter(q, waitFor: 0, timeout: UInt64.max)
        }
        return true
    }

    private static func startStepwise(_ q: Queue, _ chain: Chain) -> Bool {
        if let ring = q.pointee.ring, !hasRoom(q, ring, chain.entries) { return false }
        let first = q.pointee.added.first
        var before: Slot?
        for _ in 0..<chain.count {
            let number = QueueAdds.removeFirst(q, &q.pointee.added)
            let slot = Queues.slot(q, number)
            slot.pointee.state = UInt8(IOTRAP_SLOT_HELD.rawValue)
            before?.pointee.successor = number
            before = slot
        }
        q.pointee.added_count &-= chain.count
        run(q, first)
        return true
    }

    // MARK: - One operation

    /// Hands an operation to the ring, which has room.
    @inline(__always)
    private static func give(
        _ q: Queue, _ ring: OpaquePointer, _ number: UInt32, isLast: Bool
    ) {
        let slot = Queues.slot(q, number)
        slot.pointee.state = UInt8(IOTRAP_SLOT_RING.rawValue)
        q.pointee.in_ring &+= 1
        var descriptor: Int32
        var isRegistered: Int32 = 0
        if let file = slot.pointee.file {
            descriptor = file.pointee.descriptor
        } else if slot.pointee.io.flags & IOTRAP_IO_SLOT != 0 {
            descriptor = Int32(bitPattern: slot.pointee.io.slot)
            isRegistered = 1
        } else if QueueChecks.isFile(slot.pointee.io.kind) {
            if let opened = QuickOpens.open(q, slot) {
                descriptor = opened
            } else {
                descriptor = takeInner(q, slot)
            }
        } else {
            descriptor = slot.pointee.io.descriptor
            forgetClosed(slot)
        }
        iotrap_ring_queue_slot(
            ring, slot, number &- 1, descriptor, isRegistered, isLast ? 1 : 0)
    }

    /// What the engine knows of a descriptor that an operation closes ends with it.
    static func forgetClosed(_ slot: Slot) {
        let io = slot.pointee.io
        guard io.kind == UInt16(IOTRAP_IO_CLOSE.rawValue), io.flags & IOTRAP_IO_SLOT == 0
        else { return }
        let number = UInt32(bitPattern: io.descriptor)
        iotrap_aio_closing(number, number)
        iotrap_descriptor_forget(io.descriptor)
    }

    /// Takes a registered slot for a file that is opened and closed within an operation.
    private static func takeInner(_ q: Queue, _ slot: Slot) -> Int32 {
        let index = q.pointee.free_inner &- 1
        q.pointee.free_inner = q.pointee.inner_next![Int(index)]
        slot.pointee.io.slot = index
        return Int32(bitPattern: q.pointee.file_slots &+ index)
    }

    static func giveInner(_ q: Queue, _ slot: Slot) {
        q.pointee.inner_next![Int(slot.pointee.io.slot)] = q.pointee.free_inner
        q.pointee.free_inner = slot.pointee.io.slot &+ 1
    }

    /// Starts an operation, and after it those that are held by it, as long as each ends at once.
    static func run(_ q: Queue, _ first: UInt32) {
        var number = first
        while number != 0 {
            let slot = Queues.slot(q, number)
            guard let result = issue(q, slot, number) else { return }
            number = QueueEnds.complete(q, number, result)
        }
    }

    /// Starts an operation: its result if it ended at once.
    private static func issue(_ q: Queue, _ slot: Slot, _ number: UInt32) -> Int64? {
        if slot.pointee.notes & UInt8(IOTRAP_NOTE_CANCELLED) != 0 {
            return Int64(LibraryError.cancelled)
        }
        if slot.pointee.io.deadline_ns != 0, slot.pointee.io.deadline_ns <= iotrap_clock() {
            return Int64(LibraryError.timeout)
        }
        if let file = target(q, slot), file.pointee.pooled != 0,
            QueuePools.hand(q, slot, number, file)
        {
            return nil
        }
        guard let ring = q.pointee.ring else { return execute(q, slot) }
        if QueueChecks.isFile(slot.pointee.io.kind), q.pointee.free_inner == 0 {
            return execute(q, slot)
        }
        guard hasRoom(q, ring, iotrap_ring_entries_of(slot)) else {
            // The kernel takes nothing: memory is short, and a plain call still works.
            return execute(q, slot)
        }
        give(q, ring, number, isLast: true)
        return nil
    }

    private static func execute(_ q: Queue, _ slot: Slot) -> Int64 {
        QueueTables.execute(q, slot)
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_submit(_ queue: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    let started = QueueStarts.start(q)
    if let ring = q.pointee.ring, iotrap_ring_queued(ring) > 0 {
        let result = QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
        if result < 0, result != LibraryError.interrupted, started == 0 { return result }
    }
    // What ended inside this call has no completion of the kernel's to make it readable.
    if q.pointee.completion_event >= 0, q.pointee.done.first != 0 { QueueWaits.ring(q) }
    return Int32(started)
}
