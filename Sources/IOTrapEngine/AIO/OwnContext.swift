import CIOTrap
import CIOTrapEngine
import Synchronization

/// A libaio context without the kernel's, for when /proc/sys/fs/aio-max-nr is used up: the engine's
/// memory looks like the kernel's completion ring, the service thread runs the requests.
///
/// The ring is real in that programs may read it themselves: events are stored before the tail
/// moves, and before an eventfd tells of them.
enum OwnContext {
    typealias Context = ContextTable.Context
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Request = RequestPool.Request

    // MARK: - Making and freeing

    static func make(
        _ thread: Thread, _ events: UInt32, _ handle: UnsafeMutablePointer<UInt64>
    ) -> Int64 {
        let place = UnsafeMutableRawPointer(handle)
        let address = UInt64(UInt(bitPattern: handle))
        guard UserMemory.isReadableNow(address, bytes: 8) else { return -14 }
        guard place.loadUnaligned(as: UInt64.self) == 0, events != 0 else { return -22 }
        let processors = iotrap_possible_processors()
        // The bound of fs/aio.c, a ring of 256 MiB, and its wrap-around.
        let wanted = max(events, processors &* 4) &* 2
        guard wanted <= 0x1000_0000 / 32 else { return -22 }
        guard wanted > 0, Service.ready() else { return -11 }
        guard iotrap_writable(place, 8) != 0 else { return -14 }
        let bytes = (32 * (Int(wanted) + 2) + 32 + 4095) & ~4095
        return make(bytes, place, processors, attempts: 16)
    }

    /// Makes a ring at an address that the table has a place for.
    private static func make(
        _ bytes: Int, _ place: UnsafeMutableRawPointer, _ processors: UInt32, attempts: Int
    ) -> Int64 {
        guard let pages = iotrap_pages(bytes, 1) else { return -12 }
        let ring = pages.assumingMemoryBound(to: iotrap_aio_ring.self)
        ring.pointee.count = size(bytes)
        ring.pointee.magic = IOTRAP_AIO_MAGIC
        ring.pointee.compat_features = 1
        ring.pointee.header_length = 32
        let capacity = ContextCalls.capacity(ringEvents: size(bytes), processors: processors)
        let made = ContextCalls.insert(
            UInt64(UInt(bitPattern: pages)), capacity: capacity, flags: IOTRAP_CONTEXT_OWN)
        guard let made else {
            // This one stays mapped meanwhile, so that the next is elsewhere.
            let result =
                attempts > 1 ? make(bytes, place, processors, attempts: attempts - 1) : -11
            iotrap_pages_free(pages, bytes)
            return result
        }
        made.pointee.ring_bytes = UInt64(bytes)
        place.storeBytes(of: UInt64(UInt(bitPattern: pages)), as: UInt64.self)
        return 0
    }

    /// Events in a ring of so many bytes. The number in the ring itself is the program's to write.
    private static func size(_ bytes: Int) -> UInt32 { UInt32((bytes - 32) / 32) }

    private static func size(_ context: Context) -> UInt32 {
        size(Int(context.pointee.ring_bytes))
    }

    /// Frees the ring, unless somebody never came back from a call: that costs the memory then, not
    /// the process.
    static func free(_ context: Context, _ handle: UInt64) {
        guard ContextTable.usersWord(context).pointee.load(ordering: .acquiring) == 1,
            let pages = UnsafeMutableRawPointer(bitPattern: UInt(handle))
        else { return }
        iotrap_pages_free(pages, Int(context.pointee.ring_bytes))
    }

    // MARK: - Events

    static func hasEvents(_ context: Context) -> Bool { used(context) != 0 }

    /// Events in the ring, taken out by nobody yet.
    private static func used(_ context: Context) -> UInt32 {
        let ring = ContextEvents.kernelRing(context)
        let size = size(context)
        // acquiring: pairs with `push`
        let tail = iotrap_aio_ring_tail(ring).atomic.pointee.load(ordering: .acquiring)
        // acquiring: whoever moved the head, perhaps the program itself, has read the events
        let head = iotrap_aio_ring_head(ring).atomic.pointee.load(ordering: .acquiring)
        // The program can write anything there; the kernel takes it modulo the size, too.
        return (tail % size &+ size &- head % size) % size
    }

    /// Requests that have no event in the ring yet.
    private static func unfinished(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        ContextTable.kernelInFlight(context)
    }

    /// Takes a place for a request's event; false when there is none.
    private static func reserve(_ thread: Thread, _ context: Context) -> Bool {
        locked(thread, context) {
            let waiting = unfinished(context).pointee.load(ordering: .relaxed)
            guard waiting &+ used(context) < context.pointee.capacity else { return false }
            unfinished(context).pointee.store(waiting &+ 1, ordering: .relaxed)
            return true
        }
    }

