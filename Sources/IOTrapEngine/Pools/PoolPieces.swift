import CIOTrap
import CIOTrapEngine
import Synchronization

/// Pieces of transfers: giving them to a path, and what becomes of them there.
enum PoolPieces {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request
    typealias Pool = PoolService.Pool
    typealias File = PoolFiles.File
    typealias Transfer = PoolService.Transfer

    // MARK: - Out

    /// Puts a piece in the ring, for a path of its file's pool.
    static func issue(_ s: State, _ p: Pool, _ piece: Request, _ number: UInt32) {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let path = PoolService.path(file, number)
        let writes = Requests.writes(piece)
        piece.pointee.comparison = number
        piece.pointee.data |= 1 << UInt64(number)
        piece.pointee.started_ns = iotrap_clock()
        aim(p, piece, number)
        // Before it is written: a sync that begins later must find the bit.
        if writes { noteWrite(piece, file) }
        if piece.pointee.epoch == 0 { borrow(p, piece, file) }
        p.pointee.models[Int(path)].began(
            bytes: bytes(piece), isBulk: isBulk(piece), now: piece.pointee.started_ns)
        append(p, piece, path)
        Recording.batches(
            s.pointee.thread, IOTRAP_TECHNIQUE_MOUNT_POOL, requests: 1, batches: 0)
        enter(s, p, piece)
    }

    /// Notes that the path of a piece has to be synced.
    private static func noteWrite(_ piece: Request, _ file: File) {
        guard piece.pointee.comparison != file.pointee.home,
            !PoolTarget.isDurable(file.pointee.status_flags, piece.pointee.rw_flags)
        else { return }
        PoolFiles.dirtyWord(file).pointee.bitwiseOr(
            1 << UInt64(piece.pointee.comparison), ordering: .relaxed)
    }

    /// Sends a request of the pools' own to the ring.
    static func enter(_ s: State, _ p: Pool, _ request: Request) {
        s.pointee.inFlight += 1
        p.pointee.inFlight += 1
        while iotrap_ring_queue_request(s.pointee.ring, request) == 0 { ServiceThread.submit(s) }
    }

    /// Says which file a piece is for, the program's descriptor or a sibling, and who starts it.
    ///
    /// A file system that asks others may take no more requests until some have ended (FUSE: twelve
    /// in the background, of at most 1 MiB). Kernel workers wait for that, one path's beside
    /// another's; this thread would keep all paths waiting. Not through the page cache: there FUSE
    /// lets a reader see old pages while another, who saw the file change, is dropping them.
    static func aim(_ p: Pool, _ piece: Request, _ number: UInt32) {
        let file = PoolFiles.file(piece.pointee.pool_file - 1)
        let isVirtual: Bool
        if number == file.pointee.home {
            isVirtual = iotrap_device_is_virtual(file.pointee.device) != 0
            piece.pointee.flags = 0
            piece.pointee.file = 0
        } else {
            let sibling = PoolSiblings.sibling(p, piece.pointee.pool_file - 1, number)
            isVirtual = sibling.pointee.is_virtual != 0
            piece.pointee.flags = UInt8(IOTRAP_SUBMIT_HELD)
            piece.pointee.file = UInt32(sibling.pointee.slot)
        }
        if isVirtual && file.pointee.status_flags & OpenFlags.direct != 0 {
            piece.pointee.flags |= UInt8(IOTRAP_SUBMIT_OFFLOAD)
        }
    }

    /// Lets a read go to memory of the engine's own, where a path may be given up.
    private static func borrow(_ p: Pool, _ piece: Request, _ file: File) {
        let pool = Pools.pool(file.pointee.pool)
        guard pool.pointee.answer_within_ns != 0 || pool.pointee.hedge_tenths != 0,
            UInt32(piece.pointee.kind) == IOTRAP_REQUEST_READ.rawValue,
            !isFast(p, pool)
        else { return }
        let number = p.pointee.buffers.take(
            bytes: UInt64(piece.pointee.length), size: pool.pointee.chunk_bytes)
        guard number != 0 else { return }
        piece.pointee.epoch = number
        piece.pointee.address = p.pointee.buffers.address(number)
    }

