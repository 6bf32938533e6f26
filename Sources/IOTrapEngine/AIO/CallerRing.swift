import CIOTrap
import CIOTrapEngine
import Synchronization

/// The ring on which a thread submits its own asynchronous requests.
///
/// The kernel completes them in that thread, whenever it enters the kernel, so it must be a thread
/// that waits in io_getevents anyway: another blocking call of its would be interrupted. Other
/// threads can take what is completed, but not submit.
enum CallerRing {
    typealias Caller = UnsafeMutablePointer<iotrap_caller>
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// The calling thread's record with a working ring; nil when there is none to be had.
    static func get(_ thread: Thread) -> Caller? {
        if let caller = thread.pointee.caller {
            guard let ring = caller.pointee.ring else { return nil }
            return ThreadRing.isIntact(ring) ? caller : nil
        }
        return make(thread)
    }

    @inline(never)
    private static func make(_ thread: Thread) -> Caller? {
        guard ThreadRing.mayCreate() else { return nil }
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        guard iotrap_thread_id() == thread.pointee.thread_id, let caller = claim(thread)
        else { return nil }
        caller.pointee.ring = nil
        caller.pointee.in_flight = 0
        caller.pointee.writes = 0
        caller.pointee.waits = 0
        caller.pointee.lock = 0
        HeldFiles.reset(caller)
        thread.pointee.caller = caller
        var error: Int32 = 0
        let hidden: Int32 = process.pointee.configuration.hidesRingDescriptor ? 1 : 0
        guard let ring = iotrap_ring_create_async(hidden, 0, &error) else {
            caller.pointee.error = error
            ThreadRing.refuse(error)
            return nil
        }
        guard ThreadRing.register(ring) else {
            iotrap_ring_destroy(ring)
            caller.pointee.error = -24
            return nil
        }
        caller.pointee.error = 0
        caller.pointee.ring = ring
        Segment.setRing(IOTRAP_RING_WORKING.rawValue, 0)
        return caller
    }

    private static func claim(_ thread: Thread) -> Caller? {
        for index in 0..<IOTRAP_CALLERS {
            let caller = iotrap_caller_entry(index)
            let owner = UnsafeMutableRawPointer(iotrap_caller_thread_id(caller))
                .assumingMemoryBound(to: UInt32.self)
            if owner.atomic.pointee.compareExchange(
                expected: 0, desired: UInt32(bitPattern: thread.pointee.thread_id),
                ordering: .acquiring
            ).exchanged {
                return caller
            }
        }
        return nil
    }

