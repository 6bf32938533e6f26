import CIOTrap
import CIOTrapEngine

/// The ring of the service thread, and its doorbell where the kernel has no futexes in rings.
enum ServiceRing {
    /// Makes the ring in the calling thread; nil when io_uring is not to be had.
    static func make() -> OpaquePointer? {
        var error: Int32 = 0
        let hides = process.pointee.configuration.hidesRingDescriptor
        guard let ring = iotrap_ring_create_async(hides ? 1 : 0, 1, &error) else {
            ThreadRing.refuse(error)
            return nil
        }
        guard ThreadRing.register(ring) else {
            iotrap_ring_destroy(ring)
            return nil
        }
        // With a visible descriptor everything is done as on the kernels that need one.
        let needsEvent =
            !hides || iotrap_ring_knows(ring, IOTRAP_OPCODE_FUTEX_WAIT) == 0
        guard !needsEvent || makeEvent() else {
            ThreadRing.release(ring)
            return nil
        }
        Segment.setRing(IOTRAP_RING_WORKING.rawValue, 0)
        return ring
    }

    /// Makes the eventfd once and for all: who rings the bell late must not find its number closed,
    /// or in the program's hands.
    private static func makeEvent() -> Bool {
        let shared = Service.shared
        if shared.pointee.event != 0 {
            return DescriptorTable.load(shared.pointee.event - 1).kind == .engine
        }
        let made = iotrap_eventfd()
        guard made >= 0 else { return false }
        let moved = iotrap_duplicate_up(made)
        iotrap_close_raw(made)
        guard moved >= 0 else { return false }
        guard DescriptorTable.store(moved, Slot(kind: .engine)) else {
            iotrap_close_raw(moved)
            return false
        }
        shared.pointee.event = moved + 1
        return true
    }
}
