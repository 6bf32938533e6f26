import CIOTrap
import CIOTrapEngine
import Synchronization

/// What the service thread alone knows.
struct ServiceState {
    var thread: UnsafeMutablePointer<iotrap_thread>
    var ring: OpaquePointer
    /// A request that ends when the bell is rung is in the ring.
    var isBellArmed = false
    /// Requests in the ring, and those of them that belong to POSIX AIO.
    var inFlight: UInt32 = 0
    var posixInFlight: UInt32 = 0
    /// Requests that wait for their turn in a lane.
    var waiting: UInt32 = 0
    /// Writes and syncs of storage that have not ended.
    var storageWrites: UInt32 = 0
    /// Requests of POSIX AIO put in the ring since the last entry to the kernel.
    var queuedPosix: UInt32 = 0
    /// Messages to be answered once the kernel has all that is queued, and those that wait for
    /// `storageWrites` to become zero: chains by `next`.
    var submissions: UInt32 = 0
    var drains: UInt32 = 0
    /// A message that asks the thread to end.
    var retirement: UInt32 = 0
    /// Requests whose completions were taken and not looked at: a chain with both its ends. The
    /// result is in `reserved`.
    var ended: UInt32 = 0
    var endedLast: UInt32 = 0
    /// Requests of POSIX AIO have ended in this round.
    var hasFinished = false
    /// When writes to the page cache may be plain again, and how long they were last kept from it.
    var cachedFrom: UInt64 = 0
    var cachedPause: UInt64 = 0
    /// Files that the ring holds on to, a bit each; nil until the first is wanted.
    var heldFiles: UInt64?
    /// The mount pools; nil until a request is for one.
    var pool: UnsafeMutablePointer<PoolState>?

    /// Nothing is outstanding.
    var isIdle: Bool {
        inFlight == 0 && waiting == 0 && submissions == 0 && drains == 0 && ended == 0
            && (pool == nil || pool!.pointee.waiting == 0)
    }
}

/// The body of the service thread.
///
/// All signals are blocked and nothing here waits but `rest` and `submit`, in the kernel, and the
/// making of a thread that a notification asks for.
enum ServiceThread {
    typealias State = UnsafeMutablePointer<ServiceState>
    typealias Request = RequestPool.Request

    static let bellTag = UInt64.max
    /// Of completions that nobody waits for.
    static let ignoredTag = UInt64.max - 1
    static let idleNanoseconds: UInt64 = 1_000_000_000

    static func run(_ s: State) {
        while true {
            let took = take(s)
            if took || s.pointee.ended != 0 || s.pointee.submissions != 0 {
                submit(s)
            } else if mayRest() {
                rest(s)
                if s.pointee.isIdle, isUnused(), PoolService.mayEnd(s), end() { return }
            }
            answerSubmissions(s)
            reap(s)
            complete(s)
            _ = PoolHealth.tick(s, iotrap_clock())
            settle(s)
            if s.pointee.retirement != 0, retire(s) { return }
        }
    }

    // MARK: - In

    /// Takes the whole queue; false when it was empty.
    private static func take(_ s: State) -> Bool {
        guard Service.queue.pointee.load(ordering: .relaxed) != IOTRAP_QUEUE_EMPTY else {
            return false
        }
        // Before the queue is emptied: see iotrap_aio_unsubmitted.
        Service.busy.pointee.store(1, ordering: .sequentiallyConsistent)
        // acquiring: pairs with `Service.push`
        var top = Service.queue.pointee.exchange(
            IOTRAP_QUEUE_EMPTY, ordering: .sequentiallyConsistent)
        var first: UInt32 = 0
        while top != 0 {
            let request = RequestPool.request(top - 1)
            let below = request.pointee.next
            RequestPool.setNext(request, first)
            first = top
            top = below
        }
        while first != 0 {
            let request = RequestPool.request(first - 1)
            first = request.pointee.next
            accept(s, request)
        }
        return true
    }

