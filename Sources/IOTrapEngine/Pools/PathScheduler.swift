/// A part of a transfer, and the path that carries it.
struct PathShare {
    var path: UInt32
    var bytes: UInt64
}

/// Which path carries a request. The pool's paths are given as an array of models, and those that
/// may be used as a bit each, the first path's the lowest.
enum PathScheduler {
    typealias Models = UnsafeMutablePointer<PathModel>

    /// Until what is known of a path that carries nothing counts for nothing.
    static let staleNanoseconds: UInt64 = 1_000_000_000

    /// Paths are as good as each other within one part in so many.
    static let tolerance: UInt64 = 10

    /// What is assumed of a path, in comparison with the others.
    private struct Assumption {
        var rateBytes: UInt64
        var overheadNanoseconds: UInt64
    }

    /// Of the measured paths: mean rate for each unit of weight, the best, and the least overhead.
    private struct PoolRate {
        var mean: UInt64
        var best: UInt64
        var overheadNanoseconds: UInt64
    }

    /// The usable path on which a request is expected to end first; nil if none has room.
    ///
    /// `preferred`, where the stream went before, keeps it as long as it is within a tenth of the
    /// best. A path that was never measured gets a request as soon as it has none.
    static func choose(
        _ models: UnsafeMutablePointer<PathModel>, usable: UInt64, bytes: UInt64, isBulk: Bool,
        isProtected: Bool, preferred: Int?, now: UInt64
    ) -> Int? {
        let pool = poolRate(models, usable)
        var expected = InlineArray<64, UInt64>(repeating: .max)
        var best = UInt64.max
        var left = usable
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            let model = models + path
            if isBulk { model.pointee.protect(isProtected, now: now) }
            if isProtected && isBulk && !model.pointee.hasRoom(bytes: bytes) { continue }
            var assumed = assume(model, pool, bytes: bytes, now: now)
            if bytes >= triedBytesMin && isTried(path, now: now) {
                assumed.rateBytes = max(
                    assumed.rateBytes,
                    min(4 &* assumed.rateBytes, pool.mean &* model.pointee.relativeSpeed))
            }
            expected[path] = expectation(model, assumed, bytes: bytes, now: now)
            best = min(best, expected[path])
        }
        if best == .max { return nil }
        let good = best &+ best / tolerance
        if let preferred, usable >> UInt64(preferred) & 1 != 0, expected[preferred] <= good {
            return preferred
        }
        return leastLoaded(models, usable, expected, atMost: good)
    }

    /// How long a path may be busy with one piece of a bulk transfer while its pool is protected: a
    /// small request waits for what is under way.
    static let protectedPieceNanoseconds: UInt64 = 4_000_000
    static let protectedPieceBytesMin: UInt64 = 128 << 10

    /// The size of the pieces of a bulk transfer while its pool is protected: equal ones, which
    /// keep a path busy for no longer than that, or than its latency, which nothing can undercut.
    static func protectedPieceBytes(
        _ models: UnsafeMutablePointer<PathModel>, usable: UInt64, bytes: UInt64, chunk: UInt64
    ) -> UInt64 {
        let pool = poolRate(models, usable)
        if pool.mean == 0 || bytes == 0 { return chunk }
        let time = max(pool.overheadNanoseconds, protectedPieceNanoseconds)
        let carried = scaled(pool.mean, by: time, over: 1_000_000_000)
        let limit = min(max(carried, protectedPieceBytesMin), chunk)
        let count = (bytes - 1) / limit + 1
        return min(((bytes - 1) / count + 4096) & ~4095, chunk)
    }

    /// Of the paths that are as good as each other, the one with the least in flight. Paths over
    /// one bottleneck are, whatever each carries, and without this one could carry all.
    private static func leastLoaded(
        _ models: Models, _ usable: UInt64, _ expected: borrowing InlineArray<64, UInt64>,
        atMost good: UInt64
    ) -> Int? {
        var chosen: Int?
        var leastLoad = UInt64.max
        var left = usable
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            if expected[path] > good { continue }
            let model = models + path
            let load = model.pointee.inFlightBytes / model.pointee.relativeSpeed
            if load < leastLoad {
                leastLoad = load
                chosen = path
            }
        }
        return chosen
    }

    /// From this size on it is mostly the rate of a path that counts.
    static let triedBytesMin: UInt64 = 32 << 10

    /// Whether it is a path's turn to carry more than its rate suggests. One that carries little
    /// over a bottleneck it shares looks slow for just that reason. Four turns last some 1.1 s.
    @inline(__always)
    private static func isTried(_ path: Int, now: UInt64) -> Bool {
        now >> 28 & 3 == UInt64(path) & 3
    }

    private static func expectation(
        _ model: Models, _ assumed: Assumption, bytes: UInt64, now: UInt64
    ) -> UInt64 {
        if model.pointee.rateBytes == 0 && model.pointee.inFlight == 0 { return 0 }
        return model.pointee.expectedNanoseconds(
            bytes: bytes, now: now, rateBytes: assumed.rateBytes,
            overheadNanoseconds: assumed.overheadNanoseconds)
    }

    private static func poolRate(_ models: Models, _ usable: UInt64) -> PoolRate {
        var sum: UInt64 = 0
        var weights: UInt64 = 0
        var best: UInt64 = 0
        var overhead = UInt64.max
        var left = usable
        while left != 0 {
            let model = models + left.trailingZeroBitCount
            left &= left &- 1
            let rate = model.pointee.rateBytes
            if rate == 0 { continue }
            sum &+= rate
            weights &+= model.pointee.relativeSpeed
            best = max(best, rate / model.pointee.relativeSpeed)
            overhead = min(overhead, model.pointee.overheadNanoseconds)
        }
        if weights == 0 { return PoolRate(mean: 0, best: 0, overheadNanoseconds: 0) }
        return PoolRate(mean: sum / weights, best: best, overheadNanoseconds: overhead)
    }

    /// What was measured, if it was. What is not known is taken to be as the other paths are, and
    /// what was known long ago a little better than the best of them, so that the path is tried.
    private static func assume(
        _ model: Models, _ pool: PoolRate, bytes: UInt64, now: UInt64
    ) -> Assumption {
        let rate = model.pointee.rateBytes
        let weight = model.pointee.relativeSpeed
        if rate == 0 {
            let guess = pool.mean == 0 ? PathModel.guessedRateBytes : pool.mean
            return Assumption(rateBytes: guess &* weight, overheadNanoseconds: 0)
        }
        var assumed = Assumption(
            rateBytes: rate, overheadNanoseconds: model.pointee.overheadNanoseconds)
        if !model.pointee.isProven(bytes: bytes) {
            assumed.rateBytes = max(rate, pool.mean &* weight)
        }
        if model.pointee.inFlight != 0 || now < model.pointee.endedTime { return assumed }
        let age = min(now &- model.pointee.endedTime, staleNanoseconds)
        let hoped = (pool.best &+ pool.best / 16) &* weight
        if hoped > assumed.rateBytes {
            assumed.rateBytes &+= scaled(
                hoped &- assumed.rateBytes, by: age, over: staleNanoseconds)
        }
        assumed.overheadNanoseconds &-= scaled(
            assumed.overheadNanoseconds &- pool.overheadNanoseconds, by: age,
            over: staleNanoseconds)
        return assumed
    }

    /// Divides one large transfer so that all parts are expected to end at the same time.
    ///
    /// Parts follow each other in the file, in the order of the paths; all but the last are
    /// multiples of `unit`. A path whose part would be smaller than `minimum` gets none. Writes up
    /// to 64 shares, and returns their number.
    static func shares(
        _ models: UnsafeMutablePointer<PathModel>, usable: UInt64, bytes: UInt64, unit: UInt64,
        minimum: UInt64, now: UInt64, into shares: UnsafeMutablePointer<PathShare>
    ) -> Int {
        if usable == 0 || bytes == 0 { return 0 }
        let pool = poolRate(models, usable)
        var rates = InlineArray<64, UInt64>(repeating: 0)
        var begins = InlineArray<64, UInt64>(repeating: 0)
        var left = usable
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            // A part is probably as large as this, not as the whole.
            let part = bytes / UInt64(usable.nonzeroBitCount)
            let assumed = assume(models + path, pool, bytes: part, now: now)
            rates[path] = assumed.rateBytes
            begins[path] = (models + path).pointee.expectedNanoseconds(
                bytes: 0, now: now, rateBytes: assumed.rateBytes,
                overheadNanoseconds: assumed.overheadNanoseconds)
        }
        var taking = usable
        var end: UInt64 = 0
        // Each turn but the last takes a path away.
        while true {
            end = level(taking, rates, begins, bytes: bytes)
            let least = leastShare(taking, rates, begins, end: end)
            if least.bytes >= max(minimum, 1) || taking & (taking &- 1) == 0 { break }
            taking &= ~(1 << UInt64(least.path))
        }
        return write(taking, rates, begins, end: end, bytes: bytes, unit: unit, into: shares)
    }

    /// When all would end that begin at different times, for the bytes to be moved by then. A path
    /// that begins later than that counts, too; it is taken away as one with no share.
    private static func level(
        _ taking: UInt64, _ rates: borrowing InlineArray<64, UInt64>,
        _ begins: borrowing InlineArray<64, UInt64>, bytes: UInt64
    ) -> UInt64 {
        var total: UInt64 = 0
        var earliest = UInt64.max
        var left = taking
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            total &+= rates[path]
            earliest = min(earliest, begins[path])
        }
        // Time after the earliest, weighted by rates.
        var late: UInt64 = 0
        left = taking
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            late &+= scaled(begins[path] &- earliest, by: rates[path], over: max(total, 1))
        }
        return earliest &+ scaled(bytes, by: 1_000_000_000, over: max(total, 1)) &+ late
    }

    @inline(__always)
    private static func share(_ rate: UInt64, from begin: UInt64, to end: UInt64) -> UInt64 {
        end <= begin ? 0 : scaled(rate, by: end &- begin, over: 1_000_000_000)
    }

    private static func leastShare(
        _ taking: UInt64, _ rates: borrowing InlineArray<64, UInt64>,
        _ begins: borrowing InlineArray<64, UInt64>, end: UInt64
    ) -> PathShare {
        var least = PathShare(path: 0, bytes: .max)
        var latest: UInt64 = 0
        var left = taking
        while left != 0 {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            let bytes = share(rates[path], from: begins[path], to: end)
            // Of several without a share, the one that begins last.
            let begin = begins[path]
            if bytes < least.bytes || bytes == least.bytes && begin > latest {
                least = PathShare(path: UInt32(path), bytes: bytes)
                latest = begin
            }
        }
        return least
    }

    private static func write(
        _ taking: UInt64, _ rates: borrowing InlineArray<64, UInt64>,
        _ begins: borrowing InlineArray<64, UInt64>, end: UInt64, bytes: UInt64, unit: UInt64,
        into shares: UnsafeMutablePointer<PathShare>
    ) -> Int {
        var count = 0
        var ideal: UInt64 = 0
        var given: UInt64 = 0
        var left = taking
        while left != 0 && given < bytes {
            let path = left.trailingZeroBitCount
            left &= left &- 1
            ideal &+= share(rates[path], from: begins[path], to: end)
            // Rounding the ends instead of the parts keeps errors from adding up.
            let rounded = (ideal &+ unit / 2) / unit &* unit
            let upTo = left == 0 ? bytes : min(rounded, bytes)
            if upTo <= given { continue }
            shares[count] = PathShare(path: UInt32(path), bytes: upTo &- given)
            count &+= 1
            given = upTo
        }
        return count
    }
}
