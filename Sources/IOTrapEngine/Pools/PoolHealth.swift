import CIOTrap
import CIOTrapEngine
import Synchronization

/// Whether paths work: those that fail, or do not answer, are left alone and tried again.
enum PoolHealth {
    typealias State = ServiceThread.State
    typealias Pool = PoolService.Pool

    /// ETIMEDOUT
    static let timedOut: Int32 = -110
    private static let backoffMinimum: UInt64 = 100_000_000
    private static let backoffMaximum: UInt64 = 5_000_000_000
    /// How long after the last request ejected paths are still tried.
    static let probedNanoseconds: UInt64 = 2_000_000_000
    /// How often paths are looked at while anything is in flight.
    static let tickNanoseconds: UInt64 = 10_000_000

    /// Errors that say something of the way to the storage rather than of the request: EIO, ENXIO,
    /// ENODEV, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ENOTCONN, ESHUTDOWN, ETIMEDOUT,
    /// ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ESTALE, EREMOTEIO.
    static func isPathError(_ result: Int32) -> Bool {
        switch result {
        case -5, -6, -19, -100, -101, -103, -104, -107, -108, -110, -111, -112, -113, -116, -121:
            true
        default: false
        }
    }

    /// Errors after which an open file never works again: ENODEV, ECONNABORTED, ENOTCONN,
    /// ESHUTDOWN.
    static func isGone(_ result: Int32) -> Bool {
        result == -19 || result == -103 || result == -107 || result == -108
    }

    /// A request failed on a path for the path's sake.
    static func failed(_ p: Pool, _ index: UInt32, _ number: UInt32, _ now: UInt64) {
        eject(p, PoolService.path(PoolFiles.file(index), number), now)
    }

    private static func eject(_ p: Pool, _ path: UInt32, _ now: UInt64) {
        let link = p.pointee.links + Int(path)
        let word = Pools.stateWord(path)
        let backoff = link.pointee.backoffNanoseconds
        link.pointee.backoffNanoseconds = min(max(backoff &* 2, backoffMinimum), backoffMaximum)
        link.pointee.probeAt = now &+ link.pointee.backoffNanoseconds
        guard word.pointee.load(ordering: .relaxed) != IOTRAP_PATH_EJECTED.rawValue else { return }
        word.pointee.store(IOTRAP_PATH_EJECTED.rawValue, ordering: .relaxed)
        PathStatistics.ejected(path)
        PoolSiblings.leave(p, path: path)
    }

    /// A path answered: it is not stalled any more.
    static func answered(_ p: Pool, _ path: UInt32) {
        let word = Pools.stateWord(path)
        let state = word.pointee.load(ordering: .relaxed)
        if state == IOTRAP_PATH_UP.rawValue || state == IOTRAP_PATH_EJECTED.rawValue { return }
        word.pointee.store(IOTRAP_PATH_UP.rawValue, ordering: .relaxed)
        if state == IOTRAP_PATH_STALLED.rawValue { PathStatistics.returned(path) }
    }

    /// A visit found that an ejected path works.
    static func revive(_ p: Pool, _ path: UInt32) {
        let word = Pools.stateWord(path)
        guard word.pointee.load(ordering: .relaxed) == IOTRAP_PATH_EJECTED.rawValue else { return }
        word.pointee.store(IOTRAP_PATH_UP.rawValue, ordering: .relaxed)
        PathStatistics.returned(path)
    }

    /// A visit found that it does not.
    static func stillDown(_ p: Pool, _ path: UInt32, _ now: UInt64) {
        if Pools.stateWord(path).pointee.load(ordering: .relaxed) == IOTRAP_PATH_EJECTED.rawValue {
            eject(p, path, now)
        }
    }

    // MARK: - Time

    /// Looks at all paths now and then.
    ///
    /// - Returns: nanoseconds until it wants to look again; UInt64.max: when something happens.
    static func tick(_ s: State, _ now: UInt64) -> UInt64 {
        guard let p = s.pointee.pool, let table = process.pointee.pools else { return UInt64.max }
        var isWanted = p.pointee.inFlight > 0 || p.pointee.waiting > 0
        guard now &- p.pointee.ticked >= tickNanoseconds else {
            return isWanted ? tickNanoseconds &- (now &- p.pointee.ticked) : UInt64.max
        }
        p.pointee.ticked = now
        for index in 0..<table.pointee.pool_count {
            let pool = iotrap_pool_entry(table, index)
            for number in 0..<pool.pointee.path_count {
                look(s, p, pool, number, now)
                let path = pool.pointee.first_path + number
                publish(p, index, path, now)
                if Pools.stateWord(path).pointee.load(ordering: .relaxed)
                    == IOTRAP_PATH_EJECTED.rawValue, now &- p.pointee.usedAt < probedNanoseconds
                {
                    isWanted = true
                }
            }
            PoolService.admit(s, p, index, now)
        }
        return isWanted ? tickNanoseconds : UInt64.max
    }

