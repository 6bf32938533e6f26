import CIOTrap
import CIOTrapEngine
import Synchronization

/// The process's statistics segment, as far as this process has it mapped.
struct SegmentState {
    var header: UnsafeMutablePointer<iotrap_stats_header>?
    /// Records of the paths of mount pools, behind the header; nil without any.
    var paths: UnsafeMutablePointer<iotrap_stats_path>?
    var pathCount: UInt32
    /// Mapped groups of blocks; a group is never unmapped.
    var groups: InlineArray<64, UInt>
    var processID: Int32
    var hasWholeBlocks: Bool
    /// No segment can be made here: not tried again.
    var isRefused: Bool
}

/// Makes and grows the segment: see iotrap_stats.h for its layout. Blocks are mapped 64 at a time
/// and get memory one by one, so that a thread made after the program gave up its privileges
/// still finds one without opening a file. The caller holds the process lock.
enum Segment {
    static let groupBlocks: UInt32 = 64
    static var blockBytes: Int { (MemoryLayout<iotrap_stats_block>.stride + 4095) & ~4095 }
    /// Reasons, operations and techniques, without the histograms.
    static var countersBytes: Int {
        (Int(iotrap_block_counters_bytes()) + 4095) & ~4095
    }
    static var groupBytes: Int { blockBytes * Int(groupBlocks) }

    /// What comes before the blocks: the header and the records of paths.
    private static var headerBytes: Int {
        let paths = Int(state.pointee.pathCount) * MemoryLayout<iotrap_stats_path>.stride
        return (Int(IOTRAP_STATS_HEADER_BYTES) + paths + 4095) & ~4095
    }

    private static var state: UnsafeMutablePointer<SegmentState> {
        address(of: &process.pointee.segment)
    }

    /// Claims a block for a thread: its index, or nil when there is none to be had.
    static func claimBlock(threadID: UInt32) -> UInt32? {
        guard process.pointee.statsWanted, !state.pointee.isRefused else { return nil }
        if state.pointee.header == nil, !create() {
            state.pointee.isRefused = true
            return nil
        }
        guard let header = state.pointee.header else { return nil }
        let count = header.pointee.block_count
        // acquiring: pairs with `releaseBlock`, whose thread's counts come first
        for index in 0..<count
        where iotrap_block_owner(index).atomic.pointee.load(ordering: .acquiring) == 0 {
            iotrap_block_owner(index).atomic.pointee.store(threadID, ordering: .relaxed)
            block(index)?.pointee.thread_id = threadID
            return index
        }
        guard count < IOTRAP_STATS_BLOCKS_MAX, ensureBlock(count) else {
            header.pointee.threads_uncounted &+= 1
            return nil
        }
        iotrap_block_owner(count).atomic.pointee.store(threadID, ordering: .relaxed)
        block(count)?.pointee.thread_id = threadID
        // releasing: a reader that sees the count finds the block's memory behind it
        address(of: &header.pointee.block_count).atomic.pointee.store(
            count + 1, ordering: .releasing)
        return count
    }

    /// The address of a mapped block.
    static func block(_ index: UInt32) -> UnsafeMutablePointer<iotrap_stats_block>? {
        let base = state.pointee.groups[Int(index / groupBlocks)]
        guard base != 0 else { return nil }
        return UnsafeMutableRawPointer(bitPattern: base)!.advanced(
            by: Int(index % groupBlocks) * blockBytes
        ).assumingMemoryBound(to: iotrap_stats_block.self)
    }

    /// Gives a block back. Its counts stay: the next owner goes on from them.
    static func releaseBlock(_ index: UInt32) {
        block(index)?.pointee.thread_id = 0
        // releasing: pairs with the claim, which reads under the process lock
        iotrap_block_owner(index).atomic.pointee.store(0, ordering: .releasing)
    }

    /// Notes what became of io_uring.
    static func setRing(_ ring: UInt32, _ error: UInt32) {
        guard let header = state.pointee.header else { return }
        // Several threads may find out at once.
        address(of: &header.pointee.ring_errno).atomic.pointee.store(error, ordering: .relaxed)
        address(of: &header.pointee.ring).atomic.pointee.store(ring, ordering: .relaxed)
    }

    /// The process ends: the segment goes, or says goodbye if it is to stay.
    static func finish() {
        guard let header = state.pointee.header,
            state.pointee.processID == iotrap_process_id()
        else { return }
        header.pointee.ended_ns = iotrap_clock()
        header.pointee.flags |= IOTRAP_STATS_FLAG_ENDED
        if process.pointee.statsKept { return }
        withDirectory { directory, name in
            iotrap_remove_file(directory, name)
            return 0
        }
    }

    /// A child after fork: the parent's segment is not mapped here and must be forgotten.
    static func forget() {
        state.pointee.header = nil
        state.pointee.paths = nil
        state.pointee.groups = InlineArray(repeating: 0)
        state.pointee.isRefused = false
        for index in 0..<IOTRAP_STATS_BLOCKS_MAX { iotrap_block_owner(index).pointee = 0 }
    }

    // MARK: - Making

