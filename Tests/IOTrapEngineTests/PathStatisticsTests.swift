import CIOTrap
import CIOTrapEngine
import Foundation
import Testing

@testable import IOTrapEngine

/// A segment with records of paths, in a process of its own: an exit test's.
private struct PathSegment {
    let directory: String

    /// Sets up pools, each a name and its paths, and a directory for the segment. Nothing is
    /// started.
    init(in directory: String, _ pools: [(name: String, paths: [String])]) {
        self.directory = directory
        process.pointee.statsWanted = true
        let fits = process.pointee.statsDirectory.assign(directory)
        #expect(fits)
        if pools.isEmpty { return }
        let table = iotrap_pages(MemoryLayout<iotrap_pool_table>.size, 0)!
            .assumingMemoryBound(to: iotrap_pool_table.self)
        for (name, paths) in pools {
            let pool = iotrap_pool_entry(table, table.pointee.pool_count)
            strcpy(iotrap_pool_name(pool), name)
            pool.pointee.first_path = table.pointee.path_count
            pool.pointee.path_count = UInt32(paths.count)
            table.pointee.pool_count += 1
            for path in paths {
                let definition = iotrap_pool_path_entry(table, table.pointee.path_count)
                strcpy(iotrap_pool_path_text(definition), path)
                definition.pointee.length = UInt32(path.utf8.count)
                table.pointee.path_count += 1
            }
        }
        process.pointee.pools = table
    }

    var content: Data {
        FileManager.default.contents(atPath: "\(directory)/\(getpid())") ?? Data()
    }

    var header: iotrap_stats_header {
        content.withUnsafeBytes { $0.loadUnaligned(as: iotrap_stats_header.self) }
    }

    /// A record as the file holds it.
    func record(_ index: Int) -> iotrap_stats_path {
        content.withUnsafeBytes {
            $0.loadUnaligned(
                fromByteOffset: 4096 + index * MemoryLayout<iotrap_stats_path>.stride,
                as: iotrap_stats_path.self)
        }
    }

    func names(_ index: Int) -> [String] {
        var record = record(index)
        return [
            String(cString: iotrap_stats_path_pool(&record)),
            String(cString: iotrap_stats_path_text(&record)),
        ]
    }
}

/// What statistics of paths there are, each time in a process that counts nothing else.
@Suite struct PathStatisticsTests {
    /// A directory for the segment, in memory as the usual one is.
    private func scratch() -> String {
        var template = Array("/dev/shm/iotrap-paths-XXXXXX".utf8CString)
        return String(cString: mkdtemp(&template)!)
    }

    @Test func recordsLieBetweenHeaderAndBlocks() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let segment = PathSegment(
                in: directory,
                [("hana", ["/mnt/a", "/mnt/b"]), (String(repeating: "n", count: 31), ["/mnt/c"])])
            #expect(PathStatistics.record(0) == nil)
            #expect(Segment.claimBlock(threadID: 77) == 0)
            let header = segment.header
            #expect(header.version == 3 && header.path_count == 3)
            #expect(header.path_bytes == 9104 && header.header_bytes == 8 * 4096)
            #expect(segment.names(0) == ["hana", "/mnt/a"])
            #expect(segment.names(1) == ["hana", "/mnt/b"])
            #expect(segment.names(2) == [String(repeating: "n", count: 31), "/mnt/c"])
            #expect(PathStatistics.record(2) != nil && PathStatistics.record(3) == nil)
            // The thread of the first block, and of the first in the second group of 64.
            for index in 1...64 { #expect(Segment.claimBlock(threadID: 100) == UInt32(index)) }
            Segment.block(64)?.pointee.thread_id = 4711
            for (index, threadID) in [(0, 77), (64, 4711)] as [(Int, UInt32)] {
                let offset = 8 * 4096 + index * Segment.blockBytes
                let content = segment.content
                #expect(content.count >= 8 * 4096 + 128 * Segment.blockBytes)
                #expect(
                    content.withUnsafeBytes {
                        $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    } == threadID)
            }
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func withoutPoolsTheHeaderIsOnePage() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let segment = PathSegment(in: directory, [])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            #expect(segment.header.path_count == 0 && segment.header.header_bytes == 4096)
            #expect(segment.header.path_bytes == 9104)
            PathStatistics.sync(0, failed: false)
            #expect(PathStatistics.record(0) == nil)
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func allRecordsHaveMemoryFromTheStart() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let paths = (0..<Int(IOTRAP_POOL_PATHS_MAX)).map { "/mnt/\($0)" }
            let segment = PathSegment(in: directory, [("one", paths), ("two", paths)])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            let header = segment.header
            #expect(header.path_count == IOTRAP_STATS_PATHS_MAX)
            var status = stat()
            #expect(stat("\(directory)/\(getpid())", &status) == 0)
            #expect(status.st_blocks * 512 >= Int(header.header_bytes))
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func longPathsLoseTheirFront() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let whole = "/" + String(repeating: "w", count: 222)
            let cutAtSlash = "/a/" + String(repeating: "s", count: 222)
            // The cut goes through the second of its two bytes.
            let cutInside = "/abü" + String(repeating: "u", count: 222)
            let segment = PathSegment(in: directory, [("p", [whole, cutAtSlash, cutInside])])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            #expect(segment.names(0)[1] == whole)
            #expect(segment.names(1)[1] == String(repeating: "s", count: 222))
            #expect(segment.names(2)[1] == String(repeating: "u", count: 222))
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func everyNumberGoesToItsPathAndPlace() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let segment = PathSegment(in: directory, [("p", ["/a", "/b"])])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            for nanoseconds: UInt64 in [1000, 500, 70] {
                PathStatistics.transfer(
                    1, writes: nanoseconds == 70, bytes: nanoseconds * 2,
                    nanoseconds: nanoseconds, failed: false)
            }
            PathStatistics.transfer(1, writes: true, bytes: 9, nanoseconds: 9, failed: true)
            for index in 0..<5 { PathStatistics.sync(1, failed: index == 0) }
            for _ in 0..<6 { PathStatistics.reissued(1) }
            for _ in 0..<7 { PathStatistics.ejected(1) }
            for _ in 0..<8 { PathStatistics.returned(1) }
            for index in 0..<12 { PathStatistics.hedged(1, won: index < 3) }
            PathStatistics.set(
                1, state: IOTRAP_PATH_EJECTED, files: 10, inFlightBytes: 11, windowBytes: 12,
                rateBytes: 13, latencyNanoseconds: 14)
            // No path's.
            PathStatistics.sync(2, failed: true)
            PathStatistics.transfer(.max, writes: true, bytes: 1, nanoseconds: 1, failed: false)

