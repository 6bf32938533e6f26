import CIOTrap
import CIOTrapEngine
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

extension SharedStateTests {
    @Suite(.serialized) struct ContextEventTests {
        @Test func eventsCarryWhatTheProgramGaveAndComeInOrder() throws {
            let test = try TestContext()
            let thread = TestThread()
            for data: UInt64 in 1...5 {
                let request = try #require(test.request(data))
                ContextEvents.finish(thread.address, request, result: Int32(data) * 10, now: 1)
            }
            #expect(ContextTable.ringInFlight(test.context).pointee.load(ordering: .relaxed) == 0)
            #expect(ContextTable.finishedCount(test.context) == 5)
            let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 8)
            defer { events.deallocate() }
            #expect(ContextEvents.take(thread.address, test.context, events, room: 0) == 0)
            #expect(ContextEvents.take(thread.address, test.context, events, room: 2) == 2)
            #expect(ContextEvents.take(thread.address, test.context, events + 2, room: 6) == 3)
            for index in 0..<5 {
                let data = UInt64(index + 1)
                #expect(events[index].data == data && events[index].object == data * 64)
                #expect(events[index].result == Int64(data) * 10 && events[index].result2 == 0)
            }
            #expect(ContextEvents.take(thread.address, test.context, events, room: 8) == 0)
            #expect(test.context.pointee.finished_last == 0)
        }

        @Test func memoryThatCannotBeWrittenCostsNoEvent() throws {
            let test = try TestContext()
            let thread = TestThread()
            let request = try #require(test.request(3))
            ContextEvents.finish(thread.address, request, result: -5, now: 1)
            let page = try #require(iotrap_pages(4096, 0))
            defer { iotrap_pages_free(page, 4096) }
            mprotect(page, 4096, PROT_READ)
            let events = page.assumingMemoryBound(to: iotrap_event.self)
            #expect(ContextEvents.take(thread.address, test.context, events, room: 1) == -14)
            #expect(ContextTable.finishedCount(test.context) == 1)
            mprotect(page, 4096, PROT_READ | PROT_WRITE)
            #expect(ContextEvents.take(thread.address, test.context, events, room: 1) == 1)
            #expect(events[0].data == 3 && events[0].result == -5)
        }

        @Test func aDestroyedContextDropsWhatNobodyTook() throws {
            let test = try TestContext()
            let thread = TestThread()
            for data: UInt64 in 0..<3 {
                let request = try #require(test.request(data))
                ContextEvents.finish(thread.address, request, result: 0, now: 1)
            }
            ContextEvents.discard(test.context)
            #expect(ContextTable.finishedCount(test.context) == 0)
            #expect(test.context.pointee.finished_first == 0)
        }

