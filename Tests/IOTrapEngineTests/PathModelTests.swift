import Testing

@testable import IOTrapEngine

/// One path, by the numbers it gives.
@Suite struct PathModelTests {
    private let millisecond: UInt64 = 1_000_000
    private let mebibyte: UInt64 = 1 << 20

    /// Keeps so many requests in flight on storage, for so long.
    private func measured(
        _ storage: SimulatedStorage, bytes: UInt64, depth: Int, milliseconds: UInt64 = 1000
    ) -> PathSimulation {
        let simulation = PathSimulation([storage])
        simulation.loads = [SimulatedLoad(bytes: bytes, depth: depth)]
        simulation.run(milliseconds: milliseconds)
        return simulation
    }

    private func isNear(_ value: UInt64, _ expected: UInt64, percent: UInt64 = 5) -> Bool {
        value >= expected * (100 - percent) / 100 && value <= expected * (100 + percent) / 100
    }

    @Test func zeroedMemoryIsAnIdlePath() {
        let bytes = MemoryLayout<PathModel>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        defer { memory.deallocate() }
        let model = memory.assumingMemoryBound(to: PathModel.self)
        #expect(model.pointee.rateBytes == 0 && model.pointee.latencyNanoseconds == 0)
        #expect(model.pointee.hasRoom(bytes: mebibyte))
        #expect(model.pointee.percentileNanoseconds(tenths: 990) == 0)
        #expect(model.pointee.lateAfterNanoseconds(bytes: 4096) == 1000 * millisecond)
        model.pointee.began(bytes: 4096, isBulk: true, now: 10 * millisecond)
        #expect(model.pointee.inFlight == 1 && model.pointee.bulkInFlightBytes == 4096)
        model.pointee.ended(
            bytes: 4096, isBulk: true, took: millisecond, now: 11 * millisecond, failed: false)
        #expect(model.pointee.inFlight == 0 && model.pointee.inFlightBytes == 0)
        #expect(model.pointee.bulkInFlightBytes == 0)
    }

    @Test(arguments: [4 << 10, 64 << 10, 1 << 20, 16 << 20] as [UInt64])
    func theRateOfABusyLinkIsFound(_ bytes: UInt64) {
        let storage = SimulatedStorage(rateBytes: 100 * mebibyte)
        storage.latencyNanoseconds = 500_000
        let simulation = measured(storage, bytes: bytes, depth: 32, milliseconds: 8000)
        #expect(isNear(simulation.models[0].rateBytes, 100 * mebibyte))
    }

