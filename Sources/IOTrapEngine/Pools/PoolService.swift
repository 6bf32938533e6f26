import CIOTrap
import CIOTrapEngine
import Synchronization

/// Spreads requests over the paths of their pool, in the service thread: a request becomes a
/// transfer of one or more pieces, each of which goes to one path.
enum PoolService {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request
    typealias Pool = UnsafeMutablePointer<PoolState>
    typealias File = PoolFiles.File
    typealias Transfer = UnsafeMutablePointer<iotrap_pool_transfer>

    /// What a request with destination IOTRAP_TO_POOL is for, in its `order`.
    enum Role {
        static let piece: UInt8 = 0
        static let sync: UInt8 = 1
        static let visit: UInt8 = 2
        /// A sync that nobody waits for.
        static let background: UInt8 = 3
    }

    /// Transfers of more than that count as bulk: they may be held back, and are cut where that
    /// puts more paths to use.
    static let bulkBytes: UInt64 = 64 << 10
    /// No path is worth a smaller share of a transfer.
    static let shareMinimum: UInt64 = 128 << 10
    /// How long a pool is protected after a small durable write.
    static let protectionNanoseconds: UInt64 = 2_000_000_000

    /// Takes over a request that names a pool's file.
    ///
    /// - Returns: false when it goes to the program's own descriptor as any other.
    static func start(_ s: State, _ request: Request) -> Bool {
        let index = request.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        guard let p = state(s) else {
            if Requests.isSync(request) { return PoolSyncs.refuse(s, request, file) }
            PoolTarget.withdraw(request)
            return false
        }
        if Requests.isSync(request) { return PoolSyncs.start(s, p, request, file) }
        let now = iotrap_clock()
        p.pointee.usedAt = now
        PoolSiblings.refresh(s, p, index, request.pointee.descriptor, now)
        let writes = Requests.writes(request)
        if writes { file.homeWrites = 1 }
        let usable = usable(p, index, writes: writes)
        let isAlone = usable & ~(1 << UInt64(file.pointee.home)) == 0
        guard
            !isAlone || PoolSiblings.areComing(p, index, writes: writes, now)
                || PoolSiblings.left(p, index, writes: writes) != 0,
            staysWhole(p, file, UInt64(request.pointee.length), usable, now)
                || PoolMemory.isWhole(
                    request,
                    // relaxed: whatever the file has grown by meanwhile
                    knownSize: PoolFiles.knownSizeWord(file).pointee.load(ordering: .relaxed)),
            let transfer = take(p)
        else {
            PoolTarget.withdraw(request)
            return false
        }
        transfer.pointee.request = request.pointee.number + 1
        transfer.pointee.file = index
        transfer.pointee.flags = writes ? IOTRAP_TRANSFER_WRITES : 0
        p.pointee.transfersActive[Int(file.pointee.pool)] += 1
        noteProtection(p, file, request, now)
        Recording.batches(
            s.pointee.thread, IOTRAP_TECHNIQUE_MOUNT_POOL, requests: 0, batches: 1)
        cut(s, p, transfer, request, usable, now)
        return true
    }

    /// The state, made when first wanted.
    static func state(_ s: State) -> Pool? {
        if let pool = s.pointee.pool { return pool }
        s.pointee.pool = PoolState.make(ring: s.pointee.ring)
        if let made = s.pointee.pool, made.pointee.slots.count > 0, s.pointee.heldFiles == nil {
            s.pointee.heldFiles = 0
        }
        return s.pointee.pool
    }

    /// Opens a file through its other paths before they are needed: when the program's own fails
    /// there is nothing to compare them with.
    static func attach(_ s: State, _ message: Request) {
        let index = message.pointee.pool_file - 1
        if let p = state(s) {
            PoolSiblings.refresh(s, p, index, message.pointee.descriptor, iotrap_clock())
        }
        PoolTarget.withdraw(message)
        RequestPool.give(message)
    }

    // MARK: - The end of the service thread

    /// How long files that are not used any more are kept open through other paths.
    private static let keptNanoseconds: UInt64 = 10_000_000_000

    /// False while something must be done before the ring may go.
    static func mayEnd(_ s: State) -> Bool {
        guard let p = s.pointee.pool else { return true }
        // Where the main thread has ended this one may be what keeps the process from its end.
        guard !isKept(p) || iotrap_main_thread_ended() != 0 else { return false }
        return !PoolSyncs.flush(s, p) && p.pointee.inFlight == 0
    }

