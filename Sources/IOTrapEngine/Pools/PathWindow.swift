/// `value * numerator / denominator`, without overflow on the way; the greatest value for what
/// does not fit, and for a denominator of 0.
@inline(__always)
func scaled(_ value: UInt64, by numerator: UInt64, over denominator: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: numerator)
    if product.high >= denominator { return .max }
    return denominator.dividingFullWidth(product).quotient
}

/// The least and the greatest of some times within the last one to two spans. Zeros: none.
struct RecentTimes {
    private(set) var least: UInt64
    private(set) var greatest: UInt64
    private var currentLeast: UInt64
    private var currentGreatest: UInt64
    private var since: UInt64
    private var count: UInt32

    /// So many spans make up for times that are too few.
    static let patience: UInt64 = 8

    static var none: RecentTimes {
        RecentTimes(
            least: 0, greatest: 0, currentLeast: 0, currentGreatest: 0, since: 0, count: 0)
    }

    /// Returns whether a new span began.
    ///
    /// With `enough`, times from before count until there are so many new ones, but for eight spans
    /// at most: one request that was held up does not tell how long they take.
    @discardableResult
    mutating func note(
        _ nanoseconds: UInt64, now: UInt64, span: UInt64, enough: UInt32 = 0
    ) -> Bool {
        let time = max(nanoseconds, 1)
        let age = now &- since
        let isOver = age >= span && (count >= enough || age >= Self.patience &* span)
        if isOver {
            // After a pause as long as that, what the span before said is out of date as well.
            let isRecent = age < (enough == 0 ? 2 : Self.patience) &* span
            count = 0
            least = isRecent ? currentLeast : 0
            greatest = isRecent ? currentGreatest : 0
            currentLeast = 0
            currentGreatest = 0
            since = now
        }
        count &+= 1
        if currentLeast == 0 || time < currentLeast { currentLeast = time }
        if time > currentGreatest { currentGreatest = time }
        if least == 0 || time < least { least = time }
        if time > greatest { greatest = time }
        return isOver
    }
}

/// How many bulk bytes may be in flight on a path so that a small request does not wait long behind
/// them, and the path is busy all the same.
///
/// Twice what the path moves in the time that a lone request takes: one half on its way, the other
/// waiting. Both factors are measured. A larger window is tried now and then, for a path whose rate
/// depends on how much it is given; and a single request, because the time of a lone one is not
/// seen while others wait beside it.
struct PathWindow {
    /// Bulk bytes that may be in flight; 0: nothing is known yet.
    private(set) var bytes: UInt64
    private var times: InlineArray<4, RecentTimes>
    /// Size of the bulk requests.
    private var pieceBytes: UInt64
    /// Added to the window, in eighths of it.
    private(set) var gainEighths: UInt64
    private var trialGainEighths: UInt64
    private var trialRateBytes: UInt64
    private var trialEnds: UInt64
    private var roundEnds: UInt64
    private var rounds: UInt64
    private var lonelyUntil: UInt64
    private var loneEnds: UInt32
    private var isLonely: Bool
    private var isProtected: Bool

    static let leastBytes: UInt64 = 128 << 10
    static let greatestBytes: UInt64 = 64 << 20
    static let spanNanoseconds: UInt64 = 5_000_000_000
    static let trialRounds: UInt64 = 8
    static let trialNanoseconds: UInt64 = 60_000_000
    static let recoveryNanoseconds: UInt64 = 300_000_000
    static let lonelyNanosecondsMax: UInt64 = 1_000_000_000
    static let loneEndsEnough: UInt32 = 3
    static let gainEighthsMax: UInt64 = 56

    static var unknown: PathWindow {
        PathWindow(
            bytes: 0, times: InlineArray(repeating: .none), pieceBytes: 0, gainEighths: 0,
            trialGainEighths: 0, trialRateBytes: 0, trialEnds: 0, roundEnds: 0, rounds: 0,
            lonelyUntil: 0, loneEnds: 0, isLonely: false, isProtected: false)
    }

    /// Up to 16 KiB, 128 KiB, 1 MiB, and more.
    @inline(__always)
    static func sizeClass(_ bytes: UInt64) -> Int {
        bytes <= 16 << 10 ? 0 : bytes <= 128 << 10 ? 1 : bytes <= 1 << 20 ? 2 : 3
    }

