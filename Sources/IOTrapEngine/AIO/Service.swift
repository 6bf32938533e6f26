import CIOTrap
import CIOTrapEngine
import Synchronization

/// The service thread: one a process at most, made when a request needs it and gone a second after
/// the last has ended. It owns a ring, and everybody else hands it requests through a queue.
///
/// The queue is a stack that takes no lock: a thread pushes, the service thread takes all of it at
/// once and turns it over. Whoever finds the bell up wakes it; while it is awake nobody makes a
/// system call for it.
enum Service {
    typealias Request = RequestPool.Request

    static var shared: UnsafeMutablePointer<iotrap_service> { iotrap_service() }
    static var queue: UnsafePointer<Atomic<UInt32>> { iotrap_service_queue(shared).atomic }
    static var busy: UnsafePointer<Atomic<UInt32>> { iotrap_service_busy(shared).atomic }
    static var bell: UnsafePointer<Atomic<UInt32>> { iotrap_service_bell(shared).atomic }
    static var phase: UnsafePointer<Atomic<UInt32>> { iotrap_service_phase(shared).atomic }
    static var outside: UnsafePointer<Atomic<UInt32>> {
        iotrap_service_outside(shared).atomic
    }

    /// True when the thread runs or could be started now.
    static func ready() -> Bool {
        queue.pointee.load(ordering: .acquiring) != IOTRAP_QUEUE_CLOSED || start()
    }

    /// True while this process's thread runs. A forked child that has not noticed that it is one
    /// still has its parent's queue.
    static var isRunning: Bool {
        queue.pointee.load(ordering: .acquiring) != IOTRAP_QUEUE_CLOSED
            && process.pointee.isThisProcess
    }

    /// Hands over a chain of requests, linked by `next` in the order they came.
    ///
    /// - Parameter first: number + 1 of the first.
    /// - Returns: false when there is no thread and none can be made: the requests stay the
    ///   caller's.
    @discardableResult
    static func submit(first: UInt32, count: UInt32) -> Bool {
        // Turned over: on the stack the last of them lies on top.
        var top = first
        var below: UInt32 = 0
        for index in 0..<count {
            let request = RequestPool.request(top - 1)
            let following = request.pointee.next
            nextWord(request).pointee.store(below, ordering: .relaxed)
            below = top
            if index + 1 < count { top = following }
        }
        return push(top: top, bottom: RequestPool.request(first - 1))
    }

    private static func push(top: UInt32, bottom: Request) -> Bool {
        var head = queue.pointee.load(ordering: .relaxed)
        while true {
            guard head != IOTRAP_QUEUE_CLOSED else {
                guard start() else { return false }
                head = queue.pointee.load(ordering: .relaxed)
                continue
            }
            nextWord(bottom).pointee.store(
                head == IOTRAP_QUEUE_EMPTY ? 0 : head, ordering: .relaxed)
            // Sequentially consistent: pairs with `ServiceThread.mayRest`. Either the thread finds
            // this request before it sleeps, or the bell is seen up here.
            let (exchanged, seen) = queue.pointee.compareExchange(
                expected: head, desired: top, ordering: .sequentiallyConsistent)
            if exchanged { break }
            head = seen
        }
        ring()
        return true
    }

    /// Wakes the thread if it sleeps.
    private static func ring() {
        guard bell.pointee.load(ordering: .sequentiallyConsistent) != 0,
            bell.pointee.exchange(0, ordering: .sequentiallyConsistent) != 0
        else { return }
        let event = event.pointee.load(ordering: .acquiring)
        if event == 0 {
            iotrap_futex_wake(iotrap_service_bell(shared), 1)
        } else if event != lostEvent {
            var one: UInt64 = 1
            iotrap_write_raw(Int32(bitPattern: event) - 1, &one, 8)
        }
    }

