import CIOReplay
import CIOTrap
import Glibc

/// Measures the lines of a certification table in a directory, by libaio.
package final class KPIMeasurement {
    private let target: ReplayTarget
    private let volume: KPIVolume
    private let scale: UInt64
    /// Requests of the latency of one in flight.
    private static let aloneCount: UInt64 = 2000
    /// Requests of one io_submit, and the least in flight: what is submitted in 16s must be.
    private static let batch: UInt64 = 16
    private static let depthMax: UInt64 = 128
    /// Bytes in flight, where the requests are small enough.
    private static let inFlightBytes: UInt64 = 256 << 20
    private static let fileName = "kpi-file"

    /// - Parameter scale: divisor of the sizes of files.
    package init(
        directory: String, volume: KPIVolume, scale: UInt64, isForced: Bool
    ) throws(ReplayError) {
        target = try ReplayTarget(path: directory, isForced: isForced)
        self.volume = volume
        self.scale = scale
    }

    /// Runs the passes of a line that have a threshold. The file is gone afterwards.
    ///
    /// - Returns: nil if a signal interrupted it.
    package func measure(_ row: KPIRow) throws(ReplayError) -> [KPICell]? {
        if row.leastMebibytes.isEmpty { return [] }
        let least = row.blockBytes * Self.batch * 2
        let bytes = max(row.fileBytes / scale, least) / row.blockBytes * row.blockBytes
        iotrap_replay_catch_signals(nil)
        try target.checkRoom(bytes)
        target.remove(Self.fileName)
        defer { target.remove(Self.fileName) }
        let file = try target.openDirect(Self.fileName)
        defer { close(file) }
        if row.leastMebibytes[.initialWrite] == nil {
            // What is overwritten or read must be there.
            let flag = iotrap_replay_signal_flag()
            let error = iotrap_replay_prepare(file, 0, bytes, 0, 0, 0, flag)
            if error == -EINTR { return nil }
            if error != 0 {
                throw .system(Self.fileName, "pwrite", -error, remedy: "make room for it")
            }
        }
        var cells: [KPICell] = []
        for pass in KPIPass.allCases where row.leastMebibytes[pass] != nil {
            let depth = min(Self.depthMax, max(Self.batch, Self.inFlightBytes / row.blockBytes))
            let count = bytes / row.blockBytes
            guard let run = try run(row, pass, file, count: count, of: count, depth: depth) else {
                return nil
            }
            var alone: ReplayRun?
            if row.mostMicroseconds != nil && pass == .overwrite {
                let some = min(count, Self.aloneCount)
                guard let run = try self.run(row, pass, file, count: some, of: count, depth: 1)
                else { return nil }
                alone = run
            }
            cells.append(Self.cell(pass, run, alone))
        }
        return cells
    }

    private static func cell(_ pass: KPIPass, _ run: ReplayRun, _ alone: ReplayRun?) -> KPICell {
        var latency: (mean: Double, p99: Double, longest: Double)?
        if let found = alone?.sum(of: "write")?.latency {
            latency = (
                (found.meanNanoseconds ?? 0) / 1000, Double(found.p99 ?? 0) / 1000,
                Double(found.maxNanoseconds) / 1000
            )
        }
        return KPICell(
            pass: pass, mebibytes: run.mebibytesPerSecond, triggerRatio: run.triggerRatio,
            latency: latency)
    }

    /// Requests of one size all over a file of so many blocks, each block at most once.
    private func run(
        _ row: KPIRow, _ pass: KPIPass, _ file: Int32, count: UInt64, of blocks: UInt64,
        depth: UInt64
    ) throws(ReplayError) -> ReplayRun? {
        var options = iotrap_replay_options()
        options.engine = ReplayEngine.libaio.number
        options.lanes = 1
        options.slots = UInt32(depth)
        options.files = 1
        options.contents = 1
        options.length_max = row.blockBytes
        let session = try ReplaySession(options)
        iotrap_replay_set_file(session.pointer, 0, file, 0)
        try session.start(engine: .libaio)
        let order = BlockOrder(blocks: blocks, isRandom: volume == .data)
        var isWhole = true
        for index in 0..<count where isWhole {
            var request = iotrap_replay_request()
            let operation = pass == .read ? IOTRAP_TRACE_OP_READ : IOTRAP_TRACE_OP_WRITE
            request.operation = UInt8(operation.rawValue)
            request.offset = order.block(index) * row.blockBytes
            request.length = UInt32(row.blockBytes)
            request.depth = UInt32(depth)
            request.batch = depth == 1 ? 0 : UInt32(index / min(Self.batch, depth) + 1)
            isWhole = session.push(&request) {}
        }
        session.finish {}
        let run = ReplayRun(session, paths: [Self.fileName], pathOfFile: { _ in Self.fileName })
        if let error = run.firstError {
            throw ReplayError("\(error); the volume must do O_DIRECT and have room")
        }
        return isWhole && !session.isStopped ? run : nil
    }
}

/// The order in which the blocks of a file are visited: each once.
struct BlockOrder {
    private let blocks: UInt64
    private let isRandom: Bool
    private let mask: UInt64

    init(blocks: UInt64, isRandom: Bool) {
        self.blocks = blocks
        self.isRandom = isRandom
        var size: UInt64 = 4
        while size < blocks { size <<= 1 }
        mask = size - 1
    }

    /// The block at a place in the order, below `blocks`.
    func block(_ index: UInt64) -> UInt64 {
        if !isRandom { return index }
        // A permutation of a power of two, followed until it is inside.
        var block = index
        repeat {
            block = (block &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5677) & mask
            block ^= block >> (UInt64(64 - mask.leadingZeroBitCount) / 2)
            block = (block &* 0xD6E8_FEB8_6659_FD93) & mask
        } while block >= blocks
        return block
    }
}
