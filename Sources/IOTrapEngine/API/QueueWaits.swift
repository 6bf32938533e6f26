import CIOTrap
import CIOTrapEngine
import Synchronization

/// Waiting for completions, and being woken.
enum QueueWaits {
    typealias Queue = Queues.Queue
    typealias Out = UnsafeMutablePointer<iotrap_completion>

    /// What a wait is for.
    struct Wanted {
        var minimum: UInt32
        var maximum: UInt32
        var timeout: UInt64
        /// Waits although nothing is in flight.
        var idle = false
        /// Calls callbacks only.
        var dispatches = false
    }

    /// How often in a row the kernel may refuse to work before the caller hears of it.
    private static let refusalsMaximum = 1000

    static func wait(_ q: Queue, _ out: Out?, _ wanted: Wanted) -> Int32 {
        if q.pointee.in_callback != 0 {
            return QueueChecks.refuse(q, LibraryError.deadlock, IOTRAP_REFUSED_CALLBACK)
        }
        var taken: UInt32 = 0
        var served: UInt32 = 0
        var refusals = 0
        var end: UInt64 = 0
        while true {
            QueueEnds.reap(q)
            if q.pointee.done.first != 0 {
                collect(q, out, wanted, &taken, &served)
            }
            if served >= wanted.minimum || served >= wanted.maximum { break }
            if q.pointee.added.first != 0 {
                _ = QueueStarts.start(q)
                if q.pointee.done.first != 0 {
                    let before = served
                    collect(q, out, wanted, &taken, &served)
                    if served != before { continue }
                }
            }
            if takeWake(q) { break }
            guard wanted.idle || q.pointee.in_ring + q.pointee.in_pool > 0 else { break }
            var left = wanted.timeout
            if left != 0, left != UInt64.max {
                let now = iotrap_clock()
                if end == 0 {
                    let (sum, overflows) = now.addingReportingOverflow(left)
                    end = overflows ? UInt64.max : sum
                }
                left = end > now ? end - now : 0
            }
            if left == 0 {
                poll(q, out, wanted, &taken, &served)
                return Int32(taken)
            }
            let result = sleep(q, wanted.minimum &- served, left)
            if result == LibraryError.interrupted {
                QueueEnds.reap(q)
                collect(q, out, wanted, &taken, &served)
                guard served > 0 else { return result }
                return Int32(wanted.dispatches ? served : taken)
            }
            if result < 0, isLasting(result, &refusals) { return result }
        }
        flush(q)
        return Int32(wanted.dispatches ? served : taken)
    }

    /// Gives the kernel what was added meanwhile: a wait always submits.
    private static func flush(_ q: Queue) {
        if q.pointee.added.first != 0 { _ = QueueStarts.start(q) }
        if let ring = q.pointee.ring, iotrap_ring_queued(ring) > 0 {
            QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
        }
    }

    private static func collect(
        _ q: Queue, _ out: Out?, _ wanted: Wanted, _ taken: inout UInt32, _ served: inout UInt32
    ) {
        if wanted.dispatches {
            served &+= QueueEnds.dispatch(q, wanted.maximum &- served)
            return
        }
        let (more, all) = QueueEnds.deliver(
            q, out.map { $0 + Int(taken) }, wanted.maximum &- served)
        taken &+= more
        served &+= all
    }

    /// One look without waiting, into the kernel if that has something.
    private static func poll(
        _ q: Queue, _ out: Out?, _ wanted: Wanted, _ taken: inout UInt32, _ served: inout UInt32
    ) {
        QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
        QueueEnds.reap(q)
        collect(q, out, wanted, &taken, &served)
        if wanted.dispatches { taken = served }
    }

    /// True for errors that waiting on does not mend.
    private static func isLasting(_ result: Int32, _ refusals: inout Int) -> Bool {
        if result == LibraryError.timeout { return false }
        let passes =
            result == LibraryError.busy || result == LibraryError.again
            || result == LibraryError.noMemory
        refusals += 1
        guard passes, refusals < refusalsMaximum else { return true }
        iotrap_pause_ns(100_000)
        return false
    }

    // MARK: - Sleeping

    private static func sleep(_ q: Queue, _ missing: UInt32, _ timeout: UInt64) -> Int32 {
        let isWakeable = q.pointee.flags & IOTRAP_QUEUE_NO_WAKE == 0 || q.pointee.in_pool > 0
        guard isWakeable else {
            return QueueStarts.enter(
                q, waitFor: max(1, min(missing, q.pointee.in_ring)), timeout: timeout)
        }
        if let ring = q.pointee.ring, q.pointee.is_awake_armed == 0 {
            q.pointee.is_awake_armed = UInt32(
                iotrap_ring_queue_event(
                    ring, q.pointee.wake_event, address(of: &q.pointee.wake_count)))
        }
        let sleeping = iotrap_queue_core_sleeping(q).atomic
        // Sequentially consistent: pairs with `wake` and `QueuePools.tell`. Either these see a
        // sleeper, or what they stored before is seen here.
        sleeping.pointee.store(1, ordering: .sequentiallyConsistent)
        let isAwaited =
            iotrap_queue_core_woken(q).atomic.pointee.load(ordering: .sequentiallyConsistent) == 0
            && iotrap_queue_core_pool_ended(q).atomic.pointee.load(
                ordering: .sequentiallyConsistent) == 0
        // Without the read of the eventfd (a full ring, emptied by this entry) it must not sleep.
        let isArmed = q.pointee.ring == nil || q.pointee.is_awake_armed != 0
        let result = QueueStarts.enter(
            q, waitFor: isAwaited && isArmed ? 1 : 0, timeout: timeout)
        sleeping.pointee.store(0, ordering: .relaxed)
        return result
    }