        @Test func everyEventIsTakenOnceWhoeverFinishesAndTakes() throws {
            let test = try TestContext()
            let perThread = 10_000
            let ring = RingLock()
            let seen = (0..<2).map { _ in Seen(count: 2 * perThread) }
            let left = Atomic<Int>(2 * perThread)
            onThreads(4) { index in
                let thread = TestThread(id: Int32(index + 1))
                if index < 2 {
                    for round in 0..<perThread {
                        let data = UInt64(index * perThread + round)
                        guard let request = test.request(data) else { continue }
                        // Completions of one ring are taken one at a time.
                        ring.locked {
                            ContextEvents.finish(
                                thread.address, request, result: Int32(round), now: 1)
                        }
                    }
                    return
                }
                let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 16)
                defer { events.deallocate() }
                while left.load(ordering: .relaxed) > 0 {
                    let taken = ContextEvents.take(
                        thread.address, test.context, events, room: 1 + index * 5)
                    for place in 0..<max(0, taken) {
                        seen[index - 2].note(Int(events[place].data))
                        #expect(events[place].result == Int64(events[place].data) % 10_000)
                    }
                    left.wrappingSubtract(max(0, taken), ordering: .relaxed)
                    if taken <= 0 { usleep(20) }
                }
            }
            for data in 0..<(2 * perThread) {
                #expect(seen[0].times(data) + seen[1].times(data) == 1, "event \(data)")
            }
        }

        // MARK: - The kernel's ring

        private func fill(_ test: TestContext) {
            for index in 0..<test.ring.pointee.count {
                let place = iotrap_aio_ring_event(test.ring, index)
                place.pointee = iotrap_event(
                    data: UInt64(index), object: 0, result: 0, result2: 0)
            }
        }

        @Test(
            arguments: [
                (3, 1, 8, [3, 4, 0]), (3, 1, 2, [3, 4]), (0, 4, 9, [0, 1, 2, 3]), (4, 0, 1, [4]),
                (2, 2, 5, []), (1, 3, 0, []),
            ] as [(UInt32, UInt32, Int, [UInt64])])
        func theKernelsRingWrapsAround(
            _ head: UInt32, _ tail: UInt32, _ room: Int, _ expected: [UInt64]
        ) throws {
            let test = try TestContext(events: 5)
            let thread = TestThread()
            fill(test)
            test.ring.pointee.head = head
            test.ring.pointee.tail = tail
            let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 9)
            defer { events.deallocate() }
            let taken = ContextEvents.takeKernel(thread.address, test.context, events, room: room)
            #expect((0..<taken).map { events[$0].data } == expected)
            #expect(test.ring.pointee.head == (head + UInt32(taken)) % 5)
            #expect(test.ring.pointee.tail == tail)
        }

        @Test func aRingThatTheProgramSpoiledIsNotReadOutsideOfItself() throws {
            let test = try TestContext(events: 5)
            let thread = TestThread()
            let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 9)
            defer { events.deallocate() }
            let wrong: [(UInt32, UInt32, UInt32)] = [
                (5, 0, 5), (0, 5, 5), (.max, .max - 1, 5), (0, 1, 0),
            ]
            for (head, tail, count) in wrong {
                test.ring.pointee.head = head
                test.ring.pointee.tail = tail
                test.ring.pointee.count = count
                #expect(
                    ContextEvents.takeKernel(thread.address, test.context, events, room: 9) == 0)
                test.ring.pointee.count = 5
            }
        }

        @Test func theRingOfASharedContextIsLeftToTheKernelsLock() throws {
            let test = try TestContext(events: 5, flags: IOTRAP_CONTEXT_SHARED)
            let thread = TestThread()
            test.ring.pointee.tail = 3
            let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 9)
            defer { events.deallocate() }
            #expect(ContextEvents.takeKernel(thread.address, test.context, events, room: 9) == 0)
            #expect(test.ring.pointee.head == 0)
        }

        @Test func anEmulatedRingIsReadWhileItIsFilled() throws {
            // One thread finishes, as the service thread does; two take, as programs do.
            let test = try TestContext(events: 33, capacity: 32, flags: IOTRAP_CONTEXT_OWN)
            let total = 10_000
            let seen = (0..<2).map { _ in Seen(count: total) }
            let left = Atomic<Int>(total)
            onThreads(3) { index in
                if index == 0 {
                    for data in 0..<total {
                        // As io_submit: never more than the ring has room for.
                        while total - data - left.load(ordering: .relaxed) < -31 { usleep(20) }
                        guard let request = test.request(UInt64(data)) else { continue }
                        OwnContext.finish(request, result: Int32(data))
                    }
                    return
                }
                let thread = TestThread(id: Int32(index))
                let events = UnsafeMutablePointer<iotrap_event>.allocate(capacity: 8)
                defer { events.deallocate() }
                var last = -1
                while left.load(ordering: .relaxed) > 0 {
                    let taken = OwnContext.take(thread.address, test.context, events, room: 8)
                    for place in 0..<max(0, taken) {
                        let data = Int(events[place].data)
                        #expect(data > last && events[place].result == Int64(data))
                        last = data
                        seen[index - 1].note(data)
                    }
                    left.wrappingSubtract(max(0, taken), ordering: .relaxed)
                    if taken <= 0 { usleep(20) }
                }
            }
            for data in 0..<total {
                #expect(seen[0].times(data) + seen[1].times(data) == 1, "event \(data)")
            }
        }
    }
}

/// The lock of a ring, as the engine holds it while it takes completions.
private final class RingLock: @unchecked Sendable {
    private let word = UnsafeMutablePointer<FutexLock>.allocate(capacity: 1)

    init() { word.initialize(to: FutexLock()) }
    deinit { word.deallocate() }

    func locked(_ body: () -> Void) {
        FutexLock.acquire(word)
        body()
        FutexLock.release(word)
    }
}

/// How often each number was seen, by one thread.
final class Seen: @unchecked Sendable {
    private var counts: [UInt8]

    init(count: Int) { counts = [UInt8](repeating: 0, count: count) }

    func note(_ number: Int) { counts[number] += 1 }
    func times(_ number: Int) -> Int { Int(counts[number]) }
}