    private static func publish(_ p: Pool, _ pool: UInt32, _ path: UInt32, _ now: UInt64) {
        let model = p.pointee.models + Int(path)
        PathStatistics.set(
            path,
            state: iotrap_path_state(
                rawValue: Pools.stateWord(path).pointee.load(ordering: .relaxed)),
            files: p.pointee.links[Int(path)].files,
            inFlightBytes: model.pointee.inFlightBytes,
            windowBytes: PoolService.isProtected(p, pool, now) ? model.pointee.windowBytes : 0,
            rateBytes: model.pointee.rateBytes,
            latencyNanoseconds: model.pointee.latencyNanoseconds)
    }

    private static func look(
        _ s: State, _ p: Pool, _ pool: Pools.Pool, _ number: UInt32, _ now: UInt64
    ) {
        let path = pool.pointee.first_path + number
        let link = p.pointee.links + Int(path)
        let word = Pools.stateWord(path)
        if word.pointee.load(ordering: .relaxed) == IOTRAP_PATH_EJECTED.rawValue {
            if now >= link.pointee.probeAt, !link.pointee.isVisited,
                now &- p.pointee.usedAt < probedNanoseconds
            {
                PoolVisits.probe(s, p, pool, number, now)
            }
            return
        }
        guard link.pointee.first != 0 else { return }
        let oldest = RequestPool.request(link.pointee.first - 1)
        let age = now &- oldest.pointee.started_ns
        let model = p.pointee.models + Int(path)
        let late = model.pointee.lateAfterNanoseconds(bytes: PoolPieces.bytes(oldest))
        let bound = pool.pointee.answer_within_ns
        if bound != 0, age > min(late, bound),
            word.pointee.load(ordering: .relaxed) <= IOTRAP_PATH_UP.rawValue,
            hasOthers(pool, number)
        {
            // New requests take other ways; these wait for their answer, at first.
            word.pointee.store(IOTRAP_PATH_STALLED.rawValue, ordering: .relaxed)
            PathStatistics.ejected(path)
        }
        if bound != 0 && age > bound { giveUp(s, p, path, bound, now) }
        hedge(s, p, pool, path, now)
    }

    /// One path at least must be left: where all are slow, all are used.
    private static func hasOthers(_ pool: Pools.Pool, _ number: UInt32) -> Bool {
        for other in 0..<pool.pointee.path_count
        where other != number && Pools.isUp(pool.pointee.first_path + other) { return true }
        return false
    }

    /// Reads that had no answer for too long are read elsewhere. Writes wait: nobody knows what
    /// became of them.
    private static func giveUp(
        _ s: State, _ p: Pool, _ path: UInt32, _ bound: UInt64, _ now: UInt64
    ) {
        var next = p.pointee.links[Int(path)].first
        while next != 0 {
            let piece = RequestPool.request(next - 1)
            next = piece.pointee.lane_next
            guard now &- piece.pointee.started_ns > bound else { return }
            PoolPieces.replace(s, p, piece)
        }
    }

    /// Reads that take longer than most are read a second time elsewhere.
    private static func hedge(
        _ s: State, _ p: Pool, _ pool: Pools.Pool, _ path: UInt32, _ now: UInt64
    ) {
        guard pool.pointee.hedge_tenths != 0 else { return }
        let after = p.pointee.models[Int(path)].percentileNanoseconds(
            tenths: pool.pointee.hedge_tenths)
        guard after != 0 else { return }
        var next = p.pointee.links[Int(path)].first
        while next != 0 {
            let piece = RequestPool.request(next - 1)
            next = piece.pointee.lane_next
            guard now &- piece.pointee.started_ns > after else { return }
            if piece.pointee.group == 0 { PoolHedges.send(s, p, piece) }
        }
    }
}
