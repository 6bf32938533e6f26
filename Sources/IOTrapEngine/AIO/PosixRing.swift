import CIOTrap
import CIOTrapEngine
import Synchronization

/// A ring of the submitting thread, for reads of storage that nobody is to be told of.
///
/// It spares the two wake-ups of the way through the service thread. The kernel completes such
/// requests in the thread itself, whenever that enters the kernel, and interrupts its waits for it:
/// so it must be a thread that waits in aio_suspend. Reads need no order, so lanes do not know
/// them; closing their descriptor does them no harm, as the kernel has had them from the start.
enum PosixRing {
    typealias Ring = UnsafeMutablePointer<iotrap_posix_ring>
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Request = RequestPool.Request
    typealias Block = UnsafeMutablePointer<iotrap_aiocb>

    // MARK: - Habits

    /// Calls of aio_suspend after which a thread is trusted to wait there.
    private static let suspendsMinimum: UInt32 = 4
    /// Requests without one after which it is not any more.
    private static let unsuspendedMaximum: UInt32 = 4096

    /// The thread called aio_suspend.
    static func noteSuspend(_ thread: Thread, isWilling: Bool) {
        guard isWilling else { return }
        thread.pointee.unsuspended = 0
        if thread.pointee.suspends < suspendsMinimum { thread.pointee.suspends += 1 }
    }

    private static func isTrusted(_ thread: Thread) -> Bool {
        guard thread.pointee.suspends == suspendsMinimum else { return false }
        thread.pointee.unsuspended += 1
        if thread.pointee.unsuspended <= unsuspendedMaximum { return true }
        thread.pointee.suspends = 0
        thread.pointee.unsuspended = 0
        return false
    }

    /// The thread waits for requests of both kinds, and its ring cannot: all of them are the
    /// service thread's from now on.
    static func distrust(_ thread: Thread) { thread.pointee.suspends = UInt32.max }

    // MARK: - Submitting

    /// Submits a request that was made for the service thread on the calling thread's ring.
    ///
    /// - Returns: false when it is the service thread's after all.
    static func take(_ thread: Thread, _ request: Request, _ block: Block) -> Bool {
        guard UInt32(request.pointee.kind) == IOTRAP_REQUEST_READ.rawValue,
            UInt32(request.pointee.order) == IOTRAP_REQUEST_STORAGE, request.pointee.flags == 0,
            request.pointee.pool_file == 0,
            UInt32(request.pointee.destination) == IOTRAP_TO_AIOCB.rawValue,
            thread.pointee.state == iotrap_guard_word(), isTrusted(thread),
            !PosixDelivery.notice(of: block).isWanted, let own = get(thread),
            let ring = own.pointee.ring, own.pointee.submitting == 0
        else { return false }
        let lane = Lanes.lane(request.pointee.descriptor)
        own.pointee.submitting = 1
        defer { own.pointee.submitting = 0 }
        guard iotrap_ring_queue_request(ring, request) != 0 else { return false }
        block.pointee.ring = index(own) + 1
        let depth = own.inFlight.pointee.wrappingAdd(1, ordering: .relaxed).newValue
        lane.onRings.pointee.wrappingAdd(1, ordering: .relaxed)
        for _ in 0..<3 where iotrap_ring_queued(ring) > 0 {
            _ = iotrap_ring_enter(ring, 0, UInt64.max, nil)
        }
        var tag: UInt64 = 0
        if iotrap_ring_queued(ring) > 0, iotrap_ring_unqueue_last(ring, &tag) != 0 {
            block.pointee.ring = 0
            own.inFlight.pointee.wrappingSubtract(1, ordering: .relaxed)
            lane.onRings.pointee.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        Recording.batches(thread, IOTRAP_TECHNIQUE_POSIX_AIO, requests: 1, batches: 1)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_POSIX, depth)
        return true
    }

    private static func index(_ own: Ring) -> UInt32 {
        UInt32(own - iotrap_posix_ring_entry(0))
    }

