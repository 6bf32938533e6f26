import CIOTrap
import CIOTrapEngine
import Synchronization

/// pread, pwrite and their vectored forms on files of a pool, in the calling thread. Large ones are
/// handed to the service thread, which spreads them; small ones are made here, on the path that
/// the program opened, as long as that is not busier than handing them over is worth.
enum PoolCalls {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>
    typealias Call = UnsafeMutablePointer<iotrap_call>
    typealias Request = RequestPool.Request

    /// Calls of at least so many bytes are cut.
    static let largeBytes: UInt64 = 256 << 10
    /// Time of a plain call from which on handing one over costs it next to nothing.
    static let slowNanoseconds: UInt64 = 200_000

    private enum State {
        static let waiting: UInt32 = 1
        static let ended: UInt32 = 2
    }

    /// Serves a call on a descriptor that seems to be a pool's.
    ///
    /// - Returns: its result; nil when it is to be served like any other.
    static func serve(
        _ thread: Thread, _ call: Call, _ slot: Slot, _ facts: iotrap_file_facts
    ) -> Int64? {
        let isDirect = facts.status_flags & OpenFlags.direct != 0
        guard process.pointee.isRestricted == 0, call.pointee.offset >= 0,
            thread.pointee.vfork_depth == 0,
            let shape = DataCalls.examine(call, isDirect: isDirect)
        else { return nil }
        if isDirect && !shape.isAligned { return nil }
        let end = call.pointee.offset + Int64(shape.bytes)
        if shape.writes {
            guard end <= iotrap_file_size_limit(), DataCalls.isReadable(call) else { return nil }
        }
        let asked = PoolShape(
            writes: shape.writes, offset: call.pointee.offset, bytes: shape.bytes,
            flags: call.pointee.flags)
        switch PoolTarget.judge(call.pointee.descriptor, slot, facts, asked) {
        case .home: return nil
        case .pool(let file, let generation):
            var mask: UInt64 = 0
            iotrap_signals_block(&mask)
            defer { iotrap_signals_restore(&mask) }
            return run(thread, call, shape, facts, file, generation)
        }
    }

    private static func run(
        _ thread: Thread, _ call: Call, _ shape: DataCalls.Shape, _ facts: iotrap_file_facts,
        _ file: UInt32, _ generation: UInt32
    ) -> Int64? {
        let record = PoolFiles.file(file - 1)
        let home = Pools.pool(record.pointee.pool).pointee.first_path + record.pointee.home
        if call.pointee.started_ns == 0 { call.pointee.started_ns = iotrap_clock() }
        noteDurable(record, call, shape, facts)
        if shape.bytes < largeBytes, isQuick(home) {
            let result = plain(call, shape, home)
            if !PoolHealth.isPathError(Int32(truncatingIfNeeded: result))
                || (shape.writes && result == Int64(PoolHealth.timedOut))
            {
                PoolFiles.leave(record)
                return finish(thread, call, result, isPlain: true)
            }
        }
        guard let request = RequestPool.take() else {
            PoolFiles.leave(record)
            return nil
        }
        fill(request, call, kind(call, shape))
        request.pointee.pool_file = file
        request.pointee.pool_generation = generation
        guard Service.submit(first: request.pointee.number + 1, count: 1) else {
            PoolFiles.leave(record)
            RequestPool.give(request)
            return nil
        }
        return finish(thread, call, wait(request), isPlain: false)
    }

    /// A small durable write: bulk transfers of its pool make room for the next.
    private static func noteDurable(
        _ record: PoolFiles.File, _ call: Call, _ shape: DataCalls.Shape,
        _ facts: iotrap_file_facts
    ) {
        guard shape.writes, shape.bytes <= PoolService.bulkBytes,
            PoolTarget.isDurable(facts.status_flags, call.pointee.flags)
        else { return }
        let first = Pools.pool(record.pointee.pool).pointee.first_path
        iotrap_path_words_durable_ns(Pools.words(first)).atomic.pointee.store(
            call.pointee.started_ns, ordering: .relaxed)
    }

    /// True when a small call is best made on the path that the program opened.
    @inline(__always)
    static func isQuick(_ home: UInt32) -> Bool {
        let words = Pools.words(home)
        guard Pools.isUp(home) else { return false }
        return iotrap_path_words_plain_in_flight(words).atomic.pointee.load(ordering: .relaxed) < 2
            || iotrap_path_words_plain_ns(words).atomic.pointee.load(ordering: .relaxed)
                < slowNanoseconds
    }

    /// True for a small call that need not even be looked at: its path answers quickly.
    @inline(__always)
    static func passesQuickly(_ operation: UInt32, _ slot: Slot, _ bytes: UInt64) -> Bool {
        // Bulk makes room for durable writes, which must be seen for that.
        if slot.isDurable, operation == IOTRAP_OP_PWRITE.rawValue { return false }
        guard bytes > 0, bytes < largeBytes, Pools.areActive, slot.file != 0,
            slot.file <= process.pointee.poolFileCount
        else { return false }
        let record = PoolFiles.file(slot.file - 1)
        let path = PoolService.path(record, record.pointee.home)
        let smoothed = iotrap_path_words_plain_ns(Pools.words(path)).atomic.pointee.load(
            ordering: .relaxed)
        return smoothed != 0 && smoothed < slowNanoseconds && Pools.isUp(path)
    }