            var record = segment.record(1)
            #expect(record.requests == 4 && record.errors == 2)
            #expect(record.read_bytes == 3000 && record.write_bytes == 140)
            #expect(record.syncs == 5 && record.reissued == 6)
            #expect(record.ejections == 7 && record.returns == 8)
            #expect(record.hedges == 9 && record.hedges_won == 3)
            #expect(record.state == IOTRAP_PATH_EJECTED.rawValue && record.files == 10)
            #expect(record.in_flight_bytes == 11 && record.window_bytes == 12)
            #expect(record.rate_bytes == 13 && record.latency_ns == 14)
            #expect(record.latency.count == 3 && record.latency.sum_ns == 1570)
            #expect(record.latency.max_ns == 1000)
            let latency = iotrap_stats_path_latency(&record)
            let filled = (0..<IOTRAP_STATS_BUCKETS).filter {
                iotrap_histogram_bucket(latency, $0).pointee == 1
            }
            #expect(
                filled.map(Int.init)
                    == [70, 500, 1000].map { HistogramBuckets.index(of: $0) })
            let other = segment.record(0)
            #expect(other.requests == 0 && other.errors == 0 && other.syncs == 0)
            #expect(other.files == 0 && other.latency.count == 0)
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func threadsCountAtOnceAndLoseNothing() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let segment = PathSegment(in: directory, [("p", ["/a"])])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            DispatchQueue.concurrentPerform(iterations: 4) { thread in
                for index: UInt64 in 0..<20_000 {
                    PathStatistics.transfer(
                        0, writes: thread % 2 == 0, bytes: 1,
                        nanoseconds: index * 4 + UInt64(thread), failed: false)
                }
                // Long enough for all of them to be at it at the same time.
                for _ in 0..<1_000_000 { PathStatistics.reissued(0) }
            }
            let record = segment.record(0)
            #expect(record.reissued == 4_000_000)
            #expect(record.requests == 80_000 && record.latency.count == 80_000)
            #expect(record.read_bytes == 40_000 && record.write_bytes == 40_000)
            #expect(record.latency.sum_ns == 79_999 * 40_000)
            #expect(record.latency.max_ns == 79_999)
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func aForkedChildCountsInASegmentOfItsOwn() async {
        let directory = scratch()
        await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let segment = PathSegment(in: directory, [("p", ["/a"])])
            #expect(Segment.claimBlock(threadID: 1) == 0)
            PathStatistics.reissued(0)
            let old = PathStatistics.record(0)
            // What a child does first. It finds no memory where its parent's records are.
            Segment.forget()
            #expect(PathStatistics.record(0) == nil)
            PathStatistics.reissued(0)
            #expect(old?.pointee.reissued == 1)
            #expect(Segment.claimBlock(threadID: 1) == 0)
            PathStatistics.reissued(0)
            PathStatistics.reissued(0)
            #expect(old?.pointee.reissued == 1)
            #expect(segment.record(0).reissued == 2)
            #expect(segment.names(0) == ["p", "/a"])
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
