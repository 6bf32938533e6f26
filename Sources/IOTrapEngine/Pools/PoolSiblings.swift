import CIOTrap
import CIOTrapEngine
import Synchronization

/// The same file through the other paths of its pool.
enum PoolSiblings {
    typealias State = ServiceThread.State
    typealias Pool = PoolService.Pool
    typealias Sibling = UnsafeMutablePointer<iotrap_pool_sibling>

    /// How long a path that showed no such file, or another, is left alone.
    private static let refusedNanoseconds: UInt64 = 1_000_000_000
    /// How long bulk transfers go one by one while other paths are being opened: queued up, they
    /// would delay what the opening takes.
    private static let hurryNanoseconds: UInt64 = 1_000_000_000
    /// Between two looks for a change made on the home path.
    private static let proofNanoseconds: UInt64 = 10_000_000

    static func sibling(_ p: Pool, _ index: UInt32, _ number: UInt32) -> Sibling {
        p.pointee.siblings + Int(index * IOTRAP_POOL_PATHS_MAX + number)
    }

    /// The paths that a file may be written through, its own among them.
    static func proven(_ p: Pool, _ index: UInt32) -> UInt64 {
        let file = PoolFiles.file(index)
        var mask = UInt64(1) << UInt64(file.pointee.home)
        for number in 0..<Pools.pool(file.pointee.pool).pointee.path_count
        where sibling(p, index, number).pointee.state == UInt8(IOTRAP_SIBLING_PROVEN) {
            mask |= 1 << UInt64(number)
        }
        return mask
    }

    /// Sees to it that a file is opened through the paths that it is not open through yet, and that
    /// those it may only be read through are proven once it is written.
    static func refresh(
        _ s: State, _ p: Pool, _ index: UInt32, _ descriptor: Int32, _ now: UInt64
    ) {
        let file = PoolFiles.file(index)
        guard p.pointee.slots.count > 0 else { return }
        let canWrite = file.pointee.status_flags & OpenFlags.accessMask != 0
        for number in 0..<Pools.pool(file.pointee.pool).pointee.path_count
        where number != file.pointee.home {
            let sibling = sibling(p, index, number)
            guard now >= sibling.pointee.again_ns,
                Pools.isUp(PoolService.path(file, number))
            else { continue }
            switch UInt32(sibling.pointee.state) {
            case IOTRAP_SIBLING_NONE, IOTRAP_SIBLING_REFUSED:
                if file.pointee.hurry_ns == 0 {
                    file.pointee.hurry_ns = now &+ hurryNanoseconds
                }
                PoolVisits.open(s, p, index, number, descriptor)
            case IOTRAP_SIBLING_READABLE
            where canWrite && file.homeWrites > 0
                && !p.pointee.links[Int(PoolService.path(file, number))].isVisited:
                sibling.pointee.again_ns = now &+ proofNanoseconds
                PoolVisits.prove(s, p, index, number, descriptor)
            default: break
            }
        }
    }

    /// True for a short while after a file was first used: other paths are about to be opened, or
    /// proven. Until then bulk transfers should not all queue up on one path.
    static func areComing(_ p: Pool, _ index: UInt32, writes: Bool, _ now: UInt64) -> Bool {
        let file = PoolFiles.file(index)
        guard file.pointee.hurry_ns > now else { return false }
        for number in 0..<Pools.pool(file.pointee.pool).pointee.path_count {
            let state = UInt32(sibling(p, index, number).pointee.state)
            if state == IOTRAP_SIBLING_OPENING { return true }
            if state == IOTRAP_SIBLING_READABLE && writes { return true }
        }
        return false
    }

    // MARK: - What visits found

    /// A sibling shows the program's file.
    static func accept(_ p: Pool, _ index: UInt32, _ number: UInt32, isProven: Bool) {
        let file = PoolFiles.file(index)
        let record = sibling(p, index, number)
        record.pointee.state = UInt8(
            isProven ? IOTRAP_SIBLING_PROVEN : IOTRAP_SIBLING_READABLE)
        let bit = UInt64(1) << UInt64(number)
        file.pointee.readable |= bit
        if isProven { file.provenPaths |= bit }
        // releasing: who sees the bit, sees the file in its slot
        PoolFiles.usableWord(file).pointee.bitwiseOr(bit, ordering: .releasing)
        let path = PoolService.path(file, number)
        let word = Pools.stateWord(path)
        if word.pointee.load(ordering: .relaxed) == IOTRAP_PATH_UNUSED.rawValue {
            word.pointee.store(IOTRAP_PATH_UP.rawValue, ordering: .relaxed)
        }
    }

    /// It does not, or cannot be opened: to be tried again, as what is not there yet may come.
    static func refuse(
        _ s: State, _ p: Pool, _ index: UInt32, _ number: UInt32, _ error: Int32, _ now: UInt64
    ) {
        let record = sibling(p, index, number)
        close(s, p, index, number)
        let isFirst = record.pointee.attempts == 0
        if record.pointee.attempts < 255 { record.pointee.attempts += 1 }
        record.pointee.state = UInt8(IOTRAP_SIBLING_REFUSED)
        record.pointee.error = error
        record.pointee.again_ns =
            now &+ refusedNanoseconds &* UInt64(min(record.pointee.attempts, 30))
        if isFirst { report(index, number, error) }
    }

