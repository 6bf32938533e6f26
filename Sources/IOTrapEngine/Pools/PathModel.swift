/// What is known of one path of a pool: what it has in flight, how much it moves in a second, and
/// how long a request takes on it. Used by the service thread alone. Zero-initialised memory is an
/// idle path that was never used.
///
/// Two numbers describe a path: its rate, and what a request takes beyond its bytes. Each interval
/// of measurement gives two bounds of the rate. The path moved so much while it was busy, so it can
/// do that at least. And if requests took longer than a lone one would, they waited for each other,
/// so it cannot do much more. Between the bounds the estimate is left alone: one small request at a
/// time tells nothing of what a path can carry.
struct PathModel {
    private(set) var inFlight: UInt32
    private var weight: UInt32
    private(set) var inFlightBytes: UInt64
    private(set) var bulkInFlightBytes: UInt64

    /// Bytes a second, estimated; 0: not measured.
    private(set) var rateBytes: UInt64
    /// Of a request, smoothed.
    private(set) var latencyNanoseconds: UInt64
    /// The largest request whose time the estimate is good for.
    private var provenBytes: UInt64
    /// Times without what the bytes in flight explain.
    private var overheads: RecentTimes
    /// Times of all sizes.
    private var times: RecentTimes
    private(set) var window: PathWindow

    /// Last change of what is in flight; since when there is something; last end of a request.
    private var changedTime: UInt64
    private var busySince: UInt64
    private(set) var endedTime: UInt64
    private var interval: PathInterval
    private var histogram: PathHistogram

    static let intervalNanoseconds: UInt64 = 20_000_000
    static let overheadSpanNanoseconds: UInt64 = 250_000_000
    static let overheadsEnough: UInt32 = 4
    static let recentSpanNanoseconds: UInt64 = 2_000_000_000
    static let lateNanosecondsMin: UInt64 = 20_000_000
    static let stalledNanosecondsMin: UInt64 = 100_000_000
    static let lateNanosecondsUnknown: UInt64 = 1_000_000_000
    /// Idle as long as that, a path may have saved up a burst that says nothing of its rate.
    static let burstNanoseconds: UInt64 = 50_000_000
    /// So many at once are enough to prove a rate for any size.
    static let provenBytesMin: UInt64 = 256 << 10
    /// For a path of weight 1, as long as no path is measured.
    static let guessedRateBytes: UInt64 = 256 << 20

    static var idle: PathModel {
        PathModel(
            inFlight: 0, weight: 0, inFlightBytes: 0, bulkInFlightBytes: 0, rateBytes: 0,
            latencyNanoseconds: 0, provenBytes: 0, overheads: .none, times: .none, window: .unknown,
            changedTime: 0, busySince: 0, endedTime: 0, interval: .empty, histogram: .empty)
    }

    /// Speed relative to the other paths, until it is measured.
    mutating func configure(weight: UInt32) { self.weight = weight }

    @inline(__always)
    var relativeSpeed: UInt64 { UInt64(max(weight, 1)) }

    mutating func began(bytes: UInt64, isBulk: Bool, now: UInt64) {
        if inFlight == 0 {
            if now &- changedTime >= Self.burstNanoseconds {
                interval = .empty
                interval.isAfterIdleness = true
            }
            busySince = now
        }
        pass(to: now)
        inFlight &+= 1
        inFlightBytes &+= bytes
        if isBulk { bulkInFlightBytes &+= bytes }
    }

    mutating func ended(
        bytes: UInt64, isBulk: Bool, took nanoseconds: UInt64, now: UInt64, failed: Bool,
        isRead: Bool = true
    ) {
        let wasStalled = isStalled(now: now)
        pass(to: now)
        let together = inFlightBytes
        inFlight = inFlight == 0 ? 0 : inFlight &- 1
        inFlightBytes = inFlightBytes < bytes ? 0 : inFlightBytes &- bytes
        if isBulk {
            bulkInFlightBytes = bulkInFlightBytes < bytes ? 0 : bulkInFlightBytes &- bytes
        }
        endedTime = now
        if failed { return }
        if isRead { histogram.note(nanoseconds) }
        // A time out of all proportion raises the bound for the next ones, by no more than double.
        let greatest = times.greatest
        times.note(
            greatest == 0 ? nanoseconds : min(nanoseconds, max(2 &* greatest, 1_000_000)),
            now: now, span: Self.recentSpanNanoseconds)
        let latencyBefore = latencyNanoseconds == 0 ? nanoseconds : latencyNanoseconds
        latencyNanoseconds = latencyBefore &- latencyBefore / 8 &+ nanoseconds / 8
        // A path that stood still has shown nothing of how fast it moves.
        if wasStalled {
            interval = .empty
        } else {
            interval.ended(bytes: bytes, took: nanoseconds)
        }
        if interval.isComplete(isFirst: rateBytes == 0) { closeInterval(now: now) }
        let explained = nanosecondsToMove(together)
        // Nor does one request that was held up keep the path from being used.
        overheads.note(
            min(nanoseconds > explained ? nanoseconds &- explained : 0, 2 &* latencyBefore),
            now: now, span: Self.overheadSpanNanoseconds, enough: Self.overheadsEnough)
        window.ended(
            bytes: bytes, isBulk: isBulk, took: nanoseconds, now: now, rateBytes: rateBytes,
            latencyNanoseconds: latencyNanoseconds, bulkInFlightBytes: bulkInFlightBytes)
    }

