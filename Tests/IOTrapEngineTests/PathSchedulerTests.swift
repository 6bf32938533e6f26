import Testing

@testable import IOTrapEngine

/// Whole pools, in simulation. Figures are parts of what the storage could do, and the same in each
/// run.
@Suite struct PathSchedulerTests {
    static let kibibyte: UInt64 = 1 << 10
    static let mebibyte: UInt64 = 1 << 20

    private func run(
        _ rates: [UInt64], _ load: SimulatedLoad, latencies: [UInt64] = [],
        jitterPercent: UInt64 = 0
    ) -> PathSimulation {
        let simulation = PathSimulation(mebibytes: rates)
        for (path, latency) in latencies.enumerated() {
            simulation.storages[path].latencyNanoseconds = latency
        }
        for storage in simulation.storages { storage.jitterPercent = jitterPercent }
        simulation.loads = [load]
        simulation.run(milliseconds: 3000)
        return simulation
    }

    /// Throughput as a part of the sum of the links.
    private func part(_ rates: [UInt64], _ load: SimulatedLoad, latencies: [UInt64] = []) -> Double
    {
        run(rates, load, latencies: latencies).mebibytesPerSecond(from: 1000, to: 3000)
            / Double(rates.reduce(0, +))
    }

    @Test(arguments: [64 * kibibyte, mebibyte])
    func equalLinksAddUp(_ bytes: UInt64) {
        let load = SimulatedLoad(bytes: bytes, depth: 32)
        #expect(part([100, 100, 100, 100], load) >= 3.95 / 4)
    }

    @Test(arguments: [64 * kibibyte, mebibyte])
    func unequalLinksAddUp(_ bytes: UInt64) {
        let load = SimulatedLoad(bytes: bytes, depth: 32)
        #expect(part([50, 50, 100, 200], load) >= 0.97)
        #expect(part([200, 100, 50, 50], load) >= 0.97)
    }

    @Test(arguments: [64 * kibibyte, mebibyte])
    func fewRequestsAreSpreadWell(_ bytes: UInt64) {
        let load = SimulatedLoad(bytes: bytes, depth: 4)
        #expect(part([100, 100, 100, 100], load) >= 0.99)
        // A request that waits for a fast link ends before one that goes to a slow link at once.
        #expect(part([50, 50, 100, 200], load) >= 0.75)
        #expect(part([100, 100, 100, 100], SimulatedLoad(bytes: bytes, depth: 8)) >= 0.99)
        #expect(part([50, 50, 100, 200], SimulatedLoad(bytes: bytes, depth: 8)) >= 0.95)
    }

    @Test(
        arguments: [[100, 100, 100, 100], [50, 50, 100, 200], [25, 200, 100, 75]] as [[UInt64]])
    func oneLargeTransferAtATimeAddsUp(_ rates: [UInt64]) {
        let load = SimulatedLoad(bytes: 16 << 20, cut: .shares(1 << 20))
        #expect(part(rates, load) >= 0.95)
    }

