import CIOTrap
import CIOTrapEngine

/// Writes to pipes, sockets and devices. write(2) goes on until all is written; the ring writes
/// what there is room for, and says how much that was.
enum StreamWrites {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request

    /// Issues the rest of a write. What is done is counted in `file_generation`.
    ///
    /// - Returns: false when the write has ended.
    static func goOn(_ s: State, _ request: Request, _ result: Int32) -> Bool {
        guard isOne(request), result > 0, UInt32(result) < request.pointee.length,
            let address = request.pointee.address,
            request.pointee.epoch & ServiceMessages.descriptorGone == 0 || isHeld(request)
        else { return false }
        let moved = UInt32(result)
        request.pointee.file_generation &+= moved
        request.pointee.address = address + Int(moved)
        request.pointee.length -= moved
        if request.pointee.offset >= 0 { request.pointee.offset &+= Int64(moved) }
        ServiceThread.issue(s, request)
        return true
    }

    /// The result of the whole: an error counts only if nothing was written before it.
    static func total(_ request: Request, _ result: Int32) -> Int32 {
        let done = isOne(request) ? Int32(bitPattern: request.pointee.file_generation) : 0
        return done == 0 ? result : done &+ max(result, 0)
    }

    private static func isOne(_ request: Request) -> Bool {
        UInt32(request.pointee.kind) == IOTRAP_REQUEST_WRITE.rawValue
            && UInt32(request.pointee.order) & IOTRAP_REQUEST_STORAGE == 0
            && UInt32(request.pointee.flags) & IOTRAP_SUBMIT_PLAIN == 0
    }

    // MARK: - Closed descriptors

    private static func isHeld(_ request: Request) -> Bool {
        UInt32(request.pointee.flags) & IOTRAP_SUBMIT_HELD != 0
    }

    /// A descriptor with a write in flight is about to be closed: its file is kept for the rest.
    /// Without room for it the write ends short.
    static func hold(_ s: State, _ request: Request) {
        if isOne(request) { _ = pin(s, request) }
    }

    /// Keeps the file of a request until that has ended; false when there is no room.
    static func pin(_ s: State, _ request: Request) -> Bool {
        if isHeld(request) { return true }
        let ring = s.pointee.ring
        if s.pointee.heldFiles == nil, Pools.areActive { _ = PoolService.state(s) }
        if s.pointee.heldFiles == nil {
            // No slots are as good as none free.
            let made = iotrap_ring_hold_files(ring, IOTRAP_RING_FILES_MAX) >= 0
            s.pointee.heldFiles = made ? 0 : UInt64.max
        }
        let taken = s.pointee.heldFiles ?? UInt64.max
        let slot = UInt32((~taken).trailingZeroBitCount)
        guard slot < IOTRAP_RING_FILES_MAX,
            iotrap_ring_hold_file(ring, slot, request.pointee.descriptor) >= 0
        else { return false }
        s.pointee.heldFiles = taken | 1 << UInt64(slot)
        request.pointee.file = slot + 1
        request.pointee.flags |= UInt8(IOTRAP_SUBMIT_HELD)
        return true
    }

    static func letGo(_ s: State, _ request: Request) {
        guard isHeld(request), let taken = s.pointee.heldFiles else { return }
        let slot = request.pointee.file - 1
        _ = iotrap_ring_hold_file(s.pointee.ring, slot, -1)
        s.pointee.heldFiles = taken & ~(1 << UInt64(slot))
    }
}
