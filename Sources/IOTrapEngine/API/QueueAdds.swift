import CIOTrap
import CIOTrapEngine

/// Adding operations.
enum QueueAdds {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    // MARK: - Lists

    static func append(_ q: Queue, _ list: inout iotrap_list, _ number: UInt32) {
        Queues.slot(q, number).pointee.next = 0
        if list.first == 0 {
            list.first = number
        } else {
            Queues.slot(q, list.last).pointee.next = number
        }
        list.last = number
    }

    static func removeFirst(_ q: Queue, _ list: inout iotrap_list) -> UInt32 {
        let number = list.first
        list.first = Queues.slot(q, number).pointee.next
        if list.first == 0 { list.last = 0 }
        return number
    }

    // MARK: - Slots

    @inline(__always)
    private static func take(_ q: Queue) -> UInt32 {
        let number = q.pointee.free_slots
        q.pointee.free_slots = Queues.slot(q, number).pointee.next
        q.pointee.used &+= 1
        return number
    }

    /// Gives a slot back whose operation is over and told of.
    @inline(__always)
    static func give(_ q: Queue, _ number: UInt32) {
        let slot = Queues.slot(q, number)
        slot.pointee.state = UInt8(IOTRAP_SLOT_FREE.rawValue)
        slot.pointee.generation &+= 1
        slot.pointee.next = q.pointee.free_slots
        q.pointee.free_slots = number
        q.pointee.used &-= 1
    }

    /// Lets go of what an operation uses: its file, its registered file, its registered buffer.
    @inline(__always)
    static func letGo(_ q: Queue, _ slot: Slot) {
        if let file = slot.pointee.file {
            LibraryFiles.leave(file, q.pointee.number)
            slot.pointee.file = nil
        }
        let special = IOTRAP_IO_SLOT | IOTRAP_IO_FIXED_BUFFER
        if slot.pointee.io.flags & special != 0 { letGoOfRegistered(q, slot) }
    }

    private static func letGoOfRegistered(_ q: Queue, _ slot: Slot) {
        if slot.pointee.io.flags & IOTRAP_IO_SLOT != 0 {
            q.pointee.registered![Int(slot.pointee.io.slot)].users &-= 1
        }
        if slot.pointee.io.flags & IOTRAP_IO_FIXED_BUFFER != 0 {
            QueueTables.buffer(q, slot.pointee.io.buffer_index).pointee.users &-= 1
        }
    }

    // MARK: - Adding

    /// Adds an operation that was examined: its slot; nil when its file is being closed.
    private static func place(
        _ q: Queue, _ io: UnsafePointer<iotrap_io>
    ) -> Slot? {
        var file: LibraryFiles.File?
        let elsewhere = IOTRAP_IO_SLOT | IOTRAP_IO_DESCRIPTOR
        if io.pointee.flags & elsewhere == 0,
            QueueChecks.isTransfer(io.pointee.kind) || QueueChecks.isSync(io.pointee.kind)
        {
            guard let found = LibraryFiles.find(io.pointee.file) else { return nil }
            LibraryFiles.notice(found, q.pointee.record.process)
            guard LibraryFiles.enter(found, io.pointee.file, q.pointee.number) else { return nil }
            file = found
        }
        let number = take(q)
        let slot = Queues.slot(q, number)
        slot.pointee.io = io.pointee
        slot.pointee.batch = nil
        slot.pointee.file = file
        slot.pointee.moved = 0
        slot.pointee.successor = 0
        slot.pointee.state = UInt8(IOTRAP_SLOT_ADDED.rawValue)
        slot.pointee.notes = 0
        if io.pointee.flags & IOTRAP_IO_SLOT != 0 {
            q.pointee.registered![Int(io.pointee.slot)].users &+= 1
        }
        if io.pointee.flags & IOTRAP_IO_FIXED_BUFFER != 0 {
            QueueTables.buffer(q, io.pointee.buffer_index).pointee.users &+= 1
        }
        append(q, &q.pointee.added, number)
        q.pointee.added_count &+= 1
        return slot
    }

    /// The flags of the operation added last, which may be linked to the next.
    @inline(__always)
    private static func lastFlags(_ q: Queue) -> UInt32 {
        q.pointee.added.last == 0 ? 0 : Queues.slot(q, q.pointee.added.last).pointee.io.flags
    }