    private static func get(_ thread: Thread) -> Ring? {
        if let own = thread.pointee.posix_ring { return own.pointee.ring == nil ? nil : own }
        return make(thread)
    }

    @inline(never)
    private static func make(_ thread: Thread) -> Ring? {
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        // A clone may run on its parent's variables: see `Backends.ring`.
        guard ThreadRing.mayCreate(), iotrap_thread_id() == thread.pointee.thread_id,
            let own = claim(thread)
        else { return nil }
        // Without a ring it is not tried again.
        thread.pointee.posix_ring = own
        var error: Int32 = 0
        let hides = process.pointee.configuration.hidesRingDescriptor
        guard let ring = iotrap_ring_create_async(hides ? 1 : 0, 0, &error) else {
            ThreadRing.refuse(error)
            return nil
        }
        // With a visible descriptor everything is done as on the kernels that need one.
        let hasFutex = hides && iotrap_ring_knows(ring, IOTRAP_OPCODE_FUTEX_WAIT) != 0
        guard iotrap_ring_hide(ring) == 0 else {
            iotrap_ring_destroy(ring)
            return nil
        }
        own.pointee.has_futex = hasFutex ? 1 : 0
        own.pointee.is_armed = 0
        FutexLock.acquire(own.lock)
        own.pointee.ring = ring
        FutexLock.release(own.lock)
        return own
    }

    private static func claim(_ thread: Thread) -> Ring? {
        for index in 0..<IOTRAP_POSIX_RINGS {
            let own = iotrap_posix_ring_entry(index)
            if iotrap_posix_ring_thread_id(own).atomic.pointee.compareExchange(
                expected: 0, desired: UInt32(bitPattern: thread.pointee.thread_id),
                ordering: .acquiring
            ).exchanged {
                return own
            }
        }
        return nil
    }

    // MARK: - Taking completions

    /// Takes what has ended on the ring that a request is on.
    static func look(_ thread: Thread, _ number: UInt32) {
        guard number > 0, number <= IOTRAP_POSIX_RINGS else { return }
        reap(thread, iotrap_posix_ring_entry(number - 1))
    }

    /// Takes completions; another thread's only if that does not wait for them itself.
    static func reap(_ thread: Thread, _ ring: Ring) {
        // A forked child that has not noticed: the ring's memory is not here.
        guard process.pointee.isThisProcess else { return }
        let isOwn = ring == thread.pointee.posix_ring
        if isOwn {
            guard let kernel = ring.pointee.ring else { return }
            if iotrap_ring_has_completions(kernel) == 0 {
                guard iotrap_ring_needs_enter(kernel) != 0, ring.pointee.submitting == 0 else {
                    return
                }
                _ = iotrap_ring_enter(kernel, 0, UInt64.max, nil)
                guard iotrap_ring_has_completions(kernel) != 0 else { return }
            }
        }
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        FutexLock.acquire(ring.lock)
        // Sequentially consistent: pairs with `join`. Either the owner's look that follows finds
        // what is taken here, or it is seen to wait.
        if isOwn || ring.waits.pointee.load(ordering: .sequentiallyConsistent) == 0 {
            takeAll(thread, ring)
        }
        FutexLock.release(ring.lock)
        iotrap_signals_restore(&mask)
    }

    /// The lock is held, with signals blocked.
    private static func takeAll(_ thread: Thread, _ ring: Ring) {
        guard let kernel = ring.pointee.ring else { return }
        var tag: UInt64 = 0
        var result: Int32 = 0
        var now: UInt64 = 0
        while iotrap_ring_reap(kernel, &tag, &result) != 0 {
            if tag == wordTag {
                ring.pointee.is_armed = 0
                continue
            }
            if now == 0 { now = iotrap_clock() }
            let request = RequestPool.request(UInt32(truncatingIfNeeded: tag) &- 1)
            let again = Requests.mustRunAgain(request, result)
            let outcome = again ? Requests.runPlain(request) : result
            Lanes.lane(request.pointee.descriptor).onRings.pointee.wrappingSubtract(
                1, ordering: .relaxed)
            ring.inFlight.pointee.wrappingSubtract(1, ordering: .relaxed)
            PosixDelivery.finish(thread, request, outcome, now)
        }
        if now != 0 { PosixDelivery.wakeIfSuspended() }
    }

