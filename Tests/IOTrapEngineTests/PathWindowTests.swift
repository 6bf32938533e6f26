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
}
