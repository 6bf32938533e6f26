import CIOTrap
import CIOTrapEngine

/// Requests that the service thread runs by plain calls.
///
/// Some the ring would treat otherwise. Where data may come later it waits for them even if the
/// descriptor says O_NONBLOCK or cannot be read at all.
///
/// Others it would serve more slowly: most file systems cannot write to the page cache without
/// waiting, so that a ring hands each such write to a kernel worker.
enum ServicePlain {
    typealias Request = RequestPool.Request

    private static let again = -11
    private static let noOffsets = -29
    private static let notSupported = -95

    /// The result of a request, from a call that does not wait; nil: it is the ring's.
    static func run(_ s: ServiceThread.State, _ request: Request) -> Int32? {
        let flags = UInt32(request.pointee.flags)
        if flags & IOTRAP_SUBMIT_CACHED != 0 { return write(s, request) }
        if flags & IOTRAP_SUBMIT_PLAIN != 0 { return call(request) }
        return flags & IOTRAP_SUBMIT_TRIED != 0 ? attempt(request) : nil
    }

    /// As the C library runs a request: without an offset where the file takes none.
    private static func call(_ request: Request) -> Int32 {
        let r = request.pointee
        let bytes = Int(r.length)
        let isRead = UInt32(r.kind) == IOTRAP_REQUEST_READ.rawValue
        var result = noOffsets
        if r.offset >= 0 {
            result =
                isRead
                ? iotrap_pread_raw(r.descriptor, r.address, bytes, r.offset)
                : iotrap_pwrite_raw(r.descriptor, r.address, bytes, r.offset)
        }
        if result == noOffsets {
            result =
                isRead
                ? iotrap_read_raw(r.descriptor, r.address, bytes)
                : iotrap_write_raw(r.descriptor, r.address, bytes)
        }
        return Int32(truncatingIfNeeded: result)
    }

    /// A write that takes longer than handing it to a worker: the cache is full, or not local.
    private static let slowNanoseconds: UInt64 = 300_000
    /// How long workers do it after that: doubled each time, up to the greatest.
    private static let pauseNanoseconds: UInt64 = 50_000_000
    private static let pauseMaximumNanoseconds: UInt64 = 5_000_000_000

    /// Writes to the page cache as long as that is quick; nil: a worker's.
    private static func write(_ s: ServiceThread.State, _ request: Request) -> Int32? {
        let began = iotrap_clock()
        guard began >= s.pointee.cachedFrom else { return nil }
        let result = call(request)
        let ended = iotrap_clock()
        if ended &- began < slowNanoseconds {
            // Quick for longer than the pause: forgotten.
            if ended &- s.pointee.cachedFrom > s.pointee.cachedPause { s.pointee.cachedPause = 0 }
        } else {
            s.pointee.cachedPause = min(
                max(s.pointee.cachedPause &* 2, pauseNanoseconds), pauseMaximumNanoseconds)
            s.pointee.cachedFrom = ended &+ s.pointee.cachedPause
        }
        return result
    }

    private static func attempt(_ request: Request) -> Int32? {
        var element = iovec(
            iov_base: request.pointee.address, iov_len: Int(request.pointee.length))
        let writes: Int32 =
            UInt32(request.pointee.kind) == IOTRAP_REQUEST_READ.rawValue ? 0 : 1
        let result = iotrap_vector_flags_raw(
            request.pointee.descriptor, &element, 1, -1, noWait, writes)
        if result == again || result == notSupported { return nil }
        return Int32(truncatingIfNeeded: result)
    }

    /// RWF_NOWAIT
    private static let noWait: UInt32 = 8
}