    private static func isKept(_ p: Pool) -> Bool {
        let now = iotrap_clock()
        for index in 0..<process.pointee.poolFileCount {
            let file = PoolFiles.file(index)
            let others =
                PoolFiles.usableWord(file).pointee.load(ordering: .relaxed)
                & ~(1 << UInt64(file.pointee.home))
            if others != 0, now &- file.usedAt < keptNanoseconds { return true }
        }
        return false
    }

    /// The ring goes, and the siblings with it.
    static func end(_ s: inout ServiceState) {
        guard let p = s.pool else { return }
        for index in 0..<process.pointee.poolFileCount {
            let file = PoolFiles.file(index)
            PoolFiles.usableWord(file).pointee.store(
                1 << UInt64(file.pointee.home), ordering: .relaxed)
        }
        PoolState.free(p)
        s.pool = nil
    }

    /// Index in the table of a path of a file's pool.
    @inline(__always)
    static func path(_ file: File, _ number: UInt32) -> UInt32 {
        Pools.pool(file.pointee.pool).pointee.first_path + number
    }

    /// The paths through which a file is open for such a request: a bit each.
    static func open(_ p: Pool, _ index: UInt32, writes: Bool) -> UInt64 {
        let file = PoolFiles.file(index)
        let mask = PoolFiles.usableWord(file).pointee.load(ordering: .relaxed)
        return writes ? mask & PoolSiblings.proven(p, index) : mask
    }

    /// Of these, the paths that a request may take now.
    static func usable(_ p: Pool, _ index: UInt32, writes: Bool) -> UInt64 {
        let first = path(PoolFiles.file(index), 0)
        var mask = open(p, index, writes: writes)
        var left = mask
        while left != 0 {
            let number = UInt32(left.trailingZeroBitCount)
            left &= left &- 1
            if !Pools.isUp(first + number) { mask &= ~(1 << UInt64(number)) }
        }
        return mask
    }

    private static func noteProtection(
        _ p: Pool, _ file: File, _ request: Request, _ now: UInt64
    ) {
        guard Requests.writes(request), UInt64(request.pointee.length) <= bulkBytes,
            PoolTarget.isDurable(file.pointee.status_flags, request.pointee.rw_flags)
        else { return }
        p.pointee.protectedUntil[Int(file.pointee.pool)] = now &+ protectionNanoseconds
    }

    /// True while bulk transfers of a pool are held back for the sake of small durable writes.
    static func isProtected(_ p: Pool, _ pool: UInt32, _ now: UInt64) -> Bool {
        switch Pools.pool(pool).pointee.protect {
        case IOTRAP_SETTING_OFF.rawValue: false
        case IOTRAP_SETTING_ON.rawValue: true
        default:
            max(
                p.pointee.protectedUntil[Int(pool)],
                // relaxed: noted by threads that made such a write themselves
                iotrap_path_words_durable_ns(
                    Pools.words(Pools.pool(pool).pointee.first_path)
                ).atomic.pointee.load(ordering: .relaxed) &+ protectionNanoseconds) > now
        }
    }

    // MARK: - Transfers

    static func take(_ p: Pool) -> Transfer? {
        var index = p.pointee.transferFree
        if index != 0 {
            p.pointee.transferFree = p.pointee.transfers[Int(index - 1)].next
        } else {
            guard p.pointee.transferCount < PoolState.transferLimit else { return nil }
            p.pointee.transferCount += 1
            index = p.pointee.transferCount
        }
        let transfer = p.pointee.transfers + Int(index - 1)
        transfer.pointee = iotrap_pool_transfer()
        transfer.pointee.stop_position = Int64.max
        return transfer
    }

    private static func give(_ p: Pool, _ transfer: Transfer) {
        transfer.pointee.request = 0
        transfer.pointee.next = p.pointee.transferFree
        p.pointee.transferFree = UInt32(transfer - p.pointee.transfers) + 1
    }

    // MARK: - Pieces

