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
    /// Time of a plain call from which on one of several is better handed over.
    static let slowNanoseconds: UInt64 = 200_000
    /// And from which on handing any over costs next to nothing, and a path that does not answer
    /// is worth more.
    static let handoverNanoseconds: UInt64 = 500_000
    /// Without an answer for that long a path counts as stalled.
    private static let stalledNanoseconds: UInt64 = 50_000_000
    /// How often the other paths are asked for.
    private static let askedNanoseconds: UInt64 = 100_000_000

    /// RWF_HIPRI
    private static let highPriorityFlag: UInt32 = 1

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
        if shape.bytes < largeBytes, isQuick(record, home, call.pointee.started_ns) {
            let result = plain(call, shape, home)
            attachEarly(call, record, file, generation, writes: shape.writes)
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
        let result = wait(request)
        if shape.bytes < largeBytes {
            note(Pools.words(home), iotrap_clock() &- call.pointee.started_ns)
        }
        return finish(thread, call, result, isPlain: false)
    }

    /// Has the file opened through its other paths, and these proven for writing, if they are not:
    /// when this one fails it is late.
    private static func attachEarly(
        _ call: Call, _ record: PoolFiles.File, _ file: UInt32, _ generation: UInt32, writes: Bool
    ) {
        let others =
            PoolFiles.usableWord(record).pointee.load(ordering: .relaxed)
            & ~(1 << UInt64(record.pointee.home))
        if writes { record.homeWrites = 1 }
        guard others == 0 || (writes && others & ~record.provenPaths != 0),
            call.pointee.started_ns &- record.askedAt > askedNanoseconds,
            let message = RequestPool.take()
        else { return }
        record.askedAt = call.pointee.started_ns
        message.pointee.destination = UInt8(IOTRAP_TO_SERVICE.rawValue)
        message.pointee.kind = UInt8(IOTRAP_MESSAGE_ATTACH.rawValue)
        message.pointee.order = 0
        message.pointee.descriptor = call.pointee.descriptor
        message.pointee.pool_file = file
        message.pointee.pool_generation = generation
        PoolFiles.usersWord(record).pointee.wrappingAdd(1, ordering: .relaxed)
        if !Service.submit(first: message.pointee.number + 1, count: 1) {
            PoolTarget.withdraw(message)
            RequestPool.give(message)
        }
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
    private static func isQuick(_ record: PoolFiles.File, _ home: UInt32, _ now: UInt64) -> Bool {
        let words = Pools.words(home)
        guard Pools.isUp(home) else { return false }
        let smoothed = iotrap_path_words_plain_ns(words).atomic.pointee.load(ordering: .relaxed)
        let count = iotrap_path_words_plain_in_flight(words).atomic.pointee.load(
            ordering: .relaxed)
        if smoothed >= handoverNanoseconds || (count >= 2 && smoothed >= slowNanoseconds) {
            return false
        }
        let progress = iotrap_path_words_progress_ns(words).atomic.pointee.load(
            ordering: .relaxed)
        guard count > 0, progress != 0, now > progress,
            now &- progress > max(stalledNanoseconds, smoothed &* 8)
        else { return true }
        // Calls that were made on it get no answer; this one and later ones take other ways.
        let others = PoolFiles.usableWord(record).pointee.load(ordering: .relaxed)
        if others & ~(1 << UInt64(record.pointee.home)) != 0 {
            Pools.stateWord(home).pointee.store(
                IOTRAP_PATH_STALLED.rawValue, ordering: .relaxed)
            PathStatistics.ejected(home)
        }
        return false
    }

    /// True for a small call that need not even be looked at: it is probably served by the page
    /// cache, where looking would take longer.
    @inline(__always)
    static func passesQuickly(_ slot: Slot, _ bytes: UInt64) -> Bool {
        guard !slot.isDirect, bytes > 0, bytes < largeBytes, Pools.areActive, slot.file != 0,
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
        let progress = iotrap_path_words_progress_ns(words).atomic
        let began = iotrap_clock()
        if count.pointee.wrappingAdd(1, ordering: .relaxed).oldValue == 0 {
            progress.pointee.store(began, ordering: .relaxed)
        }
        let result = Int64(
            iotrap_vector_flags_raw(
                call.pointee.descriptor, call.pointee.iov!, call.pointee.iov_count,
                call.pointee.offset, call.pointee.flags, shape.writes ? 1 : 0))
        let now = iotrap_clock()
        count.pointee.wrappingSubtract(1, ordering: .relaxed)
        progress.pointee.store(now, ordering: .relaxed)
        note(words, now &- began)
        PathStatistics.transfer(
            home, writes: shape.writes, bytes: UInt64(max(0, result)), nanoseconds: now &- began,
            failed: result < 0)
        let state = Pools.stateWord(home)
        if result >= 0, state.pointee.load(ordering: .relaxed) != IOTRAP_PATH_UP.rawValue {
            answered(home)
        }
        return result
    }

    /// A path that was unused or stalled works.
    private static func answered(_ home: UInt32) {
        let state = Pools.stateWord(home)
        _ = state.pointee.compareExchange(
            expected: IOTRAP_PATH_UNUSED.rawValue, desired: IOTRAP_PATH_UP.rawValue,
            ordering: .relaxed)
        let (isBack, _) = state.pointee.compareExchange(
            expected: IOTRAP_PATH_STALLED.rawValue, desired: IOTRAP_PATH_UP.rawValue,
            ordering: .relaxed)
        if isBack { PathStatistics.returned(home) }
    }

    /// Smooths the time of small calls. A lost update comes again.
    private static func note(
        _ words: UnsafeMutablePointer<iotrap_path_words>, _ nanoseconds: UInt64
    ) {
        let smoothed = iotrap_path_words_plain_ns(words).atomic
        let before = smoothed.pointee.load(ordering: .relaxed)
        smoothed.pointee.store(
            before == 0 ? nanoseconds : (before &* 7 &+ nanoseconds) / 8, ordering: .relaxed)
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

    /// A call that passed, and failed for the sake of its path, is made on another.
    static func again(_ thread: Thread, _ call: Call, _ error: Int32) -> Int64 {
        let fd = call.pointee.descriptor
        var slot = DescriptorTable.load(fd)
        let isWrite =
            call.pointee.operation == IOTRAP_OP_PWRITE.rawValue
            || call.pointee.operation == IOTRAP_OP_PWRITEV.rawValue
        guard Pools.areActive, PoolHealth.isPathError(-error), call.pointee.iov_count > 0,
            !isWrite || -error != PoolHealth.timedOut
        else { return Int64.min }
        if slot.kind == .unknown { slot = Classification.classify(fd) ?? slot }
        var facts = iotrap_file_facts()
        guard slot.kind == .pooled, iotrap_file_facts(fd, &facts) == 0 else { return Int64.min }
        // Whatever comes next looks before it passes.
        let record = PoolFiles.file(slot.file - 1)
        let home = PoolService.path(record, record.pointee.home)
        iotrap_path_words_plain_ns(Pools.words(home)).atomic.pointee.store(
            handoverNanoseconds, ordering: .relaxed)
        call.pointee.started_ns = 0
        return serve(thread, call, slot, facts) ?? Int64.min
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
        // Polling is a hint, and a ring that does not poll refuses it.
        request.pointee.rw_flags = call.pointee.flags & ~highPriorityFlag
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

/// See iotrap_pool.h.
@c @implementation
public func iotrap_pool_again(
    _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
    _ error: Int32
) -> Int64 {
    PoolCalls.again(thread, call, error)
}
