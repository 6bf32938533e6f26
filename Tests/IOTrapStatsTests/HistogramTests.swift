import CIOTrap
import Foundation
import Testing

@testable import IOTrapStats

@Suite("Latency histograms")
struct HistogramTests {
    /// The promise of the statistics: percentiles are off by at most this much.
    static let errorLimit = 0.03

    @Test("Buckets follow each other without gap or overlap")
    func bucketsAreContiguous() {
        var expectedLower: UInt64 = 0
        for index in 0..<Histogram.bucketCount {
            let (lower, width) = Histogram.bounds(ofBucket: index)
            #expect(lower == expectedLower)
            #expect(Histogram.bucketIndex(of: lower) == index)
            #expect(Histogram.bucketIndex(of: lower + width - 1) == index)
            #expect(width == 1 || Double(width) / Double(lower) <= 1.0 / 32)
            expectedLower = lower + width
        }
        #expect(expectedLower == 1 << 38)
    }

    @Test("The layout's formula gives the same bucket")
    func bucketsFollowTheHeader() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<100_000 {
            let value =
                UInt64.random(in: 0..<1 << 38, using: &generator)
                >> UInt64.random(in: 0..<38, using: &generator)
            var expected = value
            if value >= 64 {
                let e = UInt64(63 - value.leadingZeroBitCount)
                expected = 64 + (e - 6) * 32 + ((value >> (e - 5)) - 32)
            }
            #expect(Histogram.bucketIndex(of: value) == Int(expected))
        }
        #expect(Histogram.bucketIndex(of: 1 << 38) == Histogram.bucketCount - 1)
        #expect(Histogram.bucketIndex(of: .max) == Histogram.bucketCount - 1)
    }

    /// Name and values of a distribution.
    struct Distribution: CustomTestStringConvertible, Sendable {
        let name: String
        let values: @Sendable (inout SeededGenerator) -> [UInt64]
        var testDescription: String { name }
    }

    static let distributions: [Distribution] = [
        Distribution(name: "one value") { _ in [12_345] },
        Distribution(name: "two far apart") { _ in [1, (1 << 38) - 1] },
        Distribution(name: "all the same") { _ in [UInt64](repeating: 330, count: 5000) },
        Distribution(name: "below the logarithm") { generator in
            (0..<3000).map { _ in UInt64.random(in: 0..<64, using: &generator) }
        },
        Distribution(name: "uniform") { generator in
            (0..<20_000).map { _ in UInt64.random(in: 0..<1_000_000, using: &generator) }
        },
        Distribution(name: "log-uniform") { generator in
            (0..<20_000).map { _ in
                UInt64(exp2(Double.random(in: 0..<38, using: &generator)))
            }
        },
        Distribution(name: "lower edges of buckets") { _ in
            (0..<Histogram.bucketCount).map { Histogram.bounds(ofBucket: $0).lower }
        },
        Distribution(name: "upper edges of buckets") { _ in
            (0..<Histogram.bucketCount).map {
                let (lower, width) = Histogram.bounds(ofBucket: $0)
                return lower + width - 1
            }
        },
        Distribution(name: "powers of two and their neighbours") { _ in
            (6..<38).flatMap { [(1 << $0) - 1, 1 << $0, (1 << $0) + 1] as [UInt64] }
        },
        Distribution(name: "fast with a rare stall just past p99") { _ in
            [UInt64](repeating: 300, count: 9900) + [UInt64](repeating: 5_000_000_000, count: 100)
        },
        Distribution(name: "fast with a stall just before p99.9") { _ in
            [UInt64](repeating: 300, count: 9989) + [UInt64](repeating: 7_000_000, count: 11)
        },
        Distribution(name: "two humps") { generator in
            (0..<10_000).map { index in
                let centre: Double = index.isMultiple(of: 2) ? 400 : 90_000
                return UInt64(centre * Double.random(in: 0.9...1.1, using: &generator))
            }
        },
    ]

    @Test("Percentiles are within 3 % of the exact ones", arguments: distributions)
    func percentilesAreClose(_ distribution: Distribution) throws {
        var generator = SeededGenerator(seed: 42)
        let values = distribution.values(&generator).sorted()
        var histogram = Histogram()
        for value in values { histogram.record(value) }
        for partsPerMillion: UInt64 in [
            0, 1, 250_000, 500_000, 900_000, 990_000, 999_000, 1_000_000,
        ] {
            let rank = (values.count * Int(partsPerMillion) + 999_999) / 1_000_000
            let exact = Double(values[max(rank, 1) - 1])
            let found = Double(try #require(histogram.percentile(partsPerMillion: partsPerMillion)))
            #expect(
                abs(found - exact) <= Self.errorLimit * exact,
                "\(partsPerMillion) ppm: \(found) for \(exact)")
        }
        let mean = Double(values.reduce(0, +)) / Double(values.count)
        #expect(abs(try #require(histogram.meanNanoseconds) - mean) <= 1e-9 * mean)
        #expect(histogram.maxNanoseconds == values.last)
        #expect(histogram.count == UInt64(values.count))
    }

    @Test("A weight counts as that many calls")
    func weights() throws {
        var weighted = Histogram()
        var repeated = Histogram()
        for (value, weight) in [(100, 64), (5000, 16), (900_000, 1)] as [(UInt64, UInt64)] {
            weighted.record(value, weight: weight)
            for _ in 0..<weight { repeated.record(value) }
        }
        #expect(weighted == repeated)
        #expect(weighted.p50 == 101)
    }

    @Test("Nothing above the longest call is ever reported")
    func percentilesStayBelowTheMaximum() {
        for value: UInt64 in [64, 1 << 20, (1 << 30) + 1, (1 << 38) - (1 << 32)] {
            var histogram = Histogram()
            histogram.record(value)
            #expect(histogram.p50 == value)
            #expect(histogram.p999 == value)
        }
    }

    @Test("Beyond the last bucket the maximum is reported")
    func overflow() {
        var histogram = Histogram()
        histogram.record(1 << 45)
        #expect(histogram.p50 == 1 << 45)
    }

    @Test("An empty histogram has no percentiles and no mean")
    func empty() {
        let histogram = Histogram()
        #expect(histogram.p50 == nil)
        #expect(histogram.meanNanoseconds == nil)
    }

    @Test("Merging is counting together")
    func merging() {
        var generator = SeededGenerator(seed: 7)
        var first = Histogram()
        var second = Histogram()
        var both = Histogram()
        for index in 0..<5000 {
            let value = UInt64.random(in: 0..<1 << 40, using: &generator)
            both.record(value)
            if index.isMultiple(of: 3) { first.record(value) } else { second.record(value) }
        }
        first.merge(second)
        #expect(first == both)
    }

    @Test("Absurd counts saturate")
    func saturation() {
        var histogram = Histogram()
        for index in 0..<Histogram.bucketCount { histogram.add(.max, toBucket: index) }
        histogram.merge(histogram)
        histogram.record(.max, weight: .max)
        #expect(histogram.p50 == 0)
        #expect(histogram.sumNanoseconds == .max)
    }
}
