import CIOTrap
import CIOTrapEngine
import Synchronization

/// Whether requests of POSIX AIO are the engine's or the C library's.
///
/// That is decided once, at the first request: the library must know of a request to cancel it or
/// to wait for it. Requests go to the library for good when there is no ring, or later when the
/// service thread has ended for want of work and cannot be made again.
enum PosixPolicy {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// True when the calling thread's call is to be served; counts it.
    @inline(__always)
    static func serves(_ thread: Thread, _ operation: iotrap_operation) -> Bool {
        if thread.pointee.state == iotrap_guard_word(), iotrap_posix_is_ours() != 0 {
            count(thread, operation)
            return true
        }
        return servesSlowly(thread, operation)
    }

    @inline(never)
    private static func servesSlowly(_ thread: Thread, _ operation: iotrap_operation) -> Bool {
        // A vfork child runs in its parent's memory, where no request of its own must be left.
        guard thread.pointee.vfork_depth == 0 else { return false }
        let isAttached = thread.pointee.state == iotrap_guard_word() || enter(thread)
        guard isAttached || canServeBare else { return false }
        if isAttached { count(thread, operation) }
        let isUntried =
            Service.phase.pointee.load(ordering: .acquiring) == IOTRAP_SERVICE_UNTRIED
        let isSuspend = operation == IOTRAP_OP_AIO_SUSPEND
        // Waiting decides nothing: there is no request yet, or only a forked child's parent's.
        if isUntried && isSuspend { return isWanted }
        if isUntried { choose() }
        if iotrap_posix_is_ours() != 0 { return true }
        if isAttached {
            Recording.reason(
                thread,
                isWanted ? IOTRAP_REASON_IO_URING_UNAVAILABLE : IOTRAP_REASON_POLICY)
        }
        if isAttached && !isSuspend {
            AsyncRecording.submitCall(thread, IOTRAP_ASYNC_POSIX)
            AsyncRecording.submitted(
                thread, IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_KERNEL, requests: 1)
        }
        return false
    }

    /// A thread at its end, or in a process that was restricted, goes on with what was decided; not
    /// so a forked child that has not noticed yet.
    private static var canServeBare: Bool {
        process.pointee.isActive && process.pointee.isThisProcess
            && iotrap_posix_is_ours() != 0
    }

    /// True when the settings want requests on the ring.
    private static var isWanted: Bool {
        process.pointee.configuration.usesRing
            && process.pointee.configuration.setting(IOTRAP_TECHNIQUE_POSIX_AIO.rawValue)
                != IOTRAP_SETTING_OFF.rawValue
    }

    private static func choose() {
        let isOurs = isWanted && Service.ready()
        // Somebody else may have chosen meanwhile; the first choice holds.
        _ = Service.phase.pointee.compareExchange(
            expected: IOTRAP_SERVICE_UNTRIED,
            desired: isOurs ? IOTRAP_SERVICE_CHOSEN : IOTRAP_SERVICE_REFUSED,
            ordering: .acquiringAndReleasing)
    }

    /// From now on requests are the library's: none of the engine's is outstanding.
    static func refuse() {
        Service.phase.pointee.store(IOTRAP_SERVICE_REFUSED, ordering: .releasing)
    }

    /// The same if no request was made before.
    static func refuseIfUntried() -> Bool {
        Service.phase.pointee.compareExchange(
            expected: IOTRAP_SERVICE_UNTRIED, desired: IOTRAP_SERVICE_REFUSED,
            ordering: .acquiringAndReleasing
        ).exchanged
    }

    private static func count(_ thread: Thread, _ operation: iotrap_operation) {
        guard let block = thread.pointee.block else { return }
        iotrap_block_operation(block, operation.rawValue).pointee.calls &+= 1
    }
}

/// The time inside a submitting call. Fast calls are timed now and then only.
struct Timing {
    private let began: UInt64
    private let weight: UInt64

    init(_ thread: UnsafeMutablePointer<iotrap_thread>, _ operation: iotrap_operation) {
        AsyncRecording.submitCall(thread, IOTRAP_ASYNC_POSIX)
        if let block = thread.pointee.block {
            iotrap_block_operation(block, operation.rawValue).pointee.accelerated &+= 1
            iotrap_block_technique(block, IOTRAP_TECHNIQUE_POSIX_AIO.rawValue).pointee.calls &+= 1
        }
        let countdown = iotrap_countdown(thread, operation.rawValue)
        guard countdown.pointee <= 1 else {
            countdown.pointee &-= 1
            began = 0
            weight = 0
            return
        }
        began = iotrap_clock()
        weight = UInt64(iotrap_interval(thread, operation.rawValue).pointee)
    }

    /// The call is over.
    mutating func end(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ operation: iotrap_operation
    ) {
        guard began != 0 else { return }
        let took = iotrap_clock() &- began
        Recording.timed(thread, operation.rawValue, took, weight: weight)
        AsyncRecording.submitTime(thread, IOTRAP_ASYNC_POSIX, took, weight: weight)
    }
}
