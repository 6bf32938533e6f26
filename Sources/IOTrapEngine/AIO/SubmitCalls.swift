import CIOTrap
import CIOTrapEngine
import Synchronization

/// See iotrap_aio.h.
@c @implementation
public func iotrap_io_submit(
    _ handle: UInt64, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?
) -> Int64 {
    let thread = iotrap_self()
    guard let call = AsyncCall(thread, IOTRAP_OP_IO_SUBMIT) else { return AsyncCall.declined }
    AsyncRecording.submitCall(thread, IOTRAP_ASYNC_LIBAIO)
    switch ContextTable.find(handle) {
    case .none:
        let result = Int64(iotrap_io_submit_raw(handle, Int(count), iocbs))
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_KERNEL,
            requests: UInt64(max(0, result)))
        call.passed(thread, AsyncCall.unknownReason, failed: result < 0)
        return result
    case .dead:
        call.passed(thread, IOTRAP_REASON_NO_TECHNIQUE, failed: true)
        return -22
    case .live(let context):
        defer { ContextTable.leave(context) }
        if ContextTable.flags(context) & IOTRAP_CONTEXT_OWN != 0 {
            let result = OwnContext.submit(thread, context, count, iocbs)
            call.served(
                thread, IOTRAP_TECHNIQUE_LIBAIO, requests: UInt64(max(0, result)),
                failed: result < 0)
            return result
        }
        return SubmitCalls.submit(thread, context, count, iocbs, call)
    }
}

/// io_submit on a context of the kernel's: what a ring serves better goes there, the rest to the
/// kernel, in runs that keep the program's order.
enum SubmitCalls {
    typealias Context = ContextTable.Context
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Caller = CallerRing.Caller

    static func submit(
        _ thread: Thread, _ context: Context, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?,
        _ call: AsyncCall
    ) -> Int64 {
        Habits.noteSubmitter(thread, context)
        var reason = IOTRAP_REASON_NO_TECHNIQUE
        guard count > 0, let iocbs, let caller = Habits.ring(thread, context, &reason),
            Inside.enter(thread)
        else {
            let result = submitKernel(thread, context, count, iocbs)
            // Who takes events without a call leaves no trace of what is in flight.
            if reason != IOTRAP_REASON_EVENTFD { noteDepth(thread, context) }
            call.passed(thread, reason, failed: result < 0)
            return result
        }
        defer { Inside.leave(thread) }
        var batch = Batch(thread, context, caller, iocbs)
        let result = batch.run(min(count, Int64(ContextEvents.kernelRing(context).pointee.count)))
        noteDepth(thread, context)
        if batch.ringTotal > 0 {
            call.served(
                thread, IOTRAP_TECHNIQUE_LIBAIO, requests: UInt64(batch.ringTotal),
                failed: result < 0)
        } else {
            call.passed(thread, batch.reason, failed: result < 0)
        }
        return result
    }

    private static func noteDepth(_ thread: Thread, _ context: Context) {
        AsyncRecording.depth(thread, IOTRAP_ASYNC_LIBAIO, ContextTable.outstanding(context))
    }

    /// Passes requests to the kernel, and watches the time of one of them.
    static func submitKernel(
        _ thread: Thread, _ context: Context, _ count: Int64, _ iocbs: UnsafePointer<UInt64>?
    ) -> Int64 {
        let isShared = ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED != 0
        let watches = !isShared && context.pointee.watched_object == 0
        let now = watches ? iotrap_clock() : 0
        let result = Int64(iotrap_io_submit_raw(context.pointee.handle, Int(count), iocbs))
        guard result > 0, let iocbs else { return result }
        if watches {
            let spent = (iotrap_clock() &- now) / UInt64(result)
            context.pointee.kernel_submit_ns =
                (context.pointee.kernel_submit_ns &* 7 &+ spent) / 8
            context.pointee.watched_ns = now
            context.pointee.watched_object = iocbs[0]
        }
        ContextTable.kernelInFlight(context).pointee.wrappingAdd(
            UInt32(truncatingIfNeeded: result), ordering: .relaxed)
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_KERNEL, requests: UInt64(result))
        return result
    }
}

