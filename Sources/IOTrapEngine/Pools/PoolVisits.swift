import CIOTrap
import CIOTrapEngine
import Synchronization

/// Opening a file through one more path and finding out whether it is the same file. One step after
/// the other, each a request in the ring: a path that does not answer holds up nothing else.
struct PoolVisit {
    enum Step: UInt8 {
        /// Of writes that an ejected path may have lost, through what is still open there.
        case sync
        case open
        case homeBefore
        case sibling
        case homeAfter
        case sampleHome
        case sampleSibling
    }

    var index: UInt32
    var number: UInt32
    var descriptor: Int32
    /// Place in the ring's table + 1; 0: none yet.
    var slot: UInt32
    var step: Step
    /// The file is open already: only changes are looked for.
    var isProof: Bool
    /// Of the file's own path, to see whether it works again: nothing is kept.
    var isProbe: Bool
    /// The program's own path fails, or the file was seen to be the same by a parent.
    var isHomeGone: Bool
    /// Syncs that begin once the file is open: numbers + 1, a chain by `next`.
    var syncs: UInt32
    var sample: UInt8
    var retries: UInt8
    var homeBefore: iotrap_pool_statx
    var sibling: iotrap_pool_statx
    var homeAfter: iotrap_pool_statx
    /// Two blocks, one of each file.
    var samples: UnsafeMutableRawPointer?
    var path: InlineArray<1600, CChar>
}

enum PoolVisits {
    typealias State = ServiceThread.State
    typealias Request = RequestPool.Request
    typealias Pool = PoolService.Pool
    typealias Visit = UnsafeMutablePointer<PoolVisit>

    private static let sampleBytes = 4096
    private static let sampleCount: UInt8 = 4
    private static let sampleRetries: UInt8 = 5

    // MARK: - Beginning

    static func open(
        _ s: State, _ p: Pool, _ index: UInt32, _ number: UInt32, _ descriptor: Int32
    ) {
        guard let visit = begin(p, index, number, descriptor) else { return }
        PoolSiblings.sibling(p, index, number).pointee.state = UInt8(IOTRAP_SIBLING_OPENING)
        let isDirty = PoolSiblings.isDirty(index, number)
        let record = PoolSiblings.sibling(p, index, number)
        let hasOld = record.pointee.slot != 0
        // What a parent wrote is synced through a descriptor of our own.
        visit.pointee.isHomeGone = !hasOld && (isDirty || record.pointee.syncs > 0)
        go(s, p, visit, hasOld && isDirty ? .sync : .open)
    }

    /// Has a sync wait until a file is open that a parent wrote through the path.
    ///
    /// - Returns: false when it cannot be opened now.
    static func openForSync(_ s: State, _ p: Pool, _ piece: Request) -> Bool {
        let index = piece.pointee.pool_file - 1
        let number = piece.pointee.comparison
        let sibling = PoolSiblings.sibling(p, index, number)
        if sibling.pointee.state != UInt8(IOTRAP_SIBLING_OPENING) {
            open(s, p, index, number, piece.pointee.descriptor)
        }
        var used = p.pointee.visitsUsed
        while used != 0 {
            let visit = p.pointee.visits + used.trailingZeroBitCount
            used &= used &- 1
            guard visit.pointee.index == index, visit.pointee.number == number,
                !visit.pointee.isProof, !visit.pointee.isProbe
            else { continue }
            RequestPool.setNext(piece, visit.pointee.syncs)
            visit.pointee.syncs = piece.pointee.number + 1
            return true
        }
        return false
    }

    static func prove(
        _ s: State, _ p: Pool, _ index: UInt32, _ number: UInt32, _ descriptor: Int32
    ) {
        guard let visit = begin(p, index, number, descriptor) else { return }
        visit.pointee.isProof = true
        go(s, p, visit, .homeBefore)
    }

