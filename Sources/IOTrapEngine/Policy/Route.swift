import CIOTrap
import CIOTrapEngine

// The hot path: a few loads and adds decide what becomes of a call.

/// See iotrap_engine.h.
@c @implementation
public func iotrap_route(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ operation: UInt32, _ fd: Int32,
    _ bytes: UInt64
) -> UInt32 {
    if thread.pointee.state != iotrap_guard_word() {
        guard enter(thread) else { return IOTRAP_ROUTE_BARE.rawValue }
    }
    if let block = thread.pointee.block {
        iotrap_block_operation(block, operation).pointee.calls &+= 1
    }
    let slot = DescriptorTable.load(fd)
    // A sync that took under 8 us last time has nothing to share: only its samples look again.
    let lastWasFast = iotrap_interval(thread, operation).pointee > 1
    guard let reason = passReason(operation, slot, bytes, lastWasFast: lastWasFast) else {
        return IOTRAP_ROUTE_SERVE.rawValue
    }
    let countdown = iotrap_countdown(thread, operation)
    countdown.pointee &-= 1
    // Its turn to be timed; iotrap_serve finds the zero and does that.
    if countdown.pointee == 0 { return IOTRAP_ROUTE_SERVE.rawValue }
    Recording.reason(thread, reason)
    return IOTRAP_ROUTE_PASS.rawValue
}

/// Why a call passes; nil when a technique may apply or more must be found out first.
///
/// - Parameters:
///   - slot: what is known of the descriptor.
///   - bytes: what the call asks for.
///   - lastWasFast: the thread's last timed call of this operation was a fast one.
@inline(__always)
func passReason(
    _ operation: UInt32, _ slot: Slot, _ bytes: UInt64, lastWasFast: Bool
) -> iotrap_reason? {
    switch operation {
    case IOTRAP_OP_PREAD.rawValue, IOTRAP_OP_PWRITE.rawValue, IOTRAP_OP_PREADV.rawValue,
        IOTRAP_OP_PWRITEV.rawValue:
        return positionalReason(operation, slot, bytes)
    case IOTRAP_OP_READ.rawValue, IOTRAP_OP_WRITE.rawValue, IOTRAP_OP_READV.rawValue,
        IOTRAP_OP_WRITEV.rawValue:
        return IOTRAP_REASON_FILE_POSITION
    case IOTRAP_OP_FSYNC.rawValue, IOTRAP_OP_FDATASYNC.rawValue:
        // Other paths of a pool may have to be synced as well.
        if Pools.areActive { return nil }
        guard process.pointee.servesSync else { return IOTRAP_REASON_POLICY }
        let isAutomatic =
            process.pointee.configuration.setting(IOTRAP_TECHNIQUE_GROUP_SYNC.rawValue)
            == IOTRAP_SETTING_AUTO.rawValue && !process.pointee.servesBuffered
        return lastWasFast && isAutomatic ? IOTRAP_REASON_COMPARED : nil
    default:
        return IOTRAP_REASON_NO_TECHNIQUE
    }
}

@inline(__always)
private func positionalReason(
    _ operation: UInt32, _ slot: Slot, _ bytes: UInt64
) -> iotrap_reason? {
    switch slot.kind {
    case .openedBuffered, .buffered:
        if process.pointee.servesBuffered { return nil }
        // It may be in a pool: that is found out at its first use.
        if slot.kind == .openedBuffered, process.pointee.poolsServeBuffered { return nil }
        return bufferedReason(slot, operation)
    case .direct:
        let isVectored =
            operation == IOTRAP_OP_PREADV.rawValue || operation == IOTRAP_OP_PWRITEV.rawValue
        if isVectored ? process.pointee.servesVectored : bytes >= process.pointee.directMinimumBytes
        {
            return nil
        }
        return process.pointee.servesDirect ? IOTRAP_REASON_SINGLE_REQUEST : IOTRAP_REASON_POLICY
    case .notRegular:
        return IOTRAP_REASON_NOT_REGULAR
    case .engine:
        return IOTRAP_REASON_BAD_DESCRIPTOR
    case .unknown:
        return nil
    case .pooled:
        return PoolCalls.passesQuickly(slot, bytes) ? IOTRAP_REASON_PRIMARY_PATH : nil
    }
}

/// Why a call on a page-cache file passes.
@inline(__always)
func bufferedReason(_ slot: Slot, _ operation: UInt32) -> iotrap_reason {
    let writes =
        operation == IOTRAP_OP_PWRITE.rawValue || operation == IOTRAP_OP_PWRITEV.rawValue
    return slot.appends && writes ? IOTRAP_REASON_APPEND : IOTRAP_REASON_BUFFERED
}
