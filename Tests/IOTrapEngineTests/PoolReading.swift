import CIOTrapEngine

@testable import IOTrapEngine

/// A table of pools as tests see it.
final class PoolReading {
    struct Pool: Equatable {
        var name: String
        var paths: [String]
        var weights: [UInt32]
        var primary: UInt32 = 0
        var flags: UInt32 = 0
        var chunkBytes: UInt64 = 1 << 20
        var answerWithinNanoseconds: UInt64 = 1_000_000_000
        var hedgeTenths: UInt32 = 0
        var protect: UInt32 = 2

        init(_ name: String, _ paths: [String]) {
            self.name = name
            self.paths = paths
            weights = paths.map { _ in 1 }
        }
    }

    let table = UnsafeMutablePointer<iotrap_pool_table>.allocate(capacity: 1)

    init() {
        // Nothing may depend on what was there before.
        UnsafeMutableRawPointer(table).initializeMemory(
            as: UInt8.self, repeating: 0xa5, count: MemoryLayout<iotrap_pool_table>.size)
        empty()
    }

    func empty() {
        table.pointee.pool_count = 0
        table.pointee.path_count = 0
    }

    deinit { table.deallocate() }

    /// Reads a list on top of what is there.
    func list(_ text: String) throws(PoolError) {
        try read(Array(text.utf8)) { parser, bytes throws(PoolError) in
            try parser.parseList(bytes)
        }
    }

    /// Reads a file.
    func file(_ text: String) throws(PoolError) -> Configuration {
        var configuration = Configuration()
        try file(Array(text.utf8), &configuration)
        return configuration
    }

    func file(_ bytes: [UInt8], _ configuration: inout Configuration) throws(PoolError) {
        try read(bytes) { parser, bytes throws(PoolError) in
            try parser.parseFile(bytes, configuration: &configuration)
        }
    }

    /// The bytes are copied to memory of exactly their size, for the address sanitizer.
    private func read(
        _ bytes: [UInt8],
        _ body: (PoolParser, UnsafeBufferPointer<UInt8>) throws(PoolError) -> Void
    ) throws(PoolError) {
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
        defer { copy.deallocate() }
        copy.initialize(from: bytes, count: bytes.count)
        try body(PoolParser(table), UnsafeBufferPointer(start: copy, count: bytes.count))
    }

    var pools: [Pool] {
        (0..<table.pointee.pool_count).map { index in
            let entry = iotrap_pool_entry(table, index)
            let paths = (0..<entry.pointee.path_count).map {
                iotrap_pool_path_entry(table, entry.pointee.first_path + $0)
            }
            var pool = Pool(
                String(cString: iotrap_pool_name(entry)),
                paths.map { String(cString: iotrap_pool_path_text($0)) })
            pool.weights = paths.map(\.pointee.weight)
            pool.primary = entry.pointee.primary
            pool.flags = entry.pointee.flags
            pool.chunkBytes = entry.pointee.chunk_bytes
            pool.answerWithinNanoseconds = entry.pointee.answer_within_ns
            pool.hedgeTenths = entry.pointee.hedge_tenths
            pool.protect = entry.pointee.protect
            return pool
        }
    }

    /// What holds of every table that was read without an error.
    var isSound: Bool {
        let total = table.pointee.path_count
        guard table.pointee.pool_count <= IOTRAP_POOLS_MAX, total <= IOTRAP_POOL_PATHS_TOTAL
        else { return false }
        var next: UInt32 = 0
        for index in 0..<table.pointee.pool_count {
            let pool = iotrap_pool_entry(table, index).pointee
            guard pool.first_path == next, pool.path_count > 0, pool.primary < pool.path_count,
                pool.chunk_bytes % 4096 == 0, pool.chunk_bytes >= 65536,
                pool.chunk_bytes <= 16 << 20, pool.protect <= 2,
                pool.hedge_tenths == 0 || (500...999).contains(pool.hedge_tenths)
            else { return false }
            next += pool.path_count
        }
        return next == total
            && (0..<total).allSatisfy { index in
                let entry = iotrap_pool_path_entry(table, index)
                let text = String(cString: iotrap_pool_path_text(entry))
                return entry.pointee.weight >= 1 && iotrap_pool_path_text(entry)[0] == 0x2f
                    && strlenOf(entry) == Int(entry.pointee.length) && !text.hasSuffix("/")
                    && !text.contains("//")
            }
    }

    private func strlenOf(_ entry: UnsafeMutablePointer<iotrap_pool_path_definition>) -> Int {
        let text = iotrap_pool_path_text(entry)
        return (0..<Int(IOTRAP_POOL_PATH_BYTES)).first { text[$0] == 0 } ?? -1
    }
}
