import CIOTrap
import CIOTrapEngine
import Synchronization

/// See iotrap_aio.h.
@c @implementation
public func iotrap_io_getevents(
    _ handle: UInt64, _ minimum: Int64, _ count: Int64,
    _ events: UnsafeMutablePointer<iotrap_event>?, _ timeout: UnsafeRawPointer?,
    _ mask: UnsafeRawPointer?, _ byLibrary: Int32
) -> Int64 {
    let thread = iotrap_self()
    guard let call = AsyncCall(thread, IOTRAP_OP_IO_GETEVENTS) else {
        return EventCalls.leftOver(thread, handle, count, events)
    }
    switch ContextTable.find(handle) {
    case .none:
        let answer =
            byLibrary != 0 && EventCalls.libraryFindsNone(thread, handle, timeout) ? Int64(0) : nil
        let result =
            answer ?? EventCalls.askKernel(handle, minimum, count, events, timeout, mask)
        AsyncRecording.reaped(
            thread, IOTRAP_ASYNC_LIBAIO, requests: UInt64(max(result, 0)), inUser: 0)
        call.passed(thread, AsyncCall.unknownReason, failed: result < 0)
        return result
    case .dead:
        call.passed(thread, IOTRAP_REASON_NO_TECHNIQUE, failed: true)
        return -22
    case .live(let context):
        defer { ContextTable.leave(context) }
        var collector = Collector(thread, context, minimum, count, events, mask)
        let result = collector.run(timeout, byLibrary: byLibrary != 0)
        AsyncRecording.reaped(
            thread, IOTRAP_ASYNC_LIBAIO, requests: UInt64(max(result, 0)),
            inUser: UInt64(max(collector.takenInUser, 0)))
        if collector.takenInUser > 0 || ContextTable.flags(context) & IOTRAP_CONTEXT_OWN != 0 {
            call.served(thread, failed: result < 0)
        } else {
            call.passed(thread, IOTRAP_REASON_NO_TECHNIQUE, failed: result < 0)
        }
        return result
    }
}

enum EventCalls {
    static func isZero(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ timeout: UnsafeRawPointer?
    ) -> Bool {
        guard let timeout, UserMemory.isReadable(thread, UInt(bitPattern: timeout), bytes: 16)
        else { return false }
        return timeout.loadUnaligned(as: Int64.self) == 0
            && timeout.loadUnaligned(fromByteOffset: 8, as: Int64.self) == 0
    }

    /// Events of requests that were on a ring when the program restricted itself: handed out
    /// without a system call. Declined when there are none.
    static func leftOver(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ handle: UInt64, _ count: Int64,
        _ events: UnsafeMutablePointer<iotrap_event>?
    ) -> Int64 {
        guard process.pointee.isRestricted != 0, count > 0, let events,
            case .live(let context) = ContextTable.find(handle)
        else { return AsyncCall.declined }
        defer { ContextTable.leave(context) }
        guard ContextTable.finishedCount(context) > 0, Inside.enter(thread) else {
            return AsyncCall.declined
        }
        defer { Inside.leave(thread) }
        let taken = ContextEvents.take(thread, context, events, room: Int(count))
        return taken > 0 ? Int64(taken) : AsyncCall.declined
    }

    /// What libaio's functions look at before they make the system call.
    static func libraryFindsNone(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ handle: UInt64,
        _ timeout: UnsafeRawPointer?
    ) -> Bool {
        guard isZero(thread, timeout),
            UserMemory.isReadable(thread, UInt(handle), bytes: 32),
            let ring = UnsafePointer<iotrap_aio_ring>(bitPattern: UInt(handle))
        else { return false }
        return ring.pointee.magic == IOTRAP_AIO_MAGIC && ring.pointee.head == ring.pointee.tail
    }

    /// The system call: io_getevents, or io_pgetevents when a mask argument is given.
    static func askKernel(
        _ handle: UInt64, _ minimum: Int64, _ count: Int64,
        _ events: UnsafeMutablePointer<iotrap_event>?, _ timeout: UnsafeRawPointer?,
        _ mask: UnsafeRawPointer?
    ) -> Int64 {
        if let mask {
            return Int64(
                iotrap_io_pgetevents_raw(handle, Int(minimum), Int(count), events, timeout, mask))
        }
        return Int64(iotrap_io_getevents_raw(handle, Int(minimum), Int(count), events, timeout))
    }
}

/// One call of io_getevents: takes events from wherever the context's requests end.
struct Collector {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Context = ContextTable.Context

