import CIOTrap
import CIOTrapEngine
import Synchronization

/// aio_read, aio_write, aio_fsync and lio_listio, in the calling thread.
///
/// A request is checked as the C library checks it, its descriptor is looked at, and it is queued
/// for the service thread. Errors that the library's own helpers would find become the request's
/// result, not the call's.
enum PosixCalls {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Block = UnsafeMutablePointer<iotrap_aiocb>
    typealias Request = RequestPool.Request

    private enum ErrorNumber {
        static let inProgress: UInt32 = 115
        static let invalid: Int64 = -22
        static let again: Int64 = -11
    }

    /// IOTRAP_AIO_DECLINED
    private static let declined = Int64.min
    /// Bytes a single transfer moves at most (MAX_RW_COUNT).
    private static let transferMaximum: UInt64 = 0x7fff_f000
    /// The end of a process's memory (TASK_SIZE_MAX).
    private static let memoryEnd: UInt64 = 0x7fff_ffff_f000
    /// Cached reads up to this size are done inside the call; a larger copy takes longer than
    /// handing it over.
    private static let inlineMaximum: UInt64 = 256 << 10
    /// AIO_PRIO_DELTA_MAX
    private static let priorityMaximum: Int32 = 20

    // MARK: - Calls

    /// One request: 0, -errno or `declined`.
    static func single(_ operation: iotrap_operation, _ block: Block, _ kind: UInt32) -> Int64 {
        let thread = iotrap_self()
        guard PosixPolicy.serves(thread, operation) else { return declined }
        var timing = Timing(thread, operation)
        let prepared = prepare(thread, block, kind, group: nil)
        var result: Int64 = prepared < 0 ? prepared : 0
        if prepared > 0 {
            let number = UInt32(truncatingIfNeeded: prepared)
            if PosixRing.take(thread, RequestPool.request(number - 1), block) {
                count(thread, IOTRAP_ASYNC_ROUTE_RING)
            } else if Service.submit(first: number, count: 1) {
                count(thread, IOTRAP_ASYNC_ROUTE_SERVICE)
            } else {
                // The thread was gone and could not be made again: nothing is outstanding, so
                // from now on requests are the library's.
                PoolTarget.withdraw(RequestPool.request(number - 1))
                RequestPool.give(RequestPool.request(number - 1))
                PosixPolicy.refuse()
                result = declined
            }
        }
        timing.end(thread, operation)
        return result
    }

    /// Many requests: 0, -errno or `declined`. `notice`: what to tell when all have ended.
    static func list(
        _ list: UnsafePointer<Block?>, _ count: Int32, waits: Bool,
        _ notice: UnsafePointer<iotrap_notice>?
    ) -> Int64 {
        let thread = iotrap_self()
        guard PosixPolicy.serves(thread, IOTRAP_OP_LIO_LISTIO) else { return declined }
        var timing = Timing(thread, IOTRAP_OP_LIO_LISTIO)
        defer { timing.end(thread, IOTRAP_OP_LIO_LISTIO) }
        guard Service.ready() else {
            PosixPolicy.refuse()
            return declined
        }
        let isTold = notice?.pointee.isWanted ?? false
        guard let group = PosixGroups.make(waits ? nil : notice) else { return ErrorNumber.again }
        let outcome = submit(thread, list, count, waits || isTold ? group : nil)
        guard waits else {
            PosixGroups.leave(group, failed: false, inService: false)
            return outcome.refusal
        }
        let interrupted = PosixGroups.wait(group)
        let hasFailed = PosixGroups.hasFailed(group) || outcome.hasFailed
        PosixGroups.leave(group, failed: false, inService: false)
        if outcome.accepted == 0 { return outcome.refusal }
        if interrupted < 0 { return Int64(interrupted) }
        return hasFailed || outcome.refusal < 0 ? -5 : 0
    }

    private struct Outcome {
        var accepted = 0
        /// The last error of a request that was not accepted.
        var refusal: Int64 = 0
        /// A request that ended inside the call did so with an error.
        var hasFailed = false
    }

