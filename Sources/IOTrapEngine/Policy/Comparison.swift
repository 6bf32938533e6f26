/// Decides by experiment whether a technique beats the plain call for one kind of call.
///
/// Time is cut into *epochs* in which all calls of the kind, from all threads, go the same way
/// (one *arm*): a single fast call among slow ones might only have taken the device from its
/// neighbours. A call's cost is the time it kept the storage busy: the time since the call before
/// it ended, or its own latency where that is shorter because nothing was under way in between.
/// The mean over an epoch is then the inverse of the throughput while there was work, whether the
/// calls queue or not, and with one caller it is the latency.
///
/// - learning: plain; after a rest, a trial epoch;
/// - trial: technique; two trials in a row at least 10 % better engage it, a loss starts a rest of
///   256 times the trial's calls, doubled with each further loss, so that less than 1 % of calls
///   pay for a technique that loses;
/// - engaged: technique, with a plain epoch every 64 epoch lengths;
/// - check: plain; two checks in a row that show less than 3 % gain drop the technique.
///
/// An epoch's first calls, as many as are in flight, still run beside calls that went the other
/// way; they are not counted.
///
/// Pure and not thread-safe: the caller holds a lock around `record`.
struct Comparison {
    enum Phase: UInt8, Sendable {
        case learning, trial, engaged, check
    }

    enum Event: Sendable {
        case none, engaged, dropped
    }

    /// Calls at least this long are slow: their trials may start after a few of them.
    static let slowNanoseconds: UInt64 = 100_000
    static let restSlow: UInt64 = 2
    static let restFast: UInt64 = 128
    static let restAfterLoss: UInt64 = 256
    static let winsNeeded: UInt8 = 2
    static let checkEvery: UInt64 = 64

    private(set) var phase: Phase = .learning
    /// Number of the present epoch; a call that began in another one is not counted.
    private(set) var epoch: UInt32 = 0
    private var wins: UInt8 = 0
    private var losses: UInt8 = 0
    private var hasRest = false
    private var lastEnd: UInt64 = 0
    /// Calls still to pass before the next trial or check.
    private var rest: UInt64 = 0
    private var epochTarget: UInt64 = 2
    private var epochCalls: UInt64 = 0
    private var epochWarmUp: UInt64 = 0
    private var epochCost: UInt64 = 0
    /// Smoothed mean costs of both arms, in nanoseconds per unit of work.
    private(set) var plainCost: UInt64 = 0
    private(set) var techniqueCost: UInt64 = 0

    init() {}

    /// True while calls go the technique's way.
    var usesTechnique: Bool { phase == .trial || phase == .engaged }

    /// True while the outcome is undecided or being checked.
    var isTrial: Bool { phase == .trial }

    /// Takes in one finished call.
    ///
    /// - Parameters:
    ///   - epoch: the epoch in which the call began.
    ///   - nanoseconds: the call's whole latency.
    ///   - now: the time it ended.
    ///   - bytes: its work: bytes moved; 4096 for a sync.
    ///   - inFlight: calls of this kind in flight, this one included.
    mutating func record(
        epoch: UInt32, nanoseconds: UInt64, now: UInt64, bytes: UInt64, inFlight: UInt32
    ) -> Event {
        let isFirst = lastEnd == 0
        let sinceLast = now > lastEnd ? now &- lastEnd : 0
        lastEnd = max(lastEnd, now)
        if isFirst { return .none }
        let cost = min(sinceLast, nanoseconds) &* 4096 / max(bytes, 1)
        guard epoch == self.epoch else { return .none }
        switch phase {
        case .learning:
            learn(cost, nanoseconds, inFlight)
            return .none
        case .trial:
            guard let mean = closeEpoch(cost) else { return .none }
            return endTrial(mean)
        case .engaged:
            techniqueCost = Comparison.smooth(techniqueCost, cost, inFlight)
            rest -= min(rest, 1)
            if rest == 0 { begin(.check, inFlight) }
            return .none
        case .check:
            guard let mean = closeEpoch(cost) else { return .none }
            return endCheck(mean)
        }
    }

    private mutating func learn(_ cost: UInt64, _ nanoseconds: UInt64, _ inFlight: UInt32) {
        plainCost = Comparison.smooth(plainCost, cost, inFlight)
        if !hasRest {
            hasRest = true
            let slow = nanoseconds >= Comparison.slowNanoseconds
            rest =
                2 + (slow ? Comparison.restSlow : Comparison.restFast) * UInt64(max(1, inFlight))
        }
        rest -= min(rest, 1)
        if rest == 0 { begin(.trial, inFlight) }
    }

    private mutating func begin(_ next: Phase, _ inFlight: UInt32) {
        phase = next
        epoch &+= 1
        let others = UInt64(max(1, min(inFlight, 1024))) - 1
        epochWarmUp = others
        epochTarget = 2 * (others + 1)
        epochCalls = 0
        epochCost = 0
    }

    /// Adds one call to the epoch; its mean cost when that completes it.
    private mutating func closeEpoch(_ cost: UInt64) -> UInt64? {
        if epochWarmUp > 0 {
            epochWarmUp -= 1
            return nil
        }
        epochCalls += 1
        epochCost &+= cost
        return epochCalls >= epochTarget ? epochCost / epochCalls : nil
    }

    private mutating func endTrial(_ mean: UInt64) -> Event {
        epoch &+= 1
        guard mean &* 10 <= plainCost &* 9 else {
            wins = 0
            losses = min(losses + 1, 7)
            rest = (Comparison.restAfterLoss * epochTarget * 3 / 2) << UInt64(losses - 1)
            phase = .learning
            return .none
        }
        wins += 1
        techniqueCost = mean
        if wins < Comparison.winsNeeded {
            rest = max(4, epochTarget)
            phase = .learning
            return .none
        }
        wins = 0
        losses = 0
        // Two short trials can win by chance: the first check comes soon.
        rest = 4 * epochTarget
        phase = .engaged
        return .engaged
    }

    private mutating func endCheck(_ mean: UInt64) -> Event {
        epoch &+= 1
        plainCost = mean
        if mean &* 100 >= techniqueCost &* 103 {
            losses = 0
            rest = Comparison.checkEvery * epochTarget
            phase = .engaged
            return .none
        }
        losses += 1
        if losses < 2 {
            // Once may be chance: look again soon.
            rest = 4 * epochTarget
            phase = .engaged
            return .none
        }
        losses = 1
        rest = Comparison.restAfterLoss * epochTarget
        phase = .learning
        return .dropped
    }

    /// Calls that queue end in bursts: the mean must reach over several of them.
    private static func smooth(_ mean: UInt64, _ sample: UInt64, _ inFlight: UInt32) -> UInt64 {
        if mean == 0 { return sample }
        let weight = max(8, 4 * UInt64(min(inFlight, 1024)))
        return (mean &* (weight - 1) &+ sample) / weight
    }
}