    static func single(_ q: Queue, _ io: UnsafePointer<iotrap_io>) -> Int32 {
        guard q.pointee.used < q.pointee.depth else { return full(q, io) }
        let code = QueueChecks.examine(q, io, follows: lastFlags(q))
        guard code == 0 else { return code }
        guard place(q, io) != nil else {
            return QueueChecks.refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_CLOSED, io)
        }
        return 0
    }

    @inline(never)
    private static func full(_ q: Queue, _ io: UnsafePointer<iotrap_io>) -> Int32 {
        QueueChecks.refuse(
            q, LibraryError.again, IOTRAP_REFUSED_FULL, io, limit: UInt64(q.pointee.depth))
    }

    /// Adds several, all or none.
    ///
    /// - Parameter prepare: fills in what they have in common, and what they belong to.
    static func many(
        _ q: Queue, _ ios: UnsafePointer<iotrap_io>, _ count: UInt32,
        batch: Batches.Batch? = nil, userData: UInt64 = 0
    ) -> Int32 {
        let wanted = UInt64(count) + (batch == nil ? 0 : 1)
        guard wanted <= UInt64(q.pointee.depth - q.pointee.used) else { return full(q, ios) }
        let code = examine(q, ios, count)
        guard code == 0 else { return code }
        let before = q.pointee.added
        for index in 0..<Int(count) {
            guard let slot = place(q, ios + index) else {
                takeBack(q, before)
                return QueueChecks.refuse(
                    q, LibraryError.badHandle, IOTRAP_REFUSED_CLOSED, ios + index)
            }
            if let batch { belong(slot, batch, UInt32(index)) }
        }
        if let batch { placeBatch(q, batch, userData) }
        return 0
    }

    private static func examine(
        _ q: Queue, _ ios: UnsafePointer<iotrap_io>, _ count: UInt32
    ) -> Int32 {
        var follows = lastFlags(q)
        for index in 0..<Int(count) {
            let code = QueueChecks.examine(q, ios + index, follows: follows)
            guard code == 0 else { return code }
            follows = ios[index].flags
        }
        if count > 0, follows & QueueChecks.links != 0 {
            return QueueChecks.refuse(
                q, LibraryError.invalid, IOTRAP_REFUSED_LINK, ios + Int(count - 1))
        }
        return 0
    }

    /// Takes back what was added since the list looked like `before`.
    private static func takeBack(_ q: Queue, _ before: iotrap_list) {
        var number =
            before.last == 0
            ? q.pointee.added.first : Queues.slot(q, before.last).pointee.next
        if before.last != 0 { Queues.slot(q, before.last).pointee.next = 0 }
        q.pointee.added = before
        while number != 0 {
            let slot = Queues.slot(q, number)
            let next = slot.pointee.next
            letGo(q, slot)
            give(q, number)
            q.pointee.added_count &-= 1
            number = next
        }
    }

    // MARK: - Batches

    private static func belong(_ slot: Slot, _ batch: Batches.Batch, _ index: UInt32) {
        slot.pointee.batch = batch
        slot.pointee.batch_index = index
        if slot.pointee.io.deadline_ns == 0 {
            slot.pointee.io.deadline_ns = batch.pointee.deadline_ns
        }
        if slot.pointee.io.priority == 0 {
            slot.pointee.io.priority = UInt16(truncatingIfNeeded: batch.pointee.priority)
        }
    }

    /// The batch's own slot, whose completion is that of all of it.
    private static func placeBatch(_ q: Queue, _ batch: Batches.Batch, _ userData: UInt64) {
        let number = take(q)
        let slot = Queues.slot(q, number)
        slot.pointee.io = iotrap_io()
        slot.pointee.io.kind = UInt16(IOTRAP_IO_BATCH.rawValue)
        slot.pointee.io.user_data = userData
        slot.pointee.io.length = UInt64(batch.pointee.count)
        slot.pointee.batch = batch
        slot.pointee.file = nil
        slot.pointee.successor = 0
        slot.pointee.notes = 0
        slot.pointee.state = UInt8(IOTRAP_SLOT_BATCH.rawValue)
        batch.pointee.is_busy = number
        batch.pointee.left = batch.pointee.count
        batch.pointee.first_failed = 0
        if batch.pointee.left == 0 { QueueEnds.endBatch(q, batch) }
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_add(
    _ queue: OpaquePointer!, _ io: UnsafePointer<iotrap_io>!
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard let io else {
        return QueueChecks.refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL)
    }
    return QueueAdds.single(q, io)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_add_many(
    _ queue: OpaquePointer!, _ ios: UnsafePointer<iotrap_io>!, _ count: UInt32
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard count > 0 else { return 0 }
    guard let ios else {
        return QueueChecks.refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL)
    }
    return QueueAdds.many(q, ios, count)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_add_batch(
    _ queue: OpaquePointer!, _ batch: OpaquePointer!, _ userData: UInt64
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard let b = Batches.find(batch) else {
        return Library.misuse(
            "batch: freed already, or no batch",
            QueueChecks.refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_BATCH_FREED))
    }
    guard b.pointee.is_busy == 0 else {
        return QueueChecks.refuse(q, LibraryError.busy, IOTRAP_REFUSED_BATCH_BUSY)
    }
    Batches.prepare(b)
    return QueueAdds.many(q, b.pointee.ios, b.pointee.count, batch: b, userData: userData)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_room(_ queue: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return Int32(q.pointee.depth - q.pointee.used)
}
