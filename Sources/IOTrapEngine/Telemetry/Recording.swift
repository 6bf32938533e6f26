import CIOTrap
import CIOTrapEngine

/// Counting, per thread and without locked instructions: each block has one writer.
enum Recording {
    @inline(__always)
    static func reason(_ thread: UnsafeMutablePointer<iotrap_thread>, _ reason: iotrap_reason) {
        guard let block = thread.pointee.block else { return }
        iotrap_block_reason(block, reason.rawValue).pointee &+= 1
    }

    /// Adds a latency that stands for `weight` calls.
    static func latency(
        _ histogram: UnsafeMutablePointer<iotrap_stats_histogram>, _ nanoseconds: UInt64,
        weight: UInt64
    ) {
        histogram.pointee.count &+= weight
        histogram.pointee.sum_ns &+= nanoseconds &* weight
        if nanoseconds > histogram.pointee.max_ns { histogram.pointee.max_ns = nanoseconds }
        let index = UInt32(truncatingIfNeeded: HistogramBuckets.index(of: nanoseconds))
        iotrap_histogram_bucket(histogram, index).pointee &+= weight
    }

    /// How many calls the next timed one should stand for. Two clock readings cost about 50 ns:
    /// that is kept under 1 % of the calls' own time.
    static func interval(after nanoseconds: UInt64) -> UInt16 {
        if nanoseconds >= 8_000 { return 1 }
        return nanoseconds >= 2_000 ? 8 : 64
    }

    /// Notes the latency of a timed call of one operation and sets when the next is timed.
    static func timed(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ operation: UInt32, _ nanoseconds: UInt64,
        weight: UInt64
    ) {
        let next = interval(after: nanoseconds)
        iotrap_interval(thread, operation).pointee = next
        iotrap_countdown(thread, operation).pointee = next
        guard let block = thread.pointee.block else { return }
        latency(iotrap_block_operation_latency(block, operation), nanoseconds, weight: weight)
    }

    /// Notes a call that a technique served.
    static func served(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ call: UnsafeMutablePointer<iotrap_call>,
        _ technique: iotrap_technique, result: Int64, nanoseconds: UInt64, isTrial: Bool
    ) {
        guard let block = thread.pointee.block else { return }
        let operation = iotrap_block_operation(block, call.pointee.operation)
        let counts = iotrap_block_technique(block, technique.rawValue)
        operation.pointee.accelerated &+= 1
        counts.pointee.calls &+= 1
        if isTrial { counts.pointee.trials &+= 1 }
        if result < 0 {
            operation.pointee.errors &+= 1
            counts.pointee.errors &+= 1
        } else {
            operation.pointee.bytes &+= UInt64(result)
            counts.pointee.bytes &+= UInt64(result)
        }
        latency(
            iotrap_block_operation_latency(block, call.pointee.operation), nanoseconds, weight: 1)
        latency(
            iotrap_block_technique_latency(block, technique.rawValue), nanoseconds, weight: 1)
    }

    /// Notes requests and submissions of a technique.
    static func batches(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ technique: iotrap_technique,
        requests: UInt64, batches: UInt64
    ) {
        guard let block = thread.pointee.block else { return }
        let counts = iotrap_block_technique(block, technique.rawValue)
        counts.pointee.requests &+= requests
        counts.pointee.batches &+= batches
    }

    /// Notes what a comparison decided.
    static func event(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ technique: iotrap_technique,
        _ event: Comparison.Event
    ) {
        guard let block = thread.pointee.block, event != .none else { return }
        let counts = iotrap_block_technique(block, technique.rawValue)
        if event == .engaged {
            counts.pointee.engaged &+= 1
        } else {
            counts.pointee.dropped &+= 1
        }
    }
}