    private static func accept(_ s: State, _ request: Request) {
        switch UInt32(request.pointee.destination) {
        case IOTRAP_TO_SERVICE.rawValue:
            ServiceMessages.handle(s, request)
        case IOTRAP_TO_AIOCB.rawValue:
            if isStorageWrite(request) { s.pointee.storageWrites += 1 }
            if Lanes.append(request) {
                issue(s, request)
            } else {
                s.pointee.waiting += 1
            }
        default:
            if Requests.writes(request) { s.pointee.storageWrites += 1 }
            issue(s, request)
        }
    }

    /// Asks the kernel to cancel what is in the ring.
    static func cancelInRing(_ s: State, _ number: UInt32) {
        while iotrap_ring_queue_cancel(s.pointee.ring, number, ignoredTag) == 0 { submit(s) }
    }

    static func isStorageWrite(_ request: Request) -> Bool {
        UInt32(request.pointee.order) & IOTRAP_REQUEST_STORAGE != 0 && Requests.writes(request)
    }

    /// Puts a request in the ring.
    static func issue(_ s: State, _ request: Request) {
        s.pointee.inFlight += 1
        if request.pointee.pool_file != 0 {
            let isPosix = UInt32(request.pointee.destination) == IOTRAP_TO_AIOCB.rawValue
            // Before: it may have ended when this returns.
            if isPosix { s.pointee.posixInFlight += 1 }
            if PoolService.start(s, request) { return }
            if isPosix { s.pointee.posixInFlight -= 1 }
        }
        if request.pointee.flags != 0, let result = ServicePlain.run(s, request) {
            s.pointee.posixInFlight += 1
            return note(s, request, result)
        }
        while iotrap_ring_queue_request(s.pointee.ring, request) == 0 { submit(s) }
        if UInt32(request.pointee.destination) == IOTRAP_TO_AIOCB.rawValue {
            s.pointee.posixInFlight += 1
            s.pointee.queuedPosix += 1
        }
    }

    /// Gives the kernel what is queued, and completions a chance to come in.
    static func submit(_ s: State) {
        record(s)
        let result = iotrap_ring_enter(s.pointee.ring, 0, UInt64.max, nil)
        if result < 0, iotrap_ring_has_completions(s.pointee.ring) == 0 {
            // Out of memory for the moment, or interrupted.
            iotrap_pause_ns(100_000)
        }
        // Room for more completions than the queue holds, or the kernel takes no more requests.
        if iotrap_ring_queued(s.pointee.ring) > 0 { reap(s) }
    }

