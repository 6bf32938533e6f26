import CIOTrap
import CIOTrapEngine

// The slower path: calls a technique may serve, and calls whose turn it is to be timed.

/// See iotrap_engine.h.
@c @implementation
public func iotrap_serve(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>
) -> Int64 {
    call.pointee.started_ns = 0
    call.pointee.comparison = 0
    call.pointee.file = 0
    call.pointee.population = 0
    switch call.pointee.operation {
    case IOTRAP_OP_PREAD.rawValue, IOTRAP_OP_PWRITE.rawValue, IOTRAP_OP_PREADV.rawValue,
        IOTRAP_OP_PWRITEV.rawValue:
        return DataCalls.serve(thread, call)
    case IOTRAP_OP_FSYNC.rawValue, IOTRAP_OP_FDATASYNC.rawValue:
        return SyncCalls.serve(thread, call)
    case IOTRAP_OP_READ.rawValue, IOTRAP_OP_WRITE.rawValue, IOTRAP_OP_READV.rawValue,
        IOTRAP_OP_WRITEV.rawValue:
        return decline(thread, call, IOTRAP_REASON_FILE_POSITION)
    default:
        return decline(thread, call, IOTRAP_REASON_NO_TECHNIQUE)
    }
}

/// Sends a call to the kernel, counted under a reason, and timed if it is its turn.
func decline(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
    _ reason: iotrap_reason
) -> Int64 {
    Recording.reason(thread, reason)
    let countdown = iotrap_countdown(thread, call.pointee.operation)
    if countdown.pointee > 0 { countdown.pointee &-= 1 }
    if countdown.pointee == 0 {
        call.pointee.weight = UInt32(iotrap_interval(thread, call.pointee.operation).pointee)
        if call.pointee.started_ns == 0 { call.pointee.started_ns = iotrap_clock() }
    } else {
        call.pointee.weight = 0
    }
    return Int64.min  // IOTRAP_DECLINED
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_completed(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
    _ result: Int64
) {
    guard thread.pointee.state == iotrap_guard_word() else { return }
    let operation = call.pointee.operation
    if let block = thread.pointee.block {
        let counts = iotrap_block_operation(block, operation)
        if result < 0 {
            counts.pointee.errors &+= 1
        } else {
            counts.pointee.bytes &+= UInt64(result)
        }
    }
    guard call.pointee.started_ns != 0 else { return }
    let nanoseconds = iotrap_clock() &- call.pointee.started_ns
    if call.pointee.weight > 0 {
        Recording.timed(thread, operation, nanoseconds, weight: UInt64(call.pointee.weight))
    }
    if call.pointee.file != 0 {
        Experiment.finish(thread, call, result: result, nanoseconds: nanoseconds)
    }
}
