import CIOTrap
import CIOTrapEngine

/// Registered files and buffers, and operations without a ring.
enum QueueTables {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    /// A registered buffer's entry.
    static func buffer(_ q: Queue, _ index: UInt32) -> UnsafeMutablePointer<iotrap_registered> {
        q.pointee.registered! + Int(q.pointee.file_slots &+ index)
    }

    // MARK: - Setting

    static func setFile(_ q: Queue, _ index: UInt32, _ handle: OpaquePointer?) -> Int32 {
        guard index < q.pointee.file_slots else {
            return QueueChecks.refuse(
                q, LibraryError.invalid, IOTRAP_REFUSED_SLOT,
                limit: UInt64(q.pointee.file_slots))
        }
        let entry = q.pointee.registered! + Int(index)
        guard entry.pointee.users == 0 else {
            return QueueChecks.refuse(q, LibraryError.busy, IOTRAP_REFUSED_IN_USE)
        }
        var file: LibraryFiles.File?
        if let handle {
            guard let found = LibraryFiles.find(handle) else {
                return Library.misuse(
                    "set_file: the file is closed",
                    QueueChecks.refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_CLOSED))
            }
            LibraryFiles.notice(found, q.pointee.record.process)
            guard LibraryFiles.enter(found, handle, q.pointee.number) else {
                return QueueChecks.refuse(q, LibraryError.badHandle, IOTRAP_REFUSED_CLOSED)
            }
            file = found
        }
        if let ring = q.pointee.ring {
            let result = iotrap_ring_register_file(ring, index, file?.pointee.descriptor ?? -1)
            guard result >= 0 else {
                if let file { LibraryFiles.leave(file, q.pointee.number) }
                return QueueChecks.refuse(q, result, IOTRAP_REFUSED_OTHER)
            }
        } else {
            closePlain(q, Int(index))
        }
        if let before = entry.pointee.file { LibraryFiles.leave(before, q.pointee.number) }
        entry.pointee.file = file
        return 0
    }

    static func setBuffer(
        _ q: Queue, _ index: UInt32, _ address: UnsafeMutableRawPointer?, _ bytes: Int
    ) -> Int32 {
        guard index < q.pointee.buffer_slots else {
            return QueueChecks.refuse(
                q, LibraryError.invalid, IOTRAP_REFUSED_BUFFER_INDEX,
                limit: UInt64(q.pointee.buffer_slots))
        }
        guard (address == nil) == (bytes == 0) else {
            return QueueChecks.refuse(q, LibraryError.invalid, IOTRAP_REFUSED_LENGTH)
        }
        let entry = buffer(q, index)
        guard entry.pointee.users == 0 else {
            return QueueChecks.refuse(q, LibraryError.busy, IOTRAP_REFUSED_IN_USE)
        }
        if let ring = q.pointee.ring, q.pointee.plain_buffers == 0 {
            let result = iotrap_ring_register_buffer(ring, index, address, bytes)
            guard result >= 0 else {
                return QueueChecks.refuse(q, result, IOTRAP_REFUSED_OTHER)
            }
        }
        entry.pointee.address = UInt64(UInt(bitPattern: address))
        entry.pointee.bytes = UInt64(bytes)
        return 0
    }

    // MARK: - Without a ring

    /// Executes an operation with plain system calls.
    static func execute(_ q: Queue, _ slot: Slot) -> Int64 {
        let flags = slot.pointee.io.flags
        guard flags & IOTRAP_IO_SLOT != 0 else {
            let descriptor =
                slot.pointee.file?.pointee.descriptor ?? slot.pointee.io.descriptor
            QueueStarts.forgetClosed(slot)
            return iotrap_slot_execute(slot, descriptor)
        }
        let index = Int(slot.pointee.io.slot)
        switch UInt32(slot.pointee.io.kind) {
        case IOTRAP_IO_OPEN.rawValue:
            let opened = iotrap_slot_execute(slot, -1)
            guard opened >= 0 else { return opened }
            forget(q, index)
            q.pointee.registered![index].reserved = UInt32(truncatingIfNeeded: opened) + 1
            return 0
        case IOTRAP_IO_CLOSE.rawValue:
            guard descriptor(q, index) >= 0 else { return Int64(LibraryError.badHandle) }
            forget(q, index)
            return 0
        default:
            let descriptor = descriptor(q, index)
            guard descriptor >= 0 else { return Int64(LibraryError.badHandle) }
            return iotrap_slot_execute(slot, descriptor)
        }
    }

    private static func descriptor(_ q: Queue, _ index: Int) -> Int32 {
        let entry = q.pointee.registered![index]
        if entry.reserved != 0 { return Int32(bitPattern: entry.reserved &- 1) }
        return entry.file?.pointee.descriptor ?? LibraryError.badHandle
    }

    /// Empties a slot.
    private static func forget(_ q: Queue, _ index: Int) {
        closePlain(q, index)
        if let file = q.pointee.registered![index].file {
            LibraryFiles.leave(file, q.pointee.number)
            q.pointee.registered![index].file = nil
        }
    }

    /// Closes what an operation opened into a slot where there is no ring.
    static func closePlain(_ q: Queue, _ index: Int) {
        let opened = q.pointee.registered![index].reserved
        if opened != 0 { iotrap_close_raw(Int32(bitPattern: opened &- 1)) }
        q.pointee.registered![index].reserved = 0
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_set_file(
    _ queue: OpaquePointer!, _ slot: UInt32, _ file: OpaquePointer!
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return QueueTables.setFile(q, slot, file)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_set_buffer(
    _ queue: OpaquePointer!, _ index: UInt32, _ address: UnsafeMutableRawPointer!, _ bytes: Int
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return QueueTables.setBuffer(q, index, address, bytes)
}