    @Test(arguments: [0, 1, 2] as [Int])
    func aChangeOfALinkIsFollowed(_ kind: Int) {
        let loads = [
            SimulatedLoad(bytes: 64 << 10, depth: 32), SimulatedLoad(bytes: 1 << 20, depth: 32),
            SimulatedLoad(bytes: 16 << 20, cut: .shares(1 << 20)),
        ]
        for (before, after) in [(100, 25), (25, 100), (100, 400)] as [(UInt64, UInt64)] {
            let simulation = PathSimulation(mebibytes: [100, before, 100, 100])
            simulation.loads = [loads[kind]]
            simulation.at(milliseconds: 2000) { $0.storages[1].rateBytes = after << 20 }
            simulation.run(milliseconds: 5000)
            let reached = simulation.mebibytesPerSecond(from: 3000, to: 4000)
            #expect(reached >= 0.95 * Double(300 + after), "\(before) to \(after)")
            #expect(
                simulation.mebibytesPerSecond(from: 4000, to: 5000) >= 0.95 * Double(300 + after))
        }
    }

    @Test func pathsThatAnswerTwoAtATimeAddUp() {
        for depth in [8, 32] {
            let storages = (0..<4).map { _ in SimulatedStorage(rateBytes: 0, servers: 2) }
            for storage in storages { storage.serviceNanoseconds = 1_000_000 }
            let simulation = PathSimulation(storages)
            simulation.loads = [SimulatedLoad(bytes: 4096, depth: depth)]
            simulation.run(milliseconds: 3000)
            let reached = simulation.mebibytesPerSecond(from: 1000, to: 3000) * 256
            #expect(reached >= 0.98 * 8000, "depth \(depth)")
        }
    }

    @Test(arguments: [64 * kibibyte, mebibyte])
    func pathsOverOneBottleneckDoNoHarm(_ bytes: UInt64) {
        let shared = SimulatedStorage(rateBytes: 100 << 20)
        shared.latencyNanoseconds = 500_000
        let simulation = PathSimulation([shared, shared, shared, shared])
        simulation.loads = [SimulatedLoad(bytes: bytes, depth: 32)]
        simulation.run(milliseconds: 10_000)
        #expect(simulation.mebibytesPerSecond(from: 1000, to: 10_000) >= 0.97 * 100)
        #expect(simulation.parts(from: 8000).min()! >= 0.15, "none starves")
    }

    @Test func pathsOverOneBottleneckShareALargeTransfer() {
        let shared = SimulatedStorage(rateBytes: 100 << 20)
        let simulation = PathSimulation([shared, shared, shared, shared])
        simulation.loads = [SimulatedLoad(bytes: 16 << 20, cut: .shares(1 << 20))]
        simulation.run(milliseconds: 10_000)
        #expect(simulation.mebibytesPerSecond(from: 1000, to: 10_000) >= 0.97 * 100)
    }

    @Test func latencyOfPathsIsWeighed() {
        let latencies: [UInt64] = [1_000_000, 10_000_000, 1_000_000, 1_000_000]
        let rates: [UInt64] = [100, 100, 100, 100]
        let deep = SimulatedLoad(bytes: 64 << 10, depth: 96)
        #expect(part(rates, deep, latencies: latencies) >= 0.95)
        // One at a time: the far path is asked now and then at most.
        let lone = run(rates, SimulatedLoad(bytes: 4096), latencies: latencies)
        #expect(lone.parts(from: 1000)[1] <= 0.01)
        #expect(lone.mebibytesPerSecond(from: 1000, to: 3000) * 256 >= 900)
    }

    @Test func aSequentialStreamStaysOnItsPath() {
        let load = SimulatedLoad(bytes: 64 << 10, prefersLast: true)
        for jitter in [0, 8] as [UInt64] {
            let simulation = run(
                [100, 100, 100, 100], load, latencies: [200_000, 200_000, 200_000, 200_000],
                jitterPercent: jitter)
            #expect(simulation.parts(from: 500).max()! >= 0.95, "jitter \(jitter)")
        }
    }

    @Test func jitterAndMixedSizesCostLittle() {
        let simulation = PathSimulation(mebibytes: [50, 50, 100, 200])
        for storage in simulation.storages {
            storage.jitterPercent = 30
            storage.latencyNanoseconds = 300_000
        }
        simulation.loads = [
            SimulatedLoad(bytes: 4096, depth: 4, isBulk: false),
            SimulatedLoad(bytes: 64 << 10, depth: 8), SimulatedLoad(bytes: 1 << 20, depth: 8),
            SimulatedLoad(bytes: 16 << 20, cut: .shares(1 << 20)),
        ]
        simulation.run(milliseconds: 4000)
        #expect(simulation.mebibytesPerSecond(from: 1000, to: 4000) >= 0.95 * 400 / 1.15)
    }

    @Test func burstsSavedUpWhileIdleAreNotTheRate() {
        let simulation = PathSimulation(mebibytes: [50, 50, 100, 200])
        for storage in simulation.storages { storage.burstBytes = storage.rateBytes / 16 }
        simulation.loads = [
            SimulatedLoad(bytes: 64 << 10, depth: 32, ends: 1_000_000_000),
            SimulatedLoad(bytes: 64 << 10, depth: 32, begins: 1_500_000_000),
        ]
        simulation.run(milliseconds: 2500)
        #expect(simulation.mebibytesPerSecond(from: 1500, to: 2500) >= 0.95 * 400)
        let parts = simulation.parts(from: 1600)
        #expect(parts[3] > 0.45 && parts[3] < 0.55)
    }

    @Test func aPathThatStallsIsLeftAndTakenBack() {
        let simulation = PathSimulation(mebibytes: [100, 100, 100, 100])
        simulation.loads = [SimulatedLoad(bytes: 1 << 20, depth: 32)]
        simulation.at(milliseconds: 2000) {
            $0.storages[1].stall(now: $0.now, nanoseconds: 10_000_000_000)
        }
        simulation.run(milliseconds: 14_000)
        #expect(simulation.mebibytesPerSecond(from: 2100, to: 3000) >= 0.7 * 400)
        #expect(simulation.mebibytesPerSecond(from: 13_000, to: 14_000) >= 0.95 * 400)
    }

    @Test func weightsStandInForRatesUntilThereAreSome() {
        let simulation = PathSimulation(
            [100, 100, 300].map { SimulatedStorage(rateBytes: $0 << 20) }, weights: [1, 1, 3])
        let shares = shares(simulation, bytes: 10 << 20)
        #expect(shares.map(\.bytes) == [2 << 20, 2 << 20, 6 << 20])
        // The first requests go to each, measured or not.
        var chosen: Set<Int> = []
        for _ in 0..<3 {
            let path = PathScheduler.choose(
                simulation.models, usable: 0b111, bytes: 4096, isBulk: false, isProtected: false,
                preferred: 0, now: simulation.now)!
            simulation.models[path].began(bytes: 4096, isBulk: false, now: simulation.now)
            chosen.insert(path)
        }
        #expect(chosen == [0, 1, 2])
    }

    // MARK: - Shares

    private func shares(
        _ simulation: PathSimulation, bytes: UInt64, usable: UInt64? = nil, unit: UInt64 = 4096,
        minimum: UInt64 = 64 << 10
    ) -> [PathShare] {
        withUnsafeTemporaryAllocation(of: PathShare.self, capacity: 64) { shares in
            let count = PathScheduler.shares(
                simulation.models, usable: usable ?? simulation.usable, bytes: bytes, unit: unit,
                minimum: minimum, now: simulation.now, into: shares.baseAddress!)
            return Array(shares[..<count])
        }
    }

    @Test func sharesAddUpAndAreWhole() {
        for paths in [1, 3, 4, 64] {
            let simulation = PathSimulation(mebibytes: (0..<UInt64(paths)).map { 20 + $0 % 7 * 30 })
            simulation.loads = [SimulatedLoad(bytes: 64 << 10, depth: 4 * paths)]
            simulation.run(milliseconds: 500)
            for bytes in [1, 4096, 65_537, 1 << 20, (16 << 20) + 1000, 1 << 32] as [UInt64] {
                let shares = shares(simulation, bytes: bytes)
                #expect(shares.reduce(0) { $0 + $1.bytes } == bytes)
                #expect(shares.dropLast().allSatisfy { $0.bytes % 4096 == 0 })
                #expect(shares.count == 1 || shares.allSatisfy { $0.bytes >= 60 << 10 })
                #expect(Set(shares.map(\.path)).count == shares.count)
                #expect(shares.allSatisfy { $0.path < paths })
            }
        }
    }

    @Test func aBusyPathGetsLess() {
        let simulation = PathSimulation(mebibytes: [100, 100])
        simulation.loads = [SimulatedLoad(bytes: 1 << 20, depth: 8, ends: 1_000_000_000)]
        simulation.run(milliseconds: 1200)
        simulation.models[0].began(bytes: 4 << 20, isBulk: true, now: simulation.now)
        let uneven = shares(simulation, bytes: 16 << 20)
        #expect(uneven.count == 2)
        // 6 and 10 MiB would end together.
        #expect(abs(Int(uneven[0].bytes) - 6 << 20) < 1 << 20)
        simulation.models[0].began(bytes: 64 << 20, isBulk: true, now: simulation.now)
        #expect(shares(simulation, bytes: 16 << 20).map(\.path) == [1])
        #expect(shares(simulation, bytes: 16 << 20, usable: 1).map(\.path) == [0])
        #expect(shares(simulation, bytes: 16 << 20, usable: 0).isEmpty)
    }
}