    private static func takeWake(_ q: Queue) -> Bool {
        let woken = iotrap_queue_core_woken(q).atomic
        guard woken.pointee.load(ordering: .relaxed) != 0 else { return false }
        // acquiring: what the waker did before is seen by who returns from the wait
        return woken.pointee.exchange(0, ordering: .acquiring) != 0
    }

    /// Wakes the owner, from any thread.
    static func wake(_ q: Queue) {
        iotrap_queue_core_woken(q).atomic.pointee.store(1, ordering: .sequentiallyConsistent)
        ring(q)
    }

    /// Tells a sleeping owner, and who waits for the descriptor.
    static func ring(_ q: Queue) {
        var one: UInt64 = 1
        let sleeping = iotrap_queue_core_sleeping(q).atomic
        if sleeping.pointee.load(ordering: .sequentiallyConsistent) != 0,
            sleeping.pointee.exchange(0, ordering: .sequentiallyConsistent) != 0
        {
            iotrap_write_raw(q.pointee.wake_event, &one, 8)
        }
        let descriptor = completionEvent(q).pointee.load(ordering: .acquiring)
        if descriptor != UInt32.max { iotrap_write_raw(Int32(bitPattern: descriptor), &one, 8) }
    }

    private static func completionEvent(_ q: Queue) -> UnsafePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(iotrap_queue_core_completion_event(q))
            .assumingMemoryBound(to: UInt32.self).atomic
    }

    // MARK: - The descriptor

    static func descriptor(_ q: Queue) -> Int32 {
        if q.pointee.completion_event >= 0 { return q.pointee.completion_event }
        let made = iotrap_eventfd_nonblocking()
        guard made >= 0 else { return made }
        if let ring = q.pointee.ring {
            let result = iotrap_ring_register_event(ring, made)
            guard result >= 0 else {
                iotrap_close_raw(made)
                return result
            }
        }
        // releasing: pairs with `ring`
        completionEvent(q).pointee.store(UInt32(bitPattern: made), ordering: .releasing)
        if q.pointee.done.first != 0 { ring(q) }
        return made
    }
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_wait(
    _ queue: OpaquePointer!, _ completions: UnsafeMutablePointer<iotrap_completion>!,
    _ minimum: UInt32, _ maximum: UInt32, _ timeout: UInt64
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard completions != nil || maximum == 0 else {
        return QueueChecks.refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL)
    }
    return QueueWaits.wait(
        q, completions,
        QueueWaits.Wanted(minimum: min(minimum, maximum), maximum: maximum, timeout: timeout))
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_wait_idle(
    _ queue: OpaquePointer!, _ completions: UnsafeMutablePointer<iotrap_completion>!,
    _ minimum: UInt32, _ maximum: UInt32, _ timeout: UInt64
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard completions != nil || maximum == 0 else {
        return QueueChecks.refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL)
    }
    return QueueWaits.wait(
        q, completions,
        QueueWaits.Wanted(
            minimum: min(minimum, maximum), maximum: maximum, timeout: timeout, idle: true))
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_poll(
    _ queue: OpaquePointer!, _ completions: UnsafeMutablePointer<iotrap_completion>!,
    _ maximum: UInt32
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    guard completions != nil || maximum == 0 else {
        return QueueChecks.refuse(q, LibraryError.badAddress, IOTRAP_REFUSED_NULL)
    }
    guard q.pointee.in_callback == 0 else {
        return QueueChecks.refuse(q, LibraryError.deadlock, IOTRAP_REFUSED_CALLBACK)
    }
    QueueEnds.reap(q)
    if q.pointee.done.first == 0, let ring = q.pointee.ring {
        if q.pointee.is_held_back != 0 { _ = QueueStarts.start(q) }
        if iotrap_ring_has_work(ring) != 0 || iotrap_ring_queued(ring) > 0 {
            QueueStarts.enter(q, waitFor: 0, timeout: UInt64.max)
            QueueEnds.reap(q)
        }
    }
    return Int32(QueueEnds.deliver(q, completions, maximum).taken)
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_dispatch(
    _ queue: OpaquePointer!, _ maximum: UInt32, _ timeout: UInt64
) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return QueueWaits.wait(
        q, nil,
        QueueWaits.Wanted(
            minimum: min(1, maximum), maximum: maximum, timeout: timeout, dispatches: true))
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_wake(_ queue: OpaquePointer!) -> Int32 {
    guard let q = Queues.find(queue), q.pointee.record.process == Library.currentProcess() else {
        return LibraryError.badHandle
    }
    guard q.pointee.flags & IOTRAP_QUEUE_NO_WAKE == 0 else { return LibraryError.invalid }
    QueueWaits.wake(q)
    return 0
}

/// See iotrap_queue.h.
@c @implementation
public func iotrap_queue_eventfd(_ queue: OpaquePointer!) -> Int32 {
    var code: Int32 = 0
    guard let q = Queues.enter(queue, &code) else { return code }
    return QueueWaits.descriptor(q)
}
