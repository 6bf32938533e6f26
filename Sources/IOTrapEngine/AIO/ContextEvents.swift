import CIOTrap
import CIOTrapEngine
import Synchronization

/// Events on their way to the program: from finished requests, and from the kernel's own ring.
enum ContextEvents {
    typealias Context = ContextTable.Context
    typealias Request = RequestPool.Request
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Events = UnsafeMutablePointer<iotrap_event>

    /// A request of a ring is finished: its event waits for io_getevents. The caller is inside.
    static func finish(_ thread: Thread, _ request: Request, result: Int32, now: UInt64) {
        guard let owner = request.pointee.owner else { return RequestPool.give(request) }
        let context = owner.assumingMemoryBound(to: iotrap_context.self)
        var outcome = result
        if Requests.mustRunAgain(request, result) { outcome = Requests.runPlain(request) }
        noteTimes(thread, context, request, outcome, now)
        request.pointee.offset = Int64(outcome)
        RequestPool.setNext(request, 0)
        let lock = iotrap_context_lock(context)
        Inside.lock(thread, 0, lock)
        append(context, request)
        Inside.unlock(thread, 0, lock)
        // releasing: who sees the count fall finds the event
        ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .releasing)
        wake(context)
    }

    private static func append(_ context: Context, _ request: Request) {
        let number = request.pointee.number + 1
        if context.pointee.finished_last == 0 {
            context.pointee.finished_first = number
        } else {
            RequestPool.setNext(RequestPool.request(context.pointee.finished_last - 1), number)
        }
        context.pointee.finished_last = number
        iotrap_context_finished_count(context).atomic.pointee.wrappingAdd(
            1, ordering: .relaxed)
    }

    private static func noteTimes(
        _ thread: Thread, _ context: Context, _ request: Request, _ result: Int32, _ now: UInt64
    ) {
        let depth = ContextTable.outstanding(context)
        Offload.finished(
            thread, context, request, result: result, now: now, inFlight: depth)
        let started = request.pointee.started_ns
        AsyncCall.noteBytes(thread, Int64(result), by: IOTRAP_TECHNIQUE_LIBAIO)
        AsyncRecording.finished(
            thread, IOTRAP_ASYNC_LIBAIO, result: Int64(result),
            nanoseconds: started == 0 ? nil : now &- started)
    }

    /// Wakes those who sleep until something happens to the context.
    static func wake(_ context: Context) {
        let waiters = iotrap_context_waiters(context).atomic
        // seq_cst: pairs with the sleeper, which counts itself and then looks for events again
        guard waiters.pointee.load(ordering: .sequentiallyConsistent) > 0 else { return }
        let word = iotrap_context_word(context)
        word.atomic.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        iotrap_futex_wake(word, Int32.max)
    }

    /// Moves finished requests' events to the program's memory, the oldest first.
    ///
    /// - Returns: their number, or -EFAULT when there are some and the memory cannot be written.
    static func take(
        _ thread: Thread, _ context: Context, _ events: Events, room: Int
    ) -> Int {
        guard room > 0, ContextTable.finishedCount(context) > 0 else { return 0 }
        let lock = iotrap_context_lock(context)
        Inside.lock(thread, 0, lock)
        defer { Inside.unlock(thread, 0, lock) }
        let count = min(room, Int(ContextTable.finishedCount(context)))
        guard count > 0 else { return 0 }
        let bytes = UInt(count) * UInt(MemoryLayout<iotrap_event>.stride)
        guard UserMemory.isWritable(thread, UInt(bitPattern: events), bytes: bytes) else {
            return -14
        }
        for index in 0..<count {
            let request = RequestPool.request(context.pointee.finished_first - 1)
            context.pointee.finished_first = request.pointee.next
            events[index] = iotrap_event(
                data: request.pointee.data, object: request.pointee.object,
                result: request.pointee.offset, result2: 0)
            RequestPool.give(request)
        }
        if context.pointee.finished_first == 0 { context.pointee.finished_last = 0 }
        iotrap_context_finished_count(context).atomic.pointee.wrappingSubtract(
            UInt32(count), ordering: .relaxed)
        return count
    }

    /// Takes events from the kernel's own completion ring without a system call, which only the one
    /// thread that uses a context may do: the kernel takes them under a lock of its own.
    static func takeKernel(
        _ thread: Thread, _ context: Context, _ events: Events, room: Int
    ) -> Int {
        guard room > 0, hasKernelEvents(context) else { return 0 }
        let lock = iotrap_context_lock(context)
        Inside.lock(thread, 0, lock)
        defer { Inside.unlock(thread, 0, lock) }
        guard ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED == 0 else { return 0 }
        let ring = kernelRing(context)
        let size = ring.pointee.count
        let tail = iotrap_aio_ring_tail(ring).atomic.pointee.load(ordering: .acquiring)
        let head = iotrap_aio_ring_head(ring).atomic
        var at = head.pointee.load(ordering: .relaxed)
        guard size > 0, at < size, tail < size else { return 0 }
        let ready = tail >= at ? tail - at : size - at + tail
        let count = min(room, Int(ready))
        let bytes = UInt(count) * UInt(MemoryLayout<iotrap_event>.stride)
        guard count > 0 else { return 0 }
        guard UserMemory.isWritable(thread, UInt(bitPattern: events), bytes: bytes) else {
            return -14
        }
        for index in 0..<count {
            events[index] = iotrap_aio_ring_event(ring, at).pointee
            at = at + 1 == size ? 0 : at + 1
        }
        // releasing: the kernel writes over the places only after they were read
        head.pointee.store(at, ordering: .releasing)
        iotrap_context_known_head(context).atomic.pointee.store(at, ordering: .relaxed)
        return count
    }

    /// The kernel itself handed out events: the head moves on by their number.
    static func noteTaken(_ context: Context, _ number: Int) {
        // Of one thread's context only: nobody asks for that of a shared one.
        guard ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED == 0 else { return }
        let size = max(1, kernelRing(context).pointee.count)
        let known = iotrap_context_known_head(context).atomic
        let before = UInt64(known.pointee.load(ordering: .relaxed))
        known.pointee.store(
            UInt32((before + UInt64(number)) % UInt64(size)), ordering: .relaxed)
    }

    @inline(__always)
    static func head(_ context: Context) -> UInt32 {
        iotrap_aio_ring_head(kernelRing(context)).atomic.pointee.load(ordering: .relaxed)
    }

    @inline(__always)
    static func hasKernelEvents(_ context: Context) -> Bool {
        let ring = kernelRing(context)
        return iotrap_aio_ring_head(ring).atomic.pointee.load(ordering: .relaxed)
            != iotrap_aio_ring_tail(ring).atomic.pointee.load(ordering: .acquiring)
    }

    /// The completion ring behind a handle: the kernel's, or the engine's own.
    @inline(__always)
    static func kernelRing(_ context: Context) -> UnsafeMutablePointer<iotrap_aio_ring> {
        UnsafeMutablePointer(bitPattern: UInt(context.pointee.address))!
    }

    /// Drops events that nobody will take any more.
    static func discard(_ context: Context) {
        while context.pointee.finished_first != 0 {
            let request = RequestPool.request(context.pointee.finished_first - 1)
            context.pointee.finished_first = request.pointee.next
            RequestPool.give(request)
        }
        context.pointee.finished_last = 0
        context.pointee.finished_count = 0
    }
}
