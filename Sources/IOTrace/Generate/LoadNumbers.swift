/// What the generator looks at for every request: no memory of its own, so that it costs nothing to
/// pass on.
struct LoadNumbers: Sendable {
    enum Order: String, CaseIterable {
        /// One after the other, from file to file and round again.
        case sequential
        /// Evenly over all files.
        case random
        /// Skewed.
        case zipf
        /// At random within superblocks that follow one another at random.
        case pages
    }

    enum Interface: String, CaseIterable {
        case libaio, pread, posixaio
    }

    enum Sync: String, CaseIterable {
        case none, fsync, fdatasync
    }

    enum Opening: String, CaseIterable {
        case direct, directDsync = "direct-dsync", buffered

        /// Flags of open(2): O_RDWR with O_DIRECT, O_DSYNC.
        var flags: UInt32 {
            switch self {
            case .direct: 0x4002
            case .directDsync: 0x5002
            case .buffered: 2
            }
        }
    }

    var files: UInt64 = 1
    var fileBytes: UInt64 = 1 << 30
    var grows = false
    var weighsBytes = false
    var readPercent = 0.0
    var order = Order.sequential
    var zipf = 1.1
    var superblockBytes: UInt64 = 64 << 20
    var align: UInt64 = 4096
    var depth: ClosedRange<UInt64> = 1...1
    var batch: ClosedRange<UInt64> = 1...1
    var channels: UInt64 = 1
    var sharesFiles = false
    var rate: ClosedRange<Double> = 0...0
    var dwellSeconds = 1.0
    var firstSeconds = 0.0
    var everySeconds: ClosedRange<Double> = 0...0
    var burstBytes: ClosedRange<UInt64> = 0...0
    var totalBytes: UInt64 = 0
    var sync = Sync.none
    var syncEvery: UInt64 = 1
    var commits = false
    var opening = Opening.direct
    var interface = Interface.libaio
    var latencyMicroseconds = 100.0
    var flushMicroseconds = 200.0
    var bandwidthBytes: UInt64 = 1 << 30
    var criticalPercent = 0.0
}
