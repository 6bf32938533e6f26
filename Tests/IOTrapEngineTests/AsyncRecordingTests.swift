import CIOTrap
import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

/// A thread with a block of its own, as the engine keeps them. Never freed: the object may be gone
/// while its addresses are still in use.
private final class CountingThread {
    let thread: UnsafeMutablePointer<iotrap_thread>
    let block: UnsafeMutablePointer<iotrap_stats_block>

    init() {
        thread = iotrap_pages(MemoryLayout<iotrap_thread>.size, 0)!
            .assumingMemoryBound(to: iotrap_thread.self)
        // Pages that can be populated, as those of a segment.
        block = iotrap_pages(MemoryLayout<iotrap_stats_block>.size + 4096, 0)!
            .assumingMemoryBound(to: iotrap_stats_block.self)
        thread.pointee.block = block
    }

    func counts(_ interface: iotrap_async_interface) -> iotrap_stats_async {
        iotrap_block_async(block, interface.rawValue).pointee
    }

    func routes(_ interface: iotrap_async_interface) -> [UInt64] {
        let counts = iotrap_block_async(block, interface.rawValue)
        return (0..<IOTRAP_ASYNC_ROUTE_COUNT.rawValue).map {
            iotrap_async_route_count(counts, $0).pointee
        }
    }

    func depths(_ interface: iotrap_async_interface) -> [UInt64] {
        let counts = iotrap_block_async(block, interface.rawValue)
        return (0..<IOTRAP_STATS_DEPTHS).map { iotrap_async_depth_count(counts, $0).pointee }
    }
}

@Suite struct AsyncRecordingTests {
    @Test func depthBucketsArePowersOfTwo() {
        #expect(AsyncRecording.depthIndex(0) == 0)
        for index in 1..<IOTRAP_STATS_DEPTHS {
            let lower = UInt32(1) << (index - 1)
            #expect(AsyncRecording.depthIndex(lower) == index)
            #expect(AsyncRecording.depthIndex(lower - 1) == index - 1)
        }
        let last = IOTRAP_STATS_DEPTHS - 1
        for depth: UInt32 in [65_536, 65_537, 131_072, 1 << 31, .max] {
            #expect(AsyncRecording.depthIndex(depth) == last)
        }
    }

    @Test func countersGoToTheirInterfaceAndPlace() {
        let counting = CountingThread()
        let thread = counting.thread
        AsyncRecording.submitCall(thread, IOTRAP_ASYNC_LIBAIO)
        AsyncRecording.submitTime(thread, IOTRAP_ASYNC_LIBAIO, 700, weight: 8)
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_RING, requests: 32)
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_KERNEL, requests: 3)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_LIBAIO, 35)
        AsyncRecording.reaped(thread, IOTRAP_ASYNC_LIBAIO, requests: 30, inUser: 20)
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_INLINE, requests: 1)
        AsyncRecording.cancelled(thread, IOTRAP_ASYNC_POSIX, requests: 2)

        let libaio = counting.counts(IOTRAP_ASYNC_LIBAIO)
        #expect(libaio.submit_calls == 1 && libaio.submitted == 35 && libaio.submit_ns == 5600)
        #expect(libaio.reap_calls == 1 && libaio.reaped == 30 && libaio.reaped_in_user == 20)
        #expect(libaio.cancelled == 0)
        #expect(counting.routes(IOTRAP_ASYNC_LIBAIO) == [3, 32, 0, 0])
        #expect(counting.depths(IOTRAP_ASYNC_LIBAIO).firstIndex(of: 1) == 6)
        #expect(counting.depths(IOTRAP_ASYNC_LIBAIO).reduce(0, +) == 1)
        let posix = counting.counts(IOTRAP_ASYNC_POSIX)
        #expect(posix.submitted == 1 && posix.cancelled == 2 && posix.reap_calls == 0)
        #expect(counting.routes(IOTRAP_ASYNC_POSIX) == [0, 0, 0, 1])
    }

    @Test func theEndOfARequestIsBytesOrAnErrorAndATimeIfOneWasNoted() {
        let counting = CountingThread()
        for (result, nanoseconds) in [(4096, 1000), (0, 2000), (-5, 3000)] as [(Int64, UInt64)] {
            AsyncRecording.finished(
                counting.thread, IOTRAP_ASYNC_POSIX, result: result, nanoseconds: nanoseconds)
        }
        AsyncRecording.finished(
            counting.thread, IOTRAP_ASYNC_POSIX, result: 512, nanoseconds: nil)
        let counts = counting.counts(IOTRAP_ASYNC_POSIX)
        #expect(counts.bytes == 4608)
        #expect(counts.errors == 1)
        #expect(counts.flight_requests == 3 && counts.flight_ns == 6000)
        let flight = iotrap_block_flight(counting.block, IOTRAP_ASYNC_POSIX.rawValue)
        #expect(flight.pointee.count == 3 && flight.pointee.sum_ns == 6000)
        #expect(flight.pointee.max_ns == 3000)
        let other = iotrap_block_flight(counting.block, IOTRAP_ASYNC_LIBAIO.rawValue)
        #expect(other.pointee.count == 0)
    }

    @Test func everyHistogramHasABitOfItsOwn() {
        let bits =
            IOTRAP_OP_COUNT.rawValue + IOTRAP_TECHNIQUE_COUNT.rawValue
            + IOTRAP_ASYNC_COUNT.rawValue
        #expect(bits <= UInt32(MemoryLayout.size(ofValue: iotrap_thread().histograms)) * 8)
        let counting = CountingThread()
        for interface in [IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_POSIX] {
            let before = counting.thread.pointee.histograms
            AsyncRecording.finished(
                counting.thread, interface, result: 1, nanoseconds: 1)
            #expect((before ^ counting.thread.pointee.histograms).nonzeroBitCount == 1)
        }
    }

    @Test func aThreadWithoutABlockCountsNothing() {
        let thread = UnsafeMutablePointer<iotrap_thread>.allocate(capacity: 1)
        thread.initialize(to: iotrap_thread())
        defer { thread.deallocate() }
        AsyncRecording.submitCall(thread, IOTRAP_ASYNC_LIBAIO)
        AsyncRecording.submitted(
            thread, IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_RING, requests: 1)
        AsyncRecording.depth(thread, IOTRAP_ASYNC_LIBAIO, 1)
        AsyncRecording.reaped(thread, IOTRAP_ASYNC_LIBAIO, requests: 1, inUser: 1)
        AsyncRecording.finished(thread, IOTRAP_ASYNC_LIBAIO, result: 1, nanoseconds: 1)
        AsyncRecording.cancelled(thread, IOTRAP_ASYNC_LIBAIO, requests: 1)
        #expect(thread.pointee.histograms == 0)
    }
}
