import CIOTrap
import CIOTrapEngine
import Synchronization

// The functions that the hooks of POSIX AIO call, and those that stand before an end.

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_transfer(
    _ operation: UInt32, _ request: UnsafeMutablePointer<iotrap_aiocb>
) -> Int64 {
    let writes = operation == IOTRAP_OP_AIO_WRITE.rawValue
    return PosixCalls.single(
        writes ? IOTRAP_OP_AIO_WRITE : IOTRAP_OP_AIO_READ, request,
        writes ? IOTRAP_REQUEST_WRITE.rawValue : IOTRAP_REQUEST_READ.rawValue)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_sync(
    _ data_only: Int32, _ request: UnsafeMutablePointer<iotrap_aiocb>
) -> Int64 {
    guard DescriptorTable.load(request.pointee.descriptor).kind != .engine,
        iotrap_status_flags(request.pointee.descriptor) >= 0
    else { return -9 }
    let kind = data_only != 0 ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC
    return PosixCalls.single(IOTRAP_OP_AIO_FSYNC, request, kind.rawValue)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_list(
    _ wait: Int32, _ list: UnsafePointer<UnsafeMutablePointer<iotrap_aiocb>?>, _ count: Int32,
    _ notice: UnsafePointer<iotrap_notice>?
) -> Int64 {
    PosixCalls.list(list, count, waits: wait != 0, notice)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_cancel(
    _ fd: Int32, _ request: UnsafeMutablePointer<iotrap_aiocb>?
) -> Int64 {
    PosixCancel.cancel(fd, request)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_returned() {
    let thread = iotrap_self()
    guard thread.pointee.state == iotrap_guard_word() else { return }
    AsyncRecording.told(thread, IOTRAP_ASYNC_POSIX)
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_settle(_ request: UnsafePointer<iotrap_aiocb>) {
    // Only one system call of the service thread long.
    while PosixDelivery.isNotifying(UnsafeRawPointer(request)) { iotrap_pause_ns(20_000) }
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_posix_look(_ request: UnsafePointer<iotrap_aiocb>) {
    PosixRing.look(iotrap_self(), request.pointee.ring)
}

extension UnsafeMutablePointer where Pointee == iotrap_request {
    /// Whose request it is. Other threads look at it.
    var ownerWord: UnsafePointer<Atomic<UInt64>> {
        UnsafeMutableRawPointer(iotrap_request_owner(self)).assumingMemoryBound(to: UInt64.self)
            .atomic
    }
}

extension UnsafeMutablePointer where Pointee == iotrap_aiocb {
    /// The error number, which the service thread sets.
    var errorWord: UnsafePointer<Atomic<UInt32>> { iotrap_aiocb_error(self).atomic }
}
