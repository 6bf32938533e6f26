import CIOTrap

/// A log-linear histogram of nanoseconds, laid out as `struct iotrap_stats_histogram`.
///
/// Values below 64 have a bucket each; above, every power of two is cut in 32, so that a bucket's
/// middle is off by at most 1.6 %. What lies above 2^38 ns (4.6 minutes) shares the last bucket.
public struct Histogram: Equatable, Sendable {
    /// Number of buckets in a segment of this version.
    public static let bucketCount = Int(IOTRAP_STATS_BUCKETS)

    /// Calls that the timed ones stand for.
    public var count: UInt64 = 0
    /// Sum of the weighted latencies in nanoseconds.
    public var sumNanoseconds: UInt64 = 0
    /// The longest call that was timed, in nanoseconds.
    public var maxNanoseconds: UInt64 = 0
    /// Weight per bucket; always `bucketCount` of them.
    public private(set) var buckets: [UInt64]

    /// An empty histogram.
    public init() {
        buckets = [UInt64](repeating: 0, count: Self.bucketCount)
    }

    /// The bucket that a latency falls into: 0 ..< `bucketCount`.
    public static func bucketIndex(of nanoseconds: UInt64) -> Int {
        if nanoseconds < 64 { return Int(nanoseconds) }
        let exponent = 63 - nanoseconds.leadingZeroBitCount
        let step = Int(nanoseconds >> UInt64(exponent - 5)) - 32
        return min(64 + (exponent - 6) * 32 + step, bucketCount - 1)
    }

    /// The smallest latency of a bucket and the bucket's width, both in nanoseconds.
    public static func bounds(ofBucket index: Int) -> (lower: UInt64, width: UInt64) {
        if index < 64 { return (UInt64(index), 1) }
        let exponent = UInt64(6 + (index - 64) / 32)
        let step = UInt64((index - 64) % 32)
        return ((32 + step) << (exponent - 5), 1 << (exponent - 5))
    }

    /// Counts one timed call that stands for `weight` calls.
    public mutating func record(_ nanoseconds: UInt64, weight: UInt64 = 1) {
        add(weight, toBucket: Self.bucketIndex(of: nanoseconds))
        count = saturatingSum(count, weight)
        let product = nanoseconds.multipliedReportingOverflow(by: weight)
        sumNanoseconds = saturatingSum(
            sumNanoseconds, product.overflow ? .max : product.partialValue)
        maxNanoseconds = max(maxNanoseconds, nanoseconds)
    }

    /// Adds weight to a bucket without touching the sums; `index` must be a bucket's.
    public mutating func add(_ weight: UInt64, toBucket index: Int) {
        buckets[index] = saturatingSum(buckets[index], weight)
    }

    /// Adds all that another histogram counted.
    public mutating func merge(_ other: Histogram) {
        count = saturatingSum(count, other.count)
        sumNanoseconds = saturatingSum(sumNanoseconds, other.sumNanoseconds)
        maxNanoseconds = max(maxNanoseconds, other.maxNanoseconds)
        for index in 0..<Self.bucketCount { add(other.buckets[index], toBucket: index) }
    }

    /// Arithmetic mean in nanoseconds, nil when nothing was counted.
    public var meanNanoseconds: Double? {
        count == 0 ? nil : Double(sumNanoseconds) / Double(count)
    }

    /// The nearest-rank percentile in nanoseconds, nil when nothing was counted.
    ///
    /// `partsPerMillion` is 500_000 for the median, 999_000 for p99.9. The answer is within 1.6 %
    /// of the exact one below 2^38 ns; above, it is the maximum. Ranks count buckets, not `count`:
    /// a live writer updates the two one after the other.
    public func percentile(partsPerMillion: UInt64) -> UInt64? {
        let total = buckets.reduce(0, saturatingSum)
        if total == 0 { return nil }
        let product = total.multipliedFullWidth(by: min(partsPerMillion, 1_000_000))
        let (quotient, remainder) = UInt64(1_000_000).dividingFullWidth(product)
        let rank = max(1, quotient + (remainder == 0 ? 0 : 1))
        var seen: UInt64 = 0
        for (index, weight) in buckets.enumerated() where weight > 0 {
            seen = saturatingSum(seen, weight)
            if seen >= rank { return representative(ofBucket: index) }
        }
        return maxNanoseconds
    }

    /// Median latency in nanoseconds.
    public var p50: UInt64? { percentile(partsPerMillion: 500_000) }
    /// 99th percentile in nanoseconds.
    public var p99: UInt64? { percentile(partsPerMillion: 990_000) }
    /// 99.9th percentile in nanoseconds.
    public var p999: UInt64? { percentile(partsPerMillion: 999_000) }

    /// The middle of a bucket, never more than the longest call that was seen.
    private func representative(ofBucket index: Int) -> UInt64 {
        let (lower, width) = Self.bounds(ofBucket: index)
        if index == Self.bucketCount - 1 && maxNanoseconds >= lower + width {
            return maxNanoseconds
        }
        let middle = lower + width / 2
        // A live writer may not have stored its maximum yet: then the middle stands.
        return maxNanoseconds >= lower ? min(middle, maxNanoseconds) : middle
    }
}

/// A sum that stops at the top: numbers come from a file and may be anything.
func saturatingSum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
}
