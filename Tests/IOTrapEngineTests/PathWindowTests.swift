import Testing

@testable import IOTrapEngine

@Suite struct PathWindowTests {
    /// A flood of large writes in pieces of 256 KiB, and a small one each 5 ms.
    private func flood(
        isProtected: Bool, latencyNanoseconds: UInt64 = 0, rates: [UInt64] = [100, 100, 100, 100],
        jitterPercent: UInt64 = 0
    ) -> (small: UInt64, mebibytes: Double) {
        let simulation = PathSimulation(mebibytes: rates)
        for storage in simulation.storages {
            storage.latencyNanoseconds = latencyNanoseconds
            storage.jitterPercent = jitterPercent
        }
        simulation.isProtected = isProtected
        simulation.loads = [
            SimulatedLoad(bytes: 1 << 20, depth: 64, cut: .pieces(256 << 10)),
            SimulatedLoad(bytes: 4096, everyNanoseconds: 5_000_000, isBulk: false),
        ]
        simulation.run(milliseconds: 25_000)
        return (
            simulation.percentile99Nanoseconds(load: 1, from: 1000),
            simulation.mebibytesPerSecond(from: 1000, to: 25_000) { $0.load == 0 }
        )
    }

    @Test(arguments: [0, 500_000, 3_000_000] as [UInt64])
    func smallWritesDoNotWaitBehindAFlood(_ latencyNanoseconds: UInt64) {
        let open = flood(isProtected: false, latencyNanoseconds: latencyNanoseconds)
        let window = flood(isProtected: true, latencyNanoseconds: latencyNanoseconds)
        #expect(window.small <= open.small / 10, "\(window.small) of \(open.small)")
        #expect(window.mebibytes >= 0.95 * open.mebibytes, "\(window) of \(open)")
    }

    @Test func unequalLinksWithJitterAreProtectedToo() {
        let rates: [UInt64] = [50, 50, 100, 200]
        let open = flood(
            isProtected: false, latencyNanoseconds: 500_000, rates: rates, jitterPercent: 30)
        let window = flood(
            isProtected: true, latencyNanoseconds: 500_000, rates: rates, jitterPercent: 30)
        #expect(window.small <= open.small / 10, "\(window.small) of \(open.small)")
        #expect(window.mebibytes >= 0.95 * open.mebibytes, "\(window) of \(open)")
    }

    @Test func protectionThatBeginsDuringAFloodWorksSoon() {
        let simulation = PathSimulation(mebibytes: [100, 100, 100, 100])
        simulation.loads = [
            SimulatedLoad(bytes: 1 << 20, depth: 64, cut: .pieces(256 << 10)),
            SimulatedLoad(bytes: 4096, everyNanoseconds: 5_000_000, isBulk: false),
        ]
        simulation.at(milliseconds: 3000) { $0.isProtected = true }
        simulation.run(milliseconds: 7000)
        #expect(simulation.percentile99Nanoseconds(load: 1, from: 3500) <= 16_000_000)
        #expect(simulation.mebibytesPerSecond(from: 3000, to: 7000) { $0.load == 0 } >= 0.95 * 400)
    }

    @Test func theWindowGrowsToWhatAPathCanUse() {
        // Sixteen at a time, 5 ms each.
        let wide = SimulatedStorage(rateBytes: 0, servers: 16)
        wide.serviceNanoseconds = 5_000_000
        // One after the other; more would only wait.
        let narrow = SimulatedStorage(rateBytes: 100 << 20)
        for (storage, enough, most) in [
            (wide, 16, 48), (narrow, 2, 3),
        ] as [(SimulatedStorage, UInt64, UInt64)] {
            let simulation = PathSimulation([storage])
            simulation.isProtected = true
            simulation.loads = [SimulatedLoad(bytes: 256 << 10, depth: 64)]
            for milliseconds in stride(from: 2000, to: 60_000, by: 370) as StrideTo<UInt64> {
                simulation.run(milliseconds: milliseconds)
                let pieces = simulation.models[0].windowBytes / (256 << 10)
                #expect(pieces >= enough && pieces <= most, "after \(milliseconds) ms")
            }
        }
    }

    @Test(arguments: [(rate: 100, latency: 0), (rate: 100, latency: 20), (rate: 4, latency: 0)])
    func bulkIsCutSoThatNoPieceKeepsAPathBusyForLong(_ link: (rate: UInt64, latency: UInt64)) {
        let simulation = PathSimulation(mebibytes: [link.rate, link.rate])
        for storage in simulation.storages { storage.latencyNanoseconds = link.latency * 1_000_000 }
        let chunk: UInt64 = 1 << 20
        func piece(_ bytes: UInt64) -> UInt64 {
            PathScheduler.protectedPieceBytes(
                simulation.models, usable: 0b11, bytes: bytes, chunk: chunk)
        }
        #expect(piece(16 << 20) == chunk, "nothing is known of the paths yet")
        simulation.loads = [SimulatedLoad(bytes: 256 << 10, depth: 64)]
        simulation.run(milliseconds: 2000)
        let milliseconds = max(link.latency, 4)
        let most = max((link.rate << 20) * milliseconds / 1000 * 11 / 10, 128 << 10)
        for bytes in [128 << 10, 1 << 20, (1 << 20) + 4096, 16 << 20] as [UInt64] {
            let size = piece(bytes)
            #expect(size % 4096 == 0 && size <= min(most, chunk), "\(bytes): \(size)")
            #expect(size >= min(bytes, most / 3, chunk / 3), "\(bytes): \(size)")
            // Of equal size, but for what rounding takes from the last.
            let count = (bytes + size - 1) / size
            #expect(count * size - bytes < count * 4096, "\(bytes): \(size)")
        }
    }

    @Test func aPathWithoutRoomIsPassedOver() {
        let simulation = PathSimulation(mebibytes: [100, 100])
        let models = simulation.models
        func choose(isBulk: Bool) -> Int? {
            PathScheduler.choose(
                models, usable: 0b11, bytes: 1 << 20, isBulk: isBulk, isProtected: true,
                preferred: 0, now: simulation.now)
        }
        for path in [0, 0, 1, 1] {
            #expect(models[path].hasRoom(bytes: 1 << 20), "two pieces always go")
            models[path].began(bytes: 1 << 20, isBulk: true, now: simulation.now)
            if path == 0 { #expect(choose(isBulk: true) != nil) }
        }
        #expect(choose(isBulk: true) == nil)
        #expect(choose(isBulk: false) != nil, "small requests do not wait for room")
    }
}