    private static func plain(_ call: Call, _ shape: DataCalls.Shape, _ home: UInt32) -> Int64 {
        let words = Pools.words(home)
        let count = iotrap_path_words_plain_in_flight(words).atomic
        count.pointee.wrappingAdd(1, ordering: .relaxed)
        let began = iotrap_clock()
        let result = Int64(
            iotrap_vector_flags_raw(
                call.pointee.descriptor, call.pointee.iov!, call.pointee.iov_count,
                call.pointee.offset, call.pointee.flags, shape.writes ? 1 : 0))
        let nanoseconds = iotrap_clock() &- began
        count.pointee.wrappingSubtract(1, ordering: .relaxed)
        let smoothed = iotrap_path_words_plain_ns(words).atomic
        // A lost update comes again.
        let before = smoothed.pointee.load(ordering: .relaxed)
        smoothed.pointee.store((before &* 7 &+ nanoseconds) / 8, ordering: .relaxed)
        PathStatistics.transfer(
            home, writes: shape.writes, bytes: UInt64(max(0, result)), nanoseconds: nanoseconds,
            failed: result < 0)
        return result
    }

    private static func finish(
        _ thread: Thread, _ call: Call, _ result: Int64, isPlain: Bool
    ) -> Int64 {
        if isPlain {
            Recording.batches(thread, IOTRAP_TECHNIQUE_MOUNT_POOL, requests: 1, batches: 1)
        }
        Recording.served(
            thread, call, IOTRAP_TECHNIQUE_MOUNT_POOL, result: result,
            nanoseconds: iotrap_clock() &- call.pointee.started_ns, isTrial: false)
        return result
    }

    private static func kind(_ call: Call, _ shape: DataCalls.Shape) -> UInt32 {
        if call.pointee.iov_count == 1 {
            return (shape.writes ? IOTRAP_REQUEST_WRITE : IOTRAP_REQUEST_READ).rawValue
        }
        return (shape.writes ? IOTRAP_REQUEST_WRITEV : IOTRAP_REQUEST_READV).rawValue
    }

    // MARK: - Handing over

    /// Makes a request of a call whose thread waits for it.
    static func fill(_ request: Request, _ call: Call, _ kind: UInt32) {
        RequestPool.setNext(request, 0)
        request.pointee.kind = UInt8(truncatingIfNeeded: kind)
        request.pointee.flags = 0
        request.pointee.destination = UInt8(IOTRAP_TO_CALLER.rawValue)
        request.pointee.order = 0
        request.pointee.descriptor = call.pointee.descriptor
        request.pointee.rw_flags = call.pointee.flags
        request.pointee.priority = 0
        request.pointee.comparison = 0
        request.pointee.offset = call.pointee.offset
        request.pointee.started_ns = call.pointee.started_ns
        request.pointee.file = 0
        request.pointee.epoch = 0
        request.pointee.address = nil
        request.pointee.length = 0
        request.ownerWord.pointee.store(0, ordering: .relaxed)
        if let iov = call.pointee.iov {
            let isSingle = call.pointee.iov_count == 1
            request.pointee.address =
                isSingle
                ? iov.pointee.iov_base
                : UnsafeMutableRawPointer(mutating: UnsafeRawPointer(iov))
            request.pointee.length =
                isSingle
                ? UInt32(min(iov.pointee.byteCount, DataCalls.transferMaximum))
                : UInt32(call.pointee.iov_count)
        }
        iotrap_request_state(request).atomic.pointee.store(State.waiting, ordering: .relaxed)
    }

    /// Waits for a request that was handed over; its result.
    static func wait(_ request: Request) -> Int64 {
        let state = iotrap_request_state(request)
        // acquiring: pairs with `end`
        while state.atomic.pointee.load(ordering: .acquiring) != State.ended {
            iotrap_futex_wait(state, State.waiting)
        }
        let result = Int64(Int32(bitPattern: request.pointee.reserved))
        RequestPool.give(request)
        return result
    }

    /// Tells the thread that waits for a request. In the service thread.
    static func end(_ request: Request, _ result: Int32) {
        let outcome =
            Requests.mustRunAgain(request, result) ? Requests.runPlain(request) : result
        request.pointee.reserved = UInt32(bitPattern: outcome)
        let state = iotrap_request_state(request)
        // releasing: pairs with `wait`
        state.atomic.pointee.store(State.ended, ordering: .releasing)
        // The request may be somebody else's by now: a wake-up for nothing does no harm.
        iotrap_futex_wake(state, 1)
    }
}
