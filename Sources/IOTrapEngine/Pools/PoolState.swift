import CIOTrap
import CIOTrapEngine

/// What the service thread alone knows of a path, beside its model.
struct PoolLink {
    /// Pieces on it, the oldest first: numbers + 1.
    var first: UInt32
    var last: UInt32
    /// When an ejected path is tried again, and how long after its last failure.
    var probeAt: UInt64
    var backoffNanoseconds: UInt64
    /// A visit to it is under way.
    var isVisited: Bool
    /// Siblings that are open through it.
    var files: UInt32
}

/// What the service thread alone knows of the pools. Made in zeroed pages at the first request for
/// a pool, and given back with the ring, whose table holds the siblings.
struct PoolState {
    var models: UnsafeMutablePointer<PathModel>
    var links: UnsafeMutablePointer<PoolLink>
    /// By record, then path of its pool.
    var siblings: UnsafeMutablePointer<iotrap_pool_sibling>
    var transfers: UnsafeMutablePointer<iotrap_pool_transfer>
    var transferCount: UInt32 = 0
    var transferFree: UInt32 = 0
    var slots: PoolSlots
    var buffers = PoolBuffers()
    var visits: UnsafeMutablePointer<PoolVisit>
    var visitsUsed: UInt64 = 0
    /// Bulk pieces that wait for room on a path, by pool: chains by `next`, and their ends.
    var waitingFirst = InlineArray<16, UInt32>(repeating: 0)
    var waitingLast = InlineArray<16, UInt32>(repeating: 0)
    var waiting: UInt32 = 0
    /// When a small durable write was last seen, by pool.
    var protectedUntil = InlineArray<16, UInt64>(repeating: 0)
    /// Transfers that have not ended, by pool.
    var transfersActive = InlineArray<16, UInt32>(repeating: 0)
    /// Pieces and operations of visits in the ring.
    var inFlight: UInt32 = 0
    var ticked: UInt64 = 0
    /// When the last request came.
    var usedAt: UInt64 = 0
    /// Syncs in the ring that nobody waits for.
    var flushes: UInt32 = 0

    static let transferLimit: UInt32 = 8192
    static let visitLimit = 64
    /// Kernel workers: those that wait for a path that stands still must leave some to the others.
    static let workersMax: UInt32 = 512
    /// Programs that may map less than that have no pools.
    static let memoryLimitMin: Int64 = 1 << 30

    /// Makes the state; nil when memory is refused.
    static func make(ring: OpaquePointer) -> UnsafeMutablePointer<PoolState>? {
        let paths = Int(IOTRAP_POOL_PATHS_TOTAL)
        let siblings = Int(IOTRAP_POOL_FILES * IOTRAP_POOL_PATHS_MAX)
        // What pools map would count against what the program may.
        guard iotrap_memory_limit() >= memoryLimitMin else { return nil }
        guard let own = pages(PoolState.self, 1), let models = pages(PathModel.self, paths),
            let links = pages(PoolLink.self, paths),
            let records = pages(iotrap_pool_sibling.self, siblings),
            let transfers = pages(iotrap_pool_transfer.self, Int(transferLimit)),
            let visits = pages(PoolVisit.self, visitLimit)
        else { return nil }
        own.initialize(
            to: PoolState(
                models: models, links: links, siblings: records, transfers: transfers,
                slots: PoolSlots(ring: ring), visits: visits))
        iotrap_ring_allow_workers(ring, workersMax)
        guard let table = process.pointee.pools else { return nil }
        for path in 0..<table.pointee.path_count {
            models[Int(path)].configure(
                weight: iotrap_pool_path_entry(table, path).pointee.weight)
        }
        return own
    }

    static func free(_ state: UnsafeMutablePointer<PoolState>) {
        let paths = Int(IOTRAP_POOL_PATHS_TOTAL)
        let p = state.pointee
        PoolBuffers.free(p.buffers)
        give(p.models, paths)
        give(p.links, paths)
        give(p.siblings, Int(IOTRAP_POOL_FILES * IOTRAP_POOL_PATHS_MAX))
        give(p.transfers, Int(transferLimit))
        give(p.visits, visitLimit)
        give(state, 1)
    }

    private static func pages<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T>? {
        iotrap_pages(MemoryLayout<T>.stride * count, 1)?.assumingMemoryBound(to: type)
    }

    private static func give<T>(_ pointer: UnsafeMutablePointer<T>, _ count: Int) {
        iotrap_pages_free(pointer, MemoryLayout<T>.stride * count)
    }
}

/// Places in the ring's table of files.
struct PoolSlots {
    /// Places below are StreamWrites'.
    static let first = IOTRAP_RING_FILES_MAX
    static let limit: UInt32 = 2048

    /// How many there are; 0 when the kernel has none for us.
    let count: UInt32
    private var used = InlineArray<32, UInt64>(repeating: 0)

    init(ring: OpaquePointer) {
        let made = iotrap_ring_make_files(ring, PoolSlots.first + PoolSlots.limit)
        count = made > Int32(PoolSlots.first) ? UInt32(made) - PoolSlots.first : 0
    }

    /// Takes a place; nil when all are taken.
    mutating func take() -> UInt32? {
        for word in 0..<32 {
            let bit = (~used[word]).trailingZeroBitCount
            let index = UInt32(word * 64 + bit)
            if bit < 64 && index < count {
                used[word] |= 1 << UInt64(bit)
                return PoolSlots.first + index
            }
        }
        return nil
    }

    mutating func give(_ slot: UInt32) {
        let index = slot - PoolSlots.first
        used[Int(index / 64)] &= ~(1 << UInt64(index % 64))
    }
}