    private static func giveBackPlace(_ thread: Thread, _ context: Context) {
        locked(thread, context) {
            unfinished(context).pointee.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    /// Stores an event and tells of it.
    private static func push(_ thread: Thread, _ context: Context, _ event: iotrap_event) {
        locked(thread, context) {
            let ring = ContextEvents.kernelRing(context)
            let size = size(context)
            let tail = iotrap_aio_ring_tail(ring).atomic
            let at = tail.pointee.load(ordering: .relaxed) % size
            iotrap_aio_ring_event(ring, at).pointee = event
            // Before the event can be seen: who takes it may submit another request at once.
            unfinished(context).pointee.wrappingSubtract(1, ordering: .relaxed)
            // releasing: who sees the tail move finds the event
            tail.pointee.store(at + 1 == size ? 0 : at + 1, ordering: .releasing)
        }
    }

    /// Moves events to the program's memory: their number, or -EFAULT.
    static func take(
        _ thread: Thread, _ context: Context, _ events: ContextEvents.Events, room: Int
    ) -> Int {
        guard room > 0, hasEvents(context) else { return 0 }
        return locked(thread, context) {
            let count = min(room, Int(used(context)))
            guard count > 0 else { return 0 }
            let bytes = UInt(count) * UInt(MemoryLayout<iotrap_event>.stride)
            guard UserMemory.isWritable(thread, UInt(bitPattern: events), bytes: bytes) else {
                return -14
            }
            let ring = ContextEvents.kernelRing(context)
            let size = size(context)
            let head = iotrap_aio_ring_head(ring).atomic
            var at = head.pointee.load(ordering: .relaxed) % size
            for index in 0..<count {
                events[index] = iotrap_aio_ring_event(ring, at).pointee
                at = at + 1 == size ? 0 : at + 1
            }
            // releasing: the places are written over only after they were read
            head.pointee.store(at, ordering: .releasing)
            return count
        }
    }

    /// Runs a few instructions with a context's lock held. Signals are blocked: handlers use
    /// contexts that they have interrupted the use of, as they can with the kernel's.
    @discardableResult
    static func locked<Result>(
        _ thread: Thread, _ context: Context, _ body: () -> Result
    ) -> Result {
        var mask: UInt64 = 0
        // The service thread has blocked them for good.
        let blocks = thread.pointee.state != IOTRAP_STATE_BARE
        if blocks { iotrap_signals_block(&mask) }
        let lock = UnsafeMutableRawPointer(iotrap_context_lock(context))
            .assumingMemoryBound(to: FutexLock.self)
        FutexLock.acquire(lock)
        let result = body()
        FutexLock.release(lock)
        if blocks { iotrap_signals_restore(&mask) }
        return result
    }

    /// The service thread has ended a request.
    static func finish(_ request: Request, result: Int32) {
        var outcome = result
        if UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue {
            outcome = OwnPolls.result(request, result)
        } else if Requests.mustRunAgain(request, result) {
            outcome = Requests.runPlain(request)
        }
        deliver(iotrap_self(), request, outcome)
    }

    private static func deliver(_ thread: Thread, _ request: Request, _ result: Int32) {
        guard let owner = request.pointee.owner else { return RequestPool.give(request) }
        let context = owner.assumingMemoryBound(to: iotrap_context.self)
        if UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue {
            OwnPolls.remove(thread, context, request)
        }
        let started = request.pointee.started_ns
        AsyncRecording.finished(
            thread, IOTRAP_ASYNC_LIBAIO, result: Int64(result),
            nanoseconds: started == 0 ? nil : iotrap_clock() &- started)
        let event = iotrap_event(
            data: request.pointee.data, object: request.pointee.object, result: Int64(result),
            result2: 0)
        let eventDescriptor = Int32(bitPattern: request.pointee.state) &- 1
        RequestPool.give(request)
        push(thread, context, event)
        if eventDescriptor >= 0 {
            iotrap_signal_eventfd(eventDescriptor)
            giveBack(eventDescriptor)
        }
        ContextEvents.wake(context)
        // releasing, and last: io_destroy frees the ring when nothing is in flight
        ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .releasing)
    }

    // MARK: - Submitting

    static func submit(
        _ thread: Thread, _ context: Context, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?
    ) -> Int64 {
        guard count >= 0 else { return -22 }
        guard count > 0 else { return 0 }
        let limit = min(count, Int64(size(context)))
        var done: Int64 = 0
        var error: Int32 = 0
        var mustWait = false
        while done < limit {
            error = submitOne(
                thread, context, UInt64(UInt(bitPattern: iocbs)) &+ UInt64(done) &* 8, &mustWait)
            if error < 0 { break }
            done += 1
        }
        // Until the service thread has handed them to the kernel: an empty range of descriptors to
        // close asks for nothing else.
        if mustWait { _ = Service.ask(IOTRAP_MESSAGE_CLOSE, descriptor: 1, last: 0) }
        let depth = ContextTable.ringInFlight(context).pointee.load(ordering: .relaxed)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_LIBAIO, depth)
        return done > 0 ? done : Int64(error)
    }