    @Test func loneSmallRequestsTakeNothingFromAKnownRate() {
        let storage = SimulatedStorage(rateBytes: 100 * mebibyte)
        storage.latencyNanoseconds = millisecond
        let simulation = PathSimulation([storage])
        simulation.loads = [
            SimulatedLoad(bytes: 64 << 10, depth: 1, ends: 500 * millisecond),
            SimulatedLoad(
                bytes: 64 << 10, depth: 16, begins: 500 * millisecond, ends: 1000 * millisecond),
            SimulatedLoad(bytes: 4096, depth: 1, begins: 1100 * millisecond),
        ]
        simulation.run(milliseconds: 3000)
        let model = simulation.models[0]
        #expect(isNear(model.rateBytes, 100 * mebibyte))
        #expect(isNear(model.overheadNanoseconds, millisecond, percent: 10))
        #expect(
            isNear(
                simulation.models[0].expectedNanoseconds(bytes: 4096, now: simulation.now),
                1_040_000, percent: 20))
    }

    @Test(arguments: [(100, 25), (25, 100)] as [(UInt64, UInt64)])
    func aChangeIsFollowedWithin300Milliseconds(_ before: UInt64, _ after: UInt64) {
        let storage = SimulatedStorage(rateBytes: before * mebibyte)
        let simulation = measured(storage, bytes: 64 << 10, depth: 8)
        #expect(isNear(simulation.models[0].rateBytes, before * mebibyte))
        storage.rateBytes = after * mebibyte
        simulation.run(milliseconds: 1300)
        #expect(isNear(simulation.models[0].rateBytes, after * mebibyte, percent: 10))
    }

    @Test func oneRequestThatWasHeldUpIsNotWhatTheyTake() {
        var model = PathModel.idle
        var now = 10 * millisecond
        func request(took: UInt64) {
            model.began(bytes: 64 << 10, isBulk: false, now: now)
            now += took
            model.ended(bytes: 64 << 10, isBulk: false, took: took, now: now, failed: false)
        }
        for _ in 0..<100 { request(took: millisecond) }
        let before = model.overheadNanoseconds
        #expect(before <= millisecond)
        now += 400 * millisecond
        request(took: 76 * millisecond)
        #expect(model.overheadNanoseconds == before)
        now += 300 * millisecond
        request(took: 76 * millisecond)
        #expect(model.overheadNanoseconds == before)
        // Several in a row do tell.
        for _ in 0..<40 { request(took: 76 * millisecond) }
        #expect(model.overheadNanoseconds > before)
    }

    @Test func aStallSaysNothingOfTheRate() {
        let storage = SimulatedStorage(rateBytes: 100 * mebibyte)
        let simulation = measured(storage, bytes: 64 << 10, depth: 8)
        storage.stall(now: simulation.now, nanoseconds: 5000 * millisecond)
        simulation.run(milliseconds: 5000)
        let now = simulation.now
        let waiting = simulation.models[0].expectedNanoseconds(bytes: 4096, now: now)
        #expect(waiting >= 3900 * millisecond, "nothing came for that long")
        simulation.run(milliseconds: 6100)
        #expect(isNear(simulation.models[0].rateBytes, 100 * mebibyte))
        #expect(simulation.models[0].expectedNanoseconds(bytes: 4096, now: now) < 20 * millisecond)
    }

    @Test func whatIsLateDependsOnWhatIsUsual() {
        let quick = measured(
            SimulatedStorage(rateBytes: 400 * mebibyte), bytes: 4096, depth: 4)
        #expect(quick.models[0].lateAfterNanoseconds(bytes: 4096) == 20 * millisecond)
        let slow = measured(SimulatedStorage(rateBytes: 10 * mebibyte), bytes: mebibyte, depth: 2)
        // Each takes 200 ms.
        #expect(isNear(slow.models[0].lateAfterNanoseconds(bytes: 4096), 800 * millisecond))
        #expect(slow.models[0].lateAfterNanoseconds(bytes: 16 * mebibyte) >= 6000 * millisecond)
    }

    @Test func failedRequestsAreNoMeasurement() {
        var model = PathModel.idle
        for index in 0..<100 as Range<UInt64> {
            model.began(bytes: mebibyte, isBulk: true, now: index * millisecond)
            model.ended(
                bytes: mebibyte, isBulk: true, took: 1000, now: index * millisecond + 1000,
                failed: true)
        }
        #expect(model.rateBytes == 0 && model.inFlight == 0 && model.inFlightBytes == 0)
    }

    @Test func percentilesFollowRecentReads() {
        var model = PathModel.idle
        var now: UInt64 = 0
        func read(_ nanoseconds: UInt64, isRead: Bool = true) {
            model.began(bytes: 4096, isBulk: false, now: now)
            now += nanoseconds
            model.ended(
                bytes: 4096, isBulk: false, took: nanoseconds, now: now, failed: false,
                isRead: isRead)
        }
        for _ in 0..<99 { read(millisecond) }
        #expect(model.percentileNanoseconds(tenths: 990) == 0, "none of a hundred lies above")
        for _ in 0..<900 { read(millisecond) }
        for _ in 0..<40 { read(50 * millisecond) }
        for _ in 0..<900 { read(90 * millisecond, isRead: false) }
        #expect(isNear(model.percentileNanoseconds(tenths: 500), millisecond, percent: 25))
        #expect(isNear(model.percentileNanoseconds(tenths: 990), 50 * millisecond, percent: 25))
        for _ in 0..<40_000 { read(2 * millisecond) }
        #expect(isNear(model.percentileNanoseconds(tenths: 990), 2 * millisecond, percent: 25))
    }
}