    /// The least time of a request of that size class in the last 5 to 10 s; 0: none.
    func leastNanoseconds(bytes: UInt64) -> UInt64 { times[Self.sizeClass(bytes)].least }

    /// The least time of any request, which is mostly the way there and back.
    var leastNanoseconds: UInt64 {
        var least: UInt64 = 0
        for index in times.indices {
            let time = times[index].least
            if time != 0 && (least == 0 || time < least) { least = time }
        }
        return least
    }

    /// A request ended, on a path of that rate and smoothed latency.
    mutating func ended(
        bytes: UInt64, isBulk: Bool, took nanoseconds: UInt64, now: UInt64, rateBytes: UInt64,
        latencyNanoseconds: UInt64, bulkInFlightBytes: UInt64
    ) {
        let isNewSpan = times[Self.sizeClass(bytes)].note(
            nanoseconds, now: now, span: Self.spanNanoseconds)
        if !isBulk { return }
        // Grows at once, shrinks by and by: the last piece of a transfer is often a short one.
        pieceBytes = bytes >= pieceBytes ? bytes : pieceBytes &- (pieceBytes &- bytes) / 64
        if rateBytes == 0 { return }
        if isNewSpan && self.bytes != 0 && !isLonely {
            stayLonely(now: now)
            // What once brought something has to show it again.
            gainEighths = gainEighths / 4 &* 3
        } else if isLonely {
            if bulkInFlightBytes == 0 { loneEnds &+= 1 }
            if loneEnds >= Self.loneEndsEnough || now >= lonelyUntil {
                isLonely = false
                // The rate has to recover before it shows what a greater window brings.
                roundEnds = now &+ Self.recoveryNanoseconds
            }
        }
        judge(now: now, rateBytes: rateBytes, latencyNanoseconds: latencyNanoseconds)
        let carried = scaled(
            rateBytes, by: 2 &* leastNanoseconds(bytes: pieceBytes), over: 1_000_000_000)
        let target = min(carried, Self.greatestBytes) / 8 &* (8 &+ gainEighths)
        self.bytes = min(max(target, 2 &* pieceBytes, Self.leastBytes), Self.greatestBytes)
    }

    /// The pool is protected now, or no longer. What was measured without a window is the time that
    /// requests waited for each other.
    @inline(__always)
    mutating func protect(_ isProtected: Bool, now: UInt64) {
        if isProtected == self.isProtected { return }
        self.isProtected = isProtected
        if !isProtected || bytes == 0 { return }
        times[Self.sizeClass(pieceBytes)] = .none
        bytes = 0
        gainEighths = 0
        stayLonely(now: now)
    }

    /// One bulk request at a time, until a few of those show how long a lone one takes. The first
    /// end of the last in flight is only that of one that waited.
    private mutating func stayLonely(now: UInt64) {
        isLonely = true
        loneEnds = 0
        lonelyUntil = now &+ Self.lonelyNanosecondsMax
        rounds = 0
        trialEnds = 0
    }

    /// Begins a trial of a window greater by a quarter every so many round trips, and ends it.
    private mutating func judge(now: UInt64, rateBytes: UInt64, latencyNanoseconds: UInt64) {
        if trialEnds != 0 {
            if now < trialEnds { return }
            trialEnds = 0
            rounds = 0
            if rateBytes < trialRateBytes &+ trialRateBytes / 16 { gainEighths = trialGainEighths }
        }
        if now < roundEnds || isLonely { return }
        roundEnds = now &+ latencyNanoseconds
        rounds &+= 1
        if rounds <= Self.trialRounds { return }
        trialGainEighths = gainEighths
        trialRateBytes = rateBytes
        gainEighths = min(gainEighths &+ (8 &+ gainEighths) / 4, Self.gainEighthsMax)
        trialEnds = now &+ max(4 &* latencyNanoseconds, Self.trialNanoseconds)
    }

    /// Whether one more bulk request may go, beside so many bytes of others.
    func hasRoom(bytes: UInt64, bulkInFlightBytes: UInt64) -> Bool {
        if bulkInFlightBytes == 0 { return true }
        if isLonely { return false }
        return bulkInFlightBytes &+ bytes <= max(self.bytes, Self.leastBytes, 2 &* bytes)
    }
}
