import CIOTrap
import Testing

@testable import IOTrapEngine

@Suite struct HistogramTests {
    @Test func everyBucketBeginsWhereTheOneBeforeEnds() {
        for index in 0..<Int(IOTRAP_STATS_BUCKETS) {
            let lower = HistogramBuckets.lowerBound(of: index)
            #expect(HistogramBuckets.index(of: lower) == index)
            if index > 0 { #expect(HistogramBuckets.index(of: lower - 1) == index - 1) }
        }
    }

    @Test func theMiddleOfABucketIsWithinThreePercent() {
        var generator = SplitMix(seed: 5)
        for _ in 0..<100_000 {
            let value =
                UInt64.random(in: 1...(1 << 38 - 1), using: &generator)
                >> UInt64.random(in: 0...37, using: &generator)
            let index = HistogramBuckets.index(of: value)
            let lower = HistogramBuckets.lowerBound(of: index)
            let upper =
                index + 1 < Int(IOTRAP_STATS_BUCKETS)
                ? HistogramBuckets.lowerBound(of: index + 1) : 1 << 38
            let middle = Double(lower + upper - 1) / 2
            #expect(abs(middle - Double(value)) <= 0.03 * Double(value))
        }
    }

    @Test func hugeValuesShareTheLastBucket() {
        #expect(HistogramBuckets.index(of: UInt64.max) == Int(IOTRAP_STATS_BUCKETS) - 1)
        #expect(HistogramBuckets.index(of: 1 << 38) == Int(IOTRAP_STATS_BUCKETS) - 1)
    }
}
