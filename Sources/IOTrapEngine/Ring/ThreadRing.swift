import CIOTrap
import CIOTrapEngine

/// The calling thread's ring, made at its first use. Called with signals blocked.
enum ThreadRing {
    /// The ring; nil when io_uring is not to be had.
    static func get(_ thread: UnsafeMutablePointer<iotrap_thread>) -> OpaquePointer? {
        if let ring = thread.pointee.ring { return ring }
        guard thread.pointee.ring_error == 0 else { return nil }
        guard mayCreate() else {
            thread.pointee.ring_error = process.pointee.ringRefusal
            return nil
        }
        var error: Int32 = 0
        let hidden: Int32 = process.pointee.configuration.hidesRingDescriptor ? 1 : 0
        guard let ring = iotrap_ring_create(hidden, &error) else {
            thread.pointee.ring_error = error
            refuse(error)
            return nil
        }
        guard register(ring) else {
            iotrap_ring_destroy(ring)
            thread.pointee.ring_error = -24
            return nil
        }
        thread.pointee.ring = ring
        Segment.setRing(IOTRAP_RING_WORKING.rawValue, 0)
        return ring
    }

    /// Gives the ring back; the thread may make another one.
    static func drop(_ thread: UnsafeMutablePointer<iotrap_thread>) {
        guard let ring = thread.pointee.ring else { return }
        thread.pointee.ring = nil
        release(ring)
    }

    /// Notes a ring's descriptor, if it has one; false when it could not be protected from close.
    static func register(_ ring: OpaquePointer) -> Bool {
        let descriptor = iotrap_ring_descriptor(ring)
        return descriptor < 0 || DescriptorTable.store(descriptor, Slot(kind: .engine))
    }

    /// Destroys a ring, in the thread that made it.
    static func release(_ ring: OpaquePointer) {
        let descriptor = iotrap_ring_descriptor(ring)
        if descriptor >= 0 {
            guard DescriptorTable.load(descriptor).kind == .engine else {
                // The number belongs to the program now; closing it would close a file of its.
                return
            }
            DescriptorTable.store(descriptor, Slot(word: 0))
        }
        iotrap_ring_destroy(ring)
    }

    /// True while the thread's ring can be used: a visible one may have been replaced by dup2.
    static func isIntact(_ ring: OpaquePointer) -> Bool {
        let descriptor = iotrap_ring_descriptor(ring)
        return descriptor < 0 || DescriptorTable.load(descriptor).kind == .engine
    }

    /// True while io_uring may be set up in this process.
    static func mayCreate() -> Bool {
        if process.pointee.isRestricted != 0 {
            process.pointee.ringRefusal = -1
            return false
        }
        if process.pointee.ringRefusal != 0 { return false }
        // A filter may kill for a system call it does not list, and there is no asking it first.
        if !process.pointee.configuration.insistsOnRing && iotrap_seccomp_filtered() != 0 {
            refuse(-1)
            process.pointee.ringRefusal = -1
            return false
        }
        return true
    }

    /// Notes that the kernel refused a ring.
    static func refuse(_ error: Int32) {
        // EPERM (sysctl, seccomp) and ENOSYS hold for the whole process; the rest may pass.
        if error == -1 || error == -38 { process.pointee.ringRefusal = error }
        Segment.setRing(IOTRAP_RING_REFUSED.rawValue, UInt32(-error))
        Log.line("io_uring is not available, calls pass through: error ", decimal: UInt64(-error))
    }
}
