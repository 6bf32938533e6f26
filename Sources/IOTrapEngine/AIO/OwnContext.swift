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
        guard UserMemory.isReadable(thread, UInt(bitPattern: handle), bytes: 8) else { return -14 }
        guard handle.pointee == 0, events != 0 else { return -22 }
        guard UserMemory.isWritable(thread, UInt(bitPattern: handle), bytes: 8) else { return -14 }
        handle.pointee = 0
        let processors = iotrap_possible_processors()
        // The bound of fs/aio.c, a ring of 256 MiB, and its wrap-around.
        let wanted = max(events, processors &* 4) &* 2
        guard wanted <= 0x1000_0000 / 32 else { return -22 }
        guard wanted > 0, Service.ready() else { return -11 }
        let bytes = (32 * (Int(wanted) + 2) + 32 + 4095) & ~4095
        guard let pages = iotrap_pages(bytes, 1) else { return -12 }
        let ring = pages.assumingMemoryBound(to: iotrap_aio_ring.self)
        ring.pointee.count = UInt32((bytes - 32) / 32)
        ring.pointee.magic = IOTRAP_AIO_MAGIC
        ring.pointee.compat_features = 1
        ring.pointee.header_length = 32
        let capacity = ContextCalls.capacity(
            ringEvents: ring.pointee.count, processors: processors)
        let made = ContextCalls.insert(
            UInt64(UInt(bitPattern: pages)), capacity: capacity, flags: IOTRAP_CONTEXT_OWN)
        guard let made else {
            iotrap_pages_free(pages, bytes)
            return -11
        }
        made.pointee.ring_bytes = UInt64(bytes)
        handle.pointee = UInt64(UInt(bitPattern: pages))
        return 0
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

    static func hasEvents(_ context: Context) -> Bool { ContextEvents.hasKernelEvents(context) }

    private static func used(_ context: Context) -> UInt32 {
        let ring = ContextEvents.kernelRing(context)
        let size = ring.pointee.count
        let tail = address(of: &ring.pointee.tail).atomic.pointee.load(ordering: .relaxed)
        let head = address(of: &ring.pointee.head).atomic.pointee.load(ordering: .relaxed)
        // The program can write anything there; the kernel takes it modulo the size, too.
        return (tail % size &+ size &- head % size) % size
    }

    /// Stores an event and tells of it.
    private static func push(_ thread: Thread, _ context: Context, _ event: iotrap_event) {
        let lock = address(of: &context.pointee.lock)
        Inside.lock(thread, 0, lock)
        let ring = ContextEvents.kernelRing(context)
        let tail = address(of: &ring.pointee.tail).atomic
        let at = tail.pointee.load(ordering: .relaxed) % ring.pointee.count
        iotrap_aio_ring_event(ring, at).pointee = event
        // releasing: who sees the tail move finds the event
        tail.pointee.store(at + 1 == ring.pointee.count ? 0 : at + 1, ordering: .releasing)
        Inside.unlock(thread, 0, lock)
    }

    /// Moves events to the program's memory.
    static func take(
        _ thread: Thread, _ context: Context, _ events: ContextEvents.Events, room: Int
    ) -> Int {
        ContextEvents.takeKernel(thread, context, events, room: room)
    }

    /// Waits for something to happen: 0 or -errno; -EINTR when a signal was handled.
    static func wait(
        _ context: Context, _ nanoseconds: UInt64, _ mask: UnsafePointer<UInt64>?
    ) -> Int32 {
        // A mask in force only while waiting is something futexes cannot do.
        if let mask { return iotrap_poll_nothing(min(nanoseconds, 1_000_000), mask) }
        let word = address(of: &context.pointee.word)
        let seen = word.atomic.pointee.load(ordering: .sequentiallyConsistent)
        let waiters = address(of: &context.pointee.waiters).atomic
        // seq_cst: pairs with `ContextEvents.wake`
        waiters.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { waiters.pointee.wrappingSubtract(1, ordering: .relaxed) }
        if hasEvents(context) || ContextTable.flags(context) & IOTRAP_CONTEXT_DEAD != 0 { return 0 }
        return iotrap_futex_wait_for(word, seen, nanoseconds)
    }

    /// The service thread has finished a request.
    static func finish(_ request: Request, result: Int32) {
        let thread = iotrap_self()
        guard let owner = request.pointee.owner else { return RequestPool.give(request) }
        let context = owner.assumingMemoryBound(to: iotrap_context.self)
        var outcome = result
        if UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue {
            OwnPolls.remove(thread, context, request)
            // A cancelled poll ends with no events.
            if result == -125 { outcome = 0 }
        } else if Requests.mustRunAgain(request, result) {
            outcome = Requests.runPlain(request)
        }
        let started = request.pointee.started_ns
        AsyncRecording.finished(
            thread, IOTRAP_ASYNC_LIBAIO, result: Int64(outcome),
            nanoseconds: started == 0 ? nil : iotrap_clock() &- started)
        let event = iotrap_event(
            data: request.pointee.data, object: request.pointee.object, result: Int64(outcome),
            result2: 0)
        let eventDescriptor = Int32(bitPattern: request.pointee.state) - 1
        RequestPool.give(request)
        push(thread, context, event)
        if eventDescriptor >= 0 {
            signal(eventDescriptor)
            giveBack(eventDescriptor)
        }
        ContextEvents.wake(context)
        // releasing, and last: io_destroy frees the ring when nothing is in flight
        ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .releasing)
    }

    private static func signal(_ event: Int32) {
        var one: UInt64 = 1
        iotrap_write_raw(event, &one, 8)
    }

    // MARK: - Submitting

    static func submit(
        _ thread: Thread, _ context: Context, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?
    ) -> Int64 {
        guard count >= 0 else { return -22 }
        guard count > 0 else { return 0 }
        guard Inside.enter(thread) else { return -11 }
        defer { Inside.leave(thread) }
        let limit = min(count, Int64(ContextEvents.kernelRing(context).pointee.count))
        var done: Int64 = 0
        while done < limit {
            let result = submitOne(thread, context, iocbs, Int(done))
            if result < 0 {
                if done == 0 { return Int64(result) }
                break
            }
            done += 1
        }
        let depth = ContextTable.ringInFlight(context).pointee.load(ordering: .relaxed)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_LIBAIO, depth)
        return done
    }

    private static func submitOne(
        _ thread: Thread, _ context: Context, _ iocbs: UnsafePointer<UInt64>?, _ index: Int
    ) -> Int32 {
        guard let iocbs,
            UserMemory.isReadable(thread, UInt(bitPattern: iocbs + index), bytes: 8)
        else { return -14 }
        let object = iocbs[index]
        guard UserMemory.isReadable(thread, UInt(object), bytes: 64),
            let place = UnsafeMutablePointer<iotrap_iocb>(bitPattern: UInt(object))
        else { return -14 }
        let iocb = place.pointee
        guard iocb.reserved2 == 0, iocb.bytes <= UInt64(Int64.max) else { return -22 }
        let inFlight = ContextTable.ringInFlight(context).pointee.load(ordering: .relaxed)
        guard inFlight &+ used(context) < context.pointee.capacity,
            let request = RequestPool.take()
        else { return -11 }
        request.pointee.destination = UInt8(IOTRAP_TO_CONTEXT.rawValue)
        request.pointee.order = 0
        request.pointee.flags = 0
        request.pointee.next = 0
        request.pointee.comparison = 0
        request.pointee.owner = UnsafeMutableRawPointer(context)
        request.pointee.data = iocb.data
        request.pointee.object = object
        request.pointee.state = 0
        let result = carryOut(thread, context, request, place)
        if result < 0 { RequestPool.give(request) }
        return result
    }

    private static func carryOut(
        _ thread: Thread, _ context: Context, _ request: Request,
        _ place: UnsafeMutablePointer<iotrap_iocb>
    ) -> Int32 {
        let iocb = place.pointee
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(Int32(bitPattern: iocb.descriptor), &facts) == 0,
            facts.status_flags & OpenFlags.path == 0
        else { return -9 }
        var event: Int32 = -1
        if iocb.flags & IOTRAP_IOCB_FLAG_RESFD != 0 {
            let asked = Int32(bitPattern: iocb.eventfd)
            guard iotrap_status_flags(asked) >= 0 else { return -9 }
            guard iotrap_is_eventfd(asked) != 0 else { return -22 }
            // The number may be somebody else's by the time the request ends: a copy is not.
            event = iotrap_duplicate_up(asked)
            guard event >= 0 else { return event }
            DescriptorTable.store(event, Slot(kind: .engine))
        }
        // The kernel stores its own key there, which is zero.
        if iocb.key != 0 { place.pointee.key = 0 }
        let plan = OwnRequests.plan(thread, iocb, request, facts)
        if case .refuse(let error) = plan {
            giveBack(event)
            return error
        }
        request.pointee.state = UInt32(bitPattern: event + 1)
        request.pointee.started_ns = iotrap_clock()
        ContextTable.ringInFlight(context).pointee.wrappingAdd(1, ordering: .relaxed)
        var route = IOTRAP_ASYNC_ROUTE_SERVICE
        switch plan {
        case .run, .done:
            route = IOTRAP_ASYNC_ROUTE_INLINE
            let isDone = if case .done = plan { true } else { false }
            let result =
                isDone
                ? Int32(bitPattern: request.pointee.reserved) : OwnRequests.runHere(request)
            finish(request, result: result)
        default:
            if UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue {
                OwnPolls.add(thread, context, request)
            }
            guard Service.submit(first: request.pointee.number + 1, count: 1) else {
                return withdraw(thread, context, request, event)
            }
        }
        AsyncRecording.submitted(thread, IOTRAP_ASYNC_LIBAIO, route, requests: 1)
        return 0
    }

    private static func withdraw(
        _ thread: Thread, _ context: Context, _ request: Request, _ event: Int32
    ) -> Int32 {
        if UInt32(request.pointee.kind) == IOTRAP_REQUEST_POLL.rawValue {
            OwnPolls.remove(thread, context, request)
        }
        giveBack(event)
        ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .relaxed)
        return -11
    }

    /// Closes the copy of an eventfd, if there is one.
    private static func giveBack(_ event: Int32) {
        guard event >= 0 else { return }
        DescriptorTable.store(event, Slot(word: 0))
        iotrap_close_raw(event)
    }
}
