import CIOTrap
import CIOTrapEngine
import Synchronization

/// fsync and fdatasync of pool files: sent to every path that carried a write since the last one.
/// Its first error is the program's.
enum PoolSyncs {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request
    typealias Pool = PoolService.Pool

    /// A request's `flags` from a thread that syncs its own descriptor itself.
    static let withoutHome: UInt8 = 64

    // MARK: - In the calling thread

    /// A record of a file whose sync has more to do than the kernel would.
    private static func find(_ facts: iotrap_file_facts) -> UInt32? {
        var found: UInt32?
        PoolFiles.forEach(device: facts.device, inode: facts.inode) { index, record in
            if unsynced(record) != 0
                || PoolFiles.lostWord(record).pointee.load(ordering: .relaxed) != 0
                || !Pools.isUp(PoolService.path(record, record.pointee.home))
            {
                found = index
            }
        }
        return found
    }

    /// The paths that a sync has to reach besides the file's own: those that carried a write, and
    /// those that another sync has not brought to the storage yet.
    private static func unsynced(_ record: PoolFiles.File) -> UInt64 {
        // acquiring: pairs with `take` and `finished`
        let dirty = PoolFiles.dirtyWord(record).pointee.load(ordering: .acquiring)
        let syncing = PoolFiles.syncingWord(record).pointee.load(ordering: .acquiring)
        return (dirty | syncing) & ~(1 << UInt64(record.pointee.home))
    }

    /// Prepares a sync of asynchronous I/O of a pool's file. Writes that it has to cover may not
    /// have been given to a path yet: what is to be synced turns out when its turn comes.
    static func prepare(_ request: Request, _ facts: iotrap_file_facts) {
        request.pointee.pool_file = 0
        guard Pools.areActive else { return }
        var found: UInt32?
        PoolFiles.forEach(device: facts.device, inode: facts.inode) { index, _ in found = index }
        if let found { attach(request, found) }
    }

    private static func attach(_ request: Request, _ index: UInt32) {
        let record = PoolFiles.file(index)
        PoolFiles.usersWord(record).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        request.pointee.pool_file = index + 1
        request.pointee.pool_generation = record.pointee.generation
    }

    /// Serves a sync of the calling thread; nil when there is nothing but what the kernel does.
    static func serve(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>
    ) -> Int64? {
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(call.pointee.descriptor, &facts) == 0, let index = find(facts)
        else { return nil }
        if call.pointee.started_ns == 0 { call.pointee.started_ns = iotrap_clock() }
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        // What was written through other paths cannot be reached without it.
        guard let request = beginOthers(call, index) else { return -5 }
        // The others are synced meanwhile.
        let dataOnly: Int32 = call.pointee.operation == IOTRAP_OP_FDATASYNC.rawValue ? 1 : 0
        let answer = Int32(truncatingIfNeeded: iotrap_fsync_raw(call.pointee.descriptor, dataOnly))
        let own = Int64(heard(PoolFiles.file(index), answer))
        let others = PoolCalls.wait(request)
        let result = own < 0 ? own : others
        Recording.served(
            thread, call, IOTRAP_TECHNIQUE_MOUNT_POOL, result: result,
            nanoseconds: iotrap_clock() &- call.pointee.started_ns, isTrial: false)
        return result
    }

    /// What a sync through the path that the program opened means. On a mount that is gone for good
    /// the first failure tells of what was lost with it; after that nothing can have been written
    /// there, and what goes to the other paths is synced by them.
    private static func heard(_ record: PoolFiles.File, _ result: Int32) -> Int32 {
        let word = iotrap_pool_file_home_lost(record).atomic
        let others =
            PoolFiles.usableWord(record).pointee.load(ordering: .relaxed)
            & ~(1 << UInt64(record.pointee.home))
        guard PoolHealth.isGone(result), others != 0,
            record.pointee.status_flags & OpenFlags.direct != 0
        else {
            if result >= 0 { word.pointee.store(0, ordering: .relaxed) }
            return result
        }
        return word.pointee.exchange(1, ordering: .relaxed) == 0 ? result : 0
    }

    /// Asks the service thread to sync a file through its other paths; nil when it cannot be asked.
    private static func beginOthers(
        _ call: UnsafeMutablePointer<iotrap_call>, _ index: UInt32
    ) -> Request? {
        guard let request = RequestPool.take() else { return nil }
        let dataOnly = call.pointee.operation == IOTRAP_OP_FDATASYNC.rawValue
        let kind = dataOnly ? IOTRAP_REQUEST_FDATASYNC : IOTRAP_REQUEST_FSYNC
        PoolCalls.fill(request, call, kind.rawValue)
        request.pointee.flags = withoutHome
        attach(request, index)
        if Service.submit(first: request.pointee.number + 1, count: 1) { return request }
        PoolTarget.withdraw(request)
        RequestPool.give(request)
        return nil
    }

