import CIOTrap
import CIOTrapEngine
import Synchronization

/// The mount pools of the process: which there are, and how their paths are doing as far as the
/// program's threads need to know.
///
/// A *path* is one mount of a pool's storage; its index is that of the table's `paths`, in which
/// the paths of a pool stand one after the other. Bits in masks are paths of one pool.
enum Pools {
    typealias Pool = UnsafeMutablePointer<iotrap_pool_definition>

    @inline(__always)
    static var areActive: Bool { iotrap_pools_active_word().pointee != 0 }

    /// Prepares what is configured. Called once, at start, before any thread is served.
    static func start() {
        let state = process
        let setting = state.pointee.configuration.setting(IOTRAP_TECHNIQUE_MOUNT_POOL.rawValue)
        guard let table = state.pointee.pools, state.pointee.configuration.usesRing,
            setting != IOTRAP_SETTING_OFF.rawValue, hasChoice(table)
        else { return }
        let words = MemoryLayout<iotrap_path_words>.stride * Int(IOTRAP_POOL_PATHS_TOTAL)
        let files = MemoryLayout<iotrap_pool_file>.stride * Int(IOTRAP_POOL_FILES)
        guard let wordPages = iotrap_pages(words, 0), let filePages = iotrap_pages(files, 0)
        else { return }
        state.pointee.pathWords = wordPages.assumingMemoryBound(to: iotrap_path_words.self)
        state.pointee.poolFiles = filePages.assumingMemoryBound(to: iotrap_pool_file.self)
        for index in 0..<table.pointee.path_count {
            resolve(iotrap_pool_path_entry(table, index))
        }
        for index in 0..<table.pointee.pool_count
        where iotrap_pool_entry(table, index).pointee.flags & IOTRAP_POOL_COHERENT != 0 {
            state.pointee.poolsServeBuffered = true
        }
        iotrap_pools_active_word().pointee = 1
    }

    private static func hasChoice(_ table: UnsafeMutablePointer<iotrap_pool_table>) -> Bool {
        for index in 0..<table.pointee.pool_count
        where iotrap_pool_entry(table, index).pointee.path_count > 1 { return true }
        return false
    }

    /// Replaces symbolic links on the way to a path, once: the names of open files have none.
    private static func resolve(_ path: UnsafeMutablePointer<iotrap_pool_path_definition>) {
        let text = iotrap_pool_path_text(path)
        let bytes = Int(IOTRAP_POOL_PATH_BYTES)
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes) { buffer in
            guard let base = buffer.baseAddress else { return }
            let length = iotrap_canonical_path(text, base, IOTRAP_POOL_PATH_BYTES)
            guard length > 0 else { return }
            text.update(from: base, count: Int(length) + 1)
            path.pointee.length = UInt32(length)
        }
    }

    /// In a forked child: no request and no sibling of the parent's is here, but what the parent
    /// wrote through other paths is still to be synced.
    static func forget() {
        guard areActive else { return }
        for index in 0..<IOTRAP_POOL_PATHS_TOTAL {
            words(index).pointee.plain_in_flight = 0
            words(index).pointee.state = IOTRAP_PATH_UNUSED.rawValue
        }
        for index in 0..<process.pointee.poolFileCount {
            let file = PoolFiles.file(index)
            file.pointee.users = 0
            file.pointee.dirty |= file.pointee.syncing
            file.pointee.syncing = 0
            file.pointee.usable = 1 << UInt64(file.pointee.home)
        }
    }

    // MARK: - Looking up

    @inline(__always)
    static func pool(_ index: UInt32) -> Pool { iotrap_pool_entry(process.pointee.pools!, index) }

    @inline(__always)
    static func words(_ path: UInt32) -> UnsafeMutablePointer<iotrap_path_words> {
        process.pointee.pathWords! + Int(path)
    }

    @inline(__always)
    static func stateWord(_ path: UInt32) -> UnsafePointer<Atomic<UInt32>> {
        iotrap_path_words_state(words(path)).atomic
    }

    /// True for a path that is neither stalled nor ejected.
    @inline(__always)
    static func isUp(_ path: UInt32) -> Bool {
        stateWord(path).pointee.load(ordering: .relaxed) <= IOTRAP_PATH_UP.rawValue
    }

    /// Finds the pool that a name belongs to: its index, the path's index within it, and where the
    /// rest of the name begins. The longest match counts.
    static func match(
        _ name: UnsafePointer<CChar>, length: Int
    ) -> (pool: UInt32, home: UInt32, rest: Int)? {
        guard let table = process.pointee.pools else { return nil }
        var best: (pool: UInt32, home: UInt32, rest: Int)?
        for index in 0..<table.pointee.pool_count {
            let pool = iotrap_pool_entry(table, index)
            guard pool.pointee.path_count > 1 else { continue }
            for number in 0..<pool.pointee.path_count {
                let path = iotrap_pool_path_entry(table, pool.pointee.first_path + number)
                let count = Int(path.pointee.length)
                guard count + 1 < length, count + 1 > best?.rest ?? 0,
                    name[count] == CChar(UInt8(ascii: "/")),
                    isPrefix(iotrap_pool_path_text(path), name, count)
                else { continue }
                best = (index, number, count + 1)
            }
        }
        return best
    }

    private static func isPrefix(
        _ prefix: UnsafePointer<CChar>, _ text: UnsafePointer<CChar>, _ count: Int
    ) -> Bool {
        for index in 0..<count where prefix[index] != text[index] { return false }
        return true
    }
}
