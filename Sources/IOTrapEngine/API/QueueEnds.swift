import CIOTrap
import CIOTrapEngine
import Synchronization

/// The end of operations: results, what follows from them, and completions.
enum QueueEnds {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    // MARK: - From the kernel

    /// Takes what has ended off the ring, and from the service thread.
    @inline(__always)
    static func reap(_ q: Queue) {
        if iotrap_queue_core_pool_ended(q).atomic.pointee.load(ordering: .relaxed) != 0 {
            QueuePools.reap(q)
        }
        guard let ring = q.pointee.ring else { return }
        var events = InlineArray<32, iotrap_ring_event>(repeating: iotrap_ring_event())
        while true {
            let count = withUnsafeMutablePointer(to: &events) {
                iotrap_ring_take(
                    ring,
                    UnsafeMutableRawPointer($0).assumingMemoryBound(
                        to: iotrap_ring_event.self), 32)
            }
            for index in 0..<Int(count) { take(q, events[index]) }
            if count < 32 { return }
        }
    }

    @inline(__always)
    private static func take(_ q: Queue, _ event: iotrap_ring_event) {
        if UInt32(event.part) != IOTRAP_PART_MAIN { return takePart(q, event) }
        let number = event.index &+ 1
        let slot = Queues.slot(q, number)
        guard slot.pointee.generation == event.generation else { return }
        if QueueChecks.isFile(slot.pointee.io.kind) {
            guard slot.pointee.notes & UInt8(IOTRAP_NOTE_QUICK) != 0 else {
                // Its file is closed after that.
                slot.pointee.result = Int64(event.result)
                return
            }
            QuickOpens.close(q, slot)
        }
        end(q, number, slot, Int64(event.result))
    }

    private static func takePart(_ q: Queue, _ event: iotrap_ring_event) {
        switch UInt32(event.part) {
        case IOTRAP_PART_WAKE:
            q.pointee.is_awake_armed = 0
        case IOTRAP_PART_OPEN, IOTRAP_PART_CLOSE:
            let number = event.index &+ 1
            let slot = Queues.slot(q, number)
            guard slot.pointee.generation == event.generation else { return }
            QueueStarts.giveInner(q, slot)
            var result = Int64(event.result)
            if UInt32(event.part) == IOTRAP_PART_CLOSE, result >= 0 || slot.pointee.result < 0 {
                result = slot.pointee.result
            }
            end(q, number, slot, result)
        default:
            break
        }
    }

    @inline(__always)
    private static func end(_ q: Queue, _ number: UInt32, _ slot: Slot, _ result: Int64) {
        q.pointee.in_ring &-= 1
        if result == Int64(LibraryError.again) || result == Int64(LibraryError.interrupted) {
            if runAgain(q, number, slot) { return }
        }
        let next = complete(q, number, result)
        if next != 0 { QueueStarts.run(q, next) }
    }

    /// A file system that takes no asynchronous request: a kernel worker runs it once more.
    private static func runAgain(_ q: Queue, _ number: UInt32, _ slot: Slot) -> Bool {
        let noWait: UInt32 = 8  // RWF_NOWAIT
        let io = slot.pointee.io
        guard io.flags & (QueueChecks.links | IOTRAP_IO_DESCRIPTOR) == 0,
            slot.pointee.notes & UInt8(IOTRAP_NOTE_RETRIED | IOTRAP_NOTE_CANCELLED) == 0,
            io.rw_flags & noWait == 0, q.pointee.is_closing == 0,
            QueueChecks.isTransfer(io.kind) || QueueChecks.isSync(io.kind)
        else { return false }
        slot.pointee.notes |= UInt8(IOTRAP_NOTE_RETRIED)
        slot.pointee.io.flags |= IOTRAP_IO_WORKER
        QueueStarts.run(q, number)
        return true
    }

    // MARK: - Results

    /// Takes in the result of an operation.
    ///
    /// - Returns: what is to be started now: the one that it held, or itself, for the rest of a
    ///   transfer; 0: nothing.
    static func complete(_ q: Queue, _ number: UInt32, _ outcome: Int64) -> UInt32 {
        let slot = Queues.slot(q, number)
        var result = outcome
        if slot.pointee.io.flags & IOTRAP_IO_WHOLE != 0 {
            guard let total = whole(q, slot, result) else { return number }
            result = total
        }
        if slot.pointee.io.deadline_ns != 0 { result = judge(slot, result) }
        let next = slot.pointee.successor
        let succeeded = next != 0 && isFull(slot, result)
        let isHard = slot.pointee.io.flags & IOTRAP_IO_HARDLINK != 0
        finish(q, number, slot, result)
        if next == 0 || succeeded || isHard { return next }
        cancelHeld(q, next)
        return 0
    }

