import CIOTrap
import CIOTrapEngine
import Synchronization

/// Whether a context's requests go to kernel workers (IOSQE_ASYNC) instead of being started in
/// io_submit.
///
/// Some file systems run asynchronous requests one at a time and plain ones in parallel (those on
/// libfuse 2 do). Nobody can ask a file system for that, so it is measured: where requests end
/// slowly although several are in flight, a live comparison tries workers.
enum Offload {
    /// Busy time of a request, in nanoseconds, from which on workers are tried: 5000 requests a
    /// second. A local disk under load comes near a quarter of that, and its times swing so much
    /// that workers win comparisons by chance.
    static let slowNanoseconds: UInt64 = 200_000
    /// Requests the program has under way below which nothing can run in parallel.
    static let depthMinimum: UInt32 = 4

    /// The comparisons, by number of context; made at first use.
    private static func comparison(_ context: ContextTable.Context) -> UnsafeMutablePointer<
        Comparison
    >? {
        guard let base = process.pointee.offloads else { return nil }
        return base + ContextTable.index(context)
    }

    /// A record is given to a new context. Called with the process lock held.
    static func reset(_ context: ContextTable.Context) {
        if process.pointee.offloads == nil {
            let bytes = MemoryLayout<Comparison>.stride * Int(IOTRAP_CONTEXTS)
            process.pointee.offloads = iotrap_pages(bytes, 0)?.assumingMemoryBound(
                to: Comparison.self)
        }
        comparison(context)?.initialize(to: Comparison())
    }

    /// How a batch of requests goes. Called by the one thread that submits.
    ///
    /// - Returns: flags for the ring; and the number of the comparison's epoch plus one, 0 when the
    ///   requests take no part.
    static func choose(_ context: ContextTable.Context) -> (flags: UInt32, epoch: UInt32) {
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_OFFLOAD.rawValue)
        if setting == IOTRAP_SETTING_ON.rawValue { return (IOTRAP_SUBMIT_OFFLOAD, 0) }
        guard setting == IOTRAP_SETTING_AUTO.rawValue, let state = comparison(context)
        else { return (0, 0) }
        let isSlow =
            busyWord(context).pointee.load(ordering: .relaxed) > slowNanoseconds
            && ContextTable.outstanding(context) >= depthMinimum
        guard isSlow || state.pointee.usesTechnique || state.pointee.phase != .learning
        else { return (0, 0) }
        let flags = state.pointee.usesTechnique ? IOTRAP_SUBMIT_OFFLOAD : 0
        return (flags, state.pointee.epoch &+ 1)
    }

    private static func busyWord(
        _ context: ContextTable.Context
    ) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_context_busy_ns(context).atomic
    }

    /// Notes requests that went to kernel workers.
    static func noteSubmitted(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ context: ContextTable.Context,
        requests: UInt64
    ) {
        guard let block = thread.pointee.block else { return }
        let counts = iotrap_block_technique(block, IOTRAP_TECHNIQUE_OFFLOAD.rawValue)
        counts.pointee.calls &+= 1
        counts.pointee.requests &+= requests
        counts.pointee.batches &+= 1
        if let state = comparison(context), state.pointee.isTrial { counts.pointee.trials &+= 1 }
    }

    /// Takes in a finished request. Called with the ring's lock held.
    ///
    /// - Parameter now: when it ended; 0: this one is not timed.
    static func finished(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ context: ContextTable.Context,
        _ request: RequestPool.Request, result: Int32, now: UInt64, inFlight: UInt32
    ) {
        context.pointee.ends &+= 1
        guard now != 0 else { return }
        let last = context.pointee.last_end_ns
        if last != 0 && inFlight >= depthMinimum {
            let busy = (now > last ? now - last : 0) / context.pointee.ends
            // relaxed: written under the ring's lock, read by the thread that submits
            let word = busyWord(context)
            let before = word.pointee.load(ordering: .relaxed)
            word.pointee.store((before &* 7 &+ busy) / 8, ordering: .relaxed)
        }
        context.pointee.last_end_ns = now
        context.pointee.ends = 0
        guard request.pointee.comparison != 0, result > 0, let state = comparison(context)
        else { return }
        let event = state.pointee.record(
            epoch: request.pointee.epoch, nanoseconds: now &- request.pointee.started_ns,
            now: now, bytes: UInt64(result), inFlight: inFlight)
        Recording.event(thread, IOTRAP_TECHNIQUE_OFFLOAD, event)
    }
}
