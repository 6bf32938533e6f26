import CIOTrap
import CIOTrapEngine
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

/// What the engine keeps for a thread, for tests that play several. Never freed: the object may be
/// gone while its address is still in use.
final class TestThread: @unchecked Sendable {
    let address: UnsafeMutablePointer<iotrap_thread>

    init(id: Int32 = 1) {
        address = iotrap_pages(MemoryLayout<iotrap_thread>.size, 0)!
            .assumingMemoryBound(to: iotrap_thread.self)
        address.pointee.thread_id = id
    }
}

/// A context whose completion ring is memory of the test's own, never freed as above.
final class TestContext: @unchecked Sendable {
    let context: ContextTable.Context
    let ring: UnsafeMutablePointer<iotrap_aio_ring>

    init(events: UInt32 = 64, capacity: UInt32 = 63, flags: UInt32 = 0) throws {
        let pages = try #require(iotrap_pages(32 + 32 * Int(events), 0))
        ring = pages.assumingMemoryBound(to: iotrap_aio_ring.self)
        ring.pointee.count = events
        ring.pointee.magic = IOTRAP_AIO_MAGIC
        context = try #require(
            ContextCalls.insert(UInt64(UInt(bitPattern: pages)), capacity: capacity, flags: flags))
        context.pointee.ring_bytes = UInt64(32 + 32 * events)
    }

    deinit {
        // Nobody finds it any more, so that its record can be given to another.
        ContextTable.handleWord(context).pointee.store(0, ordering: .sequentiallyConsistent)
    }

    /// A request of this context, as if it was in flight.
    func request(_ data: UInt64) -> RequestPool.Request? {
        guard let request = RequestPool.take() else { return nil }
        request.pointee.kind = UInt8(IOTRAP_REQUEST_READ.rawValue)
        request.pointee.owner = UnsafeMutableRawPointer(context)
        request.pointee.data = data
        request.pointee.object = data &* 64
        request.pointee.comparison = 0
        request.pointee.started_ns = 0
        request.pointee.state = 0
        request.pointee.rw_flags = 0
        ContextTable.ringInFlight(context).pointee.wrappingAdd(1, ordering: .relaxed)
        return request
    }
}

extension SharedStateTests {
    @Suite(.serialized) struct ContextTests {
        @Test func theCapacityIsTheKernels() throws {
            // Requests that end at once and are never reaped, until the kernel says EAGAIN.
            var name = Array("/tmp/iotrap-capacity-XXXXXX".utf8CString)
            let file = mkstemp(&name)
            defer { close(file) }
            unlink(name)
            let refused = Atomic<Int>(0)
            let counted = Atomic<Int>(0)
            onThreads(1) { _ in
                // The kernel hands places out to processors: this is about one of them.
                var processor: UInt64 = 1
                _ = iotrap_syscall(203, 0, 8, Int(bitPattern: address(of: &processor)), 0, 0, 0)
                for events: UInt32 in [1, 2, 7, 32, 100, 127, 128, 129, 1000, 4096, 10_000] {
                    var handle: UInt64 = 0
                    guard iotrap_io_setup_raw(events, &handle) == 0 else {
                        refused.wrappingAdd(1, ordering: .relaxed)
                        continue
                    }
                    let ring = UnsafePointer<iotrap_aio_ring>(bitPattern: UInt(handle))!
                    let capacity = ContextCalls.capacity(
                        ringEvents: ring.pointee.count, processors: iotrap_possible_processors())
                    #expect(Self.accepted(handle, file) == capacity, "io_setup(\(events))")
                    #expect(iotrap_io_destroy_raw(handle) == 0)
                    counted.wrappingAdd(1, ordering: .relaxed)
                }
            }
            let missing = refused.load(ordering: .relaxed)
            if missing > 0 { print("SKIP \(missing) sizes: fs.aio-max-nr is used up") }
            #expect(counted.load(ordering: .relaxed) > 0 || missing > 0)
        }

        private static func accepted(_ handle: UInt64, _ file: Int32) -> UInt32 {
            var byte: UInt8 = 0
            return withUnsafeMutablePointer(to: &byte) { buffer in
                var iocb = iotrap_iocb()
                iocb.opcode = UInt16(IOTRAP_IOCB_PREAD)
                iocb.descriptor = UInt32(file)
                iocb.buffer = UInt64(UInt(bitPattern: buffer))
                iocb.bytes = 1
                return withUnsafeMutablePointer(to: &iocb) { pointer in
                    var list = UInt64(UInt(bitPattern: pointer))
                    var count: UInt32 = 0
                    while count < 1_000_000, iotrap_io_submit_raw(handle, 1, &list) == 1 {
                        count += 1
                    }
                    return count
                }
            }
        }

        @Test func theSmallestRingsHaveACapacity() {
            for events: UInt32 in 0..<300 {
                for processors: UInt32 in [0, 1, 2, 64, 512] {
                    let capacity = ContextCalls.capacity(
                        ringEvents: events, processors: processors)
                    #expect(capacity >= 1 && (events < 2 || capacity < events))
                }
            }
        }