    private static func submit(
        _ thread: Thread, _ list: UnsafePointer<Block?>, _ count: Int32, _ group: PosixGroups.Group?
    ) -> Outcome {
        var outcome = Outcome()
        var first: UInt32 = 0
        var last: Request?
        var queued: UInt32 = 0
        for index in 0..<Int(max(count, 0)) {
            guard let block = list[index], block.pointee.opcode != ListOperation.none else {
                continue
            }
            let prepared = prepare(
                thread, block, ListOperation.kind(block.pointee.opcode), group: group)
            if prepared < 0 {
                outcome.refusal = prepared
                continue
            }
            outcome.accepted += 1
            if prepared == 0 {
                if block.pointee.error != 0 { outcome.hasFailed = true }
                continue
            }
            let number = UInt32(truncatingIfNeeded: prepared)
            if let last { RequestPool.setNext(last, number) } else { first = number }
            last = RequestPool.request(number - 1)
            RequestPool.setNext(RequestPool.request(number - 1), 0)
            queued += 1
        }
        if queued > 0 { hand(thread, first, queued) }
        return outcome
    }

    /// Queues a chain. The thread was there when the call began; if it ended since and cannot be
    /// made again, the requests end with the error that the library gives for want of threads.
    private static func hand(_ thread: Thread, _ first: UInt32, _ count: UInt32) {
        if Service.submit(first: first, count: count) {
            AsyncRecording.submitted(
                thread, IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_SERVICE, requests: UInt64(count))
            return
        }
        var next = first
        while next != 0 {
            let request = RequestPool.request(next - 1)
            next = request.pointee.next
            PosixDelivery.finish(thread, request, Int32(ErrorNumber.again), iotrap_clock())
        }
    }

    /// Operations of lio_listio, and two that glibc knows besides.
    private enum ListOperation {
        static let none: Int32 = 2

        static func kind(_ operation: Int32) -> UInt32 {
            switch operation & 127 {
            case 0: IOTRAP_REQUEST_READ.rawValue
            case 1: IOTRAP_REQUEST_WRITE.rawValue
            case 3 where operation == 3: IOTRAP_REQUEST_FDATASYNC.rawValue
            case 4 where operation == 4: IOTRAP_REQUEST_FSYNC.rawValue
            default: unknown
            }
        }
    }

    /// No kind of request: it ends with EINVAL.
    private static let unknown = UInt32.max

    // MARK: - One request

    /// Checks a request and fills a request of the pool.
    ///
    /// - Returns: its number + 1, to be queued; 0 when it ended inside the call; or -errno.
    private static func prepare(
        _ thread: Thread, _ block: Block, _ kind: UInt32, group: PosixGroups.Group?
    ) -> Int64 {
        let isSync =
            kind == IOTRAP_REQUEST_FSYNC.rawValue || kind == IOTRAP_REQUEST_FDATASYNC.rawValue
        if isSync {
            block.pointee.priority = 0
        } else if block.pointee.priority < 0 || block.pointee.priority > priorityMaximum {
            PosixDelivery.publish(block, ErrorNumber.invalid)
            return ErrorNumber.invalid
        }
        if let result = early(block, kind) {
            return end(thread, block, kind, result, group)
        }
        let target = PosixTarget(block, kind)
        guard let request = RequestPool.take() else { return ErrorNumber.again }
        fill(request, block, kind, target, group)
        return Int64(request.pointee.number) + 1
    }

    private static func fill(
        _ request: Request, _ block: Block, _ kind: UInt32, _ target: PosixTarget,
        _ group: PosixGroups.Group?
    ) {
        RequestPool.setNext(request, 0)
        request.pointee.kind = UInt8(truncatingIfNeeded: kind)
        request.pointee.flags = target.flags
        request.pointee.destination = UInt8(IOTRAP_TO_AIOCB.rawValue)
        request.pointee.order = target.order
        request.pointee.descriptor = target.descriptor
        request.pointee.rw_flags = 0
        request.pointee.priority = 0
        request.pointee.address = block.pointee.address
        request.pointee.length = UInt32(min(block.pointee.bytes, transferMaximum))
        request.pointee.comparison = 0
        request.pointee.offset = target.isStream ? -1 : block.pointee.offset
        request.ownerWord.pointee.store(
            UInt64(UInt(bitPattern: block)), ordering: .relaxed)
        request.pointee.started_ns = iotrap_clock()
        request.pointee.file = 0
        request.pointee.file_generation = 0
        request.pointee.epoch = 0
        request.pointee.state = 0
        request.pointee.group = 0
        request.pointee.pool_file = 0
        if Pools.areActive { prepareForPool(request) }
        if let group {
            PosixGroups.join(group)
            request.pointee.group = group.pointee.number + 1
        }
        block.pointee.number = UInt64(request.pointee.number) + 1
        block.pointee.ring = 0
        block.pointee.result = 0
        iotrap_aiocb_error(block).atomic.pointee.store(
            ErrorNumber.inProgress, ordering: .relaxed)
    }

