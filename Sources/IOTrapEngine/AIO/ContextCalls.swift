import CIOTrap
import CIOTrapEngine
import Synchronization

// Making, destroying and cancelling: io_setup, io_destroy, io_cancel.

/// See iotrap_aio.h.
@c @implementation
public func iotrap_io_setup(_ events: UInt32, _ handle: UnsafeMutablePointer<UInt64>?) -> Int64 {
    let thread = iotrap_self()
    if thread.pointee.state != iotrap_guard_word() {
        guard enter(thread) else { return AsyncCall.declined }
    }
    let configuration = process.pointee.configuration
    let setting = configuration.setting(IOTRAP_TECHNIQUE_LIBAIO.rawValue)
    guard setting != IOTRAP_SETTING_OFF.rawValue, configuration.usesRing, let handle else {
        return AsyncCall.declined
    }
    // The kernel's own libaio knows one path to a file only.
    if configuration.emulatesContexts || Pools.areActive, Service.ready() {
        return OwnContext.make(thread, events, handle)
    }
    let result = Int64(iotrap_io_setup_raw(events, handle))
    // EAGAIN: /proc/sys/fs/aio-max-nr is used up. The arguments were good.
    if result == -11 { return OwnContext.make(thread, events, handle) }
    if result == 0 { ContextCalls.adopt(handle.pointee) }
    return result
}

/// See iotrap_aio.h.
@c @implementation
public func iotrap_io_destroy(_ handle: UInt64) -> Int64 {
    let thread = iotrap_self()
    if thread.pointee.state != iotrap_guard_word() {
        guard enter(thread) else { return AsyncCall.declined }
    }
    switch ContextTable.find(handle) {
    case .none: return AsyncCall.declined
    case .dead: return -22
    case .live(let context):
        defer { ContextTable.leave(context) }
        return ContextCalls.destroy(thread, context)
    }
}

/// See iotrap_aio.h.
@c @implementation
public func iotrap_io_cancel(
    _ handle: UInt64, _ iocb: UInt64, _ event: UnsafeMutablePointer<iotrap_event>?
) -> Int64 {
    let thread = iotrap_self()
    if thread.pointee.state != iotrap_guard_word() {
        guard enter(thread) else { return AsyncCall.declined }
    }
    switch ContextTable.find(handle) {
    case .none: return AsyncCall.declined
    case .dead: return -22
    case .live(let context):
        defer { ContextTable.leave(context) }
        let result: Int64
        if ContextTable.flags(context) & IOTRAP_CONTEXT_OWN != 0 {
            result = OwnContext.cancel(thread, context, iocb)
        } else {
            // What is on a ring are reads and writes of files, which the kernel cancels as little
            // as its own: it does not find them and says so.
            result = Int64(
                iotrap_io_cancel_raw(
                    handle, UnsafeMutableRawPointer(bitPattern: UInt(iocb)), event))
        }
        if result == 0 || result == -115 {
            AsyncRecording.cancelled(thread, IOTRAP_ASYNC_LIBAIO, requests: 1)
        }
        return result
    }
}

/// See iotrap_libaio.h.
@c @implementation
public func iotrap_settle(_ thread: UnsafeMutablePointer<iotrap_thread>) {
    guard thread.pointee.state == iotrap_guard_word() else { return }
    CallerRing.settleOwn(thread)
    PosixRing.settleStray(thread)
}

enum ContextCalls {
    typealias Context = ContextTable.Context
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// Requests that the kernel accepts on a context before some are taken, by one processor.
    ///
    /// fs/aio.c keeps one place of the ring free and hands the others out to processors in
    /// batches of a share of four each.
    static func capacity(ringEvents: UInt32, processors: UInt32) -> UInt32 {
        guard ringEvents > 1 else { return 1 }
        let places = ringEvents - 1
        let batch = max(1, places / (max(1, processors) &* 4))
        return places / batch * batch
    }

    /// Makes a record for a new context of the kernel's.
    static func adopt(_ handle: UInt64) {
        guard let ring = UnsafeMutablePointer<iotrap_aio_ring>(bitPattern: UInt(handle)),
            ring.pointee.magic == IOTRAP_AIO_MAGIC
        else { return }
        let capacity = capacity(
            ringEvents: ring.pointee.count, processors: iotrap_possible_processors())
        guard let context = insert(handle, capacity: capacity, flags: 0) else { return }
        if process.pointee.ringRefusal == 0 { Habits.setMagic(context, 0) }
    }

    static func insert(_ handle: UInt64, capacity: UInt32, flags: UInt32) -> Context? {
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        FutexLock.acquire(processLock)
        defer { FutexLock.release(processLock) }
        return ContextTable.insert(handle, capacity: capacity, flags: flags)
    }

    static func destroy(_ thread: Thread, _ context: Context) -> Int64 {
        let before = ContextTable.flagsWord(context).pointee.bitwiseOr(
            IOTRAP_CONTEXT_DEAD, ordering: .sequentiallyConsistent
        ).oldValue
        if before & IOTRAP_CONTEXT_DEAD != 0 { return -22 }
        let isOwn = before & IOTRAP_CONTEXT_OWN != 0
        let handle = context.pointee.handle
        awaitUsers(context)
        // After the waiting calls have ended: they must not find the events of cancelled polls.
        if isOwn { _ = OwnPolls.cancel(thread, context, object: nil) }
        // The kernel's io_destroy waits for what is in flight, and so does this.
        while ContextTable.ringInFlight(context).pointee.load(ordering: .acquiring) > 0 {
            settle(thread, context)
        }
        let result = isOwn ? 0 : Int64(iotrap_io_destroy_raw(handle))
        ContextTable.handleWord(context).pointee.store(0, ordering: .sequentiallyConsistent)
        if isOwn { OwnContext.free(context, handle) }
        return result
    }

    /// Waits until no other thread can touch the context's ring: they leave as soon as they see
    /// that it is dead. One that never comes back from a call (a handler left it with longjmp) is
    /// waited for for a second.
    private static func awaitUsers(_ context: Context) {
        var rounds = 0
        while ContextTable.usersWord(context).pointee.load(ordering: .sequentiallyConsistent) > 1,
            rounds < 2000
        {
            ContextEvents.wake(context)
            iotrap_pause_ns(rounds < 20 ? 20_000 : 500_000)
            rounds += 1
        }
    }

    private static func settle(_ thread: Thread, _ context: Context) {
        guard let caller = ContextTable.caller(context), Inside.enter(thread) else {
            return iotrap_pause_ns(200_000)
        }
        CallerRing.reap(thread, caller)
        Inside.leave(thread)
        if ContextTable.ringInFlight(context).pointee.load(ordering: .acquiring) == 0 { return }
        if caller == thread.pointee.caller, let ring = caller.pointee.ring {
            _ = iotrap_ring_enter(ring, 1, 100_000_000, nil)
        } else {
            iotrap_pause_ns(200_000)
        }
    }
}
