import CIOTrap

/// Arithmetic of the log-linear histogram: see `IOTRAP_STATS_BUCKETS` for the shape.
enum HistogramBuckets {
    /// The bucket of a latency in nanoseconds; everything from 2^38 up shares the last one.
    @inline(__always)
    static func index(of nanoseconds: UInt64) -> Int {
        if nanoseconds < 64 { return Int(truncatingIfNeeded: nanoseconds) }
        let exponent = 63 &- nanoseconds.leadingZeroBitCount
        if exponent >= 38 { return Int(IOTRAP_STATS_BUCKETS) &- 1 }
        let mantissa = Int(truncatingIfNeeded: nanoseconds >> UInt64(exponent &- 5)) &- 32
        return 64 &+ (exponent &- 6) &* 32 &+ mantissa
    }

    /// The smallest latency that falls into a bucket.
    static func lowerBound(of index: Int) -> UInt64 {
        if index < 64 { return UInt64(index) }
        let exponent = UInt64(6 + (index - 64) / 32)
        return (32 + UInt64((index - 64) % 32)) << (exponent - 5)
    }
}
