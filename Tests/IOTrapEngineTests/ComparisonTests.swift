import Testing

@testable import IOTrapEngine

/// A program whose calls cost what `cost` says of the arm; returns technique calls and events.
private func simulate(
    _ comparison: inout Comparison, calls: Int, inFlight: UInt32 = 1,
    cost: (_ usesTechnique: Bool, _ call: Int) -> UInt64
) -> (technique: Int, engaged: Int, dropped: Int) {
    var counts = (technique: 0, engaged: 0, dropped: 0)
    var now: UInt64 = 1 << 40
    for call in 0..<calls {
        let usesTechnique = comparison.usesTechnique
        if usesTechnique { counts.technique += 1 }
        let time = cost(usesTechnique, call)
        // A full queue: the calls end one after the other, each after waiting for the others.
        now += time
        switch comparison.record(
            epoch: comparison.epoch, nanoseconds: time * UInt64(inFlight), now: now, bytes: 4096,
            inFlight: inFlight)
        {
        case .engaged: counts.engaged += 1
        case .dropped: counts.dropped += 1
        case .none: break
        }
    }
    return counts
}

@Suite struct ComparisonTests {
    @Test func engagesWhatWins() {
        var comparison = Comparison()
        let counts = simulate(&comparison, calls: 2000) { uses, _ in uses ? 200_000 : 1_000_000 }
        #expect(comparison.phase == .engaged || comparison.phase == .check)
        #expect(counts.engaged == 1)
        #expect(counts.technique > 1900)
    }

    @Test(arguments: [1, 8, 64] as [UInt32])
    func losingCostsUnderOnePercentOfCalls(_ inFlight: UInt32) {
        for loss in [1_000_000, 990_000, 950_000, 2_000_000] as [UInt64] {
            var comparison = Comparison()
            let counts = simulate(&comparison, calls: 200_000, inFlight: inFlight) { uses, _ in
                uses ? loss : 1_000_000
            }
            #expect(counts.engaged == 0)
            #expect(counts.technique > 0, "it must be tried at all")
            #expect(counts.technique * 100 < 200_000)
        }
    }

    @Test func firstTrialOfFastCallsComesLate() {
        var comparison = Comparison()
        let counts = simulate(&comparison, calls: 127) { _, _ in 10_000 }
        #expect(counts.technique == 0)
    }

    @Test func dropsWhatNoLongerWins() {
        var comparison = Comparison()
        _ = simulate(&comparison, calls: 1000) { uses, _ in uses ? 200_000 : 1_000_000 }
        #expect(comparison.usesTechnique || comparison.phase == .check)
        let counts = simulate(&comparison, calls: 20_000) { _, _ in 1_000_000 }
        #expect(counts.dropped == 1)
        #expect(counts.technique < 500)
    }

    @Test func comesBackWhenItWinsAgain() {
        var comparison = Comparison()
        _ = simulate(&comparison, calls: 20_000) { uses, _ in uses ? 2_000_000 : 1_000_000 }
        let counts = simulate(&comparison, calls: 100_000) { uses, _ in uses ? 100_000 : 1_000_000 }
        #expect(counts.engaged == 1)
    }

    @Test func oneLuckyTrialIsNotEnough() {
        var comparison = Comparison()
        var trials = 0
        let counts = simulate(&comparison, calls: 50_000) { usesTechnique, _ in
            guard usesTechnique else { return 1_000_000 }
            trials += 1
            return trials <= 2 ? 100_000 : 1_500_000
        }
        #expect(counts.engaged == 0)
    }

    @Test func noiseAloneDoesNotEngage() {
        var generator = SplitMix(seed: 3)
        var comparison = Comparison()
        let counts = simulate(&comparison, calls: 100_000, inFlight: 8) { _, _ in
            UInt64.random(in: 900_000...1_100_000, using: &generator)
        }
        #expect(counts.engaged == 0)
    }

    @Test func aGainThatOnlyMovesTheWaitingIsNoGain() {
        // Calls look twice as fast, but they end no more often.
        var comparison = Comparison()
        var now: UInt64 = 1 << 40
        for _ in 0..<50_000 {
            now += 1_000_000
            let latency: UInt64 = comparison.usesTechnique ? 4_000_000 : 8_000_000
            _ = comparison.record(
                epoch: comparison.epoch, nanoseconds: latency, now: now, bytes: 4096, inFlight: 8)
            #expect(comparison.phase == .learning || comparison.phase == .trial)
        }
    }

    @Test func pausesOfTheProgramAreNotCharged() {
        var comparison = Comparison()
        var now: UInt64 = 1 << 40
        var call = 0
        while comparison.phase != .engaged && call < 1000 {
            let latency: UInt64 = comparison.usesTechnique ? 500_000 : 1_000_000
            now += latency + UInt64(call % 7) * 50_000_000
            call += 1
            _ = comparison.record(
                epoch: comparison.epoch, nanoseconds: latency, now: now, bytes: 4096, inFlight: 1)
        }
        #expect(comparison.phase == .engaged)
    }

    @Test func samplesOfAnotherEpochAreIgnored() {
        var comparison = Comparison()
        for _ in 0..<10_000 {
            _ = comparison.record(
                epoch: comparison.epoch &+ 1, nanoseconds: 1_000_000, now: 1, bytes: 4096,
                inFlight: 1)
        }
        #expect(comparison.phase == .learning)
        #expect(comparison.plainCost == 0)
    }
}
