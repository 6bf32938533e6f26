import CIOTrap
import CIOTrapEngine
import Synchronization

// aio_suspend, in the parts that the hook puts together around its wait.

/// See iotrap_posix.h.
@c @implementation
public func iotrap_suspend_begin() -> Int32 {
    PosixPolicy.serves(iotrap_self(), IOTRAP_OP_AIO_SUSPEND) ? 1 : 0
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_suspend_ready(
    _ list: UnsafePointer<UnsafePointer<iotrap_aiocb>?>, _ count: Int32
) -> Int32 {
    let thread = iotrap_self()
    // Cheap, and what it brings in is seen below.
    if let own = thread.pointee.posix_ring { PosixRing.reap(thread, own) }
    return PosixSuspend.way(thread, list, Int(max(count, 0)))
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_suspend_join(_ way: Int32) -> UInt32 {
    let thread = iotrap_self()
    if way == IOTRAP_SUSPEND_IN_RING || way == IOTRAP_SUSPEND_IN_BOTH { PosixRing.join(thread) }
    if way == IOTRAP_SUSPEND_IN_RING { return 0 }
    let shared = Service.shared
    // Sequentially consistent: pairs with `PosixDelivery.wakeSuspended`.
    iotrap_service_suspended(shared).atomic.pointee.wrappingAdd(
        1, ordering: .sequentiallyConsistent)
    let seen = iotrap_service_finished(shared).atomic.pointee.load(
        ordering: .sequentiallyConsistent)
    if way == IOTRAP_SUSPEND_IN_BOTH { PosixRing.arm(thread, seen: seen) }
    return seen
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_suspend_leave(_ way: Int32) {
    if way == IOTRAP_SUSPEND_IN_RING || way == IOTRAP_SUSPEND_IN_BOTH {
        PosixRing.leave(iotrap_self())
    }
    if way == IOTRAP_SUSPEND_IN_RING { return }
    iotrap_service_suspended(Service.shared).atomic.pointee.wrappingSubtract(
        1, ordering: .relaxed)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_suspend_end(_ failed: Int32, _ willing: Int32) {
    let thread = iotrap_self()
    guard thread.pointee.state == iotrap_guard_word() else { return }
    PosixRing.noteSuspend(thread, isWilling: willing != 0)
    guard let block = thread.pointee.block else { return }
    let counts = iotrap_block_operation(block, IOTRAP_OP_AIO_SUSPEND.rawValue)
    counts.pointee.accelerated &+= 1
    if failed != 0 { counts.pointee.errors &+= 1 }
    AsyncRecording.reaped(thread, IOTRAP_ASYNC_POSIX, requests: 0, inUser: 0)
}

private enum PosixSuspend {
    /// How to wait for one of a list to end: IOTRAP_SUSPEND_*.
    static func way(
        _ thread: UnsafeMutablePointer<iotrap_thread>,
        _ list: UnsafePointer<UnsafePointer<iotrap_aiocb>?>, _ count: Int
    ) -> Int32 {
        var onService = false
        var onOwn = false
        var onOthers = false
        for index in 0..<count {
            guard let block = list[index] else { continue }
            guard isInProgress(thread, block) else { return IOTRAP_SUSPEND_READY }
            let number = block.pointee.ring
            if number == 0 {
                onService = true
            } else if iotrap_posix_ring_entry(number - 1) == thread.pointee.posix_ring {
                onOwn = true
            } else {
                onOthers = true
            }
        }
        if onOthers { return IOTRAP_SUSPEND_WATCHFUL }
        if onOwn && onService {
            if PosixRing.canWaitForBoth(thread) { return IOTRAP_SUSPEND_IN_BOTH }
            PosixRing.distrust(thread)
            return IOTRAP_SUSPEND_WATCHFUL
        }
        if onOwn { return IOTRAP_SUSPEND_IN_RING }
        return onService ? IOTRAP_SUSPEND_ASLEEP : IOTRAP_SUSPEND_READY
    }

    private static func isInProgress(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ block: UnsafePointer<iotrap_aiocb>
    ) -> Bool {
        let mutable = UnsafeMutablePointer(mutating: block)
        guard PosixCancel.isInProgress(mutable) else { return false }
        let number = block.pointee.ring
        guard number != 0, number <= IOTRAP_POSIX_RINGS,
            iotrap_posix_ring_entry(number - 1) != thread.pointee.posix_ring
        else { return number <= IOTRAP_POSIX_RINGS }
        PosixRing.look(thread, number)
        return PosixCancel.isInProgress(mutable)
    }
}
