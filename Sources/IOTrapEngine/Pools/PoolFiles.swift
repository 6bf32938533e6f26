import CIOTrap
import CIOTrapEngine
import Synchronization

/// The files of pools that the program uses, found by what its descriptor is: device, inode, the
/// flags that a sibling must be opened with, and the path it was opened through.
///
/// Nothing is done here but noting them: the siblings are opened by the service thread when the
/// first request comes (see PoolSiblings).
enum PoolFiles {
    typealias File = UnsafeMutablePointer<iotrap_pool_file>

    @inline(__always)
    static func file(_ index: UInt32) -> File { process.pointee.poolFiles! + Int(index) }

    /// Access mode, O_DIRECT, O_DSYNC, O_SYNC and O_NOATIME: what makes a sibling behave alike.
    static let flagMask: UInt32 = 3 | OpenFlags.direct | OpenFlags.dataSync | 0o4000000 | 0o1000000

    /// The record of an open file, made if need be.
    ///
    /// - Returns: its index + 1 and generation; nil when the file is in no pool, or cannot be
    ///   spread, or there is no room.
    static func find(_ fd: Int32, _ facts: iotrap_file_facts) -> (UInt32, UInt32)? {
        guard Pools.areActive, mayBeSpread(fd, facts) else { return nil }
        let bytes = Int(IOTRAP_POOL_NAME_MAX + IOTRAP_POOL_PATH_BYTES)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes) { buffer in
            guard let name = buffer.baseAddress else { return nil }
            let length = Int(iotrap_descriptor_path(fd, name, UInt32(bytes - 1)))
            guard length > 0, length < bytes - 1 else { return nil }
            name[length] = 0
            guard let found = Pools.match(name, length: length),
                length - found.rest < Int(IOTRAP_POOL_NAME_MAX),
                !isDeleted(name, length)
            else { return nil }
            let isBuffered = facts.status_flags & OpenFlags.direct == 0
            if isBuffered, !isCoherent(found.pool), iotrap_on_read_only_mount(fd) == 0 {
                return nil
            }
            return claim(facts, found, name + found.rest, length - found.rest)
        }
    }

    /// Direct files, and those read through the page cache where a pool allows for that.
    private static func mayBeSpread(_ fd: Int32, _ facts: iotrap_file_facts) -> Bool {
        if facts.status_flags & OpenFlags.direct != 0 { return true }
        return facts.status_flags & OpenFlags.accessMask == 0
            || process.pointee.poolsServeBuffered
    }

    private static func isCoherent(_ pool: UInt32) -> Bool {
        Pools.pool(pool).pointee.flags & IOTRAP_POOL_COHERENT != 0
    }

    /// The kernel says so of names that are gone.
    private static func isDeleted(_ name: UnsafePointer<CChar>, _ length: Int) -> Bool {
        let mark: StaticString = " (deleted)"
        let count = mark.utf8CodeUnitCount
        guard length > count else { return false }
        for index in 0..<count
        where UInt8(bitPattern: name[length - count + index]) != mark.utf8Start[index] {
            return false
        }
        return true
    }

    private static func claim(
        _ facts: iotrap_file_facts, _ found: (pool: UInt32, home: UInt32, rest: Int),
        _ name: UnsafePointer<CChar>, _ bytes: Int
    ) -> (UInt32, UInt32)? {
        var mask: UInt64 = 0
        iotrap_signals_block(&mask)
        defer { iotrap_signals_restore(&mask) }
        FutexLock.acquire(processLock)
        defer { FutexLock.release(processLock) }
        let flags = facts.status_flags & flagMask
        var free: UInt32?
        for index in 0..<process.pointee.poolFileCount {
            let record = file(index)
            if record.pointee.device == facts.device, record.pointee.inode == facts.inode,
                record.pointee.status_flags == flags, record.pointee.home == found.home,
                record.pointee.pool == found.pool, isNamed(record, name, bytes)
            {
                return (index + 1, record.pointee.generation)
            }
            if isFree(record) && isOlder(record, than: free) { free = index }
        }
        if process.pointee.poolFileCount < IOTRAP_POOL_FILES {
            free = process.pointee.poolFileCount
            process.pointee.poolFileCount += 1
        }
        guard let index = free, isAlone(file(index)) else { return nil }
        fill(file(index), facts, flags, found, name, bytes)
        return (index + 1, file(index).pointee.generation)
    }

    private static func isNamed(
        _ record: File, _ name: UnsafePointer<CChar>, _ bytes: Int
    ) -> Bool {
        guard Int(record.pointee.name_bytes) == bytes else { return false }
        let own = iotrap_pool_file_name(record)
        for index in 0..<bytes where own[index] != name[index] { return false }
        return true
    }

    /// Nobody relies on it, nothing is to be synced, and no sibling is open.
    private static func isFree(_ record: File) -> Bool {
        // acquiring: pairs with `leave`
        usersWord(record).pointee.load(ordering: .acquiring) == 0
            && dirtyWord(record).pointee.load(ordering: .relaxed) == 0
            && syncingWord(record).pointee.load(ordering: .relaxed) == 0
            && lostWord(record).pointee.load(ordering: .relaxed) == 0
            && usableWord(record).pointee.load(ordering: .relaxed)
                == 1 << UInt64(record.pointee.home)
    }

    /// Takes a record from whoever might come to rely on it; false when somebody has.
    private static func isAlone(_ record: File) -> Bool {
        let word = iotrap_pool_file_generation(record).atomic
        let generation = word.pointee.exchange(0, ordering: .sequentiallyConsistent)
        // sequentially consistent: pairs with `enter`, which counts itself before it looks
        if usersWord(record).pointee.load(ordering: .sequentiallyConsistent) == 0 {
            record.pointee.last_generation = generation
            return true
        }
        word.pointee.store(generation, ordering: .sequentiallyConsistent)
        return false
    }

    private static func isOlder(_ record: File, than other: UInt32?) -> Bool {
        guard let other else { return true }
        return record.usedAt < file(other).usedAt
    }

    private static func fill(
        _ record: File, _ facts: iotrap_file_facts, _ flags: UInt32,
        _ found: (pool: UInt32, home: UInt32, rest: Int), _ name: UnsafePointer<CChar>,
        _ bytes: Int
    ) {
        let generation = record.pointee.last_generation &+ 1
        record.pointee.device = facts.device
        record.pointee.inode = facts.inode
        record.pointee.status_flags = flags
        record.pointee.pool = found.pool
        record.pointee.home = found.home
        record.pointee.restricted = 0
        record.pointee.hurry_ns = 0
        record.pointee.readable = 0
        record.pointee.stream_end = 0
        record.provenPaths = 0
        record.homeWrites = 0
        record.pointee.home_lost = 0
        record.pointee.known_size = facts.size
        record.usedAt = iotrap_clock()
        record.pointee.name_bytes = UInt32(bytes)
        let own = iotrap_pool_file_name(record)
        own.update(from: name, count: bytes)
        own[bytes] = 0
        usableWord(record).pointee.store(1 << UInt64(found.home), ordering: .relaxed)
        // releasing: who sees the generation finds the rest
        iotrap_pool_file_generation(record).atomic.pointee.store(
            generation == 0 ? 1 : generation, ordering: .releasing)
    }

    // MARK: - Using

    /// The record that a slot names, if it is still that file's; the caller must `leave` it.
    static func enter(_ index: UInt32, _ generation: UInt32) -> File? {
        guard index > 0, index <= process.pointee.poolFileCount else { return nil }
        let record = file(index - 1)
        usersWord(record).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        // acquiring: pairs with `fill`
        if iotrap_pool_file_generation(record).atomic.pointee.load(
            ordering: .sequentiallyConsistent) == generation, generation != 0
        {
            return record
        }
        leave(record)
        return nil
    }

    static func leave(_ record: File) {
        // releasing: pairs with `isFree`
        usersWord(record).pointee.wrappingSubtract(1, ordering: .releasing)
    }

    @inline(__always)
    static func usersWord(_ record: File) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_pool_file_users(record).atomic
    }

    @inline(__always)
    static func usableWord(_ record: File) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_pool_file_usable(record).atomic
    }

    @inline(__always)
    static func dirtyWord(_ record: File) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_pool_file_dirty(record).atomic
    }

    @inline(__always)
    static func syncingWord(_ record: File) -> UnsafePointer<Atomic<UInt64>> {
        iotrap_pool_file_syncing(record).atomic
    }

    @inline(__always)
    static func lostWord(_ record: File) -> UnsafePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(iotrap_pool_file_lost(record))
            .assumingMemoryBound(to: UInt32.self).atomic
    }

    @inline(__always)
    static func restrictedWord(_ record: File) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_pool_file_restricted(record).atomic
    }

    @inline(__always)
    static func knownSizeWord(_ record: File) -> UnsafePointer<Atomic<UInt64>> {
        UnsafeMutableRawPointer(iotrap_pool_file_known_size(record))
            .assumingMemoryBound(to: UInt64.self).atomic
    }

    /// Calls `body` with every record of a file, whatever it was opened as.
    static func forEach(device: UInt64, inode: UInt64, _ body: (UInt32, File) -> Void) {
        for index in 0..<process.pointee.poolFileCount {
            let record = file(index)
            if record.pointee.device == device, record.pointee.inode == inode {
                body(index, record)
            }
        }
    }
}