    /// A pool so fast that copying would cost more than it saves.
    private static func isFast(_ p: Pool, _ pool: Pools.Pool) -> Bool {
        var total: UInt64 = 0
        for number in 0..<pool.pointee.path_count {
            total &+= p.pointee.models[Int(pool.pointee.first_path + number)].rateBytes
        }
        return total > 1 << 30
    }

    static func bytes(_ piece: Request) -> UInt64 {
        let kind = UInt32(piece.pointee.kind)
        let isVector =
            kind == IOTRAP_REQUEST_READV.rawValue || kind == IOTRAP_REQUEST_WRITEV.rawValue
        return isVector ? 4096 &* UInt64(piece.pointee.length) : UInt64(piece.pointee.length)
    }

    static func isBulk(_ piece: Request) -> Bool { bytes(piece) > PoolService.bulkBytes }

    // MARK: - Lists of pieces by path, the oldest first

    private static func append(_ p: Pool, _ piece: Request, _ path: UInt32) {
        let link = p.pointee.links + Int(path)
        let number = piece.pointee.number + 1
        piece.pointee.lane_next = 0
        piece.pointee.lane_previous = link.pointee.last
        if link.pointee.last == 0 {
            link.pointee.first = number
        } else {
            RequestPool.request(link.pointee.last - 1).pointee.lane_next = number
        }
        link.pointee.last = number
    }

    private static func remove(_ p: Pool, _ piece: Request, _ path: UInt32) {
        let link = p.pointee.links + Int(path)
        let next = piece.pointee.lane_next
        let previous = piece.pointee.lane_previous
        if previous == 0 {
            link.pointee.first = next
        } else {
            RequestPool.request(previous - 1).pointee.lane_next = next
        }
        if next == 0 {
            link.pointee.last = previous
        } else {
            RequestPool.request(next - 1).pointee.lane_previous = previous
        }
    }

    // MARK: - In

    /// A request with destination IOTRAP_TO_POOL has ended.
    static func ended(_ s: State, _ request: Request, _ result: Int32, _ now: UInt64) {
        guard let p = s.pointee.pool else { return RequestPool.give(request) }
        p.pointee.inFlight -= 1
        switch request.pointee.order {
        case PoolService.Role.piece: pieceEnded(s, p, request, result, now)
        case PoolService.Role.visit: PoolVisits.ended(s, p, request, result, now)
        default: PoolSyncs.ended(s, p, request, result, now)
        }
    }

    private static func pieceEnded(
        _ s: State, _ p: Pool, _ piece: Request, _ result: Int32, _ now: UInt64
    ) {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let number = piece.pointee.comparison
        let path = PoolService.path(file, number)
        let writes = Requests.writes(piece)
        let nanoseconds = now &- piece.pointee.started_ns
        remove(p, piece, path)
        let hasFailed = PoolHealth.isPathError(result)
        p.pointee.models[Int(path)].ended(
            bytes: bytes(piece), isBulk: isBulk(piece), took: nanoseconds, now: now,
            failed: result < 0, isRead: !writes)
        PathStatistics.transfer(
            path, writes: writes, bytes: UInt64(max(0, result)), nanoseconds: nanoseconds,
            failed: result < 0)
        if hasFailed {
            PoolHealth.failed(p, index, number, now)
        } else {
            PoolHealth.answered(p, path)
        }
        if writes, result > 0, number == file.pointee.home, file.pointee.hurry_ns > now {
            // A change was made by which other paths can be proven.
            PoolSiblings.refresh(s, p, index, piece.pointee.descriptor, now)
        }
        if writes, result > 0, number != file.pointee.home {
            // A sync that took the bit meanwhile may have come before it.
            noteWrite(piece, file)
            // A direct write by the program's own descriptor would have done this.
            iotrap_drop_cached(
                piece.pointee.descriptor, piece.pointee.offset, Int64(result))
        }
        let pool = file.pointee.pool
        defer { PoolService.admit(s, p, pool, now) }
        if PoolHedges.settles(piece, result) { return discard(p, piece) }
        guard let owner = piece.pointee.owner else { return discard(p, piece) }
        let transfer = owner.assumingMemoryBound(to: iotrap_pool_transfer.self)
        if mayTryAgain(s, p, piece, transfer, result, now) { return }
        account(p, piece, transfer, result)
        discard(p, piece)
        PoolService.letGo(s, p, transfer)
    }

