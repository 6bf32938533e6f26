import CIOTrap
import CIOTrapEngine
import Synchronization

/// The ring of the service thread, and its doorbell where the kernel has no futexes in rings.
///
/// The ring has no descriptor that the program could close or take for itself: requests in flight
/// would be lost with it. Where the kernel makes one nevertheless it is dropped at once, and where
/// that cannot be done there is no service.
enum ServiceRing {
    /// Makes the ring in the calling thread; nil when io_uring is not to be had.
    static func make() -> OpaquePointer? {
        var error: Int32 = 0
        let hides = process.pointee.configuration.hidesRingDescriptor
        guard let ring = iotrap_ring_create_async(hides ? 1 : 0, 1, &error) else {
            ThreadRing.refuse(error)
            return nil
        }
        // With a visible descriptor everything is done as on the kernels that need one.
        let needsEvent = !hides || iotrap_ring_knows(ring, IOTRAP_OPCODE_FUTEX_WAIT) == 0
        guard iotrap_ring_hide(ring) == 0, !needsEvent || makeEvent() else {
            iotrap_ring_destroy(ring)
            return nil
        }
        Segment.setRing(IOTRAP_RING_WORKING.rawValue, 0)
        return ring
    }

    /// Makes the eventfd once and for all: who rings the bell late must not find its number closed,
    /// or in the program's hands.
    private static func makeEvent() -> Bool {
        guard Service.event.pointee.load(ordering: .relaxed) == 0 else {
            return Service.event.pointee.load(ordering: .relaxed) != Service.lostEvent
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
        Service.event.pointee.store(UInt32(moved) + 1, ordering: .releasing)
        return true
    }
}

extension Service {
    /// The eventfd + 1, 0 or `lostEvent`.
    static var event: UnsafePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(iotrap_service_event(shared))
            .assumingMemoryBound(to: UInt32.self).atomic
    }

    static var lostEvent: UInt32 { UInt32(bitPattern: IOTRAP_EVENT_LOST) }

    /// The program takes a number that may be the eventfd's, which goes on under another. If there
    /// is none left the thread looks into its queue every now and then. Who rings the bell at this
    /// very moment may still use the old number.
    static func surrender(_ fd: Int32) {
        guard fd >= 0, event.pointee.load(ordering: .relaxed) == UInt32(fd) + 1 else { return }
        let moved = iotrap_duplicate_up(fd)
        if moved >= 0 { DescriptorTable.store(moved, Slot(kind: .engine)) }
        event.pointee.store(
            moved < 0 ? lostEvent : UInt32(moved) + 1, ordering: .sequentiallyConsistent)
        var one: UInt64 = 1
        if moved < 0 { iotrap_write_raw(fd, &one, 8) }
    }

    /// The program is about to restrict its system calls. The thread ends, unless requests are
    /// outstanding that do not soon end by themselves; later ones are the C library's then.
    static func retire() {
        if PosixPolicy.refuseIfUntried() { return }
        guard iotrap_posix_is_ours() != 0 else { return }
        for _ in 0..<10 {
            guard isRunning else { return PosixPolicy.refuse() }
            guard let answer = ask(IOTRAP_MESSAGE_RETIRE) else { return }
            if answer == 1 { return PosixPolicy.refuse() }
            iotrap_pause_ns(20_000_000)
        }
    }
}
