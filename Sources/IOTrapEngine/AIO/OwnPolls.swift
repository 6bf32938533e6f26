import CIOTrap
import CIOTrapEngine

/// The polls in flight of an emulated context: the only requests that can be cancelled. They are
/// linked by `lane_next` from the context's `finished_first`, which emulated contexts have no other
/// use for.
enum OwnPolls {
    typealias Context = ContextTable.Context
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Request = RequestPool.Request

    static func add(_ thread: Thread, _ context: Context, _ request: Request) {
        locked(thread, context) {
            request.pointee.lane_next = context.pointee.finished_first
            context.pointee.finished_first = request.pointee.number + 1
        }
    }

    static func remove(_ thread: Thread, _ context: Context, _ request: Request) {
        locked(thread, context) {
            let number = request.pointee.number + 1
            if context.pointee.finished_first == number {
                context.pointee.finished_first = request.pointee.lane_next
                return
            }
            var at = context.pointee.finished_first
            while at != 0 {
                let other = RequestPool.request(at - 1)
                if other.pointee.lane_next == number {
                    other.pointee.lane_next = request.pointee.lane_next
                    return
                }
                at = other.pointee.lane_next
            }
        }
    }

    /// Asks for the end of one poll, or of all.
    ///
    /// - Parameter object: address of its iocb; nil: all.
    /// - Returns: true when there was one.
    static func cancel(_ thread: Thread, _ context: Context, object: UInt64?) -> Bool {
        var found = false
        locked(thread, context) {
            var at = context.pointee.finished_first
            while at != 0 {
                let request = RequestPool.request(at - 1)
                if object == nil || request.pointee.object == object {
                    found = Service.cancelRequest(number: at - 1) || found
                }
                at = request.pointee.lane_next
            }
        }
        return found
    }

    private static func locked(_ thread: Thread, _ context: Context, _ body: () -> Void) {
        let lock = address(of: &context.pointee.lock)
        Inside.lock(thread, 0, lock)
        body()
        Inside.unlock(thread, 0, lock)
    }
}

extension OwnContext {
    /// io_cancel on an emulated context.
    static func cancel(_ thread: Thread, _ context: Context, _ iocb: UInt64) -> Int64 {
        guard UserMemory.isReadable(thread, UInt(iocb), bytes: 64),
            let place = UnsafePointer<iotrap_iocb>(bitPattern: UInt(iocb))
        else { return -14 }
        guard place.pointee.key == 0, Inside.enter(thread) else { return -22 }
        defer { Inside.leave(thread) }
        return OwnPolls.cancel(thread, context, object: iocb) ? -115 : -22
    }

    static func cancelPolls(_ thread: Thread, _ context: Context) {
        guard Inside.enter(thread) else { return }
        _ = OwnPolls.cancel(thread, context, object: nil)
        Inside.leave(thread)
    }
}

extension Service {
    /// Asks the service thread to cancel a request that is in its ring. Does not wait for it.
    static func cancelRequest(number: UInt32) -> Bool {
        guard let message = RequestPool.take() else { return false }
        message.pointee.destination = UInt8(IOTRAP_TO_SERVICE.rawValue)
        message.pointee.kind = UInt8(IOTRAP_MESSAGE_CANCEL_REQUEST.rawValue)
        message.pointee.order = 0
        message.pointee.length = number
        message.pointee.next = 0
        if submit(first: message.pointee.number + 1, count: 1) { return true }
        RequestPool.give(message)
        return false
    }
}