    let thread: Thread
    let context: Context
    let minimum: Int
    let count: Int
    let events: UnsafeMutablePointer<iotrap_event>?
    let mask: UnsafeRawPointer?
    /// When to stop waiting, in nanoseconds of CLOCK_MONOTONIC; nil: never.
    private var deadline: UInt64?
    private var isImpatient = false
    private var taken = 0
    /// Events that took no system call.
    private(set) var takenInUser = 0
    private var hasSlept = false
    private var isCutOff = false

    /// While requests are under way in two places, one is looked at this often.
    private static let sliceNanoseconds: UInt64 = 500_000

    init(
        _ thread: Thread, _ context: Context, _ minimum: Int64, _ count: Int64,
        _ events: UnsafeMutablePointer<iotrap_event>?, _ mask: UnsafeRawPointer?
    ) {
        self.thread = thread
        self.context = context
        self.minimum = Int(minimum)
        self.count = Int(count)
        self.events = events
        self.mask = mask
    }

    private var isOwn: Bool { ContextTable.flags(context) & IOTRAP_CONTEXT_OWN != 0 }

    /// - Returns: what io_getevents returns.
    mutating func run(_ timeout: UnsafeRawPointer?, byLibrary: Bool) -> Int64 {
        if byLibrary && findsNone(timeout) { return 0 }
        let result = collect(timeout)
        return isOwn ? OwnContext.letSignalsIn(mask, result) : result
    }

    private mutating func collect(_ timeout: UnsafeRawPointer?) -> Int64 {
        guard readTimeout(timeout) else {
            return isOwn ? -14 : pass(timeout)
        }
        if isOwn {
            let error = OwnContext.maskError(mask)
            if error < 0 { return Int64(error) }
        }
        guard minimum >= 0, count >= minimum else { return isOwn ? -22 : pass(timeout) }
        if !isOwn {
            Habits.noteReaper(
                thread, context, isWilling: minimum > 0 && !isImpatient && mask == nil)
        }
        while true {
            let found = takeReady()
            if found < 0 { return taken > 0 ? Int64(taken) : Int64(found) }
            if taken >= minimum { return Int64(taken) }
            if ContextTable.flags(context) & IOTRAP_CONTEXT_DEAD != 0 { return outcome(-22) }
            if !isOwn && (isCutOff || !mayComeFromRings) {
                if let result = waitInKernel(timeout) { return result }
                continue
            }
            if isImpatient { return Int64(taken) }
            let remaining = remaining()
            if remaining == 0 { return finalLook() }
            hasSlept = true
            let result = wait(remaining)
            if result == -4 { return interrupted() }
        }
    }

    private func outcome(_ error: Int64) -> Int64 { taken > 0 ? Int64(taken) : error }

    private mutating func finalLook() -> Int64 {
        let found = takeReady()
        return found < 0 ? outcome(Int64(found)) : Int64(taken)
    }

    private mutating func interrupted() -> Int64 {
        _ = takeReady()
        return outcome(-4)
    }

    /// True when libaio's function would answer without asking: no events, and no time to wait.
    private mutating func findsNone(_ timeout: UnsafeRawPointer?) -> Bool {
        guard EventCalls.isZero(thread, timeout) else { return false }
        if let caller = ContextTable.caller(context), Inside.enter(thread) {
            CallerRing.reap(thread, caller)
            Inside.leave(thread)
        }
        if !isOwn { Habits.noteReaper(thread, context, isWilling: false) }
        return ContextTable.finishedCount(context) == 0 && !ContextEvents.hasKernelEvents(context)
    }

    /// The whole call is the kernel's.
    private func pass(_ timeout: UnsafeRawPointer?) -> Int64 {
        let handle = context.pointee.handle
        let generation = context.pointee.generation
        ContextTable.leave(context)
        let result = EventCalls.askKernel(
            handle, Int64(minimum), Int64(count), events, timeout, mask)
        let isSame = ContextTable.useAgain(context, generation: generation)
        if result > 0 && isSame { noteKernelEvents(events, Int(result)) }
        return result
    }

    /// False when the timeout cannot be read.
    private mutating func readTimeout(_ timeout: UnsafeRawPointer?) -> Bool {
        guard let timeout else { return true }
        guard UserMemory.isReadable(thread, UInt(bitPattern: timeout), bytes: 16) else {
            return false
        }
        let seconds = timeout.loadUnaligned(as: Int64.self)
        let nanoseconds = timeout.loadUnaligned(fromByteOffset: 8, as: Int64.self)
        // As timespec64_to_ktime does it; a negative sum means no limit (fs/aio.c of 6.18).
        let total = seconds &* 1_000_000_000 &+ nanoseconds
        if seconds < 9_223_372_036, total >= 0 {
            if total == 0 { isImpatient = true } else { deadline = iotrap_clock() &+ UInt64(total) }
        }
        return true
    }