    /// Tries an ejected path with a file that was used through its pool lately.
    static func probe(
        _ s: State, _ p: Pool, _ pool: Pools.Pool, _ number: UInt32, _ now: UInt64
    ) {
        var best: UInt32?
        for index in 0..<process.pointee.poolFileCount {
            let file = PoolFiles.file(index)
            guard Pools.pool(file.pointee.pool) == pool else { continue }
            if let best, PoolFiles.file(best).usedAt >= file.usedAt { continue }
            best = index
        }
        guard let index = best, let visit = begin(p, index, number, -1) else { return }
        visit.pointee.isProbe = true
        go(s, p, visit, .open)
    }

    private static func begin(
        _ p: Pool, _ index: UInt32, _ number: UInt32, _ descriptor: Int32
    ) -> Visit? {
        let free = (~p.pointee.visitsUsed).trailingZeroBitCount
        let file = PoolFiles.file(index)
        guard free < PoolState.visitLimit else { return nil }
        let visit = p.pointee.visits + free
        guard fillPath(visit, file, number) else { return nil }
        p.pointee.visitsUsed |= 1 << UInt64(free)
        visit.pointee.index = index
        visit.pointee.number = number
        visit.pointee.descriptor = descriptor
        visit.pointee.slot = 0
        visit.pointee.isProof = false
        visit.pointee.isProbe = false
        visit.pointee.isHomeGone = false
        visit.pointee.syncs = 0
        visit.pointee.sample = 0
        visit.pointee.retries = 0
        visit.pointee.samples = nil
        PoolFiles.usersWord(file).pointee.wrappingAdd(1, ordering: .relaxed)
        p.pointee.links[Int(PoolService.path(file, number))].isVisited = true
        return visit
    }

    private static func fillPath(
        _ visit: Visit, _ file: PoolFiles.File, _ number: UInt32
    ) -> Bool {
        guard let table = process.pointee.pools else { return false }
        let root = iotrap_pool_path_entry(table, PoolService.path(file, number))
        let count = Int(root.pointee.length)
        let rest = Int(file.pointee.name_bytes)
        guard count + rest + 2 <= 1600 else { return false }
        let path = UnsafeMutableRawPointer(address(of: &visit.pointee.path))
            .assumingMemoryBound(to: CChar.self)
        path.update(from: iotrap_pool_path_text(root), count: count)
        path[count] = CChar(UInt8(ascii: "/"))
        (path + count + 1).update(from: iotrap_pool_file_name(file), count: rest)
        path[count + 1 + rest] = 0
        return true
    }

    private static func end(_ s: State, _ p: Pool, _ visit: Visit) {
        let file = PoolFiles.file(visit.pointee.index)
        p.pointee.links[Int(PoolService.path(file, visit.pointee.number))].isVisited = false
        if let samples = visit.pointee.samples { iotrap_pages_free(samples, 2 * sampleBytes) }
        p.pointee.visitsUsed &= ~(1 << UInt64(visit - p.pointee.visits))
        var next = visit.pointee.syncs
        while next != 0 {
            let piece = RequestPool.request(next - 1)
            next = piece.pointee.next
            PoolSyncs.begin(s, p, piece)
        }
        PoolFiles.leave(file)
    }

    // MARK: - Steps

    /// Sends the request of a step.
    private static func go(_ s: State, _ p: Pool, _ visit: Visit, _ step: PoolVisit.Step) {
        visit.pointee.step = step
        guard let request = RequestPool.take() else { return fail(s, p, visit, -12) }
        request.pointee.destination = UInt8(IOTRAP_TO_POOL.rawValue)
        request.pointee.order = PoolService.Role.visit
        request.pointee.kind = UInt8(IOTRAP_REQUEST_READ.rawValue)
        request.pointee.flags = 0
        request.pointee.rw_flags = 0
        request.pointee.priority = 0
        request.pointee.descriptor = visit.pointee.descriptor
        request.pointee.file = 0
        request.ownerWord.pointee.store(UInt64(UInt(bitPattern: visit)), ordering: .relaxed)
        if !queue(s, p, visit, request) {
            RequestPool.give(request)
            fail(s, p, visit, -12)
        }
    }

