import CIOTrapEngine

/// Opening files that are read whole in the thread that owns the queue.
///
/// The kernel hands an open that may have to wait to a worker thread, which costs more than the
/// open itself. On a local file system most opens wait for nothing, because what is read from the
/// device for one file serves hundreds; there a system call in place is cheaper. It is tried for
/// folders that are in memory and on a local block device, and given up for a while whenever opens
/// take longer than a worker would cost.
enum QuickOpens {
    typealias Queue = Queues.Queue
    typealias Slot = Queues.Slot

    /// What a kernel worker costs, roughly: what an open may take, on average.
    private static let workerNanoseconds: UInt64 = 20_000
    /// Opens that wait come together, at the beginning of a folder.
    static let creditNanoseconds: UInt64 = 4_000_000
    /// Descriptors are the program's; the ring's own slots take none.
    private static let openMaximum: UInt32 = 64
    static let pauseMinimum: UInt32 = 128
    static let pauseMaximum: UInt32 = 8192
    /// So many good ones in a row, and the next pause is a short one.
    static let goodInRow: UInt32 = 1024

    /// Opens the file of an operation in place, if that is likely to be quick: its descriptor,
    /// which the slot holds from then on. Otherwise nil.
    static func open(_ q: Queue, _ slot: Slot) -> Int32? {
        guard iotrap_opens_plainly(&slot.pointee.io) != 0, let path = slot.pointee.io.path
        else { return nil }
        if q.pointee.quick.pause > 0 {
            q.pointee.quick.pause -= 1
            return nil
        }
        guard q.pointee.quick.open_count < openMaximum, isLocal(q, path) else { return nil }
        let began = iotrap_clock()
        let descriptor = iotrap_open_quickly(path, slot.pointee.io.open_flags)
        note(q, iotrap_clock() &- began)
        guard descriptor >= 0 else { return nil }
        if q.pointee.quick.descriptor_limit == 0 {
            q.pointee.quick.descriptor_limit = iotrap_descriptor_half()
        }
        guard descriptor < q.pointee.quick.descriptor_limit else {
            iotrap_file_close_raw(descriptor)
            pause(q)
            return nil
        }
        slot.pointee.io.slot = UInt32(bitPattern: descriptor)
        slot.pointee.notes |= UInt8(IOTRAP_NOTE_QUICK)
        q.pointee.quick.open_count &+= 1
        return descriptor
    }

    /// Closes what `open` opened, after the transfer.
    @inline(__always)
    static func close(_ q: Queue, _ slot: Slot) {
        guard slot.pointee.notes & UInt8(IOTRAP_NOTE_QUICK) != 0 else { return }
        slot.pointee.notes &= ~UInt8(IOTRAP_NOTE_QUICK)
        q.pointee.quick.open_count &-= 1
        iotrap_file_close_raw(Int32(bitPattern: slot.pointee.io.slot))
    }

    private static func isLocal(_ q: Queue, _ path: UnsafePointer<CChar>) -> Bool {
        var length: UInt32 = 0
        let hash = iotrap_folder_hash(path, &length)
        return withUnsafeMutablePointer(to: &q.pointee.quick.folders) { tuple in
            tuple.withMemoryRebound(to: UInt64.self, capacity: 8) { folders in
                for index in 0..<8 where folders[index] & ~1 == hash {
                    return folders[index] & 1 != 0
                }
                let isLocal = iotrap_folder_is_local(path, length)
                // A worker reads the folder now, and the next file of it may be quick.
                guard isLocal >= 0 else { return false }
                // What a relative path names changes with the working directory.
                guard path[0] == CChar(UInt8(ascii: "/")) else { return isLocal != 0 }
                folders[Int(q.pointee.quick.next_folder & 7)] = hash | UInt64(isLocal)
                q.pointee.quick.next_folder &+= 1
                return isLocal != 0
            }
        }
    }

    static func note(_ q: Queue, _ nanoseconds: UInt64) {
        let used = q.pointee.quick.used_ns &+ min(nanoseconds, 1 << 40)
        q.pointee.quick.used_ns = used > workerNanoseconds ? used &- workerNanoseconds : 0
        guard q.pointee.quick.used_ns <= creditNanoseconds else { return pause(q) }
        q.pointee.quick.in_row &+= 1
        if q.pointee.quick.in_row >= goodInRow { q.pointee.quick.pause_next = 0 }
    }

    private static func pause(_ q: Queue) {
        let pause = max(q.pointee.quick.pause_next, pauseMinimum)
        q.pointee.quick.pause = pause
        q.pointee.quick.pause_next = min(pause &* 2, pauseMaximum)
        // The next try has less to show.
        q.pointee.quick.used_ns = creditNanoseconds / 4 * 3
        q.pointee.quick.in_row = 0
    }
}