/// Words that program threads and the service thread change without a lock; what is lost comes
/// again.
extension UnsafeMutablePointer where Pointee == iotrap_pool_file {
    /// When a request last came.
    var usedAt: UInt64 {
        get { iotrap_pool_file_used_ns(self).atomic.pointee.load(ordering: .relaxed) }
        nonmutating set {
            iotrap_pool_file_used_ns(self).atomic.pointee.store(newValue, ordering: .relaxed)
        }
    }

    /// When the other paths were last asked for.
    var askedAt: UInt64 {
        get { iotrap_pool_file_asked_ns(self).atomic.pointee.load(ordering: .relaxed) }
        nonmutating set {
            iotrap_pool_file_asked_ns(self).atomic.pointee.store(newValue, ordering: .relaxed)
        }
    }

    /// Paths that the file may be written through. The service thread changes it.
    var provenPaths: UInt64 {
        get { iotrap_pool_file_proven(self).atomic.pointee.load(ordering: .relaxed) }
        nonmutating set {
            iotrap_pool_file_proven(self).atomic.pointee.store(newValue, ordering: .relaxed)
        }
    }

    /// Nonzero when the file was written by the program's own descriptor.
    var homeWrites: UInt32 {
        get { iotrap_pool_file_home_writes(self).atomic.pointee.load(ordering: .relaxed) }
        nonmutating set {
            iotrap_pool_file_home_writes(self).atomic.pointee.store(newValue, ordering: .relaxed)
        }
    }
}
