import CIOTrap
import CIOTrapEngine
import Synchronization

/// Finds the record of a libaio context by its handle: 128 sets of 8, in static memory that is
/// never given back, so that a look-up needs no lock. A context that finds no place stays with the
/// kernel alone.
enum ContextTable {
    typealias Context = UnsafeMutablePointer<iotrap_context>
    static let ways = 8

    enum Found {
        /// Not ours: the kernel says what it is.
        case none
        /// Being destroyed.
        case dead
        /// A live context, used until `leave`.
        case live(Context)
    }

    @inline(__always)
    static func find(_ handle: UInt64) -> Found {
        let first = set(handle)
        for index in first..<(first + ways) {
            let context = iotrap_context_entry(UInt32(index))
            guard handle != 0, handleWord(context).pointee.load(ordering: .relaxed) == handle
            else { continue }
            // seq_cst: either a destroyer sees this use, or this sees that the context is gone
            usersWord(context).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
            guard handleWord(context).pointee.load(ordering: .sequentiallyConsistent) == handle
            else {
                leave(context)
                continue
            }
            if flags(context) & IOTRAP_CONTEXT_DEAD == 0 { return .live(context) }
            leave(context)
            return .dead
        }
        return .none
    }

    /// Ends a use.
    @inline(__always)
    static func leave(_ context: Context) {
        // releasing: what was done to the record comes before it is given to another context
        usersWord(context).pointee.wrappingSubtract(1, ordering: .releasing)
    }

    /// Uses a record again after `leave`; false when it is another context's by now, or is being
    /// destroyed. To be left in both cases.
    static func useAgain(_ context: Context, generation: UInt32) -> Bool {
        usersWord(context).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        return handleWord(context).pointee.load(ordering: .sequentiallyConsistent) != 0
            && flags(context) & IOTRAP_CONTEXT_DEAD == 0
            && context.pointee.generation == generation
    }

    /// Makes a record for a new context. Called with the process lock held and signals blocked.
    static func insert(_ handle: UInt64, capacity: UInt32, flags: UInt32) -> Context? {
        let first = set(handle)
        var free: Context?
        for index in first..<(first + ways) {
            let context = iotrap_context_entry(UInt32(index))
            let known = handleWord(context).pointee.load(ordering: .relaxed)
            // The kernel gave the address again: that context was destroyed behind our back.
            if known == handle { handleWord(context).pointee.store(0, ordering: .relaxed) }
            let isFree =
                (known == 0 || known == handle)
                && usersWord(context).pointee.load(ordering: .acquiring) == 0
                && ringInFlight(context).pointee.load(ordering: .relaxed) == 0
            if isFree && free == nil { free = context }
        }
        guard let context = free else { return nil }
        ContextEvents.discard(context)
        // All but the users: a late look-up for the context before may come and go meanwhile.
        iotrap_context_renew(context, handle, capacity, flags)
        Offload.reset(context)
        // releasing: who finds the handle finds the rest
        handleWord(context).pointee.store(handle, ordering: .releasing)
        return context
    }

    /// A thread's ring is gone: contexts that used it look for another one.
    static func forget(_ caller: CallerRing.Caller) {
        for index in 0..<IOTRAP_CONTEXTS {
            let context = iotrap_context_entry(index)
            if self.caller(context) == caller {
                setCaller(context, nil)
                submitterWord(context).pointee.store(0, ordering: .relaxed)
                context.pointee.willing = 0
            }
        }
    }

    /// A thread waited elsewhere with requests on its ring: it is to show its habits anew, or not
    /// to be trusted again, where habits decide.
    static func distrust(_ caller: CallerRing.Caller, forGood: Bool) {
        let setting = process.pointee.configuration.setting(IOTRAP_TECHNIQUE_LIBAIO.rawValue)
        guard setting == IOTRAP_SETTING_AUTO.rawValue else { return }
        for index in 0..<IOTRAP_CONTEXTS {
            let context = iotrap_context_entry(index)
            guard ContextTable.caller(context) == caller else { continue }
            context.pointee.willing = 0
            if forGood { Habits.keepWithKernel(context, IOTRAP_REASON_UNDECIDED) }
        }
    }

    /// A forked child has no contexts, as with the kernel's.
    static func forgetAll() {
        for index in 0..<IOTRAP_CONTEXTS {
            let context = iotrap_context_entry(index)
            if context.pointee.generation == 0 { continue }
            context.pointee = iotrap_context()
        }
    }

    /// Number of a record.
    static func index(_ context: Context) -> Int { context - iotrap_context_entry(0) }

    static func handleWord(_ context: Context) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_context_handle(context).atomic
    }

    static func usersWord(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_context_users(context).atomic
    }

    static func flagsWord(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_context_flags(context).atomic
    }

    @inline(__always)
    static func flags(_ context: Context) -> UInt32 {
        flagsWord(context).pointee.load(ordering: .relaxed)
    }

    static func submitterWord(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(iotrap_context_submitter(context))
            .assumingMemoryBound(to: UInt32.self).atomic
    }

    /// Whose ring the context's requests went to last. Other threads look at it.
    static func caller(_ context: Context) -> CallerRing.Caller? {
        CallerRing.Caller(
            bitPattern: UInt(callerWord(context).pointee.load(ordering: .relaxed)))
    }

    static func setCaller(_ context: Context, _ caller: CallerRing.Caller?) {
        // relaxed: records of rings are never freed, and have locks of their own
        callerWord(context).pointee.store(UInt64(UInt(bitPattern: caller)), ordering: .relaxed)
    }

    private static func callerWord(_ context: Context) -> UnsafePointer<Atomic<UInt64>> {
        UnsafeMutableRawPointer(iotrap_context_caller(context))
            .assumingMemoryBound(to: UInt64.self).atomic
    }

    static func ringInFlight(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_context_ring_in_flight(context).atomic
    }

    static func kernelInFlight(_ context: Context) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_context_kernel_in_flight(context).atomic
    }

    static func finishedCount(_ context: Context) -> UInt32 {
        iotrap_context_finished_count(context).atomic.pointee.load(ordering: .relaxed)
    }

    /// Requests submitted whose events have not been taken.
    static func outstanding(_ context: Context) -> UInt32 {
        let kernel = kernelInFlight(context).pointee.load(ordering: .relaxed)
        return ringInFlight(context).pointee.load(ordering: .relaxed)
            &+ finishedCount(context) &+ (Int32(bitPattern: kernel) > 0 ? kernel : 0)
    }

    private static func set(_ handle: UInt64) -> Int {
        // Fibonacci hashing of the page number
        Int(((handle >> 12) &* 0x9e37_79b9_7f4a_7c15) >> 57) * ways
    }
}
