import CIOTrap
import CIOTrapEngine

/// Counting, per thread and without locked instructions: each block has one writer.
enum Recording {
    @inline(__always)
    static func reason(_ thread: UnsafeMutablePointer<iotrap_thread>, _ reason: iotrap_reason) {
        guard let block = thread.pointee.block else { return }
        iotrap_block_reason(block, reason.rawValue).pointee &+= 1
    }

    /// A histogram of the thread's block, with memory behind it; nil when there is none to be had.
    private static func histogram(
        _ thread: UnsafeMutablePointer<iotrap_thread>, operation: UInt32
    ) -> UnsafeMutablePointer<iotrap_stats_histogram>? {
        guard let block = thread.pointee.block else { return nil }
        return reserved(thread, iotrap_block_operation_latency(block, operation), bit: operation)
    }

    private static func histogram(
        _ thread: UnsafeMutablePointer<iotrap_thread>, technique: UInt32
    ) -> UnsafeMutablePointer<iotrap_stats_histogram>? {
        guard let block = thread.pointee.block else { return nil }
        return reserved(
            thread, iotrap_block_technique_latency(block, technique),
            bit: IOTRAP_OP_COUNT.rawValue + technique)
    }

    /// The histogram, once there is memory behind it. `bit`: its own in `thread.histograms`.
    static func reserved(
        _ thread: UnsafeMutablePointer<iotrap_thread>,
        _ histogram: UnsafeMutablePointer<iotrap_stats_histogram>, bit: UInt32
    ) -> UnsafeMutablePointer<iotrap_stats_histogram>? {
        if thread.pointee.histograms & (1 << bit) != 0 { return histogram }
        let isRestricted = process.pointee.isRestricted != 0
        guard
            Segment.hasWholeBlocks
                || (!isRestricted
                    && iotrap_reserve_pages(
                        histogram, MemoryLayout<iotrap_stats_histogram>.size) == 0)
        else { return nil }
        thread.pointee.histograms |= 1 << bit
        return histogram
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
        if nanoseconds >= 2_000 { return 8 }
        return nanoseconds >= 1_000 ? 64 : 128
    }

    /// Notes the latency of a timed call of one operation and sets when the next is timed.
    static func timed(
        _ thread: UnsafeMutablePointer<iotrap_thread>, _ operation: UInt32, _ nanoseconds: UInt64,
        weight: UInt64
    ) {
        let next = interval(after: nanoseconds)
        iotrap_interval(thread, operation).pointee = next
        iotrap_countdown(thread, operation).pointee = next
        guard let histogram = histogram(thread, operation: operation) else { return }
        latency(histogram, nanoseconds, weight: weight)
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
        if let histogram = histogram(thread, operation: call.pointee.operation) {
            latency(histogram, nanoseconds, weight: 1)
        }
        if let histogram = histogram(thread, technique: technique.rawValue) {
            latency(histogram, nanoseconds, weight: 1)
        }
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
