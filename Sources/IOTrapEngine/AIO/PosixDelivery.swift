import CIOTrap
import CIOTrapEngine
import Synchronization

/// The end of a request of POSIX AIO.
///
/// Once the error number in the aiocb says that it ended, the program may use the memory for
/// something else, so all that is needed later is read before.
enum PosixDelivery {
    typealias Request = RequestPool.Request
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Block = UnsafeMutablePointer<iotrap_aiocb>

    private static var shared: UnsafeMutablePointer<iotrap_service> { iotrap_service() }
    private static var notifying: UnsafePointer<Atomic<UInt64>> {
        iotrap_service_notifying(shared).atomic
    }

    /// Ends a request, in the service thread, and gives it back.
    static func finish(_ thread: Thread, _ request: Request, _ result: Int32, _ now: UInt64) {
        guard let owner = request.pointee.owner else { return RequestPool.give(request) }
        // Cancelled before it was its turn.
        PoolTarget.withdraw(request)
        let block = owner.assumingMemoryBound(to: iotrap_aiocb.self)
        var notice = notice(of: block)
        let group = request.pointee.group
        record(thread, request, result, now)
        if notice.sendsSignal {
            publish(block, result, &notice)
        } else {
            publish(block, Int64(result))
        }
        if notice.notify == IOTRAP_NOTIFY_THREAD {
            makeThread(&notice, request)
        } else {
            RequestPool.give(request)
        }
        if group != 0 {
            PosixGroups.leave(RequestPool.request(group - 1), failed: result < 0, inService: true)
        }
    }

    static func notice(of block: Block) -> iotrap_notice {
        iotrap_notice(
            notify: block.pointee.notify, signal: block.pointee.notify_signal,
            value: block.pointee.notify_value, function: block.pointee.notify_function,
            attributes: block.pointee.notify_attributes)
    }

    /// Makes the thread of a notification, in the service thread. It may wait for locks of the C
    /// library, so that `Service.ask` must know.
    static func makeThread(_ notice: inout iotrap_notice, _ request: Request) {
        Service.outside.pointee.wrappingAdd(1, ordering: .relaxed)
        iotrap_notify_thread(&notice, request)
        Service.outside.pointee.wrappingAdd(1, ordering: .relaxed)
    }

    // MARK: - Results

    /// Tells the program the result of a request: bytes moved or -errno.
    @inline(__always)
    static func publish(_ block: Block, _ result: Int64) {
        block.pointee.result = result < 0 ? -1 : result
        // releasing: whoever sees the error number sees the result and the data
        iotrap_aiocb_error(block).atomic.pointee.store(
            result < 0 ? UInt32(truncatingIfNeeded: -result) : 0, ordering: .releasing)
    }

    /// The same with a signal. A signal that cannot be sent makes an error of the request, so it
    /// comes before the error number. The handler may run meanwhile and must find that the request
    /// has ended: it waits (`iotrap_posix_settle`) while its aiocb is the one noted here. The
    /// service thread blocks all signals, so it never waits for itself.
    private static func publish(_ block: Block, _ result: Int32, _ notice: inout iotrap_notice) {
        block.pointee.result = result < 0 ? -1 : Int64(result)
        notifying.pointee.store(
            UInt64(UInt(bitPattern: block)), ordering: .sequentiallyConsistent)
        let sent = iotrap_notify_signal(&notice)
        publish(block, sent < 0 ? Int64(sent) : Int64(result))
        notifying.pointee.store(0, ordering: .sequentiallyConsistent)
    }

    /// True while a signal for the aiocb is on its way.
    static func isNotifying(_ block: UnsafeRawPointer) -> Bool {
        notifying.pointee.load(ordering: .sequentiallyConsistent)
            == UInt64(UInt(bitPattern: block))
    }

    /// The same from a thread other than the service thread, which ends few requests at once.
    static func wakeIfSuspended() {
        // Pairs with iotrap_suspend_join: see below.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if iotrap_service_suspended(shared).atomic.pointee.load(ordering: .relaxed) != 0 {
            wakeSuspended()
        }
    }

    /// Wakes those that wait for a request to end.
    static func wakeSuspended() {
        let finished = iotrap_service_finished(shared)
        // Sequentially consistent: pairs with iotrap_suspend_join. Either the thread is seen here,
        // or it sees the error numbers stored before.
        finished.atomic.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        let suspended = iotrap_service_suspended(shared)
        if suspended.atomic.pointee.load(ordering: .sequentiallyConsistent) != 0 {
            iotrap_futex_wake(finished, Int32.max)
        }
    }

    // MARK: - Counting

    private static func record(
        _ thread: Thread, _ request: Request, _ result: Int32, _ now: UInt64
    ) {
        guard let block = thread.pointee.block else { return }
        let made = operation(UInt32(request.pointee.kind))
        let operation = iotrap_block_operation(block, made.rawValue)
        let technique = iotrap_block_technique(block, IOTRAP_TECHNIQUE_POSIX_AIO.rawValue)
        if result >= 0 {
            operation.pointee.bytes &+= UInt64(result)
            technique.pointee.bytes &+= UInt64(result)
        } else {
            operation.pointee.errors &+= 1
            technique.pointee.errors &+= 1
        }
        guard result != -125 else { return }
        AsyncRecording.finished(
            thread, IOTRAP_ASYNC_POSIX, result: Int64(result),
            nanoseconds: now &- request.pointee.started_ns)
    }

    /// The operation that makes requests of a kind.
    static func operation(_ kind: UInt32) -> iotrap_operation {
        switch kind {
        case IOTRAP_REQUEST_READ.rawValue: IOTRAP_OP_AIO_READ
        case IOTRAP_REQUEST_WRITE.rawValue: IOTRAP_OP_AIO_WRITE
        default: IOTRAP_OP_AIO_FSYNC
        }
    }
}

extension iotrap_notice {
    /// True when a signal is to be sent; number 0 is none.
    var sendsSignal: Bool {
        (notify == IOTRAP_NOTIFY_SIGNAL || notify == IOTRAP_NOTIFY_THREAD_ID) && signal != 0
    }

    /// True when somebody is to be told.
    var isWanted: Bool { sendsSignal || notify == IOTRAP_NOTIFY_THREAD }
}

/// See iotrap_posix.h.
@c @implementation
public func iotrap_request_give(_ request: UnsafeMutablePointer<iotrap_request>) {
    RequestPool.give(request)
}