    private static func prepareForPool(_ request: Request) {
        var facts = iotrap_file_facts()
        guard UInt32(request.pointee.order) & IOTRAP_REQUEST_STORAGE != 0,
            iotrap_file_facts(request.pointee.descriptor, &facts) == 0
        else { return }
        if Requests.isSync(request) { return PoolSyncs.prepare(request, facts) }
        let writes = Requests.writes(request)
        let end = request.pointee.offset &+ Int64(request.pointee.length)
        if writes, end > iotrap_file_size_limit() { return }
        PoolTarget.prepare(request, facts, bytes: UInt64(request.pointee.length))
    }

    /// The result of a request that need not be queued; nil otherwise.
    private static func early(_ block: Block, _ kind: UInt32) -> Int64? {
        if kind == unknown { return ErrorNumber.invalid }
        guard kind == IOTRAP_REQUEST_READ.rawValue || kind == IOTRAP_REQUEST_WRITE.rawValue else {
            return nil
        }
        let bytes = block.pointee.bytes
        // Before anything else is looked at, even the descriptor: pread(2).
        if block.pointee.offset < 0 { return ErrorNumber.invalid }
        // No such range of memory can be: the kernel says which error that is.
        let start = UInt64(UInt(bitPattern: block.pointee.address))
        let (end, overflows) = start.addingReportingOverflow(bytes)
        if bytes > transferMaximum, overflows || end > memoryEnd {
            return refusedByKernel(block, kind)
        }
        guard kind == IOTRAP_REQUEST_READ.rawValue, bytes <= inlineMaximum,
            PosixTarget.mayBeCached(block.pointee.descriptor)
        else { return nil }
        return readNow(block, Int(bytes))
    }

    private static func refusedByKernel(_ block: Block, _ kind: UInt32) -> Int64 {
        let fd = block.pointee.descriptor
        let bytes = Int(truncatingIfNeeded: block.pointee.bytes)
        let offset = block.pointee.offset
        let result =
            kind == IOTRAP_REQUEST_READ.rawValue
            ? iotrap_pread_raw(fd, block.pointee.address, bytes, offset)
            : iotrap_pwrite_raw(fd, block.pointee.address, bytes, offset)
        return Int64(result)
    }

    /// Reads what the page cache holds; nil unless that is all there is to read.
    private static func readNow(_ block: Block, _ bytes: Int) -> Int64? {
        let fd = block.pointee.descriptor
        let offset = block.pointee.offset
        let result = iotrap_read_now(fd, block.pointee.address, bytes, offset)
        if result == bytes { return Int64(result) }
        guard result >= 0, result < bytes else { return nil }
        // Short at the end of the file, or because the rest is not in the cache?
        var byte: UInt8 = 0
        let rest = iotrap_read_now(fd, &byte, 1, offset &+ Int64(result))
        return rest == 0 ? Int64(result) : nil
    }

    /// Ends a request inside the call. Who is to be told is told by the service thread, as a helper
    /// thread of the library would do it.
    private static func end(
        _ thread: Thread, _ block: Block, _ kind: UInt32, _ result: Int64,
        _ group: PosixGroups.Group?
    ) -> Int64 {
        if PosixDelivery.notice(of: block).isWanted {
            guard let message = RequestPool.take() else { return ErrorNumber.again }
            fill(message, block, kind, PosixTarget(), group)
            message.pointee.destination = UInt8(IOTRAP_TO_SERVICE.rawValue)
            message.pointee.kind = UInt8(IOTRAP_MESSAGE_FINISHED.rawValue)
            message.pointee.offset = result
            return Int64(message.pointee.number) + 1
        }
        PosixDelivery.publish(block, result)
        count(thread, IOTRAP_ASYNC_ROUTE_INLINE)
        if let counts = thread.pointee.block {
            let operation = PosixDelivery.operation(kind)
            let own = iotrap_block_operation(counts, operation.rawValue)
            if result < 0 { own.pointee.errors &+= 1 } else { own.pointee.bytes &+= UInt64(result) }
        }
        AsyncRecording.finished(thread, IOTRAP_ASYNC_POSIX, result: result, nanoseconds: nil)
        return 0
    }

    private static func count(_ thread: Thread, _ route: iotrap_async_route) {
        AsyncRecording.submitted(thread, IOTRAP_ASYNC_POSIX, route, requests: 1)
    }
}
