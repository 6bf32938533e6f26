import CIOTrap
import CIOTrapEngine

/// Requests that the ring would treat otherwise than a plain call does. Where data may come later
/// it waits for them even if the descriptor says O_NONBLOCK or cannot be read at all.
enum ServicePlain {
    typealias Request = RequestPool.Request

    private static let again = -11
    private static let noOffsets = -29
    private static let notSupported = -95

    /// The result of a request, from a call that does not wait; nil: it is the ring's.
    static func run(_ request: Request) -> Int32? {
        let flags = UInt32(request.pointee.flags)
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
