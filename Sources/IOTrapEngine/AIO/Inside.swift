import CIOTrapEngine

/// The critical parts of libaio calls.
///
/// Programs call io_submit and io_getevents from signal handlers, and leave handlers with longjmp.
/// Blocking signals would cost two system calls in calls that else make one or none, so a thread
/// notes instead that it is inside. A handler that finds the note leaves the call to the kernel. A
/// note whose stack frame is gone was jumped out of: its locks are given back.
enum Inside {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    /// False when this is a signal handler that interrupted such a part of its own thread.
    @inline(__always)
    static func enter(_ thread: Thread) -> Bool {
        let here = iotrap_frame()
        if thread.pointee.inside == 0 {
            thread.pointee.inside = here
            return true
        }
        return recover(thread, here)
    }

    @inline(never)
    private static func recover(_ thread: Thread, _ here: UInt) -> Bool {
        // The stack grows down: a frame above the noted one means that one is gone.
        guard here > thread.pointee.inside, iotrap_on_signal_stack() == 0 else { return false }
        for index in 0..<UInt32(2) {
            let held = iotrap_inside_lock(thread, index)
            guard let lock = held.pointee else { continue }
            held.pointee = nil
            FutexLock.release(
                UnsafeMutableRawPointer(lock).assumingMemoryBound(to: FutexLock.self))
        }
        thread.pointee.inside = here
        return true
    }

    /// True for a handler that interrupted a critical part where it held no lock: it may take
    /// events, though not submit.
    static func holdsNothing(_ thread: Thread) -> Bool {
        iotrap_inside_lock(thread, 0).pointee == nil && iotrap_inside_lock(thread, 1).pointee == nil
    }

    @inline(__always)
    static func leave(_ thread: Thread) {
        thread.pointee.inside = 0
    }

    /// Takes a lock for the rest of the critical part.
    ///
    /// - Parameter index: 0 for a context's, 1 for a caller's ring, which is taken first.
    @inline(__always)
    static func lock(_ thread: Thread, _ index: UInt32, _ word: UnsafeMutablePointer<UInt32>) {
        FutexLock.acquire(UnsafeMutableRawPointer(word).assumingMemoryBound(to: FutexLock.self))
        iotrap_inside_lock(thread, index).pointee = word
    }

    @inline(__always)
    static func unlock(_ thread: Thread, _ index: UInt32, _ word: UnsafeMutablePointer<UInt32>) {
        iotrap_inside_lock(thread, index).pointee = nil
        FutexLock.release(UnsafeMutableRawPointer(word).assumingMemoryBound(to: FutexLock.self))
    }
}

/// Whether the program's memory can be touched. The kernel is asked once a page and thread, and
/// again after the program has given memory back or protected it.
enum UserMemory {
    static func isReadable(_ thread: Inside.Thread, _ address: UInt, bytes: UInt) -> Bool {
        check(thread, address, bytes, iotrap_page_readable) {
            iotrap_readable(UnsafeRawPointer(bitPattern: $0)!, Int($1)) != 0
        }
    }

    static func isWritable(_ thread: Inside.Thread, _ address: UInt, bytes: UInt) -> Bool {
        check(thread, address, bytes, iotrap_page_writable) {
            iotrap_writable(UnsafeMutableRawPointer(bitPattern: $0)!, Int($1)) != 0
        }
    }

    @inline(__always)
    private static func check(
        _ thread: Inside.Thread, _ address: UInt, _ bytes: UInt,
        _ known: (Inside.Thread, UInt64) -> UnsafeMutablePointer<UInt64>,
        _ ask: (UInt, UInt) -> Bool
    ) -> Bool {
        let last = address &+ bytes &- 1
        guard address >= 4096, last >= address, bytes >= 8 else { return false }
        iotrap_pages_refresh(thread)
        for page in UInt64(address >> 12)...UInt64(last >> 12) {
            let entry = known(thread, page)
            if entry.pointee == page { continue }
            // Eight bytes inside the range, the first ones in this page where there are as many.
            let place = min(max(address, UInt(page << 12)), last - 7)
            guard ask(place, 8) else { return false }
            entry.pointee = page
        }
        return true
    }
}