    static func discard(_ p: Pool, _ piece: Request) {
        p.pointee.buffers.give(piece.pointee.epoch)
        PoolFiles.leave(PoolFiles.file(piece.pointee.pool_file - 1))
        RequestPool.give(piece)
    }

    /// Takes the end of a piece into its transfer.
    private static func account(
        _ p: Pool, _ piece: Request, _ transfer: Transfer, _ result: Int32
    ) {
        let request = RequestPool.request(transfer.pointee.request - 1)
        var result = result
        if piece.pointee.epoch != 0, result > 0 {
            // The program's memory may be none: the kernel says what that means for the whole.
            let error = iotrap_copy_out(
                UnsafeMutableRawPointer(bitPattern: UInt(piece.pointee.object))!,
                p.pointee.buffers.address(piece.pointee.epoch), UInt64(result))
            if error != 0 { result = -14 }
        }
        let isVector = transfer.pointee.flags & IOTRAP_TRANSFER_VECTOR != 0
        if isVector || result == Int32(bitPattern: piece.pointee.length) {
            if result >= 0 {
                transfer.pointee.moved &+= UInt64(result)
                return
            }
        }
        if isMisfit(result) { transfer.pointee.flags |= IOTRAP_TRANSFER_MISFIT }
        let position = piece.pointee.offset &- request.pointee.offset
        if position < transfer.pointee.stop_position {
            transfer.pointee.stop_position = position
            transfer.pointee.stop_result = result
        }
    }

    /// Errors whose meaning for the whole only the kernel knows: EFAULT, EINVAL, ENOSPC, EDQUOT,
    /// and those that a ring gives where a plain call goes on.
    private static func isMisfit(_ result: Int32) -> Bool {
        switch result {
        case -14, -22, -28, -122, -4, -11, -125, -95: true
        default: false
        }
    }

    // MARK: - Again

    /// Issues a piece again where its end is not to be believed, or was an error of its path.
    private static func mayTryAgain(
        _ s: State, _ p: Pool, _ piece: Request, _ transfer: Transfer, _ result: Int32,
        _ now: UInt64
    ) -> Bool {
        let isVector = transfer.pointee.flags & IOTRAP_TRANSFER_VECTOR != 0
        if !isVector && result == Int32(bitPattern: piece.pointee.length) { return false }
        // The vector itself is the program's, and gone when io_submit has returned.
        let owner = RequestPool.request(transfer.pointee.request - 1).pointee.destination
        if isVector && (result > 0 || UInt32(owner) != IOTRAP_TO_CALLER.rawValue) { return false }
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let home = UInt64(1) << UInt64(file.pointee.home)
        let writes = Requests.writes(piece)
        let isGone = transfer.pointee.flags & IOTRAP_TRANSFER_GONE != 0
        var left = PoolService.usable(p, index, writes: writes) & ~piece.pointee.data
        if isGone { left &= ~home }
        if PoolHealth.isPathError(result) {
            // Its fate is not known: it may still come after a later write.
            if writes && result == PoolHealth.timedOut { return false }
            if left == 0 {
                // Slow paths, and the program's own, before the program sees an error.
                left = PoolService.open(p, index, writes: writes) & ~piece.pointee.data
                if isGone { left &= ~home }
            }
            if left == 0 {
                left = PoolSiblings.left(p, index, writes: writes) & ~piece.pointee.data
            }
            guard left != 0 else { return false }
        } else {
            // A sibling's end of file, or its refusal, is not the program's.
            guard piece.pointee.data & home == 0, !isGone else { return false }
            left = home
        }
        let number = left & home != 0 ? file.pointee.home : UInt32(left.trailingZeroBitCount)
        PathStatistics.reissued(PoolService.path(file, piece.pointee.comparison))
        again(s, p, piece, number)
        return true
    }

