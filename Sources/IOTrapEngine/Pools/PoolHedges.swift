import CIOTrap
import CIOTrapEngine
import Synchronization

/// Slow reads that are sent a second time on another path: the first answer counts. Each of the two
/// reads into memory of the engine's own, so that the other cannot do harm later.
enum PoolHedges {
    typealias Request = RequestPool.Request

    /// A piece's `state`: it is the second of two.
    private static let isSecond: UInt32 = 1

    static func send(_ s: ServiceThread.State, _ p: PoolService.Pool, _ piece: Request) {
        guard piece.pointee.owner != nil, piece.pointee.epoch != 0 else { return }
        let buffer = p.pointee.buffers.take(bytes: UInt64(piece.pointee.length), size: 0)
        guard buffer != 0 else { return }
        guard let (twin, number) = PoolPieces.twin(p, piece) else {
            return p.pointee.buffers.give(buffer)
        }
        twin.pointee.epoch = buffer
        twin.pointee.address = p.pointee.buffers.address(buffer)
        twin.pointee.state = isSecond
        twin.pointee.group = piece.pointee.number + 1
        piece.pointee.group = twin.pointee.number + 1
        let file = PoolFiles.file(piece.pointee.pool_file - 1)
        PathStatistics.hedged(PoolService.path(file, piece.pointee.comparison), won: false)
        PoolPieces.issue(s, p, twin, number)
    }

    /// One of two has ended.
    ///
    /// - Returns: true when the other is to speak for both.
    static func settles(_ piece: Request, _ result: Int32) -> Bool {
        guard piece.pointee.group != 0 else { return false }
        let other = RequestPool.request(piece.pointee.group - 1)
        piece.pointee.group = 0
        other.pointee.group = 0
        if result != Int32(bitPattern: piece.pointee.length) { return true }
        other.ownerWord.pointee.store(0, ordering: .relaxed)
        if piece.pointee.state == isSecond {
            let file = PoolFiles.file(other.pointee.pool_file - 1)
            PathStatistics.hedged(
                PoolService.path(file, other.pointee.comparison), won: true)
        }
        return false
    }
}