    /// Puts the request in the ring; false when the step cannot be made.
    private static func queue(
        _ s: State, _ p: Pool, _ visit: Visit, _ request: Request
    ) -> Bool {
        let ring = s.pointee.ring
        let tag = UInt64(request.pointee.number) + 1
        let path = UnsafeRawPointer(address(of: &visit.pointee.path)).assumingMemoryBound(
            to: CChar.self)
        switch visit.pointee.step {
        case .sync:
            request.pointee.kind = UInt8(IOTRAP_REQUEST_FDATASYNC.rawValue)
            let record = PoolSiblings.sibling(p, visit.pointee.index, visit.pointee.number)
            request.pointee.flags = UInt8(IOTRAP_SUBMIT_HELD)
            request.pointee.file = UInt32(record.pointee.slot)
            PoolPieces.enter(s, p, request)
            return true
        case .open:
            guard let slot = p.pointee.slots.take() else { return false }
            visit.pointee.slot = slot + 1
            let flags = PoolFiles.file(visit.pointee.index).pointee.status_flags
            enter(s, p) { iotrap_ring_queue_open(ring, path, flags, slot, tag) }
        case .homeBefore:
            let to = address(of: &visit.pointee.homeBefore)
            let fd = visit.pointee.descriptor
            enter(s, p) { iotrap_ring_queue_statx(ring, fd, nil, to, tag) }
        case .sibling:
            let to = address(of: &visit.pointee.sibling)
            enter(s, p) { iotrap_ring_queue_statx(ring, -1, path, to, tag) }
        case .homeAfter:
            let to = address(of: &visit.pointee.homeAfter)
            let fd = visit.pointee.descriptor
            enter(s, p) { iotrap_ring_queue_statx(ring, fd, nil, to, tag) }
        case .sampleHome, .sampleSibling:
            return queueSample(s, p, visit, request)
        }
        return true
    }

    private static func enter(_ s: State, _ p: Pool, _ queue: () -> Int32) {
        s.pointee.inFlight += 1
        p.pointee.inFlight += 1
        while queue() == 0 { ServiceThread.submit(s) }
    }

    /// Reads a few bytes of both files: the first, the last, and some between.
    private static func queueSample(
        _ s: State, _ p: Pool, _ visit: Visit, _ request: Request
    ) -> Bool {
        if visit.pointee.samples == nil {
            visit.pointee.samples = iotrap_pages(2 * sampleBytes, 1)
        }
        guard let samples = visit.pointee.samples else { return false }
        let ofHome = visit.pointee.step == .sampleHome
        // It may be a path that does not answer, whatever it is.
        request.pointee.flags = UInt8(IOTRAP_SUBMIT_OFFLOAD)
        if !ofHome {
            request.pointee.flags |= UInt8(IOTRAP_SUBMIT_HELD)
            request.pointee.file = visit.pointee.slot
        }
        let blocks = max(0, size(visit) - 1) / Int64(sampleBytes)
        let offset = blocks &* Int64(visit.pointee.sample) / Int64(sampleCount - 1)
        request.pointee.address = ofHome ? samples : samples + sampleBytes
        request.pointee.length = UInt32(sampleBytes)
        request.pointee.offset = offset &* Int64(sampleBytes)
        PoolPieces.enter(s, p, request)
        return true
    }

    private static func size(_ visit: Visit) -> Int64 {
        var look = iotrap_pool_look()
        withUnsafePointer(to: visit.pointee.sibling) { iotrap_pool_look($0, &look) }
        return look.size
    }