    /// Syncs what was written through other paths to the files of a file system, after syncfs(2)
    /// of it: 0 or the first error, of which the next sync of that file tells as well.
    static func syncAll(_ fd: Int32) -> Int64 {
        var facts = iotrap_file_facts()
        guard iotrap_file_facts(fd, &facts) == 0 else { return 0 }
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        var call = iotrap_call()
        call.operation = IOTRAP_OP_FSYNC.rawValue
        call.descriptor = fd
        var result: Int64 = 0
        for index in 0..<process.pointee.poolFileCount {
            let record = PoolFiles.file(index)
            guard record.pointee.device == facts.device else { continue }
            var error = tell(record)
            if unsynced(record) != 0 {
                guard let request = beginOthers(&call, index) else { return -5 }
                let others = PoolCalls.wait(request)
                if others < 0 {
                    // As the kernel does: each way of asking hears of it.
                    PoolFiles.lostWord(record).pointee.store(
                        UInt32(bitPattern: Int32(others)), ordering: .relaxed)
                    _ = tell(record)
                    error = others
                }
            }
            if result == 0 { result = error }
        }
        return result
    }

    /// The error of a loss that syncfs(2) has not told of.
    private static func tell(_ record: PoolFiles.File) -> Int64 {
        let lost = PoolFiles.lostWord(record).pointee.load(ordering: .relaxed)
        let told = iotrap_pool_file_lost_told(record).atomic.pointee.exchange(
            lost, ordering: .relaxed)
        return told == lost ? 0 : Int64(Int32(bitPattern: lost))
    }

    // MARK: - In the service thread

    /// There is no room for a sync: a failure, unless nothing was written through other paths.
    ///
    /// - Returns: false when it goes to the program's own descriptor as any other.
    static func refuse(_ s: State, _ request: Request, _ file: PoolFiles.File) -> Bool {
        var isWanted = false
        PoolFiles.forEach(device: file.pointee.device, inode: file.pointee.inode) { _, record in
            isWanted =
                isWanted || unsynced(record) != 0
                || PoolFiles.lostWord(record).pointee.load(ordering: .relaxed) != 0
        }
        let isOwnSynced = request.pointee.flags & withoutHome != 0
        request.pointee.flags &= ~withoutHome
        PoolTarget.withdraw(request)
        guard isWanted || isOwnSynced else { return false }
        ServiceThread.note(s, request, isWanted ? -5 : 0)
        return true
    }

    static func start(
        _ s: State, _ p: Pool, _ request: Request, _ file: PoolFiles.File
    ) -> Bool {
        guard let transfer = PoolService.take(p) else { return refuse(s, request, file) }
        transfer.pointee.request = request.pointee.number + 1
        transfer.pointee.file = request.pointee.pool_file - 1
        transfer.pointee.pieces = 1
        p.pointee.transfersActive[Int(file.pointee.pool)] += 1
        PoolFiles.forEach(device: file.pointee.device, inode: file.pointee.inode) { index, record in
            syncPaths(s, p, transfer, request, index, record)
        }
        if request.pointee.flags & withoutHome == 0 {
            send(s, p, transfer, request, file.pointee.home, nil)
        }
        request.pointee.flags &= ~withoutHome
        PoolService.letGo(s, p, transfer)
        return true
    }

    private static func syncPaths(
        _ s: State, _ p: Pool, _ transfer: PoolService.Transfer, _ request: Request,
        _ index: UInt32, _ record: PoolFiles.File
    ) {
        // What another sync is about is synced again: its answer may be an error, or come late.
        let syncing = PoolFiles.syncingWord(record).pointee.load(ordering: .relaxed)
        var left = take(record) | syncing
        let lost = Int32(
            bitPattern: PoolFiles.lostWord(record).pointee.exchange(0, ordering: .relaxed))
        if lost != 0 { fail(transfer, lost) }
        while left != 0 {
            let number = UInt32(left.trailingZeroBitCount)
            left &= left &- 1
            send(s, p, transfer, request, number, index)
        }
    }

    /// Takes the marks of the paths that are to be synced. Writes that end from now on are the next
    /// sync's.
    private static func take(_ record: PoolFiles.File) -> UInt64 {
        let mask = ~(UInt64(1) << UInt64(record.pointee.home))
        let dirty = PoolFiles.dirtyWord(record).pointee.load(ordering: .relaxed) & mask
        PoolFiles.syncingWord(record).pointee.bitwiseOr(dirty, ordering: .relaxed)
        // releasing: pairs with `unsynced`; who misses the mark finds that a sync is under way
        return PoolFiles.dirtyWord(record).pointee.exchange(0, ordering: .releasing) & mask
    }

    /// A sync of a path has ended, or cannot begin.
    private static func finished(_ p: Pool, _ index: UInt32, _ number: UInt32) {
        guard PoolSiblings.sibling(p, index, number).pointee.syncs == 0 else { return }
        // releasing: pairs with `unsynced`, which then finds what was lost
        PoolFiles.syncingWord(PoolFiles.file(index)).pointee.bitwiseAnd(
            ~(UInt64(1) << UInt64(number)), ordering: .releasing)
    }