    private static func create() -> Bool {
        state.pointee.processID = iotrap_process_id()
        state.pointee.pathCount = PathStatistics.configuredCount
        let bytes = headerBytes + groupBytes
        let fd = withDirectory { iotrap_private_file($0, $1, Int64(bytes)) }
        guard fd >= 0 else {
            Log.line("no statistics: the segment cannot be made, error ", decimal: UInt64(-fd))
            return false
        }
        defer { iotrap_close_raw(fd) }
        guard let page = iotrap_map_shared(fd, 0, headerBytes),
            iotrap_reserve(page, headerBytes, fd, 0) == 0,
            mapGroup(0, fd)
        else {
            withDirectory {
                iotrap_remove_file($0, $1)
                return 0
            }
            return false
        }
        let header = page.assumingMemoryBound(to: iotrap_stats_header.self)
        if state.pointee.pathCount > 0 {
            let paths = page.advanced(by: Int(IOTRAP_STATS_HEADER_BYTES))
                .assumingMemoryBound(to: iotrap_stats_path.self)
            PathStatistics.name(paths, count: state.pointee.pathCount)
            state.pointee.paths = paths
        }
        fill(header)
        state.pointee.header = header
        return true
    }

    private static func fill(_ header: UnsafeMutablePointer<iotrap_stats_header>) {
        header.pointee.version = IOTRAP_STATS_VERSION
        header.pointee.header_bytes = UInt32(headerBytes)
        header.pointee.path_count = state.pointee.pathCount
        header.pointee.path_bytes = UInt32(MemoryLayout<iotrap_stats_path>.stride)
        header.pointee.block_bytes = UInt32(blockBytes)
        header.pointee.operation_count = IOTRAP_OP_COUNT.rawValue
        header.pointee.technique_count = IOTRAP_TECHNIQUE_COUNT.rawValue
        header.pointee.reason_count = IOTRAP_REASON_COUNT.rawValue
        header.pointee.bucket_count = IOTRAP_STATS_BUCKETS
        header.pointee.process_id = UInt32(state.pointee.processID)
        header.pointee.flags = process.pointee.statsKept ? IOTRAP_STATS_FLAG_KEEP : 0
        let configuration = process.pointee.configuration
        header.pointee.mode = configuration.mode
        withUnsafeMutableBytes(of: &header.pointee.technique_settings) { settings in
            for technique in 0..<IOTRAP_TECHNIQUE_COUNT.rawValue {
                settings[Int(technique)] = UInt8(configuration.setting(technique))
            }
        }
        header.pointee.started_realtime_ns = iotrap_clock_realtime()
        header.pointee.started_ns = iotrap_clock()
        UnsafeMutableRawPointer(address(of: &header.pointee.program))
            .withMemoryRebound(to: CChar.self, capacity: 256) { iotrap_program_path($0, 256) }
        // releasing: whoever sees the magic number sees the rest
        address(of: &header.pointee.magic).atomic.pointee.store(
            IOTRAP_STATS_MAGIC, ordering: .releasing)
    }

    /// Makes sure that the block's counters have memory behind them. A histogram gets its own when
    /// it is first used, so that a thread that makes one kind of call does not pay for all kinds;
    /// on kernels that cannot do that (before 5.14) the whole block is allocated in the file here.
    private static func ensureBlock(_ index: UInt32) -> Bool {
        let group = index / groupBlocks
        let offset = Int64(headerBytes) + Int64(index) * Int64(blockBytes)
        if let block = block(index) {
            if iotrap_reserve(block, countersBytes, -1, 0) == 0 { return true }
        }
        let fd = withDirectory { iotrap_private_file_again($0, $1) }
        guard fd >= 0 else { return false }
        defer { iotrap_close_raw(fd) }
        if block(index) == nil {
            let end = Int64(headerBytes) + Int64(group + 1) * Int64(groupBytes)
            guard iotrap_grow_file(fd, end) == 0, mapGroup(group, fd) else { return false }
        }
        guard let block = block(index) else { return false }
        if iotrap_reserve(block, countersBytes, -1, 0) == 0 { return true }
        guard iotrap_reserve(block, blockBytes, fd, offset) == 0 else { return false }
        state.pointee.hasWholeBlocks = true
        return true
    }

    /// True when every histogram of every block has its memory from the start.
    static var hasWholeBlocks: Bool { state.pointee.hasWholeBlocks }

    private static func mapGroup(_ group: UInt32, _ fd: Int32) -> Bool {
        let offset = Int64(headerBytes) + Int64(group) * Int64(groupBytes)
        guard let base = iotrap_map_shared(fd, offset, groupBytes) else { return false }
        state.pointee.groups[Int(group)] = UInt(bitPattern: base)
        return true
    }

    /// Calls `body` with the segment directory and this process's file name in it.
    @discardableResult
    private static func withDirectory(
        _ body: (Int32, UnsafePointer<CChar>) -> Int32
    ) -> Int32 {
        let opened = process.pointee.statsDirectory.withAddress {
            Int(iotrap_private_directory(UnsafePointer(bitPattern: $0)!))
        }
        let directory = Int32(opened)
        guard directory >= 0 else { return directory }
        var name = PathBuffer()
        _ = name.append(decimal: UInt64(state.pointee.processID))
        let result = name.withAddress { Int(body(directory, UnsafePointer(bitPattern: $0)!)) }
        iotrap_close_raw(directory)
        return Int32(result)
    }
}