    /// True for a transfer that becomes one piece, however the paths are doing.
    private static func staysWhole(
        _ p: Pool, _ file: File, _ bytes: UInt64, _ usable: UInt64, _ now: UInt64
    ) -> Bool {
        let number = file.pointee.pool
        if bytes > Pools.pool(number).pointee.chunk_bytes { return false }
        if bytes <= shareMinimum { return true }
        let isSparse =
            p.pointee.transfersActive[Int(number)] < UInt32(2 * usable.nonzeroBitCount)
        return !isProtected(p, number, now) && (bytes < 2 * shareMinimum || !isSparse)
    }

    private static func cut(
        _ s: State, _ p: Pool, _ transfer: Transfer, _ request: Request, _ usable: UInt64,
        _ now: UInt64
    ) {
        let file = PoolFiles.file(transfer.pointee.file)
        let first = Int(path(file, 0))
        let pool = Pools.pool(file.pointee.pool)
        let bytes = UInt64(request.pointee.length)
        let chunk =
            bytes > bulkBytes && isProtected(p, file.pointee.pool, now)
            ? PathScheduler.protectedPieceBytes(
                p.pointee.models + first, usable: usable, bytes: bytes,
                chunk: pool.pointee.chunk_bytes)
            : pool.pointee.chunk_bytes
        // Counted as one more, so that it does not end while it is being cut.
        transfer.pointee.pieces = 1
        defer { letGo(s, p, transfer) }
        let kind = UInt32(request.pointee.kind)
        if kind == IOTRAP_REQUEST_READV.rawValue || kind == IOTRAP_REQUEST_WRITEV.rawValue {
            transfer.pointee.flags |= IOTRAP_TRANSFER_VECTOR
            let path = PathScheduler.choose(
                p.pointee.models + first, usable: usable, bytes: vectorBytes(request),
                isBulk: false, isProtected: false, preferred: nil, now: now)
            addPiece(s, p, transfer, request, 0, bytes, UInt32(path ?? Int(file.pointee.home)))
            return
        }
        let paths = usable.nonzeroBitCount
        let isSparse = p.pointee.transfersActive[Int(file.pointee.pool)] <= UInt32(2 * paths)
        let isCut =
            bytes >= 2 * shareMinimum && paths > 1
            && (isSparse || bytes > max(pool.pointee.chunk_bytes, 4 << 20))
        var mask = usable
        let primary = UInt64(1) << UInt64(pool.pointee.primary)
        if pool.pointee.flags & IOTRAP_POOL_BULK_OFF_PRIMARY != 0, bytes > bulkBytes,
            usable & ~primary != 0
        {
            mask &= ~primary
        }
        guard isCut, mask.nonzeroBitCount > 1 else {
            return addPieces(
                s, p, transfer, request, 0..<bytes, chunk, nil, mask)
        }
        withUnsafeTemporaryAllocation(of: PathShare.self, capacity: 64) { shares in
            let base = shares.baseAddress!
            let count = PathScheduler.shares(
                p.pointee.models + first, usable: mask, bytes: bytes, unit: 4096,
                minimum: shareMinimum, now: now, into: base)
            var position: UInt64 = 0
            for index in 0..<count {
                let end = index + 1 == count ? bytes : min(bytes, position + base[index].bytes)
                addPieces(
                    s, p, transfer, request, position..<end,
                    pieceBytes(end - position, chunk), base[index].path, mask)
                position = end
            }
        }
    }

    /// A share in at least four pieces: a path may serve several at once, and what falls behind is
    /// seen earlier.
    private static func pieceBytes(_ share: UInt64, _ chunk: UInt64) -> UInt64 {
        min(chunk, max(256 << 10, (share / 4 + 4095) & ~4095))
    }

    static func vectorBytes(_ request: Request) -> UInt64 {
        guard let address = request.pointee.address else { return 0 }
        let vector = address.assumingMemoryBound(to: iovec.self)
        var total: UInt64 = 0
        for index in 0..<Int(request.pointee.length) { total &+= vector[index].byteCount }
        return total
    }

