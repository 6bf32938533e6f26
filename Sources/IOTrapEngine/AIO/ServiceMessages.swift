import CIOTrap
import CIOTrapEngine

/// What other threads ask of the service thread. Messages come through the queue, so that those
/// who send them have all their earlier requests dealt with first.
enum ServiceMessages {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request

    /// A request's `epoch`: its descriptor was or is being closed; below, number + 1 of the message
    /// that waits until it is issued.
    static let descriptorGone: UInt32 = 1 << 31

    static func handle(_ s: State, _ message: Request) {
        switch UInt32(message.pointee.kind) {
        case IOTRAP_MESSAGE_CANCEL.rawValue:
            Service.answer(message, cancel(s, message))
        case IOTRAP_MESSAGE_CLOSE.rawValue:
            close(s, message)
        case IOTRAP_MESSAGE_DRAIN.rawValue:
            // Who comes after this program, or after exec, syncs one path only.
            if let pool = s.pointee.pool { _ = PoolSyncs.flush(s, pool) }
            chain(&s.pointee.drains, message)
        case IOTRAP_MESSAGE_CANCEL_REQUEST.rawValue:
            ServiceThread.cancelInRing(s, message.pointee.length)
            RequestPool.give(message)
        case IOTRAP_MESSAGE_ATTACH.rawValue:
            PoolService.attach(s, message)
        case IOTRAP_MESSAGE_RETIRE.rawValue:
            s.pointee.retirement = message.pointee.number + 1
        default:
            message.pointee.destination = UInt8(IOTRAP_TO_AIOCB.rawValue)
            s.pointee.hasFinished = true
            PosixDelivery.finish(
                s.pointee.thread, message, Int32(truncatingIfNeeded: message.pointee.offset),
                iotrap_clock())
        }
    }

    private static func chain(_ first: inout UInt32, _ message: Request) {
        RequestPool.setNext(message, first)
        first = message.pointee.number + 1
    }

    // MARK: - Cancelling

    /// Answers of `cancel`.
    enum Cancelled {
        static let all: Int32 = 0
        static let notAll: Int32 = 1
        static let nothingFound: Int32 = 2
    }

    /// Cancels what waits for its turn; what the kernel has runs on.
    private static func cancel(_ s: State, _ message: Request) -> Int32 {
        let descriptor = message.pointee.descriptor
        var answer = Cancelled.nothingFound
        var next = Lanes.first(Lanes.lane(descriptor))
        while let request = next {
            next = Lanes.next(request)
            guard request.pointee.descriptor == descriptor else { continue }
            if let owner = message.pointee.owner, request.pointee.owner != owner { continue }
            if request.pointee.state != Lanes.State.waiting {
                answer = Cancelled.notAll
            } else {
                end(s, request)
                if answer == Cancelled.nothingFound { answer = Cancelled.all }
            }
        }
        return answer
    }

    private static func end(_ s: State, _ request: Request) {
        s.pointee.waiting -= 1
        issued(s, request)
        AsyncRecording.cancelled(s.pointee.thread, IOTRAP_ASYNC_POSIX, requests: 1)
        ServiceThread.finish(s, request, -125, iotrap_clock())
    }

    // MARK: - Closing

    /// A range of descriptors is about to be closed. The answer goes out when the kernel has all
    /// their requests: it holds on to the files then. Those that wait for their turn are waited
    /// for where storage is behind them, so that nothing is lost by a close that follows a write;
    /// elsewhere their turn may never come, and they are cancelled.
    private static func close(_ s: State, _ message: Request) {
        let first = UInt32(bitPattern: message.pointee.descriptor)
        let last = message.pointee.length
        message.pointee.length = 0
        PoolPieces.closing(s, first, last)
        if first == last {
            visit(s, Lanes.lane(Int32(bitPattern: first)), first, last, message)
        } else {
            Lanes.forEach(first, last) { visit(s, $0, first, last, message) }
        }
        if message.pointee.length == 0 { chain(&s.pointee.submissions, message) }
    }

    private static func visit(
        _ s: State, _ lane: Lanes.Lane, _ first: UInt32, _ last: UInt32, _ message: Request
    ) {
        var next = Lanes.first(lane)
        while let request = next {
            next = Lanes.next(request)
            let descriptor = UInt32(bitPattern: request.pointee.descriptor)
            guard descriptor >= first, descriptor <= last else { continue }
            let isAwaited = request.pointee.epoch & ~descriptorGone != 0
            let isGone = request.pointee.epoch & descriptorGone != 0
            request.pointee.epoch |= descriptorGone
            guard request.pointee.state == Lanes.State.waiting else {
                if !isGone { StreamWrites.hold(s, request) }
                continue
            }
            if UInt32(request.pointee.order) & IOTRAP_REQUEST_STORAGE == 0 {
                end(s, request)
            } else if !isAwaited {
                request.pointee.epoch |= message.pointee.number + 1
                message.pointee.length += 1
            }
        }
    }

    /// A request that waited is in the ring now, or will never be.
    static func issued(_ s: State, _ request: Request) {
        let number = request.pointee.epoch & ~descriptorGone
        guard number != 0 else { return }
        request.pointee.epoch &= descriptorGone
        let message = RequestPool.request(number - 1)
        message.pointee.length -= 1
        if message.pointee.length == 0 { chain(&s.pointee.submissions, message) }
    }
}