    private func remaining() -> UInt64 {
        guard let deadline else { return UInt64.max }
        let now = iotrap_clock()
        return deadline > now ? deadline - now : 0
    }

    /// True while the kernel's own ring is not the only place where events can come from.
    private var mayComeFromRings: Bool {
        if Habits.hasRingWork(context) { return true }
        // Requests of other contexts end in this thread too, and would interrupt the kernel's wait.
        guard let caller = thread.pointee.caller else { return false }
        return CallerRing.inFlightWord(caller).pointee.load(ordering: .relaxed) > 0
    }

    /// Takes what is ready; -EFAULT when the program's memory cannot be written, else 0.
    private mutating func takeReady() -> Int {
        guard let events else { return takeNowhere() }
        var found = 0
        if isOwn {
            found = OwnContext.take(thread, context, events + taken, room: count - taken)
            if found > 0 {
                taken += found
                if !hasSlept { takenInUser += found }
            }
            return min(found, 0)
        }
        let isFirst = Inside.enter(thread)
        guard isFirst || Inside.holdsNothing(thread) else {
            // A handler that came between a lock and its release: only the kernel can answer.
            isCutOff = true
            return 0
        }
        defer { if isFirst { Inside.leave(thread) } }
        if let caller = ContextTable.caller(context) { CallerRing.reap(thread, caller) }
        // Completions of other contexts must not end every wait at once.
        if let mine = thread.pointee.caller, mine != ContextTable.caller(context) {
            CallerRing.reap(thread, mine)
        }
        // Each place comes first in turn: a program may take one event at a time.
        let turn = iotrap_context_turn(context).atomic.pointee.load(ordering: .relaxed)
        iotrap_context_turn(context).atomic.pointee.store(turn &+ 1, ordering: .relaxed)
        let kernelFirst = turn & 1 != 0
        for pass in 0..<2 {
            found = (pass == 0) == kernelFirst ? takeKernel(events) : takeFinished(events)
            if found < 0 { return taken > 0 ? 0 : found }
        }
        takeShared()
        return 0
    }

    /// There is no place for events: an error as soon as there is one.
    private func takeNowhere() -> Int {
        guard count > taken else { return 0 }
        if isOwn { return OwnContext.hasEvents(context) ? -14 : 0 }
        if let caller = ContextTable.caller(context), Inside.enter(thread) {
            CallerRing.reap(thread, caller)
            Inside.leave(thread)
        }
        return ContextTable.finishedCount(context) > 0 ? -14 : 0
    }

    private mutating func takeFinished(_ events: UnsafeMutablePointer<iotrap_event>) -> Int {
        let found = ContextEvents.take(thread, context, events + taken, room: count - taken)
        if found > 0 {
            taken += found
            if !hasSlept { takenInUser += found }
        }
        return found
    }

    private mutating func takeKernel(_ events: UnsafeMutablePointer<iotrap_event>) -> Int {
        let found = ContextEvents.takeKernel(
            thread, context, events + taken, room: count - taken)
        if found > 0 {
            countKernelEvents(events + taken, found)
            taken += found
            if !hasSlept { takenInUser += found }
        }
        return found
    }

    /// Several threads use the context: the kernel's ring is taken from with its own lock.
    private mutating func takeShared() {
        guard let events, taken < count,
            ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED != 0, mayComeFromRings,
            ContextEvents.hasKernelEvents(context)
        else { return }
        var now = timespec()
        let result = Int(
            iotrap_io_getevents_raw(
                context.pointee.handle, 0, count - taken, events + taken, &now))
        guard result > 0 else { return }
        noteKernelEvents(events + taken, result)
        taken += result
    }

    /// Events that a system call took.
    private func noteKernelEvents(
        _ events: UnsafeMutablePointer<iotrap_event>?, _ number: Int
    ) {
        ContextEvents.noteTaken(context, number)
        countKernelEvents(events, number)
    }

    private func countKernelEvents(
        _ events: UnsafeMutablePointer<iotrap_event>?, _ number: Int
    ) {
        guard number > 0, let events else { return }
        ContextTable.kernelInFlight(context).pointee.wrappingSubtract(
            UInt32(truncatingIfNeeded: number), ordering: .relaxed)
        KernelFlight.note(thread, context, events, number)
    }