    /// Adds the pieces of a range, on one path, or each on the best.
    private static func addPieces(
        _ s: State, _ p: Pool, _ transfer: Transfer, _ request: Request, _ range: Range<UInt64>,
        _ chunk: UInt64, _ path: UInt32?, _ mask: UInt64
    ) {
        let file = PoolFiles.file(transfer.pointee.file)
        // Cut for size alone only where a path has more than one turn to carry it.
        let isBulk = range.upperBound - range.lowerBound > bulkBytes
        let writes = Requests.writes(request)
        var position = range.lowerBound
        while position < range.upperBound {
            let bytes = min(chunk, range.upperBound - position)
            let now = iotrap_clock()
            let isProtected = isProtected(p, file.pointee.pool, now)
            if isBulk,
                isProtected
                    || PoolSiblings.areComing(p, transfer.pointee.file, writes: writes, now)
            {
                wait(s, p, transfer, request, position, bytes, now)
            } else if let path {
                addPiece(s, p, transfer, request, position, bytes, path)
            } else {
                let start = request.pointee.offset &+ Int64(position)
                let chosen = PathScheduler.choose(
                    p.pointee.models + Int(self.path(file, 0)), usable: mask, bytes: bytes,
                    isBulk: isBulk, isProtected: false, preferred: stream(p, file, start),
                    now: now)
                let path = chosen.map { UInt32($0) } ?? file.pointee.home
                file.pointee.stream_end = start &+ Int64(bytes)
                file.pointee.stream_path = path
                addPiece(s, p, transfer, request, position, bytes, path)
            }
            position += bytes
        }
    }

    /// Where a sequential stream went before, whose path has read ahead for it by now. Streams that
    /// put every path to use anyway need no preference.
    private static func stream(_ p: Pool, _ file: File, _ start: Int64) -> Int? {
        guard file.pointee.stream_end == start, start > 0,
            p.pointee.transfersActive[Int(file.pointee.pool)] <= 2
        else { return nil }
        return Int(file.pointee.stream_path)
    }

    /// Makes a piece; nil when there are none, which makes the whole run on the home path.
    private static func makePiece(
        _ transfer: Transfer, _ request: Request, _ position: UInt64, _ bytes: UInt64
    ) -> Request? {
        guard let piece = RequestPool.take() else {
            transfer.pointee.flags |= IOTRAP_TRANSFER_MISFIT
            return nil
        }
        let r = request.pointee
        piece.pointee.kind = r.kind
        piece.pointee.destination = UInt8(IOTRAP_TO_POOL.rawValue)
        piece.pointee.order = Role.piece
        piece.pointee.flags = 0
        piece.pointee.descriptor = r.descriptor
        piece.pointee.rw_flags = r.rw_flags
        piece.pointee.priority = r.priority
        piece.pointee.address = r.address.map { $0 + Int(position) }
        piece.pointee.length = UInt32(bytes)
        piece.pointee.offset = r.offset &+ Int64(position)
        piece.pointee.object = UInt64(UInt(bitPattern: piece.pointee.address))
        // The paths that it was tried on.
        piece.pointee.data = 0
        piece.pointee.epoch = 0
        piece.pointee.group = 0
        piece.pointee.state = 0
        piece.pointee.pool_file = r.pool_file
        piece.pointee.pool_generation = r.pool_generation
        piece.ownerWord.pointee.store(UInt64(UInt(bitPattern: transfer)), ordering: .relaxed)
        transfer.pointee.pieces += 1
        // Until the piece has ended, which may be after its transfer.
        PoolFiles.usersWord(PoolFiles.file(transfer.pointee.file)).pointee.wrappingAdd(
            1, ordering: .relaxed)
        return piece
    }

    private static func addPiece(
        _ s: State, _ p: Pool, _ transfer: Transfer, _ request: Request, _ position: UInt64,
        _ bytes: UInt64, _ path: UInt32
    ) {
        guard let piece = makePiece(transfer, request, position, bytes) else { return }
        PoolPieces.issue(s, p, piece, path)
    }

    /// Issues a bulk piece of a protected pool where there is room, or lets it wait for some.
    private static func wait(
        _ s: State, _ p: Pool, _ transfer: Transfer, _ request: Request, _ position: UInt64,
        _ bytes: UInt64, _ now: UInt64
    ) {
        guard let piece = makePiece(transfer, request, position, bytes) else { return }
        let pool = Int(PoolFiles.file(transfer.pointee.file).pointee.pool)
        RequestPool.setNext(piece, 0)
        let number = piece.pointee.number + 1
        if p.pointee.waitingFirst[pool] == 0 {
            p.pointee.waitingFirst[pool] = number
        } else {
            RequestPool.setNext(RequestPool.request(p.pointee.waitingLast[pool] - 1), number)
        }
        p.pointee.waitingLast[pool] = number
        p.pointee.waiting += 1
        admit(s, p, UInt32(pool), now)
    }

