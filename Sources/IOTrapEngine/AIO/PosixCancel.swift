import CIOTrap
import CIOTrapEngine
import Synchronization

/// aio_cancel, and what closing descriptors and ending the process mean for requests.
enum PosixCancel {
    /// What aio_cancel returns.
    private enum Answer {
        static let cancelled: Int64 = 0
        static let notCancelled: Int64 = 1
        static let allDone: Int64 = 2
    }

    /// Cancels one request, or all of a descriptor, as far as they wait for their turn.
    static func cancel(_ fd: Int32, _ block: UnsafeMutablePointer<iotrap_aiocb>?) -> Int64 {
        guard DescriptorTable.load(fd).kind != .engine, iotrap_status_flags(fd) >= 0 else {
            return -9
        }
        if let block {
            guard block.pointee.descriptor == fd else { return -22 }
            guard error(block) == inProgress else { return Answer.allDone }
            guard isInProgress(block) else { return -22 }
            if block.pointee.ring != 0 { return Answer.notCancelled }
        }
        let answer = Service.ask(
            IOTRAP_MESSAGE_CANCEL, descriptor: fd, owner: UnsafeMutableRawPointer(block))
        if block == nil, Lanes.lane(fd).onRings.pointee.load(ordering: .relaxed) != 0 {
            return Answer.notCancelled
        }
        switch answer {
        case ServiceMessages.Cancelled.all: return Answer.cancelled
        case ServiceMessages.Cancelled.notAll: return Answer.notCancelled
        default:
            guard let block else { return Answer.allDone }
            // It ended meanwhile, or never was a request.
            return error(block) == inProgress ? -22 : Answer.allDone
        }
    }

    private static let inProgress: UInt32 = 115

    private static func error(_ block: UnsafeMutablePointer<iotrap_aiocb>) -> UInt32 {
        // acquiring: pairs with `PosixDelivery.publish`
        block.errorWord.pointee.load(ordering: .acquiring)
    }

    /// True for a request that has not ended. An aiocb that only looks like one, a copy for
    /// instance, is not what its request says it belongs to.
    static func isInProgress(_ block: UnsafeMutablePointer<iotrap_aiocb>) -> Bool {
        guard error(block) == inProgress else { return false }
        let number = block.pointee.number
        guard number != 0, number <= UInt64(RequestPool.count) else { return false }
        let owner = RequestPool.request(UInt32(number) - 1).ownerWord
        return owner.pointee.load(ordering: .relaxed) == UInt64(UInt(bitPattern: block))
    }
}

/// See iotrap_aio.h.
@c @implementation
public func iotrap_aio_closing(_ first: UInt32, _ last: UInt32) {
    guard Service.isRunning else { return }
    // A lane that holds nothing, and nothing on its way to it.
    if first == last, !Pools.areActive, iotrap_aio_unsubmitted() == 0,
        Lanes.isEmpty(Int32(truncatingIfNeeded: first))
    {
        return
    }
    _ = Service.ask(
        IOTRAP_MESSAGE_CLOSE, descriptor: Int32(truncatingIfNeeded: first), last: last)
}

/// See iotrap_aio.h.
@c @implementation
public func iotrap_aio_drain() {
    guard process.pointee.isActive else { return }
    if Service.isRunning { _ = Service.ask(IOTRAP_MESSAGE_DRAIN) }
    CallerRing.drain(iotrap_self())
}
