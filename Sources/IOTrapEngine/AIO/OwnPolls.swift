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
        OwnContext.locked(thread, context) {
            request.pointee.lane_next = context.pointee.finished_first
            context.pointee.finished_first = request.pointee.number + 1
        }
    }

    static func remove(_ thread: Thread, _ context: Context, _ request: Request) {
        OwnContext.locked(thread, context) {
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
    /// - Returns: true when there was one that nobody had cancelled yet.
    static func cancel(_ thread: Thread, _ context: Context, object: UInt64?) -> Bool {
        var found = false
        OwnContext.locked(thread, context) {
            var at = context.pointee.finished_first
            while at != 0 {
                let request = RequestPool.request(at - 1)
                if request.pointee.epoch == 0, object == nil || request.pointee.object == object,
                    Service.cancelRequest(number: at - 1)
                {
                    request.pointee.epoch = 1
                    found = true
                    if object != nil { return }
                }
                at = request.pointee.lane_next
            }
        }
        return found
    }

    // MARK: - Events

    private enum Event {
        static let readable: UInt32 = 0x1
        static let priority: UInt32 = 0x2
        static let writable: UInt32 = 0x4
        static let always: UInt32 = 0x8 | 0x10  // POLLERR, POLLHUP
        static let readableNormal: UInt32 = 0x40
        static let readableBand: UInt32 = 0x80
        static let writableNormal: UInt32 = 0x100
        static let writableBand: UInt32 = 0x200
    }

    /// A poll that is ready ends at once, with what is ready and was asked for.
    ///
    /// One that is woken later ends with all that its waker says is ready: the ring asks for more
    /// than the program to learn that of pipes and sockets.
    static func plan(
        _ request: Request, _ events: UInt16, _ facts: iotrap_file_facts
    ) -> OwnRequests.Plan {
        let ready = iotrap_poll_now(request.pointee.descriptor, events)
        if ready != 0 { return .done(ready) }
        let type = facts.mode & Classification.typeMask
        if !canWait(request.pointee.descriptor, type, facts) { return .refuse(-22) }
        var wanted = UInt32(events)
        let isSocket = type == OwnRequests.FileType.socket
        if isSocket || type == OwnRequests.FileType.fifo {
            if wanted & Event.readable != 0 {
                wanted |= Event.readableNormal | (isSocket ? Event.readableBand : 0)
            }
            if wanted & Event.writable != 0 {
                wanted |= Event.writableNormal | (isSocket ? Event.writableBand : 0)
            }
        }
        request.pointee.kind = UInt8(IOTRAP_REQUEST_POLL.rawValue)
        request.pointee.rw_flags = wanted
        request.pointee.length = UInt32(events)
        request.pointee.offset = isSocket ? 1 : 0
        request.pointee.epoch = 0
        return .serve
    }

    /// False for files that never become ready or, as the kernel has it, do so in two places.
    private static func canWait(_ fd: Int32, _ type: UInt32, _ facts: iotrap_file_facts) -> Bool {
        switch type {
        case OwnRequests.FileType.regular, OwnRequests.FileType.directory,
            OwnRequests.FileType.block:
            return false
        case OwnRequests.FileType.fifo:
            return facts.status_flags & OpenFlags.accessMask != 2
        case OwnRequests.FileType.character:
            return iotrap_can_poll(fd) != 0 && iotrap_is_terminal(fd) == 0
        default:
            return true
        }
    }

    /// What the program is told of a poll that the ring has ended.
    static func result(_ request: Request, _ result: Int32) -> Int32 {
        // A cancelled poll ends with no events.
        guard result >= 0 else { return result == -125 ? 0 : result }
        let ready = UInt32(bitPattern: result)
        let asked = ready & (request.pointee.length | Event.always)
        // Who closes the other end says nothing: the kernel looks for what was asked for.
        if ready & Event.always != 0 { return Int32(bitPattern: asked) }
        guard request.pointee.offset == 1 else { return result }
        // sock_def_readable and sock_def_write_space; others say nothing.
        if ready & Event.readableBand != 0 {
            return Int32(
                bitPattern: Event.readable | Event.priority | Event.readableNormal
                    | Event.readableBand)
        }
        if ready & Event.writableBand != 0 {
            return Int32(
                bitPattern: Event.writable | Event.writableNormal | Event.writableBand)
        }
        return Int32(bitPattern: asked)
    }
}

extension OwnContext {
    /// io_cancel on an emulated context.
    static func cancel(_ thread: Thread, _ context: Context, _ iocb: UInt64) -> Int64 {
        // The key is in the third word of four bytes.
        guard UserMemory.isReadableNow(iocb &+ 4, bytes: 8),
            let place = UnsafeRawPointer(bitPattern: UInt(iocb))
        else { return -14 }
        guard place.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == 0 else { return -22 }
        return OwnPolls.cancel(thread, context, object: iocb) ? -115 : -22
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
        RequestPool.setNext(message, 0)
        if submit(first: message.pointee.number + 1, count: 1) { return true }
        RequestPool.give(message)
        return false
    }
}