    @inline(__always)
    private mutating func pass(to now: UInt64) {
        if inFlight != 0 && now > changedTime {
            interval.busy(now &- changedTime, requests: UInt64(inFlight))
        }
        if interval.isEmpty { interval.begins = now }
        changedTime = now
    }

    private func isStalled(now: UInt64) -> Bool {
        let since = max(endedTime, busySince)
        return rateBytes != 0 && now > since
            && now &- since > max(4 &* times.greatest, Self.stalledNanosecondsMin)
    }

    private mutating func closeInterval(now: UInt64) {
        let moved = interval.rateBytes
        if rateBytes == 0 {
            rateBytes = moved
        } else if moved > rateBytes {
            // What was saved up for a burst while the path had nothing to do is soon used up.
            let limit: UInt64 =
                interval.isAfterIdleness ? 8 : interval.isMostlyBusy(now: now) ? 1 : 4
            rateBytes &+= min((moved &- rateBytes) / 2, rateBytes / limit)
        } else {
            let bound = interval.greatestRateBytes(leastNanoseconds: window.leastNanoseconds)
            if bound < rateBytes {
                // From far off at once to where it is a matter of smoothing.
                rateBytes = min(
                    rateBytes &- (rateBytes &- bound) / 2, min(bound, .max / 4) &* 4)
            }
        }
        rateBytes = max(rateBytes, 1)
        provenBytes = interval.meanInFlightBytes
        interval = .empty
    }

    @inline(__always)
    private func nanosecondsToMove(_ bytes: UInt64) -> UInt64 {
        scaled(bytes, by: 1_000_000_000, over: rateBytes == 0 ? guessedRate : rateBytes)
    }

    @inline(__always)
    private var guessedRate: UInt64 { Self.guessedRateBytes &* relativeSpeed }

    /// What a lone request takes beyond its bytes.
    var overheadNanoseconds: UInt64 { overheads.least }

    /// Whether the rate says something of a request of so many bytes.
    func isProven(bytes: UInt64) -> Bool {
        rateBytes != 0 && (bytes <= 4 &* provenBytes || provenBytes >= Self.provenBytesMin)
    }

    /// Until a request of so many bytes, given to the path now, would end.
    func expectedNanoseconds(bytes: UInt64, now: UInt64) -> UInt64 {
        expectedNanoseconds(
            bytes: bytes, now: now, rateBytes: rateBytes == 0 ? guessedRate : rateBytes,
            overheadNanoseconds: overheadNanoseconds)
    }

    /// The same under other assumptions.
    ///
    /// Requests that were on their way for a while are partly past what makes them take longer than
    /// their bytes, so the overhead counts once, and only until those before need longer than that.
    func expectedNanoseconds(
        bytes: UInt64, now: UInt64, rateBytes: UInt64, overheadNanoseconds: UInt64
    ) -> UInt64 {
        let alone =
            overheadNanoseconds &+ min(scaled(bytes, by: 1_000_000_000, over: rateBytes), .max >> 8)
        let before = min(
            scaled(inFlightBytes &+ bytes, by: 1_000_000_000, over: rateBytes), .max >> 8)
        // Of two paths that would do, the one with less before it.
        var expected = max(alone, before) &+ before / 8
        if inFlight != 0 {
            let since = max(endedTime, busySince)
            if now > since && now &- since > expected { expected &+= now &- since }
        }
        return expected
    }

    /// How long a request may take before it is out of the ordinary.
    func lateAfterNanoseconds(bytes: UInt64) -> UInt64 {
        if rateBytes == 0 { return Self.lateNanosecondsUnknown }
        let moved = min(nanosecondsToMove(max(bytes, inFlightBytes)), .max >> 8)
        return max(4 &* times.greatest, 4 &* moved, Self.lateNanosecondsMin)
    }

    /// Bulk bytes that may be in flight while the pool is protected.
    var windowBytes: UInt64 { max(window.bytes, PathWindow.leastBytes) }

    /// Says whether bulk requests are held to the window from now on.
    @inline(__always)
    mutating func protect(_ isProtected: Bool, now: UInt64) {
        window.protect(isProtected, now: now)
    }

