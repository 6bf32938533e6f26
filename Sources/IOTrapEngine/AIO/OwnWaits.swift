import CIOTrap
import CIOTrapEngine
import Synchronization

/// Waiting for events of an emulated context.
extension OwnContext {
    /// Waits for something to happen: 0 or -errno; -EINTR when a signal came in between.
    ///
    /// The calling thread waits in a ring, for the context's word to change. That wait ends with
    /// EINTR as the kernel's io_getevents does, also when the process was stopped and goes on,
    /// after which a futex or a poll would wait on; and it takes a signal mask.
    static func wait(
        _ thread: Thread, _ context: Context, _ nanoseconds: UInt64,
        _ mask: UnsafePointer<UInt64>?
    ) -> Int32 {
        let waiters = iotrap_context_waiters(context).atomic
        // seq_cst: pairs with `ContextEvents.wake`
        waiters.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { waiters.pointee.wrappingSubtract(1, ordering: .relaxed) }
        let word = iotrap_context_word(context)
        let seen = word.atomic.pointee.load(ordering: .sequentiallyConsistent)
        if hasEvents(context) || ContextTable.flags(context) & IOTRAP_CONTEXT_DEAD != 0 { return 0 }
        if let caller = arm(thread, word, seen) {
            return waitInRing(thread, caller, nanoseconds, mask)
        }
        if let mask { return iotrap_poll_nothing(min(nanoseconds, 1_000_000), mask) }
        return iotrap_futex_wait_for(word, seen, nanoseconds)
    }

    /// Queues a wait for the word in the calling thread's ring; nil where rings cannot do that.
    private static func arm(
        _ thread: Thread, _ word: UnsafeMutablePointer<UInt32>, _ seen: UInt32
    ) -> CallerRing.Caller? {
        // The service thread has found out whether rings know futexes: it needs no eventfd then.
        guard Service.shared.pointee.event == 0, let caller = CallerRing.get(thread),
            let ring = caller.pointee.ring, Inside.enter(thread)
        else { return nil }
        defer { Inside.leave(thread) }
        let pair = UnsafeMutableRawPointer(word).assumingMemoryBound(to: UInt64.self)
        guard iotrap_ring_queue_wake(ring, pair, seen, -1, CallerRing.waitTag) != 0 else {
            return nil
        }
        CallerRing.waitsWord(caller).pointee.wrappingAdd(1, ordering: .relaxed)
        return caller
    }

    private static func waitInRing(
        _ thread: Thread, _ caller: CallerRing.Caller, _ nanoseconds: UInt64,
        _ mask: UnsafePointer<UInt64>?
    ) -> Int32 {
        guard let ring = caller.pointee.ring else { return 0 }
        let end = nanoseconds == UInt64.max ? UInt64.max : iotrap_clock() &+ nanoseconds
        let waits = CallerRing.waitsWord(caller)
        let armed = waits.pointee.load(ordering: .relaxed)
        var result = iotrap_ring_enter(ring, 1, nanoseconds, mask)
        // The number of entries submitted hides what ended the wait.
        if result >= 0 {
            let isDone =
                iotrap_ring_has_completions(ring) != 0
                || waits.pointee.load(ordering: .relaxed) != armed
            result = isDone || (end != UInt64.max && iotrap_clock() >= end) ? 0 : -4
        }
        guard Inside.enter(thread) else { return result }
        defer { Inside.leave(thread) }
        CallerRing.reap(thread, caller)
        if waits.pointee.load(ordering: .relaxed) > 0,
            iotrap_ring_queue_cancel(ring, CallerRing.waitNumber, CallerRing.ignoredTag) != 0
        {
            _ = iotrap_ring_enter(ring, 0, UInt64.max, nil)
            CallerRing.reap(thread, caller)
        }
        if result < 0 && result != -4 && result != -62 { iotrap_pause_ns(100_000) }
        return result
    }
}

// MARK: - Signal masks of io_pgetevents

extension OwnContext {
    /// What the kernel says of the argument before anything else: 0, -EFAULT or -EINVAL.
    static func maskError(_ argument: UnsafeRawPointer?) -> Int32 {
        guard let argument else { return 0 }
        // struct __aio_sigset: a pointer and a size
        guard UserMemory.isReadableNow(UInt64(UInt(bitPattern: argument)), bytes: 16) else {
            return -14
        }
        let place = argument.loadUnaligned(as: UInt64.self)
        guard place != 0 else { return 0 }
        guard argument.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == 8 else { return -22 }
        return UserMemory.isReadableNow(place, bytes: 8) ? 0 : -14
    }

    /// The signals of an argument; nil when it gives none that could be read.
    static func signals(_ argument: UnsafeRawPointer?) -> UnsafePointer<UInt64>? {
        guard let argument, maskError(argument) == 0 else { return nil }
        return UnsafePointer(bitPattern: argument.loadUnaligned(as: UInt.self))
    }

    /// The kernel has the mask in force however short the call is: a pending signal that it lets
    /// in is handled even where nothing is waited for.
    static func letSignalsIn(_ argument: UnsafeRawPointer?, _ result: Int64) -> Int64 {
        guard result != -4, let mask = signals(argument) else { return result }
        let interrupted = iotrap_poll_nothing(0, mask) == -4
        return interrupted && result == 0 ? -4 : result
    }
}

extension CallerRing {
    /// Of a wait for a context's word, in the way of requests: number + 1. There are never so many.
    static let waitNumber: UInt32 = 0xffff_fffd
    static let waitTag: UInt64 = 0xffff_fffe
    /// Of completions that nobody waits for.
    static let ignoredTag: UInt64 = 0xffff_ffff

    static func waitsWord(_ caller: Caller) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_caller_waits(caller).atomic
    }

    /// True for completions of waits.
    static func isWait(_ caller: Caller, _ tag: UInt64) -> Bool {
        if tag == waitTag { waitsWord(caller).pointee.wrappingSubtract(1, ordering: .relaxed) }
        return tag >= waitTag
    }
}