    static func inFlightWord(_ caller: Caller) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_caller_in_flight(caller).atomic
    }

    static func writesWord(_ caller: Caller) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_caller_writes(caller).atomic
    }

    /// Takes what is completed on a ring. The caller is inside.
    static func reap(_ thread: Thread, _ caller: Caller) {
        // Another thread's ring goes when its thread ends: it is looked at under the lock only.
        if caller == thread.pointee.caller, !hasCompletions(caller) { return }
        let lock = iotrap_caller_lock(caller)
        Inside.lock(thread, 1, lock)
        reapLocked(thread, caller)
        Inside.unlock(thread, 1, lock)
    }

    /// Looks for completions on the calling thread's own ring.
    private static func hasCompletions(_ caller: Caller) -> Bool {
        guard let ring = caller.pointee.ring else { return false }
        if iotrap_ring_has_completions(ring) != 0 { return true }
        // The kernel may have some ready for this thread's next visit: a program that only looks,
        // and never waits, would see them at a timer tick.
        guard iotrap_ring_needs_enter(ring) != 0 else { return false }
        _ = iotrap_ring_enter(ring, 0, UInt64.max, nil)
        return iotrap_ring_has_completions(ring) != 0
    }

    private static func reapLocked(_ thread: Thread, _ caller: Caller) {
        guard let ring = caller.pointee.ring else { return }
        var tag: UInt64 = 0
        var result: Int32 = 0
        var now: UInt64 = 0
        while iotrap_ring_reap(ring, &tag, &result) != 0 {
            if isWait(caller, tag) { continue }
            let request = RequestPool.request(UInt32(truncatingIfNeeded: tag) &- 1)
            if Requests.writes(request) {
                writesWord(caller).pointee.wrappingSubtract(1, ordering: .relaxed)
            }
            inFlightWord(caller).pointee.wrappingSubtract(1, ordering: .relaxed)
            HeldFiles.leave(caller, request)
            if now == 0 && request.pointee.started_ns != 0 { now = iotrap_clock() }
            ContextEvents.finish(
                thread, request, result: result, now: request.pointee.started_ns != 0 ? now : 0)
        }
        if caller == thread.pointee.caller { HeldFiles.sweep(caller) }
    }

    /// The thread ends: waits for its requests, which the kernel would else cancel, and gives the
    /// record back. Signals are blocked.
    static func end(_ thread: Thread) {
        guard let caller = thread.pointee.caller else { return }
        thread.pointee.caller = nil
        thread.pointee.inside = 0
        if let ring = caller.pointee.ring {
            settle(thread, caller, ring)
            let lock = iotrap_caller_lock(caller)
            Inside.lock(thread, 1, lock)
            caller.pointee.ring = nil
            Inside.unlock(thread, 1, lock)
            ThreadRing.release(ring)
        }
        ContextTable.forget(caller)
        // releasing: pairs with `claim`
        UnsafeMutableRawPointer(iotrap_caller_thread_id(caller))
            .assumingMemoryBound(to: UInt32.self).atomic.pointee.store(0, ordering: .releasing)
    }

    /// Waits in the ring's own thread until nothing is in flight on it.
    private static func settle(_ thread: Thread, _ caller: Caller, _ ring: OpaquePointer) {
        while true {
            let lock = iotrap_caller_lock(caller)
            Inside.lock(thread, 1, lock)
            reapLocked(thread, caller)
            Inside.unlock(thread, 1, lock)
            if inFlightWord(caller).pointee.load(ordering: .relaxed) == 0 { return }
            let result = iotrap_ring_enter(ring, 1, UInt64.max, nil)
            // Taken from us (a visible ring closed behind our back): nothing can be waited for.
            if result == -9 || result == -6 { return }
            if result < 0 { iotrap_pause_ns(100_000) }
        }
    }

    /// Waits until no write is in flight on any thread's ring: exec and exit cancel what a kernel
    /// worker has not begun, where plain calls would have been done.
    static func drain(_ thread: Thread) {
        for index in 0..<IOTRAP_CALLERS {
            let caller = iotrap_caller_entry(index)
            wait(thread, caller, until: writesWord(caller))
        }
    }

    /// Waits until nothing is in flight on any thread's ring.
    static func drainAll(_ thread: Thread) {
        for index in 0..<IOTRAP_CALLERS {
            let caller = iotrap_caller_entry(index)
            wait(thread, caller, until: inFlightWord(caller))
        }
    }

    private static func wait(
        _ thread: Thread, _ caller: Caller, until count: UnsafePointer<Atomic<UInt32>>
    ) {
        guard caller.pointee.thread_id != 0, caller.pointee.ring != nil else { return }
        // Another thread's requests end in that thread, which the kernel wakes for it; one that is
        // stopped for good must not keep the process from ending.
        for _ in 0..<10_000 where count.pointee.load(ordering: .relaxed) > 0 {
            if Inside.enter(thread) {
                reap(thread, caller)
                Inside.leave(thread)
            }
            if count.pointee.load(ordering: .relaxed) == 0 { return }
            if caller == thread.pointee.caller, let ring = caller.pointee.ring {
                _ = iotrap_ring_enter(ring, 1, 100_000_000, nil)
            } else {
                iotrap_pause_ns(1_000_000)
            }
        }
    }

    /// Waits that began with requests on a ring after which its contexts stay with the kernel.
    private static let strayMaximum: UInt32 = 3

    /// The calling thread waits elsewhere than in io_getevents: its requests end before.
    static func settleOwn(_ thread: Thread) {
        guard let caller = thread.pointee.caller,
            inFlightWord(caller).pointee.load(ordering: .relaxed) > 0
        else { return }
        wait(thread, caller, until: inFlightWord(caller))
        caller.pointee.strays &+= 1
        ContextTable.distrust(caller, forGood: caller.pointee.strays >= strayMaximum)
    }

    /// A forked child has no rings: their memory was not copied.
    static func forgetAll() {
        for index in 0..<IOTRAP_CALLERS {
            let caller = iotrap_caller_entry(index)
            if caller.pointee.thread_id == 0 && caller.pointee.ring == nil { continue }
            caller.pointee = iotrap_caller()
        }
    }
}