/// The requests of one io_submit call.
private struct Batch {
    typealias Thread = SubmitCalls.Thread

    private let thread: Thread
    private let context: ContextTable.Context
    private let caller: CallerRing.Caller
    private let iocbs: UnsafePointer<UInt64>
    private let ring: OpaquePointer
    /// Requests that went to the ring.
    private(set) var ringTotal = 0
    /// Why the last one that did not, did not.
    private(set) var reason = IOTRAP_REASON_NO_TECHNIQUE

    private var prepared = 0
    private var writes: UInt32 = 0
    private var started: UInt64 = 0
    private var sizeLimit: Int64 = -1
    private var offload: (flags: UInt32, epoch: UInt32) = (0, 0)

    init(
        _ thread: Thread, _ context: ContextTable.Context, _ caller: CallerRing.Caller,
        _ iocbs: UnsafePointer<UInt64>
    ) {
        self.thread = thread
        self.context = context
        self.caller = caller
        self.iocbs = iocbs
        self.ring = caller.pointee.ring!
        offload = Offload.choose(context)
        thread.pointee.flights &+= 1
        // One batch in eight is timed, or all while a comparison goes on.
        if offload.epoch != 0 || thread.pointee.flights % 8 == 0 { started = iotrap_clock() }
    }

    /// - Returns: what io_submit returns.
    mutating func run(_ count: Int64) -> Int64 {
        var done: Int64 = 0
        while done < count {
            guard hasRoom else { return done > 0 ? done : -11 }
            let start = done
            while done < count, hasRoom, prepare(Int(done)) { done += 1 }
            let accepted = submitPrepared()
            if start + accepted < done {
                // The ring would not take them: the kernel does, and says what it says.
                return finishWithKernel(start + accepted, count)
            }
            guard done < count, hasRoom else { continue }
            let kernelStart = done
            repeat { done += 1 } while done < count && !isForRing(Int(done))
            let result = SubmitCalls.submitKernel(
                thread, context, done - kernelStart, iocbs + Int(kernelStart))
            if result < 0 { return kernelStart > 0 ? kernelStart : result }
            if result < done - kernelStart { return kernelStart + result }
        }
        return done
    }

    private func finishWithKernel(_ from: Int64, _ count: Int64) -> Int64 {
        let result = SubmitCalls.submitKernel(thread, context, count - from, iocbs + Int(from))
        if result < 0 { return from > 0 ? from : result }
        return from + result
    }

    private var hasRoom: Bool {
        ContextTable.outstanding(context) < context.pointee.capacity
    }

    /// The iocb of a position, when its memory can be read.
    private func iocb(_ index: Int) -> (iotrap_iocb, UInt64)? {
        let place = UInt(bitPattern: iocbs + index)
        guard UserMemory.isReadable(thread, place, bytes: 8) else { return nil }
        let object = iocbs[index]
        // Written to as well: the kernel stores its key there.
        guard UserMemory.isReadable(thread, UInt(object), bytes: 64),
            UserMemory.isWritable(thread, UInt(object), bytes: 64),
            let iocb = UnsafePointer<iotrap_iocb>(bitPattern: UInt(object))
        else { return nil }
        return (iocb.pointee, object)
    }

    private mutating func isForRing(_ index: Int) -> Bool {
        guard let request = RequestPool.take() else { return false }
        defer { RequestPool.give(request) }
        return judge(index, request) != nil
    }

    private mutating func judge(
        _ index: Int, _ request: RequestPool.Request
    ) -> (iotrap_iocb, UInt64)? {
        guard let (iocb, object) = iocb(index) else {
            reason = IOTRAP_REASON_SIZE_LIMIT
            return nil
        }
        let inFlight = CallerRing.writesWord(caller).pointee.load(ordering: .relaxed) + writes
        switch Eligibility.judge(
            thread, iocb, request, context, writesInFlight: inFlight > 0, sizeLimit: &sizeLimit)
        {
        case .ring: return (iocb, object)
        case .kernel(let why):
            reason = why
            if why == IOTRAP_REASON_EVENTFD { Habits.keepWithKernel(context, why) }
            return nil
        }
    }