        private func isLive(_ handle: UInt64) -> Bool {
            guard case .live(let context) = ContextTable.find(handle) else { return false }
            ContextTable.leave(context)
            return true
        }

        @Test func aContextIsFoundUntilItIsGone() throws {
            let handle: UInt64 = 0x7000_0000_1000
            #expect(!isLive(handle))
            let context = try #require(ContextCalls.insert(handle, capacity: 9, flags: 0))
            guard case .live(let found) = ContextTable.find(handle) else {
                Issue.record("not found")
                return
            }
            #expect(found == context && context.pointee.users == 1)
            ContextTable.leave(found)
            #expect(context.pointee.users == 0)
            let dead = IOTRAP_CONTEXT_DEAD
            ContextTable.flagsWord(context).pointee.bitwiseOr(dead, ordering: .relaxed)
            guard case .dead = ContextTable.find(handle) else {
                Issue.record("a context that is being destroyed was found alive")
                return
            }
            #expect(context.pointee.users == 0)
            ContextTable.handleWord(context).pointee.store(0, ordering: .relaxed)
            guard case .none = ContextTable.find(handle) else {
                Issue.record("a context that is gone was found")
                return
            }
            guard case .none = ContextTable.find(0) else {
                Issue.record("0 is no handle, though free records hold it")
                return
            }
        }

        @Test func aFullSetRefusesAndARecordInUseIsNotGivenAway() throws {
            var contexts: [ContextTable.Context] = []
            var handle: UInt64 = 0x6000_0000_0000
            // Until one finds no place: then its set is full.
            while let context = ContextCalls.insert(handle, capacity: 1, flags: 0) {
                contexts.append(context)
                handle += 4096
                try #require(contexts.count <= Int(IOTRAP_CONTEXTS))
            }
            #expect(contexts.count >= ContextTable.ways)
            #expect(Set(contexts).count == contexts.count)
            let set = contexts.filter { context in
                // Its neighbours are those that make room for it.
                let index = ContextTable.index(context)
                ContextTable.handleWord(context).pointee.store(0, ordering: .relaxed)
                context.pointee.users = 1
                defer { context.pointee.users = 0 }
                let before = ContextCalls.insert(handle, capacity: 1, flags: 0)
                #expect(before == nil, "record \(index) was in use")
                context.pointee.users = 0
                let after = ContextCalls.insert(handle, capacity: 1, flags: 0)
                if let after {
                    #expect(after == context)
                    ContextTable.handleWord(after).pointee.store(0, ordering: .relaxed)
                }
                ContextTable.handleWord(context).pointee.store(
                    UInt64(index + 1), ordering: .relaxed)
                return after != nil
            }
            #expect(set.count == ContextTable.ways)
            for context in contexts {
                ContextTable.handleWord(context).pointee.store(0, ordering: .relaxed)
            }
        }

        @Test func aHandleThatTheKernelGivesAgainIsANewContext() throws {
            let handle: UInt64 = 0x7000_0000_2000
            let old = try #require(ContextCalls.insert(handle, capacity: 9, flags: 0))
            let generation = old.pointee.generation
            old.pointee.willing = 4
            let new = try #require(ContextCalls.insert(handle, capacity: 5, flags: 0))
            #expect(new.pointee.capacity == 5 && new.pointee.willing == 0)
            #expect(new != old || new.pointee.generation != generation)
            #expect(isLive(handle))
            ContextTable.handleWord(new).pointee.store(0, ordering: .relaxed)
            #expect(!isLive(handle))
        }

        @Test func usesAndDestructionsAtOnceLeaveNoUseBehind() throws {
            let handle: UInt64 = 0x7000_0000_3000
            let stop = Atomic<Bool>(false)
            let wrong = Atomic<Int>(0)
            onThreads(3) { index in
                if index > 0 {
                    while !stop.load(ordering: .acquiring) {
                        guard case .live(let context) = ContextTable.find(handle) else { continue }
                        // What is in use stays what it is, even if it is being destroyed.
                        if context.pointee.capacity != 77 {
                            wrong.wrappingAdd(1, ordering: .relaxed)
                        }
                        ContextTable.leave(context)
                    }
                    return
                }
                for _ in 0..<20_000 {
                    guard let context = ContextCalls.insert(handle, capacity: 77, flags: 0) else {
                        continue
                    }
                    ContextTable.handleWord(context).pointee.store(
                        0, ordering: .sequentiallyConsistent)
                }
                stop.store(true, ordering: .releasing)
            }
            #expect(wrong.load(ordering: .relaxed) == 0)
            for index in 0..<IOTRAP_CONTEXTS {
                #expect(iotrap_context_entry(index).pointee.users == 0, "record \(index)")
                iotrap_context_entry(index).pointee.users = 0
            }
        }
    }
}
