import CIOTrap
import Foundation
import Glibc

@testable import IOTrapStats

/// A process ID that no process can have: beyond the kernel's largest limit of 4194304.
let deadProcessID: Int32 = 2_000_000_000

/// The bytes of a segment, made as the library would.
struct SegmentFixture {
    var bytes: [UInt8]

    private let blocksOffset: Int

    /// A valid segment with empty blocks and empty records of paths.
    init(
        processID: Int32 = getpid(), blocks: Int = 1, program: String = "/usr/bin/program",
        paths: [(pool: String, path: String)] = []
    ) {
        blocksOffset = (4096 + paths.count * MemoryLayout<iotrap_stats_path>.size + 4095) & ~4095
        bytes = [UInt8](
            repeating: 0, count: blocksOffset + blocks * SegmentHeader.blockBytes)
        var header = iotrap_stats_header()
        header.magic = IOTRAP_STATS_MAGIC
        header.version = IOTRAP_STATS_VERSION
        header.header_bytes = UInt32(blocksOffset)
        header.path_count = UInt32(paths.count)
        header.path_bytes = UInt32(MemoryLayout<iotrap_stats_path>.size)
        header.block_bytes = UInt32(SegmentHeader.blockBytes)
        header.block_count = UInt32(blocks)
        header.operation_count = IOTRAP_OP_COUNT.rawValue
        header.technique_count = IOTRAP_TECHNIQUE_COUNT.rawValue
        header.reason_count = IOTRAP_REASON_COUNT.rawValue
        header.bucket_count = IOTRAP_STATS_BUCKETS
        header.process_id = UInt32(processID)
        header.mode = IOTRAP_MODE_AUTO.rawValue
        header.technique_settings.0 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
        header.technique_settings.1 = UInt8(IOTRAP_SETTING_ON.rawValue)
        header.technique_settings.3 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
        header.technique_settings.4 = UInt8(IOTRAP_SETTING_ON.rawValue)
        header.started_ns = clockNanoseconds(CLOCK_MONOTONIC)
        header.started_realtime_ns = clockNanoseconds(CLOCK_REALTIME)
        withUnsafeMutableBytes(of: &header.program) { field in
            field.copyBytes(from: program.utf8.prefix(255))
        }
        setHeader { $0 = header }
        for (index, names) in paths.enumerated() {
            setPath(index) { record in
                withUnsafeMutableBytes(of: &record.pool) { $0.copyBytes(from: names.pool.utf8) }
                withUnsafeMutableBytes(of: &record.path) { $0.copyBytes(from: names.path.utf8) }
            }
        }
    }

    /// Where the record of a path begins.
    static func pathOffset(_ index: Int) -> Int {
        4096 + index * MemoryLayout<iotrap_stats_path>.size
    }

    /// Changes the record of a path in place.
    mutating func setPath(_ index: Int, _ change: (inout iotrap_stats_path) -> Void) {
        bytes.withUnsafeMutableBytes { raw in
            let record = raw.baseAddress! + Self.pathOffset(index)
            change(&record.assumingMemoryBound(to: iotrap_stats_path.self).pointee)
        }
    }

    /// Changes the header in place.
    mutating func setHeader(_ change: (inout iotrap_stats_header) -> Void) {
        bytes.withUnsafeMutableBytes { raw in
            change(&raw.assumingMemoryBound(to: iotrap_stats_header.self)[0])
        }
    }

    /// Changes a thread block in place.
    mutating func setBlock(_ index: Int, _ change: (inout iotrap_stats_block) -> Void) {
        bytes.withUnsafeMutableBytes { raw in
            let block = raw.baseAddress! + blocksOffset + index * SegmentHeader.blockBytes
            change(&block.assumingMemoryBound(to: iotrap_stats_block.self).pointee)
        }
    }

    /// Writes the segment as the file of its process, readable by its owner only.
    @discardableResult
    func write(to directory: borrowing TemporaryDirectory, name: String) throws -> String {
        let path = directory.path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        chmod(path, 0o600)
        return path
    }
}

/// A directory of the test's own, removed afterwards.
struct TemporaryDirectory: ~Copyable {
    let path: String

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/iotrap-test-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw POSIXError(.EIO) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// Random numbers that are the same in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