    private static func report(_ index: UInt32, _ number: UInt32, _ error: Int32) {
        let file = PoolFiles.file(index)
        guard let table = process.pointee.pools else { return }
        let path = iotrap_pool_path_entry(table, PoolService.path(file, number))
        let text = UnsafeBufferPointer(
            start: UnsafeRawPointer(iotrap_pool_path_text(path)).assumingMemoryBound(
                to: UInt8.self), count: Int(path.pointee.length))
        if error == 0 {
            Log.line(
                "a mount pool goes on without ", quoting: text,
                ": it shows another file than the path the program opened, or the same mount;",
                " see iotrap doctor --pool")
        } else {
            Log.line(
                "a mount pool goes on without ", quoting: text,
                ": the file cannot be opened or read there;", " see iotrap doctor --pool")
        }
    }

    /// Lets go of the file in a slot. Requests that are in flight keep it open until they end.
    static func close(_ s: State, _ p: Pool, _ index: UInt32, _ number: UInt32) {
        let file = PoolFiles.file(index)
        let record = sibling(p, index, number)
        PoolFiles.usableWord(file).pointee.bitwiseAnd(
            ~(UInt64(1) << UInt64(number)) | 1 << UInt64(file.pointee.home), ordering: .relaxed)
        guard record.pointee.slot != 0 else { return }
        let slot = UInt32(record.pointee.slot) - 1
        p.pointee.slots.empty(s.pointee.ring, slot)
        record.pointee.slot = 0
        p.pointee.links[Int(PoolService.path(file, number))].files &-= 1
    }

    /// Whether a piece may go to a path: writes only as far as the file is long for its client.
    /// FUSE takes a write beyond that for one that makes the file longer, and when it fails cuts
    /// the file to the length it knew (fuse_do_truncate), whatever other paths wrote since.
    static func reaches(
        _ s: State, _ p: Pool, _ piece: RequestPool.Request, _ number: UInt32
    ) -> Bool {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        guard Requests.writes(piece), number != file.pointee.home else { return true }
        let record = sibling(p, index, number)
        let isVector = UInt32(piece.pointee.kind) == IOTRAP_REQUEST_WRITEV.rawValue
        let bytes = isVector ? PoolService.vectorBytes(piece) : UInt64(piece.pointee.length)
        let end = piece.pointee.offset &+ Int64(truncatingIfNeeded: bytes)
        if end <= record.pointee.size { return true }
        let now = iotrap_clock()
        if now >= record.pointee.again_ns,
            !p.pointee.links[Int(PoolService.path(file, number))].isVisited
        {
            record.pointee.again_ns = now &+ proofNanoseconds
            PoolVisits.prove(s, p, index, number, piece.pointee.descriptor)
        }
        return false
    }

    /// A read came to the end of the file, as the path's client knows it from now on.
    static func noteEnd(
        _ p: Pool, _ piece: RequestPool.Request, _ number: UInt32, _ result: Int32
    ) {
        let isVector = UInt32(piece.pointee.kind) == IOTRAP_REQUEST_READV.rawValue
        let bytes = isVector ? PoolService.vectorBytes(piece) : UInt64(piece.pointee.length)
        guard UInt64(result) < bytes else { return }
        let record = sibling(p, piece.pointee.pool_file - 1, number)
        record.pointee.size = min(record.pointee.size, piece.pointee.offset &+ Int64(result))
    }

    /// A path failed: files are opened anew once it works again. What they have open there stays
    /// open until then, so that a sync in between tells what became of unsynced writes.
    static func leave(_ p: Pool, path: UInt32) {
        for index in 0..<process.pointee.poolFileCount {
            let file = PoolFiles.file(index)
            let first = PoolService.path(file, 0)
            guard path >= first,
                path - first < Pools.pool(file.pointee.pool).pointee.path_count,
                path - first != file.pointee.home
            else { continue }
            let record = sibling(p, index, path - first)
            guard
                record.pointee.state == UInt8(IOTRAP_SIBLING_READABLE)
                    || record.pointee.state == UInt8(IOTRAP_SIBLING_PROVEN)
            else { continue }
            record.pointee.state = UInt8(IOTRAP_SIBLING_NONE)
            record.pointee.attempts = 0
            PoolFiles.usableWord(file).pointee.bitwiseAnd(
                ~(UInt64(1) << UInt64(path - first)), ordering: .relaxed)
        }
    }

    /// Paths that were taken out, through which a file is open still: better than an error.
    static func left(_ p: Pool, _ index: UInt32, writes: Bool) -> UInt64 {
        let file = PoolFiles.file(index)
        var mask: UInt64 = 0
        for number in 0..<Pools.pool(file.pointee.pool).pointee.path_count
        where number != file.pointee.home {
            let record = sibling(p, index, number)
            // While it is opened anew the old one is still there.
            guard record.pointee.slot != 0,
                record.pointee.state == UInt8(IOTRAP_SIBLING_NONE)
                    || record.pointee.state == UInt8(IOTRAP_SIBLING_OPENING)
            else { continue }
            mask |= 1 << UInt64(number)
        }
        return mask & (writes ? file.provenPaths : file.pointee.readable)
    }

    /// Unsynced writes of a file are lost: the next sync has to say so.
    static func lose(_ index: UInt32, _ number: UInt32, _ error: Int32) {
        let file = PoolFiles.file(index)
        let bit = UInt64(1) << UInt64(number)
        PoolFiles.dirtyWord(file).pointee.bitwiseAnd(~bit, ordering: .relaxed)
        iotrap_pool_file_lost_told(file).atomic.pointee.store(0, ordering: .relaxed)
        PoolFiles.lostWord(file).pointee.store(UInt32(bitPattern: error), ordering: .relaxed)
    }

    static func isDirty(_ index: UInt32, _ number: UInt32) -> Bool {
        PoolFiles.dirtyWord(PoolFiles.file(index)).pointee.load(ordering: .relaxed)
            & 1 << UInt64(number) != 0
    }
}