    /// A step has ended.
    static func ended(
        _ s: State, _ p: Pool, _ request: Request, _ result: Int32, _ now: UInt64
    ) {
        guard let owner = request.pointee.owner else { return RequestPool.give(request) }
        let visit = owner.assumingMemoryBound(to: PoolVisit.self)
        RequestPool.give(request)
        let step = visit.pointee.step
        if step == .sync {
            synced(p, visit, result)
            return go(s, p, visit, .open)
        }
        if result < 0, step == .homeBefore || step == .homeAfter, !visit.pointee.isProof,
            PoolHealth.isPathError(result)
        {
            visit.pointee.isHomeGone = true
            return step == .homeBefore
                ? go(s, p, visit, .sibling) : compareAlone(s, p, visit, now)
        }
        if result < 0 {
            // An open that failed has left its place empty.
            return fail(s, p, visit, result)
        }
        switch step {
        case .sync: break
        case .open:
            let isAlone = visit.pointee.isProbe || visit.pointee.isHomeGone
            go(s, p, visit, isAlone ? .sibling : .homeBefore)
        case .homeBefore: go(s, p, visit, .sibling)
        case .sibling:
            if visit.pointee.isProbe {
                // Whether a path works is seen by one read from it.
                go(s, p, visit, .sampleSibling)
            } else if visit.pointee.isHomeGone {
                compareAlone(s, p, visit, now)
            } else {
                go(s, p, visit, .homeAfter)
            }
        case .homeAfter: compare(s, p, visit, now)
        case .sampleHome: go(s, p, visit, .sampleSibling)
        case .sampleSibling: sampled(s, p, visit, result, now)
        }
    }

    private static func synced(_ p: Pool, _ visit: Visit, _ result: Int32) {
        if result < 0 {
            return PoolSiblings.lose(visit.pointee.index, visit.pointee.number, result)
        }
        let file = PoolFiles.file(visit.pointee.index)
        PoolFiles.dirtyWord(file).pointee.bitwiseAnd(
            ~(UInt64(1) << UInt64(visit.pointee.number)), ordering: .relaxed)
    }

    // MARK: - Judging

    private static func compare(_ s: State, _ p: Pool, _ visit: Visit, _ now: UInt64) {
        var before = iotrap_pool_look()
        var other = iotrap_pool_look()
        var after = iotrap_pool_look()
        iotrap_pool_look(address(of: &visit.pointee.homeBefore), &before)
        iotrap_pool_look(address(of: &visit.pointee.sibling), &other)
        iotrap_pool_look(address(of: &visit.pointee.homeAfter), &after)
        let index = visit.pointee.index
        let file = PoolFiles.file(index)
        let isSaid =
            Pools.pool(file.pointee.pool).pointee.flags & IOTRAP_POOL_SAME != 0
        // On the same superblock there is one way to the storage, not two.
        let isSameMount = other.device == before.device && other.inode == before.inode
        let isRight =
            !isSameMount && before.inode == file.pointee.inode
            && other.mode & Classification.typeMask == Classification.regular
        let isAlike = other.inode == before.inode && isBetween(before, other, after)
        noteDevice(p, visit, other)
        if visit.pointee.isProof {
            return proved(s, p, visit, isAlike && isRight, other.changed_ns)
        }
        guard isRight, isSaid || isAlike else { return refuse(s, p, visit, 0, now) }
        PoolSiblings.sibling(p, index, visit.pointee.number).pointee.changed_ns = other.changed_ns
        if isSaid || other.size == 0 {
            return accept(s, p, visit, isProven: isSaid || wasProven(visit))
        }
        go(s, p, visit, .sampleHome)
    }

    private static func wasProven(_ visit: Visit) -> Bool {
        PoolFiles.file(visit.pointee.index).provenPaths & 1 << UInt64(visit.pointee.number)
            != 0
    }

    /// A sibling that was seen to be the same file before, and looks as it did, is taken for it.
    private static func compareAlone(_ s: State, _ p: Pool, _ visit: Visit, _ now: UInt64) {
        var other = iotrap_pool_look()
        iotrap_pool_look(address(of: &visit.pointee.sibling), &other)
        let file = PoolFiles.file(visit.pointee.index)
        let isKnown = file.pointee.readable & 1 << UInt64(visit.pointee.number) != 0
        guard isKnown, other.inode == file.pointee.inode,
            other.mode & Classification.typeMask == Classification.regular
        else { return refuse(s, p, visit, -5, now) }
        noteDevice(p, visit, other)
        accept(s, p, visit, isProven: wasProven(visit))
    }

    private static func noteDevice(_ p: Pool, _ visit: Visit, _ look: iotrap_pool_look) {
        PoolSiblings.sibling(p, visit.pointee.index, visit.pointee.number).pointee.is_virtual =
            UInt32(iotrap_device_is_virtual(look.device))
    }

