import CIOTrap
import CIOTrapEngine
import Synchronization

/// What a context's threads do with it, by which the policy goes.
///
/// A ring of a thread's own serves a thread that submits, and waits for its requests in
/// io_getevents and nowhere else. Where another thread takes the events, or the thread only looks
/// for events after something else woke it, the requests stay with the kernel.
enum Habits {
    typealias Context = ContextTable.Context
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// Calls of io_getevents in a row, willing to wait, after which a thread is trusted.
    static let willingMinimum: UInt32 = 4

    /// Time of the kernel's io_submit for a request, smoothed, from which on it waits for storage.
    static let submitWaitsNanoseconds: UInt64 = 20_000

    @inline(__always)
    static func noteSubmitter(_ thread: Thread, _ context: Context) {
        // Moved by the program: it reads the kernel's ring itself, and finds there what the kernel
        // puts there.
        if ContextTable.flags(context) & IOTRAP_CONTEXT_KERNEL == 0,
            ContextEvents.head(context)
                != iotrap_context_known_head(context).atomic.pointee.load(ordering: .relaxed)
        {
            keepWithKernel(context, IOTRAP_REASON_EVENTFD)
        }
        claim(thread, context)
    }

    /// Notes the first thread that uses a context; one that comes later makes it a shared one. A
    /// thread that only waits counts as well: it may be asleep in the kernel for events that must
    /// then come there.
    @inline(__always)
    private static func claim(_ thread: Thread, _ context: Context) {
        let mine = UInt32(bitPattern: thread.pointee.thread_id)
        let word = ContextTable.submitterWord(context)
        if word.pointee.load(ordering: .relaxed) == mine { return }
        if !word.pointee.compareExchange(
            expected: 0, desired: mine, ordering: .sequentiallyConsistent
        ).exchanged {
            share(context)
        }
    }

    @inline(__always)
    static func noteReaper(_ thread: Thread, _ context: Context, isWilling: Bool) {
        claim(thread, context)
        if ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED != 0 { return }
        if isWilling {
            if context.pointee.willing < willingMinimum { context.pointee.willing += 1 }
        } else {
            context.pointee.willing = 0
        }
    }

    @inline(never)
    private static func share(_ context: Context) {
        if ContextTable.flags(context) & IOTRAP_CONTEXT_SHARED != 0 { return }
        keepWithKernel(context, IOTRAP_REASON_SHARED_CONTEXT, also: IOTRAP_CONTEXT_SHARED)
    }

    /// From now on the context's requests go to the kernel.
    static func keepWithKernel(_ context: Context, _ reason: iotrap_reason, also: UInt32 = 0) {
        let flags = ContextTable.flagsWord(context)
        if flags.pointee.load(ordering: .relaxed) & IOTRAP_CONTEXT_KERNEL == 0 {
            iotrap_context_reason(context).atomic.pointee.store(
                reason.rawValue, ordering: .relaxed)
        }
        flags.pointee.bitwiseOr(IOTRAP_CONTEXT_KERNEL | also, ordering: .relaxed)
        // Pairs with the fence of `Batch.submitPrepared`: either the thread that submits sees the
        // flag, or this one sees its requests and does not wait for the kernel alone.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        // Programs that read the ring themselves may do so again: all events will be there.
        if reason != IOTRAP_REASON_SHARED_CONTEXT, !hasRingWork(context) {
            setMagic(context, IOTRAP_AIO_MAGIC)
        }
    }

    /// True while events of the context may come from elsewhere than the kernel's ring.
    @inline(__always)
    static func hasRingWork(_ context: Context) -> Bool {
        ContextTable.ringInFlight(context).pointee.load(ordering: .acquiring) > 0
            || ContextTable.finishedCount(context) > 0
    }

    /// With another magic number than the kernel's, fio and libaio do not read the ring themselves
    /// but call io_getevents. The kernel itself never looks at it.
    static func setMagic(_ context: Context, _ magic: UInt32) {
        iotrap_aio_ring_magic(ContextEvents.kernelRing(context)).atomic.pointee.store(
            magic, ordering: .relaxed)
    }

    /// The calling thread's ring, when this context's requests may go there; else the reason.
    @inline(__always)
    static func ring(
        _ thread: Thread, _ context: Context, _ reason: inout iotrap_reason
    ) -> CallerRing.Caller? {
        if ContextTable.flags(context) & IOTRAP_CONTEXT_KERNEL != 0 {
            reason = iotrap_reason(
                rawValue: iotrap_context_reason(context).atomic.pointee.load(ordering: .relaxed))
            return nil
        }
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_LIBAIO.rawValue)
        if setting == IOTRAP_SETTING_AUTO.rawValue && context.pointee.willing < willingMinimum {
            reason = IOTRAP_REASON_UNDECIDED
            return nil
        }
        // Where io_submit only starts requests a ring gains nothing, and on the fastest devices it
        // loses a tenth.
        if setting == IOTRAP_SETTING_AUTO.rawValue,
            context.pointee.kernel_submit_ns < submitWaitsNanoseconds
        {
            reason = IOTRAP_REASON_COMPARED
            return nil
        }
        if let caller = CallerRing.get(thread) { return caller }
        reason = IOTRAP_REASON_IO_URING_UNAVAILABLE
        keepWithKernel(context, reason)
        return nil
    }
}