    private static func record(_ s: State) {
        guard s.pointee.queuedPosix > 0 else { return }
        let thread = s.pointee.thread
        Recording.batches(
            thread, IOTRAP_TECHNIQUE_POSIX_AIO, requests: UInt64(s.pointee.queuedPosix),
            batches: 1)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_POSIX, s.pointee.posixInFlight)
        s.pointee.queuedPosix = 0
    }

    // MARK: - Rest

    /// Puts the bell up; false when something was queued meanwhile.
    private static func mayRest() -> Bool {
        Service.bell.pointee.store(1, ordering: .sequentiallyConsistent)
        guard Service.queue.pointee.load(ordering: .sequentiallyConsistent) == IOTRAP_QUEUE_EMPTY
        else {
            Service.bell.pointee.store(0, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Sleeps until a request ends, the bell is rung, or nothing was asked for long enough.
    private static func rest(_ s: State) {
        let ring = s.pointee.ring
        let event = Service.event.pointee.load(ordering: .sequentiallyConsistent)
        let isLost = event == Service.lostEvent
        if !s.pointee.isBellArmed && !isLost {
            let shared = Service.shared
            let word =
                event == 0
                ? UnsafeMutableRawPointer(iotrap_service_bell(shared))
                    .assumingMemoryBound(to: UInt64.self)
                : iotrap_service_rung(shared)
            s.pointee.isBellArmed =
                iotrap_ring_queue_wake(ring, word, 1, Int32(bitPattern: event) - 1, bellTag) != 0
        }
        // Without a bell (a full queue, which this entry empties) it must not sleep.
        let wanted: UInt32 = s.pointee.isBellArmed || isLost ? 1 : 0
        var timeout = s.pointee.isIdle ? idleNanoseconds : UInt64.max
        timeout = min(timeout, PoolHealth.tick(s, iotrap_clock()))
        if isLost { timeout = 1_000_000 }
        let result = iotrap_ring_enter(ring, wanted, timeout, nil)
        Service.bell.pointee.store(0, ordering: .sequentiallyConsistent)
        if result == -16 || result == -12 || result == -11 { iotrap_pause_ns(100_000) }
    }

    // MARK: - Out

    /// Takes completions off the ring, for `complete`.
    private static func reap(_ s: State) {
        var tag: UInt64 = 0
        var result: Int32 = 0
        while iotrap_ring_reap(s.pointee.ring, &tag, &result) != 0 {
            if tag == bellTag {
                s.pointee.isBellArmed = false
                continue
            }
            if tag == ignoredTag { continue }
            note(s, RequestPool.request(UInt32(truncatingIfNeeded: tag) - 1), result)
        }
    }

    static func note(_ s: State, _ request: Request, _ result: Int32) {
        let number = request.pointee.number + 1
        request.pointee.reserved = UInt32(bitPattern: result)
        RequestPool.setNext(request, 0)
        if s.pointee.ended == 0 {
            s.pointee.ended = number
        } else {
            RequestPool.setNext(RequestPool.request(s.pointee.endedLast - 1), number)
        }
        s.pointee.endedLast = number
    }

    private static func complete(_ s: State) {
        guard s.pointee.ended != 0 else { return }
        let now = iotrap_clock()
        while s.pointee.ended != 0 {
            let request = RequestPool.request(s.pointee.ended - 1)
            s.pointee.ended = request.pointee.next
            s.pointee.inFlight -= 1
            let result = Int32(bitPattern: request.pointee.reserved)
            if UInt32(request.pointee.destination) == IOTRAP_TO_AIOCB.rawValue {
                s.pointee.posixInFlight -= 1
                completePosix(s, request, result, now)
            } else if UInt32(request.pointee.destination) == IOTRAP_TO_POOL.rawValue {
                PoolPieces.ended(s, request, result, now)
            } else if UInt32(request.pointee.destination) == IOTRAP_TO_CALLER.rawValue {
                if Requests.writes(request) { s.pointee.storageWrites -= 1 }
                PoolCalls.end(request, result)
            } else if UInt32(request.pointee.destination) == IOTRAP_TO_QUEUE.rawValue {
                if Requests.writes(request) { s.pointee.storageWrites -= 1 }
                QueuePools.end(request, result)
            } else {
                if Requests.writes(request) { s.pointee.storageWrites -= 1 }
                OwnContext.finish(request, result: result)
            }
        }
    }

    private static func completePosix(
        _ s: State, _ request: Request, _ result: Int32, _ now: UInt64
    ) {
        if mayRunAgain(request, result) {
            request.pointee.comparison += 1
            if StreamWrites.pin(s, request) {
                request.pointee.flags |= UInt8(IOTRAP_SUBMIT_OFFLOAD)
            }
            issue(s, request)
        } else if !StreamWrites.goOn(s, request, result) {
            let total = StreamWrites.total(request, result)
            StreamWrites.letGo(s, request)
            finish(s, request, total, now)
        }
    }

    /// How often a request is run again before its error is believed.
    private static let attempts: UInt32 = 3

    /// True when the ring gave up where a plain call would have gone on; a kernel worker waits as
    /// long as it takes. Not once the descriptor was closed.
    private static func mayRunAgain(_ request: Request, _ result: Int32) -> Bool {
        result < 0 && request.pointee.comparison < attempts
            && UInt32(request.pointee.order) & IOTRAP_REQUEST_STORAGE != 0
            && request.pointee.epoch & ServiceMessages.descriptorGone == 0
            && Requests.mustRunAgain(request, result)
    }

    /// Takes a request out of its lane, issues the next, and tells the program.
    static func finish(_ s: State, _ request: Request, _ result: Int32, _ now: UInt64) {
        if isStorageWrite(request) { s.pointee.storageWrites -= 1 }
        if let next = Lanes.remove(request) {
            s.pointee.waiting -= 1
            issue(s, next)
            ServiceMessages.issued(s, next)
        }
        s.pointee.hasFinished = true
        PosixDelivery.finish(s.pointee.thread, request, result, now)
    }

    /// What follows a round: who waits for it is told.
    private static func settle(_ s: State) {
        if s.pointee.hasFinished {
            s.pointee.hasFinished = false
            PosixDelivery.wakeSuspended()
        }
        if s.pointee.storageWrites == 0, s.pointee.pool?.pointee.flushes ?? 0 == 0 {
            answerAll(&s.pointee.drains)
        }
        // Whoever closes a descriptor need not ask any more.
        if s.pointee.waiting == 0, iotrap_ring_queued(s.pointee.ring) == 0 {
            Service.busy.pointee.store(0, ordering: .releasing)
        }
    }

    private static func answerSubmissions(_ s: State) {
        if s.pointee.submissions != 0, iotrap_ring_queued(s.pointee.ring) == 0 {
            answerAll(&s.pointee.submissions)
        }
    }

    private static func answerAll(_ chain: inout UInt32) {
        while chain != 0 {
            let request = RequestPool.request(chain - 1)
            chain = request.pointee.next
            Service.answer(request, 0)
        }
    }

    // MARK: - End

    private static func isUnused() -> Bool {
        Service.queue.pointee.load(ordering: .relaxed) == IOTRAP_QUEUE_EMPTY
    }

    /// Closes the queue; false when a request came in before that.
    private static func end() -> Bool {
        // releasing: what this thread did happens before another is started
        Service.queue.pointee.compareExchange(
            expected: IOTRAP_QUEUE_EMPTY, desired: IOTRAP_QUEUE_CLOSED,
            ordering: .acquiringAndReleasing
        ).exchanged
    }

    /// Ends on demand, if nothing is outstanding.
    private static func retire(_ s: State) -> Bool {
        let message = RequestPool.request(s.pointee.retirement - 1)
        s.pointee.retirement = 0
        let hasEnded = s.pointee.isIdle && PoolService.mayEnd(s) && end()
        Service.answer(message, hasEnded ? 1 : 0)
        return hasEnded
    }
}

/// See iotrap_aio.h.
@c @implementation
public func iotrap_service_run(_ argument: UInt64) {
    let thread = iotrap_self()
    // Hooks that this thread comes through, in libc's own work, leave it alone.
    thread.pointee.state = IOTRAP_STATE_BARE
    thread.pointee.thread_id = iotrap_thread_id()
    guard let ring = ServiceRing.make() else {
        thread.pointee.state = IOTRAP_STATE_UNATTACHED
        return Service.announce(false)
    }
    FutexLock.acquire(processLock)
    let index = Segment.claimBlock(threadID: UInt32(bitPattern: thread.pointee.thread_id))
    FutexLock.release(processLock)
    if let index {
        thread.pointee.block_index = index
        thread.pointee.block = Segment.block(index)
    }
    Service.announce(true)
    var state = ServiceState(thread: thread, ring: ring)
    withUnsafeMutablePointer(to: &state) { ServiceThread.run($0) }
    PoolService.end(&state)
    iotrap_ring_destroy(state.ring)
    thread.pointee.block = nil
    if let index { Segment.releaseBlock(index) }
    // If this is the process's last thread it still runs what follows its end.
    thread.pointee.state = IOTRAP_STATE_UNATTACHED
}
