import CIOTrap
import CIOTrapEngine
import Synchronization

/// Files of requests that kernel workers start. A worker looks a descriptor up when it begins (seen
/// with Linux 6.18); by then the program may have closed it and opened another under its number. So
/// those files get places in a table of the ring, until the requests have ended.
enum HeldFiles {
    typealias Caller = CallerRing.Caller
    typealias Request = RequestPool.Request

    private static func leftWord(_ caller: Caller) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_caller_left(caller).atomic
    }

    static func reset(_ caller: Caller) {
        caller.pointee.has_files = 0
        caller.pointee.held = 0
        caller.pointee.left = 0
    }

    /// Gives a request's file a place. Called by the thread that submits.
    ///
    /// - Returns: false when there is none; the request must not go to a worker then.
    static func hold(_ caller: Caller, _ request: Request) -> Bool {
        guard let ring = caller.pointee.ring else { return false }
        sweep(caller)
        if caller.pointee.has_files == 0 {
            let made = iotrap_ring_hold_files(ring, IOTRAP_RING_FILES_MAX) >= 0
            caller.pointee.has_files = made ? 1 : -1
        }
        let slot = UInt32((~caller.pointee.held).trailingZeroBitCount)
        guard caller.pointee.has_files > 0, slot < IOTRAP_RING_FILES_MAX,
            iotrap_ring_hold_file(ring, slot, request.pointee.descriptor) >= 0
        else { return false }
        caller.pointee.held |= 1 << UInt64(slot)
        request.pointee.file = slot + 1
        return true
    }

    /// A request has ended, or was not taken. Any thread may say so.
    static func leave(_ caller: Caller, _ request: Request) {
        guard UInt32(request.pointee.flags) & IOTRAP_SUBMIT_HELD != 0 else { return }
        // relaxed: the place is the only thing that is handed over
        leftWord(caller).pointee.bitwiseOr(
            1 << UInt64(request.pointee.file - 1), ordering: .relaxed)
    }

    /// Empties the places of requests that have ended. Called by the thread that submits.
    static func sweep(_ caller: Caller) {
        guard leftWord(caller).pointee.load(ordering: .relaxed) != 0,
            let ring = caller.pointee.ring
        else { return }
        var left = leftWord(caller).pointee.exchange(0, ordering: .relaxed)
        caller.pointee.held &= ~left
        while left != 0 {
            _ = iotrap_ring_hold_file(ring, UInt32(left.trailingZeroBitCount), -1)
            left &= left &- 1
        }
    }
}