    /// A file that changes while it is looked at shows times between those before and after.
    private static func isBetween(
        _ before: iotrap_pool_look, _ other: iotrap_pool_look, _ after: iotrap_pool_look
    ) -> Bool {
        let sizes = min(before.size, after.size)...max(before.size, after.size)
        return sizes.contains(other.size) && other.modified_ns >= before.modified_ns
            && other.modified_ns <= after.modified_ns && other.changed_ns >= before.changed_ns
            && other.changed_ns <= after.changed_ns
    }

    /// A change made through the home path shows through the other: that is one file.
    private static func proved(
        _ s: State, _ p: Pool, _ visit: Visit, _ isAlike: Bool, _ changed: Int64
    ) {
        let record = PoolSiblings.sibling(p, visit.pointee.index, visit.pointee.number)
        if isAlike, changed > record.pointee.changed_ns,
            record.pointee.state == UInt8(IOTRAP_SIBLING_READABLE)
        {
            record.pointee.state = UInt8(IOTRAP_SIBLING_PROVEN)
            PoolFiles.file(visit.pointee.index).provenPaths |=
                1 << UInt64(visit.pointee.number)
        }
        end(s, p, visit)
    }

    private static func sampled(
        _ s: State, _ p: Pool, _ visit: Visit, _ result: Int32, _ now: UInt64
    ) {
        guard let samples = visit.pointee.samples else { return fail(s, p, visit, -12) }
        if visit.pointee.isProbe {
            let path = PoolService.path(
                PoolFiles.file(visit.pointee.index), visit.pointee.number)
            PoolHealth.revive(p, path)
            dropSlot(s, p, visit)
            return end(s, p, visit)
        }
        let words = samples.assumingMemoryBound(to: UInt64.self)
        for word in 0..<(sampleBytes / 8) where words[word] != words[word + sampleBytes / 8] {
            // The program may have written there between the two.
            visit.pointee.retries += 1
            if visit.pointee.retries < sampleRetries { return go(s, p, visit, .sampleHome) }
            return refuse(s, p, visit, 0, now)
        }
        visit.pointee.sample += 1
        visit.pointee.retries = 0
        if visit.pointee.sample < sampleCount { return go(s, p, visit, .sampleHome) }
        accept(s, p, visit, isProven: wasProven(visit))
    }

    private static func accept(_ s: State, _ p: Pool, _ visit: Visit, isProven: Bool) {
        let index = visit.pointee.index
        let number = visit.pointee.number
        let record = PoolSiblings.sibling(p, index, number)
        if record.pointee.slot != 0 { PoolSiblings.close(s, p, index, number) }
        record.pointee.slot = UInt16(visit.pointee.slot)
        record.pointee.attempts = 0
        p.pointee.links[Int(PoolService.path(PoolFiles.file(index), number))].files &+= 1
        visit.pointee.slot = 0
        PoolSiblings.accept(p, index, number, isProven: isProven)
        end(s, p, visit)
    }

    private static func refuse(
        _ s: State, _ p: Pool, _ visit: Visit, _ error: Int32, _ now: UInt64
    ) {
        dropSlot(s, p, visit)
        PoolSiblings.refuse(s, p, visit.pointee.index, visit.pointee.number, error, now)
        end(s, p, visit)
    }

    private static func fail(_ s: State, _ p: Pool, _ visit: Visit, _ error: Int32) {
        let now = iotrap_clock()
        let path = PoolService.path(PoolFiles.file(visit.pointee.index), visit.pointee.number)
        if visit.pointee.isProbe || PoolHealth.isPathError(error) {
            PoolHealth.stillDown(p, path, now)
        }
        if visit.pointee.isProbe || visit.pointee.isProof {
            dropSlot(s, p, visit)
            return end(s, p, visit)
        }
        refuse(s, p, visit, error, now)
    }

    private static func dropSlot(_ s: State, _ p: Pool, _ visit: Visit) {
        guard visit.pointee.slot != 0 else { return }
        _ = iotrap_ring_hold_file(s.pointee.ring, visit.pointee.slot - 1, -1)
        p.pointee.slots.give(visit.pointee.slot - 1)
        visit.pointee.slot = 0
    }
}
