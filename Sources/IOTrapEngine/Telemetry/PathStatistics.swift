import CIOTrap
import CIOTrapEngine
import Synchronization

/// Counting by path of the mount pools, in the records behind the segment's header.
///
/// Several threads write to a record, so every change is an atomic one. All of them are relaxed:
/// a reader sees whole numbers, and expects no order between them. Paths are named by their index
/// in the table of pools. Without a segment, or before the first thread's block is made, nothing
/// is counted.
enum PathStatistics {
    /// The record of a path.
    ///
    /// For threads that have claimed a block, or tried to: the lock that they held then orders
    /// this plain load after the store in `Segment.create`.
    @inline(__always)
    static func record(_ path: UInt32) -> UnsafeMutablePointer<iotrap_stats_path>? {
        guard let paths = process.pointee.segment.paths, path < process.pointee.segment.pathCount
        else { return nil }
        return paths + Int(path)
    }

    // MARK: - What happens to requests

    /// Notes the end of a read or write on a path. One that failed has neither bytes nor a
    /// latency: a path that refuses at once must not look like a fast one.
    static func transfer(
        _ path: UInt32, writes: Bool, bytes: UInt64, nanoseconds: UInt64, failed: Bool
    ) {
        guard let record = record(path) else { return }
        add(iotrap_stats_path_requests(record))
        if failed {
            add(iotrap_stats_path_errors(record))
            return
        }
        add(
            writes ? iotrap_stats_path_write_bytes(record) : iotrap_stats_path_read_bytes(record),
            bytes)
        latency(iotrap_stats_path_latency(record), nanoseconds)
    }

    /// Notes the end of a sync on a path.
    static func sync(_ path: UInt32, failed: Bool) {
        guard let record = record(path) else { return }
        add(iotrap_stats_path_syncs(record))
        if failed { add(iotrap_stats_path_errors(record)) }
    }

    /// A request of this path is sent again on another.
    static func reissued(_ path: UInt32) {
        guard let record = record(path) else { return }
        add(iotrap_stats_path_reissued(record))
    }

    /// A path is taken out.
    static func ejected(_ path: UInt32) {
        guard let record = record(path) else { return }
        add(iotrap_stats_path_ejections(record))
    }

    /// A path comes back.
    static func returned(_ path: UInt32) {
        guard let record = record(path) else { return }
        add(iotrap_stats_path_returns(record))
    }

    /// A slow read of this path is sent again on another; with `won`, one that was noted before as
    /// sent has been answered there first.
    static func hedged(_ path: UInt32, won: Bool) {
        guard let record = record(path) else { return }
        add(won ? iotrap_stats_path_hedges_won(record) : iotrap_stats_path_hedges(record))
    }

    // MARK: - How a path is doing

    /// Shows how a path is doing now. One thread at a time calls this.
    static func set(
        _ path: UInt32, state: iotrap_path_state, files: UInt32, inFlightBytes: UInt64,
        windowBytes: UInt64, rateBytes: UInt64, latencyNanoseconds: UInt64
    ) {
        guard let record = record(path) else { return }
        store(iotrap_stats_path_state(record), state.rawValue)
        store(iotrap_stats_path_files(record), files)
        store(iotrap_stats_path_in_flight_bytes(record), inFlightBytes)
        store(iotrap_stats_path_window_bytes(record), windowBytes)
        store(iotrap_stats_path_rate_bytes(record), rateBytes)
        store(iotrap_stats_path_latency_ns(record), latencyNanoseconds)
    }

    @inline(__always)
    private static func add(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64 = 1) {
        word.atomic.pointee.wrappingAdd(value, ordering: .relaxed)
    }

    @inline(__always)
    private static func store(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) {
        word.atomic.pointee.store(value, ordering: .relaxed)
    }

    @inline(__always)
    private static func store(_ word: UnsafeMutablePointer<UInt32>, _ value: UInt32) {
        word.atomic.pointee.store(value, ordering: .relaxed)
    }

    private static func latency(
        _ histogram: UnsafeMutablePointer<iotrap_stats_histogram>, _ nanoseconds: UInt64
    ) {
        add(iotrap_stats_histogram_count(histogram))
        add(iotrap_stats_histogram_sum_ns(histogram), nanoseconds)
        // Seldom a new one: a load is cheaper than finding that out with the line held.
        let longest = iotrap_stats_histogram_max_ns(histogram).atomic
        if nanoseconds > longest.pointee.load(ordering: .relaxed) {
            longest.pointee.max(nanoseconds, ordering: .relaxed)
        }
        let index = UInt32(truncatingIfNeeded: HistogramBuckets.index(of: nanoseconds))
        add(iotrap_histogram_bucket(histogram, index))
    }

    // MARK: - Making

    /// Paths that a segment made now has records for.
    static var configuredCount: UInt32 {
        guard let pools = process.pointee.pools else { return 0 }
        return min(pools.pointee.path_count, IOTRAP_STATS_PATHS_MAX)
    }

    /// Writes the names of pools and paths into new records.
    static func name(_ records: UnsafeMutablePointer<iotrap_stats_path>, count: UInt32) {
        guard let pools = process.pointee.pools else { return }
        for index in 0..<min(pools.pointee.pool_count, IOTRAP_POOLS_MAX) {
            let pool = iotrap_pool_entry(pools, index)
            let first = pool.pointee.first_path
            for path in first..<max(first, min(first &+ pool.pointee.path_count, count)) {
                let record = records + Int(path)
                copy(
                    iotrap_pool_name(pool), to: iotrap_stats_path_pool(record),
                    bytes: MemoryLayout.size(ofValue: record.pointee.pool))
                let definition = iotrap_pool_path_entry(pools, path)
                copy(
                    iotrap_pool_path_text(definition), to: iotrap_stats_path_text(record),
                    bytes: MemoryLayout.size(ofValue: record.pointee.path))
            }
        }
    }

    /// Copies a text into a zeroed field. A long one loses its front: the end tells paths apart.
    /// What is left begins with a whole character that is no slash, so that it does not pass for
    /// an absolute path.
    private static func copy(
        _ text: UnsafePointer<CChar>, to field: UnsafeMutablePointer<CChar>, bytes: Int
    ) {
        var length = 0
        while text[length] != 0 { length += 1 }
        var start = 0
        if length >= bytes {
            start = length - bytes + 1
            while start < length,
                text[start] == CChar(bitPattern: UInt8(ascii: "/"))
                    || UInt8(bitPattern: text[start]) & 0xc0 == 0x80
            {
                start += 1
            }
        }
        for index in start..<length { field[index - start] = text[index] }
    }
}