    /// The result of a transfer of which all is wanted; nil when it goes on.
    private static func whole(_ q: Queue, _ slot: Slot, _ result: Int64) -> Int64? {
        let length = slot.pointee.io.length
        guard result > 0 else {
            let atEnd = result == 0 && slot.pointee.moved < length
            if atEnd, QueueChecks.reads(slot.pointee.io.kind) {
                return Int64(LibraryError.noData)
            }
            return result == 0 ? Int64(slot.pointee.moved) : result
        }
        slot.pointee.moved &+= UInt64(result)
        if slot.pointee.moved >= length { return Int64(slot.pointee.moved) }
        return q.pointee.is_closing != 0 ? Int64(LibraryError.cancelled) : nil
    }

    /// The result of an operation with a deadline.
    private static func judge(_ slot: Slot, _ result: Int64) -> Int64 {
        let isLate = iotrap_clock() >= slot.pointee.io.deadline_ns
        guard isLate else { return result }
        let wasCancelled =
            result == Int64(LibraryError.cancelled) || result == Int64(LibraryError.interrupted)
        if wasCancelled, slot.pointee.notes & UInt8(IOTRAP_NOTE_CANCELLED) == 0 {
            return Int64(LibraryError.timeout)
        }
        if result >= 0 { slot.pointee.notes |= UInt8(IOTRAP_NOTE_LATE) }
        return result
    }

    /// True when what is linked to an operation may start.
    private static func isFull(_ slot: Slot, _ result: Int64) -> Bool {
        guard result >= 0 else { return false }
        let io = slot.pointee.io
        guard QueueChecks.isTransfer(io.kind) else { return true }
        guard QueueChecks.isVectored(io.kind) else { return UInt64(result) == io.length }
        var bytes: UInt64 = 0
        let vectors = io.buffer!.assumingMemoryBound(to: iovec.self)
        for index in 0..<Int(io.length) { bytes &+= UInt64(vectors[index].iov_len) }
        return UInt64(result) == bytes
    }

    private static func cancelHeld(_ q: Queue, _ first: UInt32) {
        var number = first
        while number != 0 {
            let slot = Queues.slot(q, number)
            let next = slot.pointee.successor
            finish(q, number, slot, Int64(LibraryError.cancelled))
            number = next
        }
    }

    /// An operation is over: counts it, and makes it a completion if one is wanted.
    @inline(__always)
    private static func finish(_ q: Queue, _ number: UInt32, _ slot: Slot, _ result: Int64) {
        slot.pointee.result = result
        QueueAdds.letGo(q, slot)
        count(q, slot, result)
        if let batch = slot.pointee.batch {
            endOfBatch(q, number, slot, batch, result)
        } else if result >= 0 && slot.pointee.io.flags & IOTRAP_IO_QUIET != 0 {
            QueueAdds.give(q, number)
        } else {
            makeDone(q, number, slot)
        }
    }

    @inline(__always)
    private static func makeDone(_ q: Queue, _ number: UInt32, _ slot: Slot) {
        slot.pointee.state = UInt8(IOTRAP_SLOT_DONE.rawValue)
        QueueAdds.append(q, &q.pointee.done, number)
        q.pointee.done_count &+= 1
    }

    @inline(__always)
    private static func count(_ q: Queue, _ slot: Slot, _ result: Int64) {
        q.pointee.counts.completed &+= 1
        guard result >= 0 else {
            q.pointee.counts.failed &+= 1
            if result == Int64(LibraryError.cancelled) || result == Int64(LibraryError.timeout) {
                q.pointee.counts.cancelled &+= 1
            }
            return
        }
        if QueueChecks.reads(slot.pointee.io.kind) {
            q.pointee.counts.bytes_read &+= UInt64(result)
        } else if QueueChecks.writes(slot.pointee.io.kind) {
            q.pointee.counts.bytes_written &+= UInt64(result)
        }
        if slot.pointee.notes & UInt8(IOTRAP_NOTE_LATE) != 0 { q.pointee.counts.late &+= 1 }
        if slot.pointee.notes & UInt8(IOTRAP_NOTE_POOL) != 0 { q.pointee.counts.pooled &+= 1 }
    }

    // MARK: - Batches

    private static func endOfBatch(
        _ q: Queue, _ number: UInt32, _ slot: Slot, _ batch: Batches.Batch, _ result: Int64
    ) {
        let index = slot.pointee.batch_index
        batch.pointee.results[Int(index)] = result
        let failed = batch.pointee.first_failed
        if result < 0, failed == 0 || index < failed - 1 { batch.pointee.first_failed = index + 1 }
        let isQuiet = result >= 0 && slot.pointee.io.flags & IOTRAP_IO_QUIET != 0
        if batch.pointee.flags & IOTRAP_BATCH_ONE != 0 || isQuiet {
            QueueAdds.give(q, number)
        } else {
            slot.pointee.batch = nil
            makeDone(q, number, slot)
        }
        batch.pointee.left -= 1
        if batch.pointee.left == 0 { endBatch(q, batch) }
    }