    // MARK: - Waiting

    private static let wordTag = UInt64.max

    /// True when the thread's ring can wait for the service thread's word as well.
    static func canWaitForBoth(_ thread: Thread) -> Bool {
        guard let own = thread.pointee.posix_ring else { return false }
        return own.pointee.has_futex != 0 && own.pointee.submitting == 0
    }

    /// Has the ring wait for `finished` to be woken, if it does not yet. The wait is left there
    /// when the thread goes on: it costs nothing.
    static func arm(_ thread: Thread, seen: UInt32) {
        guard let own = thread.pointee.posix_ring, let ring = own.pointee.ring,
            own.pointee.is_armed == 0
        else { return }
        let word = UnsafeMutableRawPointer(iotrap_service_finished(Service.shared))
            .assumingMemoryBound(to: UInt64.self)
        own.pointee.submitting = 1
        if iotrap_ring_queue_wake(ring, word, seen, -1, wordTag) != 0 { own.pointee.is_armed = 1 }
        own.pointee.submitting = 0
    }

    /// The calling thread is about to wait in its ring: nobody else takes completions now.
    static func join(_ thread: Thread) {
        thread.pointee.posix_ring?.waits.pointee.store(1, ordering: .sequentiallyConsistent)
    }

    static func leave(_ thread: Thread) {
        thread.pointee.posix_ring?.waits.pointee.store(0, ordering: .relaxed)
    }

    // MARK: - End

    /// The thread ends: waits for its reads, which the kernel would else cancel. Signals are
    /// blocked.
    static func end(_ thread: Thread) {
        guard let own = thread.pointee.posix_ring else { return }
        settle(thread)
        FutexLock.acquire(own.lock)
        let ring = own.pointee.ring
        own.pointee.ring = nil
        FutexLock.release(own.lock)
        thread.pointee.posix_ring = nil
        if let ring { iotrap_ring_destroy(ring) }
        own.waits.pointee.store(0, ordering: .relaxed)
        own.pointee.submitting = 0
        // releasing: pairs with `claim`
        iotrap_posix_ring_thread_id(own).atomic.pointee.store(0, ordering: .releasing)
    }

    /// Waits until nothing is in flight on the calling thread's ring.
    static func settle(_ thread: Thread) {
        guard let own = thread.pointee.posix_ring, let ring = own.pointee.ring else { return }
        while true {
            reap(thread, own)
            if own.inFlight.pointee.load(ordering: .relaxed) == 0 { return }
            if iotrap_ring_enter(ring, 1, UInt64.max, nil) < 0 { iotrap_pause_ns(100_000) }
        }
    }

    /// The calling thread waits elsewhere than in aio_suspend: its reads end before, and it is to
    /// show its habit anew.
    static func settleStray(_ thread: Thread) {
        guard let own = thread.pointee.posix_ring,
            own.inFlight.pointee.load(ordering: .relaxed) > 0
        else { return }
        settle(thread)
        thread.pointee.suspends = 0
    }

    /// A forked child has no rings: their memory was not copied.
    static func forget() {
        for index in 0..<IOTRAP_POSIX_RINGS {
            let own = iotrap_posix_ring_entry(index)
            if own.pointee.thread_id != 0 { own.pointee = iotrap_posix_ring() }
        }
    }
}

extension UnsafeMutablePointer where Pointee == iotrap_posix_ring {
    var lock: UnsafeMutablePointer<FutexLock> {
        UnsafeMutableRawPointer(iotrap_posix_ring_lock(self))
            .assumingMemoryBound(to: FutexLock.self)
    }
    var inFlight: UnsafePointer<Atomic<UInt32>> { iotrap_posix_ring_in_flight(self).atomic }
    var waits: UnsafePointer<Atomic<UInt32>> { iotrap_posix_ring_waits(self).atomic }
}