    /// Issues a piece on another path, with the program's memory again.
    private static func again(_ s: State, _ p: Pool, _ piece: Request, _ number: UInt32) {
        p.pointee.buffers.give(piece.pointee.epoch)
        piece.pointee.epoch = 0
        piece.pointee.address = UnsafeMutableRawPointer(
            bitPattern: UInt(piece.pointee.object))
        issue(s, p, piece, number)
    }

    /// Gives up a read that is late: another takes its place, and this one's memory is its own.
    static func replace(_ s: State, _ p: Pool, _ piece: Request) {
        guard piece.pointee.owner != nil, piece.pointee.epoch != 0,
            let (twin, number) = twin(p, piece)
        else { return }
        piece.ownerWord.pointee.store(0, ordering: .relaxed)
        let file = PoolFiles.file(piece.pointee.pool_file - 1)
        PathStatistics.reissued(PoolService.path(file, piece.pointee.comparison))
        issue(s, p, twin, number)
    }

    /// A second request for the same read, and the path it should take; nil when there is none.
    static func twin(_ p: Pool, _ piece: Request) -> (Request, UInt32)? {
        let index = piece.pointee.pool_file - 1
        let file = PoolFiles.file(index)
        let left = PoolService.usable(p, index, writes: false) & ~piece.pointee.data
        let first = Int(PoolService.path(file, 0))
        guard left != 0,
            let number = PathScheduler.choose(
                p.pointee.models + first, usable: left, bytes: bytes(piece), isBulk: false,
                isProtected: false, preferred: nil, now: iotrap_clock()),
            let twin = RequestPool.take()
        else { return nil }
        let own = twin.pointee.number
        let owner = UInt64(UInt(bitPattern: piece.pointee.owner))
        twin.pointee = piece.pointee
        twin.pointee.number = own
        twin.pointee.epoch = 0
        twin.pointee.group = 0
        twin.pointee.address = UnsafeMutableRawPointer(bitPattern: UInt(piece.pointee.object))
        twin.ownerWord.pointee.store(owner, ordering: .relaxed)
        PoolFiles.usersWord(file).pointee.wrappingAdd(1, ordering: .relaxed)
        return (twin, UInt32(number))
    }

    // MARK: - Descriptors that are closed

    /// Descriptors are about to be closed: what waits is given to the kernel, and what fails later
    /// is not tried again on them.
    static func closing(_ s: State, _ first: UInt32, _ last: UInt32) {
        guard first <= last, let p = s.pointee.pool else { return }
        for pool in 0..<Int(IOTRAP_POOLS_MAX) where p.pointee.waitingFirst[pool] != 0 {
            flush(s, p, pool)
        }
        for index in 0..<Int(p.pointee.transferCount) {
            let transfer = p.pointee.transfers + index
            guard transfer.pointee.request != 0 else { continue }
            let request = RequestPool.request(transfer.pointee.request - 1)
            let descriptor = UInt32(bitPattern: request.pointee.descriptor)
            if descriptor >= first && descriptor <= last {
                transfer.pointee.flags |= IOTRAP_TRANSFER_GONE
            }
        }
    }

    private static func flush(_ s: State, _ p: Pool, _ pool: Int) {
        var next = p.pointee.waitingFirst[pool]
        p.pointee.waitingFirst[pool] = 0
        while next != 0 {
            let piece = RequestPool.request(next - 1)
            next = piece.pointee.next
            p.pointee.waiting -= 1
            let index = piece.pointee.pool_file - 1
            let file = PoolFiles.file(index)
            let path = PathScheduler.choose(
                p.pointee.models + Int(PoolService.path(file, 0)),
                usable: PoolService.usable(p, index, writes: Requests.writes(piece)),
                bytes: bytes(piece), isBulk: true, isProtected: false, preferred: nil,
                now: iotrap_clock())
            issue(s, p, piece, path.map { UInt32($0) } ?? file.pointee.home)
        }
    }
}
