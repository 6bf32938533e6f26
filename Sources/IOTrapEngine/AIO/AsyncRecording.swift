import CIOTrap
import CIOTrapEngine

/// Counts of asynchronous I/O, per thread like all others: who submits counts submissions, who
/// takes the completion counts that. A thread without a block counts nothing.
enum AsyncRecording {
    typealias Thread = UnsafeMutablePointer<iotrap_thread>

    @inline(__always)
    private static func counts(
        _ thread: Thread, _ interface: iotrap_async_interface
    ) -> UnsafeMutablePointer<iotrap_stats_async>? {
        guard let block = thread.pointee.block else { return nil }
        return iotrap_block_async(block, interface.rawValue)
    }

    /// One call that submitted requests, or tried to.
    static func submitCall(_ thread: Thread, _ interface: iotrap_async_interface) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.submit_calls &+= 1
    }

    /// Time inside submitting calls. `weight`: how many calls the timed one stands for.
    static func submitTime(
        _ thread: Thread, _ interface: iotrap_async_interface, _ nanoseconds: UInt64,
        weight: UInt64
    ) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.submit_ns &+= nanoseconds &* weight
    }

    /// Requests accepted, and who runs them.
    static func submitted(
        _ thread: Thread, _ interface: iotrap_async_interface, _ route: iotrap_async_route,
        requests: UInt64
    ) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.submitted &+= requests
        iotrap_async_route_count(counts, route.rawValue).pointee &+= requests
    }

    /// The number of requests in flight after a submission.
    static func depth(_ thread: Thread, _ interface: iotrap_async_interface, _ inFlight: UInt32) {
        guard let counts = counts(thread, interface) else { return }
        iotrap_async_depth_count(counts, depthIndex(inFlight)).pointee &+= 1
    }

    /// The index of a depth in the histogram: 0 for 0, else 1 + floor(log2), the last one open.
    static func depthIndex(_ inFlight: UInt32) -> UInt32 {
        let index = UInt32(UInt32.bitWidth - inFlight.leadingZeroBitCount)
        return min(index, IOTRAP_STATS_DEPTHS - 1)
    }

    /// One call that asked for finished requests and was told of `requests` of them.
    static func reaped(
        _ thread: Thread, _ interface: iotrap_async_interface, requests: UInt64, inUser: UInt64
    ) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.reap_calls &+= 1
        counts.pointee.reaped &+= requests
        counts.pointee.reaped_in_user &+= inUser
    }

    /// The program was told of the end of one request, without a system call.
    static func told(_ thread: Thread, _ interface: iotrap_async_interface) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.reaped &+= 1
        counts.pointee.reaped_in_user &+= 1
    }

    /// The end of one request.
    ///
    /// - Parameters:
    ///   - result: bytes moved or -errno.
    ///   - nanoseconds: since its submission; nil when that was not noted.
    static func finished(
        _ thread: Thread, _ interface: iotrap_async_interface, result: Int64,
        nanoseconds: UInt64?
    ) {
        guard let block = thread.pointee.block else { return }
        let counts = iotrap_block_async(block, interface.rawValue)
        if result < 0 {
            counts.pointee.errors &+= 1
        } else {
            counts.pointee.bytes &+= UInt64(result)
        }
        guard let nanoseconds else { return }
        counts.pointee.flight_ns &+= nanoseconds
        counts.pointee.flight_requests &+= 1
        let histogram = Recording.reserved(
            thread, iotrap_block_flight(block, interface.rawValue),
            bit: IOTRAP_OP_COUNT.rawValue + IOTRAP_TECHNIQUE_COUNT.rawValue + interface.rawValue)
        if let histogram { Recording.latency(histogram, nanoseconds, weight: 1) }
    }

    /// Requests that ended by being cancelled.
    static func cancelled(
        _ thread: Thread, _ interface: iotrap_async_interface, requests: UInt64
    ) {
        guard let counts = counts(thread, interface) else { return }
        counts.pointee.cancelled &+= requests
    }
}