    /// An error of one path is that of every sync of the file which is under way: who asked last
    /// would not hear of it.
    private static func failAll(_ p: Pool, _ file: PoolFiles.File, _ error: Int32) {
        for index in 0..<Int(p.pointee.transferCount) {
            let transfer = p.pointee.transfers + index
            guard transfer.pointee.request != 0,
                Requests.isSync(RequestPool.request(transfer.pointee.request - 1))
            else { continue }
            let other = PoolFiles.file(transfer.pointee.file)
            if other.pointee.device == file.pointee.device,
                other.pointee.inode == file.pointee.inode
            {
                fail(transfer, error)
            }
        }
    }

    private static func fail(_ transfer: PoolService.Transfer, _ error: Int32) {
        transfer.pointee.stop_position = 0
        transfer.pointee.stop_result = error
    }

    private static func send(
        _ s: State, _ p: Pool, _ transfer: PoolService.Transfer, _ request: Request,
        _ number: UInt32, _ other: UInt32?
    ) {
        guard let piece = RequestPool.take() else {
            if let other { finished(p, other, number) }
            return fail(transfer, -5)
        }
        piece.pointee.kind = request.pointee.kind
        piece.pointee.destination = UInt8(IOTRAP_TO_POOL.rawValue)
        piece.pointee.order = PoolService.Role.sync
        piece.pointee.flags = 0
        piece.pointee.file = 0
        piece.pointee.descriptor = request.pointee.descriptor
        piece.pointee.rw_flags = 0
        piece.pointee.priority = 0
        piece.pointee.comparison = number
        piece.pointee.pool_file = (other ?? transfer.pointee.file) + 1
        piece.ownerWord.pointee.store(UInt64(UInt(bitPattern: transfer)), ordering: .relaxed)
        transfer.pointee.pieces += 1
        if other == nil { PoolPieces.enter(s, p, piece) } else { sendOther(s, p, piece) }
    }

    /// Sends a sync through a path other than the file's own, which may have to be opened first: a
    /// forked child has none of its parent's.
    private static func sendOther(_ s: State, _ p: Pool, _ piece: Request) {
        let record = PoolSiblings.sibling(
            p, piece.pointee.pool_file - 1, piece.pointee.comparison)
        record.pointee.syncs += 1
        if record.pointee.slot == 0, PoolVisits.openForSync(s, p, piece) { return }
        begin(s, p, piece)
    }

    /// Sends a sync through a path that the file is open through; else it has failed.
    static func begin(_ s: State, _ p: Pool, _ piece: Request) {
        let slot = PoolSiblings.sibling(
            p, piece.pointee.pool_file - 1, piece.pointee.comparison
        ).pointee.slot
        guard slot != 0 else { return settle(s, p, piece, -5) }
        piece.pointee.flags = UInt8(IOTRAP_SUBMIT_HELD)
        piece.pointee.file = UInt32(slot)
        PoolPieces.enter(s, p, piece)
    }

    /// A sync of one path has ended.
    static func ended(
        _ s: State, _ p: Pool, _ piece: Request, _ result: Int32, _ now: UInt64
    ) {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let number = piece.pointee.comparison
        PathStatistics.sync(PoolService.path(file, number), failed: result < 0)
        if PoolHealth.isPathError(result) { PoolHealth.failed(p, index, number, now) }
        settle(s, p, piece, number == file.pointee.home ? heard(file, result) : result)
    }

    private static func settle(_ s: State, _ p: Pool, _ piece: Request, _ result: Int32) {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let number = piece.pointee.comparison
        if result < 0 { failAll(p, file, result) }
        let owner = piece.pointee.owner
        RequestPool.give(piece)
        if owner == nil {
            p.pointee.flushes -= 1
            if result < 0 { PoolSiblings.lose(index, number, result) }
        }
        if number != file.pointee.home {
            PoolSiblings.sibling(p, index, number).pointee.syncs -= 1
            finished(p, index, number)
        }
        guard let owner else { return }
        PoolService.letGo(s, p, owner.assumingMemoryBound(to: iotrap_pool_transfer.self))
    }

    /// Syncs what is written through other paths and synced by nobody, for when the ring goes and
    /// the siblings with it.
    ///
    /// - Returns: true when there was something.
    static func flush(_ s: State, _ p: Pool) -> Bool {
        var found = false
        for index in 0..<process.pointee.poolFileCount {
            var left = take(PoolFiles.file(index))
            while left != 0 {
                let number = UInt32(left.trailingZeroBitCount)
                left &= left &- 1
                guard let piece = RequestPool.take() else {
                    PoolSiblings.lose(index, number, -5)
                    finished(p, index, number)
                    continue
                }
                found = true
                p.pointee.flushes += 1
                piece.pointee.kind = UInt8(IOTRAP_REQUEST_FDATASYNC.rawValue)
                piece.pointee.destination = UInt8(IOTRAP_TO_POOL.rawValue)
                piece.pointee.order = PoolService.Role.background
                piece.pointee.descriptor = -1
                piece.pointee.rw_flags = 0
                piece.pointee.priority = 0
                piece.pointee.comparison = number
                piece.pointee.pool_file = index + 1
                piece.ownerWord.pointee.store(0, ordering: .relaxed)
                sendOther(s, p, piece)
            }
        }
        return found
    }
}
