import CIOTrap
import CIOTrapEngine

/// What can be said of a request by itself.
enum Requests {
    typealias Request = UnsafeMutablePointer<iotrap_request>

    static func isSync(_ request: Request) -> Bool {
        UInt32(request.pointee.kind) == IOTRAP_REQUEST_FSYNC.rawValue
            || UInt32(request.pointee.kind) == IOTRAP_REQUEST_FDATASYNC.rawValue
    }

    /// True for requests whose loss would lose data.
    static func writes(_ request: Request) -> Bool {
        switch UInt32(request.pointee.kind) {
        case IOTRAP_REQUEST_WRITE.rawValue, IOTRAP_REQUEST_WRITEV.rawValue,
            IOTRAP_REQUEST_FSYNC.rawValue, IOTRAP_REQUEST_FDATASYNC.rawValue:
            return true
        default:
            return false
        }
    }

    /// Runs a request with a plain system call, in the calling thread.
    static func runPlain(_ request: Request) -> Int32 {
        let r = request.pointee
        var element = iovec(iov_base: r.address, iov_len: Int(r.length))
        let result: Int
        switch UInt32(r.kind) {
        case IOTRAP_REQUEST_READ.rawValue:
            result = iotrap_vector_flags_raw(r.descriptor, &element, 1, r.offset, r.rw_flags, 0)
        case IOTRAP_REQUEST_WRITE.rawValue:
            result = iotrap_vector_flags_raw(r.descriptor, &element, 1, r.offset, r.rw_flags, 1)
        case IOTRAP_REQUEST_READV.rawValue, IOTRAP_REQUEST_WRITEV.rawValue:
            guard let address = r.address else { return -14 }
            let writes: Int32 = UInt32(r.kind) == IOTRAP_REQUEST_WRITEV.rawValue ? 1 : 0
            result = iotrap_vector_flags_raw(
                r.descriptor, address.assumingMemoryBound(to: iovec.self), Int32(r.length),
                r.offset, r.rw_flags, writes)
        case IOTRAP_REQUEST_FSYNC.rawValue:
            result = iotrap_fsync_raw(r.descriptor, 0)
        default:
            result = iotrap_fsync_raw(r.descriptor, 1)
        }
        return Int32(truncatingIfNeeded: result)
    }

    /// True for results that the ring gives where a plain call would have gone on: a worker was
    /// told to stop because its thread ends, or a file system takes no asynchronous requests.
    static func mustRunAgain(_ request: Request, _ result: Int32) -> Bool {
        guard UInt32(request.pointee.kind) != IOTRAP_REQUEST_POLL.rawValue else { return false }
        let noWait: UInt32 = 8  // RWF_NOWAIT
        return result == -125 || result == -4
            || (result == -11 && request.pointee.rw_flags & noWait == 0)
    }
}