    /// Whether the path takes one more bulk request while the pool is protected.
    func hasRoom(bytes: UInt64) -> Bool {
        window.hasRoom(bytes: bytes, bulkInFlightBytes: bulkInFlightBytes)
    }

    /// The time within which so many tenths of a percent of recent reads ended; 0: too few.
    func percentileNanoseconds(tenths: UInt32) -> UInt64 {
        histogram.percentileNanoseconds(tenths: tenths)
    }
}

/// A stretch of the time that a path is busy. Zero-initialised: empty.
struct PathInterval {
    private var busyNanoseconds: UInt64
    /// Sum over the requests of the time that each was in flight.
    private var requestNanoseconds: UInt64
    private var tookNanoseconds: UInt64
    private var bytes: UInt64
    private var requests: UInt64
    var begins: UInt64
    var isAfterIdleness: Bool

    static var empty: PathInterval {
        PathInterval(
            busyNanoseconds: 0, requestNanoseconds: 0, tookNanoseconds: 0, bytes: 0, requests: 0,
            begins: 0, isAfterIdleness: false)
    }

    var isEmpty: Bool { busyNanoseconds == 0 && requests == 0 }

    mutating func busy(_ nanoseconds: UInt64, requests: UInt64) {
        busyNanoseconds &+= nanoseconds
        requestNanoseconds &+= min(nanoseconds, .max >> 32) &* requests
    }

    mutating func ended(bytes: UInt64, took nanoseconds: UInt64) {
        self.bytes &+= bytes
        requests &+= 1
        tookNanoseconds &+= nanoseconds
    }

    /// Few requests make a rough rate, so they need more time; but a rough one is better than none.
    func isComplete(isFirst: Bool) -> Bool {
        let span = PathModel.intervalNanoseconds
        if isFirst && requests >= 2 { return true }
        return busyNanoseconds >= span
            && (requests >= 4 || requests >= 2 && busyNanoseconds >= 2 &* span
                || busyNanoseconds >= 5 &* span)
    }

    func isMostlyBusy(now: UInt64) -> Bool {
        now &- begins <= busyNanoseconds &+ busyNanoseconds / 4
    }

    /// What the path moved, which it can do at least.
    var rateBytes: UInt64 { scaled(bytes, by: 1_000_000_000, over: max(busyNanoseconds, 1)) }

    /// Bytes in flight, on average.
    var meanInFlightBytes: UInt64 {
        max(bytes / max(requests, 1), 1) &* max(requestNanoseconds / max(busyNanoseconds, 1), 1)
    }

    /// What the path can do at most, given how long a request takes that waits for nothing; it was
    /// at work for the rest of the time of each.
    func greatestRateBytes(leastNanoseconds: UInt64) -> UInt64 {
        let mean = tookNanoseconds / max(requests, 1)
        if mean <= leastNanoseconds { return .max }
        let working = scaled(requestNanoseconds, by: mean &- leastNanoseconds, over: max(mean, 1))
        return scaled(bytes, by: 1_000_000_000, over: max(min(working, busyNanoseconds), 1))
    }
}

/// Latencies in logarithmic buckets, four for each power of two from 1 us on; older ones count less
/// and less. Zero-initialised: empty.
struct PathHistogram {
    private var buckets: InlineArray<128, UInt16>
    private var count: UInt32

    static let countMax: UInt32 = 8192
    static let countMin: UInt32 = 32

    static var empty: PathHistogram {
        PathHistogram(buckets: InlineArray(repeating: 0), count: 0)
    }

    mutating func note(_ nanoseconds: UInt64) {
        buckets[Self.index(nanoseconds)] &+= 1
        count &+= 1
        if count < Self.countMax { return }
        count = 0
        for index in buckets.indices {
            buckets[index] /= 2
            count &+= UInt32(buckets[index])
        }
    }

    @inline(__always)
    private static func index(_ nanoseconds: UInt64) -> Int {
        let value = max(nanoseconds, 1024)
        let exponent = 63 &- value.leadingZeroBitCount
        let quarter = Int(truncatingIfNeeded: value >> UInt64(exponent &- 2)) & 3
        return min((exponent &- 10) &* 4 &+ quarter, 127)
    }

    /// The upper bound of the bucket with that percentile; 0 unless at least one was above it.
    func percentileNanoseconds(tenths: UInt32) -> UInt64 {
        let above = UInt64(count) &* UInt64(1000 &- min(tenths, 1000)) / 1000
        if above == 0 || count < Self.countMin { return 0 }
        var left = UInt64(count) &- above
        for index in buckets.indices {
            let here = UInt64(buckets[index])
            if here >= left { return (UInt64(index & 3) &+ 5) << UInt64(index / 4 &+ 8) }
            left &-= here
        }
        return 0
    }
}
