import CIOTrapEngine
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

extension SharedStateTests {
    @Suite(.serialized) struct LaneTests {
        private static let serial = UInt8(IOTRAP_REQUEST_SERIAL)
        private static let barrier = UInt8(IOTRAP_REQUEST_BARRIER)

        private func request(_ descriptor: Int32, order: UInt8 = 0) throws -> RequestPool.Request {
            let request = try #require(RequestPool.take())
            request.pointee.descriptor = descriptor
            request.pointee.order = order
            request.pointee.state = 0
            return request
        }

        /// Takes a request out as one that ended, and gives it back.
        private func end(_ request: RequestPool.Request) -> RequestPool.Request? {
            defer { RequestPool.give(request) }
            return Lanes.remove(request)
        }

        @Test func readsAndWritesAtOffsetsAllGoAtOnce() throws {
            let requests = try (0..<5).map { _ in try request(500_000) }
            for request in requests { #expect(Lanes.append(request)) }
            #expect(!Lanes.isEmpty(500_000))
            for index in [2, 0, 4, 1, 3] { #expect(end(requests[index]) == nil) }
            #expect(Lanes.isEmpty(500_000))
        }

        @Test func appendsGoOneAfterTheOtherInTheOrderOfTheCalls() throws {
            let requests = try (0..<4).map { _ in try request(500_001, order: Self.serial) }
            #expect(requests.map { Lanes.append($0) } == [true, false, false, false])
            for index in 0..<3 { #expect(end(requests[index]) == requests[index + 1]) }
            #expect(end(requests[3]) == nil)
            #expect(Lanes.isEmpty(500_001))
        }

        @Test func aSyncWaitsForAllBeforeItAndForNothingAfterIt() throws {
            let before = try (0..<3).map { _ in try request(500_002) }
            for request in before { #expect(Lanes.append(request)) }
            let sync = try request(500_002, order: Self.barrier)
            #expect(!Lanes.append(sync))
            let after = try request(500_002)
            #expect(Lanes.append(after), "what comes later does not wait for a sync")
            #expect(end(before[1]) == nil)
            #expect(end(before[0]) == nil)
            #expect(end(before[2]) == sync, "the last of those before it gives it its turn")
            #expect(end(sync) == nil)
            #expect(end(after) == nil)
        }

        @Test func syncsInARowEachCoverWhatCameBetween() throws {
            let first = try request(500_003, order: Self.barrier)
            let between = try request(500_003)
            let second = try request(500_003, order: Self.barrier)
            #expect([first, between, second].map { Lanes.append($0) } == [true, true, false])
            #expect(end(first) == nil, "the write between is still in flight")
            #expect(end(between) == second)
            #expect(end(second) == nil)
        }

        @Test func oneTakenOutWhileItWaitsGivesItsPlaceToTheNext() throws {
            let running = try request(500_004)
            let cancelled = try request(500_004, order: Self.serial)
            let next = try request(500_004, order: Self.serial)
            #expect([running, cancelled, next].map { Lanes.append($0) } == [true, false, false])
            #expect(end(cancelled) == nil, "the one before it still runs")
            #expect(end(running) == next)
            #expect(end(next) == nil)
        }

        @Test func descriptorsDoNotWaitForEachOther() throws {
            let one = try request(500_005, order: Self.serial)
            let other = try request(500_006, order: Self.serial)
            #expect(Lanes.append(one))
            #expect(Lanes.append(other))
            #expect(end(one) == nil)
            #expect(end(other) == nil)
        }

        @Test func numbersBeyondTheTableShareLanesAndStayInOrder() throws {
            let top = Int32(IOTRAP_LANE_TABLES * IOTRAP_LANE_TABLE_LANES)
            let one = try request(top + 7, order: Self.serial)
            let same = try request(top + 7 + Int32(IOTRAP_LANE_TABLE_LANES), order: Self.serial)
            #expect(Lanes.append(one))
            #expect(!Lanes.append(same))
            #expect(!Lanes.isEmpty(top + 7))
            #expect(end(one) == same)
            #expect(end(same) == nil)
        }

        /// What the rules say, told in the plainest way: one descriptor's requests in a row.
        private struct Model {
            struct Entry {
                let request: RequestPool.Request
                let isOrdered: Bool
                var isIssued: Bool
            }
            var entries: [Entry] = []

            mutating func append(_ request: RequestPool.Request, ordered: Bool) -> Bool {
                let isTurn = !ordered || entries.isEmpty
                entries.append(Entry(request: request, isOrdered: ordered, isIssued: isTurn))
                return isTurn
            }

            mutating func remove(_ index: Int) -> RequestPool.Request? {
                entries.remove(at: index)
                guard let first = entries.first, !first.isIssued else { return nil }
                entries[0].isIssued = true
                return first.request
            }
        }

        @Test func randomTrafficFollowsTheRules() throws {
            var generator = SplitMix(seed: 42)
            var models = [Model](repeating: Model(), count: 3)
            for _ in 0..<30_000 {
                let which = Int.random(in: 0..<3, using: &generator)
                let count = models[which].entries.count
                if Int.random(in: 0..<20, using: &generator) >= count {
                    let order: UInt8 = [0, 0, Self.serial, Self.barrier].randomElement(
                        using: &generator)!
                    let request = try request(500_010 + Int32(which), order: order)
                    #expect(
                        Lanes.append(request) == models[which].append(request, ordered: order != 0))
                } else {
                    // Any may go: a finished one, or one that is cancelled while it waits.
                    let index = Int.random(in: 0..<count, using: &generator)
                    let request = models[which].entries[index].request
                    #expect(end(request) == models[which].remove(index))
                }
                #expect(Lanes.isEmpty(500_010 + Int32(which)) == models[which].entries.isEmpty)
            }
            for which in 0..<3 {
                while let entry = models[which].entries.first {
                    #expect(end(entry.request) == models[which].remove(0))
                }
                #expect(Lanes.isEmpty(500_010 + Int32(which)))
            }
        }

        @Test func closingVisitsTheLanesOfARangeThatHoldRequests() throws {
            let numbers: [Int32] = [500_100, 500_101, 501_900, 503_000]
            let requests = try numbers.map { try request($0) }
            for request in requests { #expect(Lanes.append(request)) }
            func seen(_ first: UInt32, _ last: UInt32) -> [Int32] {
                var found: [Int32] = []
                Lanes.forEach(first, last) { lane in
                    if let request = Lanes.first(lane) { found.append(request.pointee.descriptor) }
                }
                return found
            }
            #expect(seen(500_101, 502_999) == [500_101, 501_900])
            #expect(seen(500_100, 500_100) == [500_100])
            #expect(seen(500_102, 501_899) == [])
            #expect(seen(500_100, .max) == numbers)
            for request in requests { #expect(end(request) == nil) }
            #expect(seen(0, .max) == [])
        }

        @Test func anotherThreadMayLookWhetherALaneIsEmpty() throws {
            let stop = Atomic<Bool>(false)
            let looks = Atomic<Int>(0)
            onThreads(2) { index in
                if index == 0 {
                    while looks.load(ordering: .relaxed) < 1000 {
                        guard let request = RequestPool.take() else { continue }
                        request.pointee.descriptor = 500_200
                        request.pointee.order = 0
                        _ = Lanes.append(request)
                        _ = Lanes.remove(request)
                        RequestPool.give(request)
                    }
                    stop.store(true, ordering: .releasing)
                } else {
                    while !stop.load(ordering: .acquiring) {
                        _ = Lanes.isEmpty(500_200)
                        looks.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            #expect(Lanes.isEmpty(500_200))
        }
    }
}