    /// Issues waiting pieces of a pool as long as there is room for them.
    static func admit(_ s: State, _ p: Pool, _ pool: UInt32, _ now: UInt64) {
        let isProtected = isProtected(p, pool, now)
        while p.pointee.waitingFirst[Int(pool)] != 0 {
            let piece = RequestPool.request(p.pointee.waitingFirst[Int(pool)] - 1)
            let index = piece.pointee.pool_file - 1
            let file = PoolFiles.file(index)
            let mask = bulkPaths(p, piece, index)
            // One at a time, until there is a choice.
            if mask & (mask &- 1) == 0,
                p.pointee.models[Int(path(file, UInt32(mask.trailingZeroBitCount)))].inFlight > 0,
                PoolSiblings.areComing(p, index, writes: Requests.writes(piece), now)
            {
                return
            }
            guard
                let path = PathScheduler.choose(
                    p.pointee.models + Int(path(file, 0)), usable: mask,
                    bytes: UInt64(piece.pointee.length), isBulk: true, isProtected: isProtected,
                    preferred: nil, now: now)
            else { return }
            p.pointee.waitingFirst[Int(pool)] = piece.pointee.next
            p.pointee.waiting -= 1
            PoolPieces.issue(s, p, piece, UInt32(path))
        }
    }

    private static func bulkPaths(_ p: Pool, _ piece: Request, _ index: UInt32) -> UInt64 {
        let file = PoolFiles.file(index)
        let home = UInt64(1) << UInt64(file.pointee.home)
        let pool = Pools.pool(file.pointee.pool)
        var mask = usable(p, index, writes: Requests.writes(piece))
        let primary = UInt64(1) << UInt64(pool.pointee.primary)
        if pool.pointee.flags & IOTRAP_POOL_BULK_OFF_PRIMARY != 0, mask & ~primary != 0 {
            mask &= ~primary
        }
        return mask == 0 ? home : mask
    }

    /// A piece has ended, or the cutting has: with the last of them the transfer ends.
    static func letGo(_ s: State, _ p: Pool, _ transfer: Transfer) {
        transfer.pointee.pieces -= 1
        guard transfer.pointee.pieces == 0 else { return }
        let request = RequestPool.request(transfer.pointee.request - 1)
        let file = PoolFiles.file(transfer.pointee.file)
        let flags = transfer.pointee.flags
        p.pointee.transfersActive[Int(file.pointee.pool)] -= 1
        p.pointee.buffers.give(transfer.pointee.buffer)
        let result = result(transfer)
        count(s, request, result)
        give(p, transfer)
        PoolTarget.withdraw(request)
        if flags & IOTRAP_TRANSFER_MISFIT != 0, flags & IOTRAP_TRANSFER_GONE == 0 {
            // Counted as in flight already.
            s.pointee.inFlight -= 1
            if UInt32(request.pointee.destination) == IOTRAP_TO_AIOCB.rawValue {
                s.pointee.posixInFlight -= 1
            }
            ServiceThread.issue(s, request)
        } else {
            ServiceThread.note(s, request, result)
        }
    }

    /// Counts a transfer of asynchronous I/O; other calls are counted by their threads.
    private static func count(_ s: State, _ request: Request, _ result: Int32) {
        guard UInt32(request.pointee.destination) != IOTRAP_TO_CALLER.rawValue,
            let block = s.pointee.thread.pointee.block
        else { return }
        let counts = iotrap_block_technique(block, IOTRAP_TECHNIQUE_MOUNT_POOL.rawValue)
        counts.pointee.calls &+= 1
        if result < 0 {
            counts.pointee.errors &+= 1
        } else {
            counts.pointee.bytes &+= UInt64(result)
        }
    }

    /// As the kernel would say it: the length of the part from the beginning that succeeded, or the
    /// error if there is none.
    private static func result(_ transfer: Transfer) -> Int32 {
        let t = transfer.pointee
        guard t.stop_position != Int64.max else { return Int32(truncatingIfNeeded: t.moved) }
        if t.stop_result < 0 {
            return t.stop_position > 0
                ? Int32(truncatingIfNeeded: t.stop_position) : t.stop_result
        }
        return Int32(truncatingIfNeeded: t.stop_position &+ Int64(t.stop_result))
    }
}