    @inline(__always)
    static func nextWord(_ request: Request) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_request_next(request).atomic
    }

    // MARK: - Starting

    /// Held while the thread is made, and while its descriptors are dealt with.
    static var lock: UnsafeMutablePointer<FutexLock> {
        UnsafeMutableRawPointer(iotrap_service_lock(shared))
            .assumingMemoryBound(to: FutexLock.self)
    }

    /// Makes the thread; true when there is one afterwards.
    @inline(never)
    private static func start() -> Bool {
        var mask: UInt64 = 0
        iotrap_signals_block_program(&mask)
        defer { iotrap_signals_restore(&mask) }
        FutexLock.acquire(lock)
        defer { FutexLock.release(lock) }
        if queue.pointee.load(ordering: .acquiring) != IOTRAP_QUEUE_CLOSED { return true }
        guard process.pointee.configuration.usesRing, ThreadRing.mayCreate() else { return false }
        let started = iotrap_service_started(shared)
        started.atomic.pointee.store(0, ordering: .relaxed)
        guard iotrap_service_start_thread(0) == 0 else { return false }
        while true {
            // acquiring: pairs with `announce`
            let answer = started.atomic.pointee.load(ordering: .acquiring)
            if answer != 0 { return answer == 1 }
            iotrap_futex_wait(started, 0)
        }
    }

    /// Tells the starter, in the new thread, what became of it.
    static func announce(_ works: Bool) {
        if works { queue.pointee.store(IOTRAP_QUEUE_EMPTY, ordering: .releasing) }
        let started = iotrap_service_started(shared)
        started.atomic.pointee.store(works ? 1 : 2, ordering: .releasing)
        iotrap_futex_wake(started, 1)
    }

    /// A forked child has no service thread and no requests.
    static func forget() {
        shared.pointee = iotrap_service()
        Lanes.forget()
    }

    // MARK: - Messages

    /// Sends a message and waits for the answer.
    ///
    /// - Returns: nil when no thread runs, or when it cannot answer: while it makes a thread for a
    ///   notification it may wait for a lock of the C library that the caller, in a signal handler,
    ///   has interrupted the holder of.
    static func ask(
        _ message: iotrap_message, descriptor: Int32 = 0, last: UInt32 = 0,
        owner: UnsafeMutableRawPointer? = nil
    ) -> Int32? {
        guard isRunning, let request = RequestPool.take() else { return nil }
        request.pointee.destination = UInt8(IOTRAP_TO_SERVICE.rawValue)
        request.pointee.kind = UInt8(message.rawValue)
        request.pointee.order = 0
        request.pointee.descriptor = descriptor
        request.pointee.length = last
        request.ownerWord.pointee.store(
            UInt64(UInt(bitPattern: owner)), ordering: .relaxed)
        let state = iotrap_request_state(request)
        state.atomic.pointee.store(IOTRAP_MESSAGE_SENT, ordering: .relaxed)
        guard submit(first: request.pointee.number + 1, count: 1) else {
            RequestPool.give(request)
            return nil
        }
        var before = outside.pointee.load(ordering: .relaxed)
        var stuck = 0
        // acquiring: pairs with `answer`
        while state.atomic.pointee.load(ordering: .acquiring) == IOTRAP_MESSAGE_SENT {
            _ = iotrap_futex_wait_for(state, IOTRAP_MESSAGE_SENT, 100_000_000)
            let now = outside.pointee.load(ordering: .relaxed)
            stuck = now & 1 != 0 && now == before ? stuck + 1 : 0
            before = now
            if stuck > 20,
                state.atomic.pointee.compareExchange(
                    expected: IOTRAP_MESSAGE_SENT, desired: IOTRAP_MESSAGE_ABANDONED,
                    ordering: .relaxed
                ).exchanged
            {
                return nil
            }
        }
        let answer = Int32(bitPattern: request.pointee.length)
        RequestPool.give(request)
        return answer
    }

    /// Answers a message, in the service thread.
    static func answer(_ request: Request, _ value: Int32) {
        request.pointee.length = UInt32(bitPattern: value)
        let state = iotrap_request_state(request)
        // releasing: pairs with `ask`
        let before = state.atomic.pointee.exchange(
            IOTRAP_MESSAGE_ANSWERED, ordering: .acquiringAndReleasing)
        if before == IOTRAP_MESSAGE_ABANDONED {
            RequestPool.give(request)
        } else {
            // The request may be somebody else's by now: a wake-up for nothing does no harm.
            iotrap_futex_wake(state, 1)
        }
    }
}