    /// Puts one request into the submission queue; false when it is not for the ring.
    private mutating func prepare(_ index: Int) -> Bool {
        guard ContextTable.flags(context) & IOTRAP_CONTEXT_KERNEL == 0,
            let request = RequestPool.take()
        else { return false }
        guard let (iocb, object) = judge(index, request) else {
            RequestPool.give(request)
            return false
        }
        let isSync = Requests.isSync(request)
        request.pointee.flags = UInt8(isSync ? IOTRAP_SUBMIT_DRAIN : 0)
        if offload.flags != 0, !isSync, HeldFiles.hold(caller, request) {
            request.pointee.flags = UInt8(offload.flags | IOTRAP_SUBMIT_HELD)
        }
        request.pointee.destination = UInt8(IOTRAP_TO_CONTEXT.rawValue)
        request.pointee.order = 0
        request.ownerWord.pointee.store(
            UInt64(UInt(bitPattern: context)), ordering: .relaxed)
        request.pointee.data = iocb.data
        request.pointee.object = object
        request.pointee.started_ns = started
        request.pointee.comparison = isSync || offload.epoch == 0 ? 0 : 1
        request.pointee.epoch = offload.epoch &- 1
        if iotrap_ring_queue_request(ring, request) == 0 {
            _ = iotrap_ring_enter(ring, 0, UInt64.max, nil)
            guard iotrap_ring_queue_request(ring, request) != 0 else {
                HeldFiles.leave(caller, request)
                RequestPool.give(request)
                return false
            }
        }
        prepared += 1
        // KIOCB_KEY, which io_cancel looks for.
        if iocb.key != 0 {
            UnsafeMutablePointer<iotrap_iocb>(bitPattern: UInt(object))?.pointee.key = 0
        }
        if Requests.writes(request) { writes += 1 }
        // Counted before it is submitted: its end may be seen before the call returns.
        ContextTable.ringInFlight(context).pointee.wrappingAdd(1, ordering: .relaxed)
        CallerRing.inFlightWord(caller).pointee.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    /// Submits what is prepared.
    ///
    /// - Returns: how many requests the kernel took; the others are given back.
    private mutating func submitPrepared() -> Int64 {
        guard prepared > 0 else { return 0 }
        let count = prepared
        prepared = 0
        CallerRing.writesWord(caller).pointee.wrappingAdd(writes, ordering: .relaxed)
        writes = 0
        ContextTable.setCaller(context, caller)
        // Pairs with the fence of `Habits.keepWithKernel`.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        var failures = ContextTable.flags(context) & IOTRAP_CONTEXT_KERNEL == 0 ? 0 : 3
        while iotrap_ring_queued(ring) > 0, failures < 3 {
            if iotrap_ring_enter(ring, 0, UInt64.max, nil) < 0 { failures += 1 }
        }
        var refused = 0
        var tag: UInt64 = 0
        while iotrap_ring_unqueue_last(ring, &tag) != 0 {
            let request = RequestPool.request(UInt32(truncatingIfNeeded: tag) &- 1)
            if Requests.writes(request) {
                CallerRing.writesWord(caller).pointee.wrappingSubtract(1, ordering: .relaxed)
            }
            ContextTable.ringInFlight(context).pointee.wrappingSubtract(1, ordering: .relaxed)
            CallerRing.inFlightWord(caller).pointee.wrappingSubtract(1, ordering: .relaxed)
            HeldFiles.leave(caller, request)
            RequestPool.give(request)
            refused += 1
        }
        let taken = count - refused
        ringTotal += taken
        if offload.flags != 0 {
            Offload.noteSubmitted(thread, context, requests: UInt64(taken))
        }
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_RING, requests: UInt64(taken))
        return Int64(taken)
    }
}