    /// All of a batch is over.
    static func endBatch(_ q: Queue, _ batch: Batches.Batch) {
        let number = batch.pointee.is_busy
        let slot = Queues.slot(q, number)
        let failed = batch.pointee.first_failed
        slot.pointee.result = failed == 0 ? 0 : batch.pointee.results[Int(failed - 1)]
        makeDone(q, number, slot)
    }

    // MARK: - Completions

    /// Hands completions over, or calls their callbacks.
    ///
    /// - Returns: how many were put at `out`, and how many there were with those called.
    @inline(__always)
    static func deliver(
        _ q: Queue, _ out: UnsafeMutablePointer<iotrap_completion>?, _ maximum: UInt32
    ) -> (taken: UInt32, served: UInt32) {
        var taken: UInt32 = 0
        var served: UInt32 = 0
        while served < maximum, q.pointee.done.first != 0 {
            let number = QueueAdds.removeFirst(q, &q.pointee.done)
            q.pointee.done_count &-= 1
            served &+= 1
            let slot = Queues.slot(q, number)
            if slot.pointee.io.callback != nil {
                call(q, number, slot)
            } else if let out {
                fill(out + Int(taken), slot)
                free(q, number, slot)
                taken &+= 1
            }
        }
        return (taken, served)
    }

    /// Calls callbacks only; completions without one stay, in their order.
    static func dispatch(_ q: Queue, _ maximum: UInt32) -> UInt32 {
        var called: UInt32 = 0
        var left = q.pointee.done_count
        while left > 0, called < maximum {
            left -= 1
            let number = QueueAdds.removeFirst(q, &q.pointee.done)
            let slot = Queues.slot(q, number)
            guard slot.pointee.io.callback != nil else {
                QueueAdds.append(q, &q.pointee.done, number)
                continue
            }
            q.pointee.done_count &-= 1
            called &+= 1
            call(q, number, slot)
        }
        // What was not looked at goes behind what was: turn the list until it begins as before.
        while left > 0 {
            left -= 1
            QueueAdds.append(
                q, &q.pointee.done, QueueAdds.removeFirst(q, &q.pointee.done))
        }
        return called
    }

    private static func call(_ q: Queue, _ number: UInt32, _ slot: Slot) {
        var completion = iotrap_completion()
        fill(&completion, slot)
        let callback = slot.pointee.io.callback
        let context = slot.pointee.io.context
        free(q, number, slot)
        q.pointee.in_callback += 1
        callback?(&completion, context)
        q.pointee.in_callback -= 1
    }

    @inline(__always)
    private static func free(_ q: Queue, _ number: UInt32, _ slot: Slot) {
        if slot.pointee.io.kind == UInt16(IOTRAP_IO_BATCH.rawValue) {
            slot.pointee.batch?.pointee.is_busy = 0
        }
        QueueAdds.give(q, number)
    }

    @inline(__always)
    private static func fill(_ out: UnsafeMutablePointer<iotrap_completion>, _ slot: Slot) {
        var flags: UInt32 = 0
        if slot.pointee.notes & UInt8(IOTRAP_NOTE_LATE) != 0 { flags |= IOTRAP_COMPLETION_LATE }
        if slot.pointee.notes & UInt8(IOTRAP_NOTE_POOL) != 0 { flags |= IOTRAP_COMPLETION_POOL }
        out.pointee.user_data = slot.pointee.io.user_data
        out.pointee.result = slot.pointee.result
        out.pointee.operation = UInt32(slot.pointee.io.kind)
        out.pointee.flags = flags
        out.pointee.file = slot.pointee.io.file
        out.pointee.path = slot.pointee.io.path
        out.pointee.offset = slot.pointee.io.offset
        out.pointee.length = slot.pointee.io.length
        out.pointee.batch = nil
        if let batch = slot.pointee.batch { out.pointee.batch = Batches.handle(batch) }
    }

    // MARK: - Closing

    static func dropAdded(_ q: Queue) {
        while q.pointee.added.first != 0 {
            let number = QueueAdds.removeFirst(q, &q.pointee.added)
            let slot = Queues.slot(q, number)
            finish(q, number, slot, Int64(LibraryError.cancelled))
        }
        q.pointee.added_count = 0
    }

    static func dropDone(_ q: Queue) {
        while q.pointee.done.first != 0 {
            let number = QueueAdds.removeFirst(q, &q.pointee.done)
            free(q, number, Queues.slot(q, number))
        }
        q.pointee.done_count = 0
    }
}
