import CIOTrapEngine
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

/// Suites that use what a process has one of: the request pool, the tables of contexts and rings.
@Suite(.serialized) struct SharedStateTests {}

extension SharedStateTests {
    @Suite(.serialized) struct RequestPoolTests {
        /// How many requests there is memory for now.
        private var capacity: Int {
            Int(iotrap_pool().pointee.chunk_count) * Int(IOTRAP_POOL_CHUNK_REQUESTS)
        }

        private func taken(_ count: Int) throws -> [RequestPool.Request] {
            try (0..<count).map { _ in try #require(RequestPool.take()) }
        }

        @Test func everyRequestIsGivenToOneAtATime() throws {
            let requests = try taken(1000)
            #expect(Set(requests).count == 1000)
            for request in requests {
                #expect(RequestPool.request(request.pointee.number) == request)
            }
            for request in requests { RequestPool.give(request) }
            let again = try taken(1000)
            #expect(Set(again) == Set(requests), "what was given back is used before new memory")
            for request in again { RequestPool.give(request) }
        }

        @Test func afterWarmUpNoMemoryIsMade() throws {
            let first = try taken(300)
            for request in first { RequestPool.give(request) }
            let capacity = capacity
            for round in 0..<2000 {
                let some = try taken(1 + round % 300)
                for request in some { RequestPool.give(request) }
            }
            #expect(self.capacity == capacity)
        }

        @Test func threadsNeverHoldTheSameRequest() throws {
            let shared = Atomic<Int>(0)
            onThreads(4) { index in
                var held: [RequestPool.Request] = []
                var generator = SplitMix(seed: UInt64(index))
                for round in 0..<8000 {
                    let mark = UInt64(index) << 32 | UInt64(round)
                    for _ in 0..<Int.random(in: 1...6, using: &generator) {
                        guard let request = RequestPool.take() else { continue }
                        request.pointee.data = mark
                        held.append(request)
                    }
                    if round % 64 == 0 { sched_yield() }
                    // Some are kept for later, so that the list is in another order every time.
                    while held.count > Int.random(in: 0...12, using: &generator) {
                        let place = Int.random(in: 0..<held.count, using: &generator)
                        let request = held.remove(at: place)
                        if request.pointee.data >> 32 != UInt64(index) {
                            shared.wrappingAdd(1, ordering: .relaxed)
                        }
                        request.pointee.data = UInt64.max
                        RequestPool.give(request)
                    }
                }
                for request in held { RequestPool.give(request) }
            }
            #expect(shared.load(ordering: .relaxed) == 0)
            // Nothing was lost: all there is memory for can be taken, each once.
            let capacity = capacity
            let all = try taken(capacity)
            #expect(Set(all).count == capacity)
            #expect(self.capacity == capacity)
            for request in all { RequestPool.give(request) }
        }

        @Test func aRequestTakenAndGivenBackInBetweenIsNoticed() throws {
            // Two out, and the first of them back at once: whoever looked at the list before sees
            // the same first request again, but what it names as the next is somebody's by now.
            let shared = Atomic<Int>(0)
            onThreads(4) { index in
                for round in 0..<300_000 {
                    guard let one = RequestPool.take(), let two = RequestPool.take() else { return }
                    one.pointee.data = 0
                    two.pointee.data = UInt64(index) << 32 | UInt64(round)
                    RequestPool.give(one)
                    if two.pointee.data != UInt64(index) << 32 | UInt64(round) {
                        shared.wrappingAdd(1, ordering: .relaxed)
                    }
                    RequestPool.give(two)
                }
            }
            #expect(shared.load(ordering: .relaxed) == 0)
        }

        @Test func requestsPassFromOneThreadToAnother() throws {
            // One thread takes and fills, the other reads and gives back, as with submission and
            // completion; the sanitizer sees whether everything in between is ordered.
            let slots = (0..<64).map { _ in Mailbox() }
            let wrong = Atomic<Int>(0)
            onThreads(2) { index in
                for round in 0..<20_000 {
                    let slot = slots[round % slots.count]
                    if index == 0 {
                        guard let request = RequestPool.take() else { continue }
                        request.pointee.offset = Int64(round)
                        request.pointee.length = UInt32(round)
                        slot.put(request.pointee.number + 1)
                    } else {
                        let request = RequestPool.request(slot.get() - 1)
                        if request.pointee.offset != Int64(round)
                            || request.pointee.length != UInt32(round)
                        {
                            wrong.wrappingAdd(1, ordering: .relaxed)
                        }
                        RequestPool.give(request)
                    }
                }
            }
            #expect(wrong.load(ordering: .relaxed) == 0)
        }

        @Test func aForkedChildHasAllRequestsFree() throws {
            let lost = try taken(700)
            RequestPool.reset()
            let capacity = capacity
            let all = try taken(capacity)
            #expect(Set(all).count == capacity)
            #expect(Set(all).isSuperset(of: lost))
            #expect(self.capacity == capacity)
            for request in all { RequestPool.give(request) }
        }

        @Test func thePoolIsBounded() {
            var all: [RequestPool.Request] = []
            while let request = RequestPool.take() { all.append(request) }
            #expect(all.count == Int(IOTRAP_POOL_CHUNKS * IOTRAP_POOL_CHUNK_REQUESTS))
            #expect(Set(all).count == all.count)
            RequestPool.give(all.removeLast())
            #expect(RequestPool.take() != nil)
            #expect(RequestPool.take() == nil)
            RequestPool.reset()
        }
    }
}

/// One number handed from one thread to another.
private final class Mailbox: Sendable {
    private let value = Atomic<UInt32>(0)

    func put(_ number: UInt32) {
        while value.load(ordering: .acquiring) != 0 { usleep(20) }
        value.store(number, ordering: .releasing)
    }

    func get() -> UInt32 {
        while true {
            // acquiring: pairs with `put`
            let number = value.exchange(0, ordering: .acquiring)
            if number != 0 { return number }
            usleep(20)
        }
    }
}