    /// Submits the request whose iocb's address is at the given address.
    private static func submitOne(
        _ thread: Thread, _ context: Context, _ place: UInt64, _ mustWait: inout Bool
    ) -> Int32 {
        guard UserMemory.isReadableNow(place, bytes: 8),
            let pointer = UnsafeRawPointer(bitPattern: UInt(place))
        else { return -14 }
        let object = pointer.loadUnaligned(as: UInt64.self)
        guard UserMemory.isReadableNow(object, bytes: 64),
            let source = UnsafeRawPointer(bitPattern: UInt(object))
        else { return -14 }
        let iocb = source.loadUnaligned(as: iotrap_iocb.self)
        guard iocb.reserved2 == 0, iocb.bytes <= UInt64(Int64.max) else { return -22 }
        guard reserve(thread, context) else { return -11 }
        guard let request = RequestPool.take() else {
            giveBackPlace(thread, context)
            return -11
        }
        request.pointee.destination = UInt8(IOTRAP_TO_CONTEXT.rawValue)
        request.pointee.kind = UInt8(IOTRAP_REQUEST_READ.rawValue)
        request.pointee.order = 0
        request.pointee.flags = 0
        request.pointee.pool_file = 0
        RequestPool.setNext(request, 0)
        request.pointee.comparison = 0
        request.ownerWord.pointee.store(
            UInt64(UInt(bitPattern: context)), ordering: .relaxed)
        request.pointee.data = iocb.data
        request.pointee.object = object
        request.pointee.state = 0
        request.pointee.started_ns = iotrap_clock()
        let result = carryOut(thread, context, request, iocb, &mustWait)
        if result < 0 {
            RequestPool.give(request)
            giveBackPlace(thread, context)
        }
        return result
    }

    private static func carryOut(
        _ thread: Thread, _ context: Context, _ request: Request, _ iocb: iotrap_iocb,
        _ mustWait: inout Bool
    ) -> Int32 {
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(Int32(bitPattern: iocb.descriptor), &facts) == 0,
            facts.status_flags & OpenFlags.path == 0
        else { return -9 }
        var event: Int32 = -1
        if iocb.flags & IOTRAP_IOCB_FLAG_RESFD != 0 {
            event = copyOfEvent(Int32(bitPattern: iocb.eventfd))
            guard event >= 0 else { return event }
        }
        request.pointee.state = UInt32(bitPattern: event &+ 1)
        var plan = OwnRequests.Plan.refuse(-14)
        // The kernel's own key, which is zero.
        if iotrap_store_zero(request.pointee.object &+ 8) == 0 {
            plan = OwnRequests.plan(iocb, request, facts)
        }
        if case .run = plan { plan = OwnRequests.runHere(iocb, request, facts) }
        switch plan {
        case .refuse(let error):
            giveBack(event)
            return error
        case .done(let result):
            ContextTable.ringInFlight(context).pointee.wrappingAdd(1, ordering: .relaxed)
            // Not a poll that anybody could cancel.
            request.pointee.kind = UInt8(IOTRAP_REQUEST_READ.rawValue)
            deliver(thread, request, result)
            AsyncRecording.submitted(
                thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_INLINE, requests: 1)
            return 0
        default:
            prepareForPool(request, facts)
            let isUrgent = OwnRequests.mustBeWithKernel(request)
            guard serve(thread, context, request) else {
                PoolTarget.withdraw(request)
                giveBack(event)
                return -11
            }
            mustWait = mustWait || isUrgent
            return 0
        }
    }

    private static func prepareForPool(_ request: Request, _ facts: iotrap_file_facts) {
        if Requests.isSync(request) { return PoolSyncs.prepare(request, facts) }
        let kind = UInt32(request.pointee.kind)
        guard kind != IOTRAP_REQUEST_POLL.rawValue else { return }
        let isVector =
            kind == IOTRAP_REQUEST_READV.rawValue || kind == IOTRAP_REQUEST_WRITEV.rawValue
        let bytes =
            isVector ? PoolService.vectorBytes(request) : UInt64(request.pointee.length)
        PoolTarget.prepare(request, facts, bytes: bytes)
    }

    /// Hands a request to the service thread; false when there is none.
    private static func serve(_ thread: Thread, _ context: Context, _ request: Request) -> Bool {
        let isPoll = UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue
        ContextTable.ringInFlight(context).pointee.wrappingAdd(1, ordering: .relaxed)
        if isPoll { OwnPolls.add(thread, context, request) }
        if Service.submit(first: request.pointee.number + 1, count: 1) {
            AsyncRecording.submitted(
                thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_SERVICE, requests: 1)
            return true
        }
        if isPoll { OwnPolls.remove(thread, context, request) }
        ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    /// A copy of an eventfd: the number may be somebody else's by the time the request ends.
    private static func copyOfEvent(_ asked: Int32) -> Int32 {
        let flags = iotrap_status_flags(asked)
        guard flags >= 0, UInt32(flags) & OpenFlags.path == 0 else { return -9 }
        guard iotrap_is_eventfd(asked) != 0 else { return -22 }
        let copy = iotrap_duplicate_up(asked)
        if copy >= 0 { DescriptorTable.store(copy, Slot(kind: .engine)) }
        return copy
    }

    /// Closes the copy of an eventfd, if there is one.
    private static func giveBack(_ event: Int32) {
        guard event >= 0 else { return }
        DescriptorTable.store(event, Slot(word: 0))
        iotrap_close_raw(event)
    }
}
