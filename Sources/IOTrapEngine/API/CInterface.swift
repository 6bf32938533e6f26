import CIOTrap
import CIOTrapEngine

// The functions of iotrap.h: the engine without the hooks.

/// See iotrap.h.
@c @implementation
public func iotrap_pread(
    _ fd: Int32, _ buffer: UnsafeMutableRawPointer!, _ count: Int, _ offset: off_t
) -> Int {
    var element = iovec(iov_base: buffer, iov_len: count)
    return DirectCall.data(IOTRAP_OP_PREAD, fd, &element, 1, offset)
}

/// See iotrap.h.
@c @implementation
public func iotrap_pwrite(
    _ fd: Int32, _ buffer: UnsafeRawPointer!, _ count: Int, _ offset: off_t
) -> Int {
    var element = iovec(iov_base: UnsafeMutableRawPointer(mutating: buffer), iov_len: count)
    return DirectCall.data(IOTRAP_OP_PWRITE, fd, &element, 1, offset)
}

/// See iotrap.h.
@c @implementation
public func iotrap_preadv(
    _ fd: Int32, _ iov: UnsafePointer<iovec>!, _ count: Int32, _ offset: off_t
) -> Int {
    DirectCall.data(IOTRAP_OP_PREADV, fd, iov, count, offset)
}

/// See iotrap.h.
@c @implementation
public func iotrap_pwritev(
    _ fd: Int32, _ iov: UnsafePointer<iovec>!, _ count: Int32, _ offset: off_t
) -> Int {
    DirectCall.data(IOTRAP_OP_PWRITEV, fd, iov, count, offset)
}

/// See iotrap.h.
@c @implementation
public func iotrap_fsync(_ fd: Int32) -> Int32 { DirectCall.sync(IOTRAP_OP_FSYNC, fd) }

/// See iotrap.h.
@c @implementation
public func iotrap_fdatasync(_ fd: Int32) -> Int32 { DirectCall.sync(IOTRAP_OP_FDATASYNC, fd) }

/// A call made through the C interface: routed like a hooked one, with raw system calls behind it.
private enum DirectCall {
    static func data(
        _ operation: iotrap_operation, _ fd: Int32, _ iov: UnsafePointer<iovec>?, _ count: Int32,
        _ offset: off_t
    ) -> Int {
        var call = iotrap_call()
        call.operation = operation.rawValue
        call.descriptor = fd
        call.iov = iov
        call.iov_count = count
        call.offset = Int64(offset)
        let isVectored = operation == IOTRAP_OP_PREADV || operation == IOTRAP_OP_PWRITEV
        let bytes = isVectored ? 0 : iov!.pointee.byteCount
        return Int(run(&call, bytes: bytes))
    }

    static func sync(_ operation: iotrap_operation, _ fd: Int32) -> Int32 {
        var call = iotrap_call()
        call.operation = operation.rawValue
        call.descriptor = fd
        return Int32(truncatingIfNeeded: run(&call, bytes: 0))
    }

    private static func run(_ call: inout iotrap_call, bytes: UInt64) -> Int64 {
        let thread = iotrap_self()
        switch iotrap_route(thread, call.operation, call.descriptor, bytes) {
        case IOTRAP_ROUTE_BARE.rawValue:
            return plain(call)
        case IOTRAP_ROUTE_PASS.rawValue:
            let result = plain(call)
            iotrap_passed(thread, call.operation, result)
            return result
        default:
            let result = iotrap_serve(thread, &call)
            if result != Int64.min { return result }
            let own = plain(call)
            iotrap_completed(thread, &call, own)
            return own
        }
    }

    private static func plain(_ call: iotrap_call) -> Int64 {
        switch call.operation {
        case IOTRAP_OP_PREAD.rawValue:
            return Int64(
                iotrap_pread_raw(
                    call.descriptor, call.iov!.pointee.iov_base, call.iov!.pointee.iov_len,
                    call.offset))
        case IOTRAP_OP_PWRITE.rawValue:
            return Int64(
                iotrap_pwrite_raw(
                    call.descriptor, call.iov!.pointee.iov_base, call.iov!.pointee.iov_len,
                    call.offset))
        case IOTRAP_OP_PREADV.rawValue, IOTRAP_OP_PWRITEV.rawValue:
            let writes: Int32 = call.operation == IOTRAP_OP_PWRITEV.rawValue ? 1 : 0
            return Int64(
                iotrap_vector_raw(
                    call.descriptor, call.iov, call.iov_count, call.offset, writes))
        default:
            let dataOnly: Int32 = call.operation == IOTRAP_OP_FDATASYNC.rawValue ? 1 : 0
            return Int64(iotrap_fsync_raw(call.descriptor, dataOnly))
        }
    }
}
