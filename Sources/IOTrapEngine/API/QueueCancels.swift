import CIOTrap
import CIOTrapEngine

/// Cancelling operations.
enum QueueCancels {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    /// Asks for the cancellation of what has these user data: how many there are.
    static func cancel(_ q: Queue, _ userData: UInt64) -> Int32 {
        var found: Int32 = 0
        for index in 0..<Int(q.pointee.depth) {
            let slot = q.pointee.slots + index
            guard isUnderWay(slot), slot.pointee.io.user_data == userData else { continue }
            if UInt32(slot.pointee.state) == IOTRAP_SLOT_BATCH.rawValue {
                found += cancelBatch(q, slot.pointee.batch)
            } else {
                ask(q, slot, index)
                found += 1
            }
        }
        flush(q)
        return found
    }

    /// Everything, for the end of a queue.
    static func everything(_ q: Queue) {
        for index in 0..<Int(q.pointee.depth) {
            let slot = q.pointee.slots + index
            if isUnderWay(slot) { ask(q, slot, index) }
        }
        flush(q)
    }

    private static func cancelBatch(_ q: Queue, _ batch: Batches.Batch?) -> Int32 {
        var found: Int32 = 0
        for index in 0..<Int(q.pointee.depth) {
            let slot = q.pointee.slots + index
            guard isUnderWay(slot), slot.pointee.batch == batch,
                UInt32(slot.pointee.state) != IOTRAP_SLOT_BATCH.rawValue
            else { continue }
            ask(q, slot, index)
            found += 1
        }
        return found
    }

    private static func isUnderWay(_ slot: Slot) -> Bool {
        let state = UInt32(slot.pointee.state)
        return state != IOTRAP_SLOT_FREE.rawValue && state != IOTRAP_SLOT_DONE.rawValue
    }

    private static func ask(_ q: Queue, _ slot: Slot, _ index: Int) {
        let deadline = slot.pointee.io.deadline_ns
        // What was too late already ends with that.
        guard deadline == 0 || iotrap_clock() < deadline else { return }
        slot.pointee.notes |= UInt8(IOTRAP_NOTE_CANCELLED)
        guard UInt32(slot.pointee.state) == IOTRAP_SLOT_RING.rawValue, let ring = q.pointee.ring
        else { return }
        if iotrap_ring_queue_slot_cancel(ring, slot, UInt32(index)) == 0 {
            QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
            _ = iotrap_ring_queue_slot_cancel(ring, slot, UInt32(index))
        }
    }

    private static func flush(_ q: Queue) {
        if let ring = q.pointee.ring, iotrap_ring_queued(ring) > 0 {
            QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
        }
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_cancel(_ queue: OpaquePointer!, _ userData: UInt64) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return QueueCancels.cancel(q, userData)
}