    /// Nothing is under way on rings: the kernel's own wait has the right semantics by itself.
    ///
    /// - Returns: nil when the wait is to go on: a kernel worker gives a request of this thread's
    ///   ring back to it after its completion was seen, and that interrupts the wait.
    private mutating func waitInKernel(_ timeout: UnsafeRawPointer?) -> Int64? {
        var rest = timespec()
        var limit = timeout
        return withUnsafeMutablePointer(to: &rest) { pointer in
            if isImpatient || (timeout != nil && (taken > 0 || hasSlept)) {
                let nanoseconds = isImpatient ? 0 : remaining()
                pointer.pointee.tv_sec = Int(nanoseconds / 1_000_000_000)
                pointer.pointee.tv_nsec = Int(nanoseconds % 1_000_000_000)
                limit = UnsafeRawPointer(pointer)
            }
            let handle = context.pointee.handle
            let generation = context.pointee.generation
            // io_destroy waits for those who may touch the ring, and ends this wait.
            ContextTable.leave(context)
            let result = EventCalls.askKernel(
                handle, Int64(minimum - taken), Int64(count - taken),
                events.map { $0 + taken }, limit, mask)
            let isSame = ContextTable.useAgain(context, generation: generation)
            if result == -4, thread.pointee.caller != nil, iotrap_wait_goes_on(1) != 0 {
                guard isSame else { return outcome(-22) }
                hasSlept = true
                return nil
            }
            if result <= 0 { return outcome(result) }
            if isSame { noteKernelEvents(events.map { $0 + taken }, Int(result)) }
            return Int64(taken) + result
        }
    }

    /// Waits until something may have happened: 0 or -errno; -EINTR when a signal was handled.
    private func wait(_ remaining: UInt64) -> Int32 {
        if isOwn { return withMask { OwnContext.wait(thread, context, remaining, $0) } }
        let kernel = ContextTable.kernelInFlight(context).pointee.load(ordering: .relaxed)
        let hasBoth = Int32(bitPattern: kernel) > 0
        let ringCount = ContextTable.ringInFlight(context).pointee.load(ordering: .relaxed)
        guard let caller = thread.pointee.caller, let ring = caller.pointee.ring,
            ContextTable.caller(context) == caller || ringCount == 0
        else { return waitForOthers(remaining, hasBoth) }
        let all = CallerRing.inFlightWord(caller).pointee.load(ordering: .relaxed)
        let wanted = UInt32(truncatingIfNeeded: minimum - taken)
        let isSimple = !hasBoth && all == ringCount
        let limit = isSimple && ringCount > 0 ? remaining : min(remaining, Self.sliceNanoseconds)
        let result = withMask {
            iotrap_ring_enter(ring, isSimple ? max(1, min(wanted, ringCount)) : 1, limit, $0)
        }
        // A ring that fails otherwise (its descriptor was closed) must not become a busy loop.
        if result < 0 && result != -4 && result != -62 { iotrap_pause_ns(100_000) }
        return result
    }

    /// Another thread's ring has the requests: it is looked at again and again until they are done.
    private func waitForOthers(_ remaining: UInt64, _ hasBoth: Bool) -> Int32 {
        let slice = min(remaining, Self.sliceNanoseconds)
        var word: UInt32 = 0
        if mask == nil { return iotrap_futex_wait_for(&word, 0, slice) }
        return withMask { iotrap_poll_nothing(slice, $0) }
    }

    private func withMask(_ body: (UnsafePointer<UInt64>?) -> Int32) -> Int32 {
        body(OwnContext.signals(mask))
    }
}

/// How long the kernel's own libaio takes: one request of a context is watched at a time.
enum KernelFlight {
    static func note(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ context: ContextTable.Context,
        _ events: UnsafeMutablePointer<iotrap_event>, _ number: Int
    ) {
        let isShared = ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED != 0
        let watched = isShared ? 0 : context.pointee.watched_object
        for index in 0..<number {
            let isWatched = watched != 0 && events[index].object == watched
            AsyncCall.noteBytes(thread, events[index].result)
            AsyncRecording.finished(
                thread, IOTRAP_ASYNC_LIBAIO, result: events[index].result,
                nanoseconds: isWatched ? iotrap_clock() &- context.pointee.watched_ns : nil)
            if isWatched { context.pointee.watched_object = 0 }
        }
    }
}
