import Foundation
import Testing

@testable import IOReplay

@Suite("Comparison of results")
struct ComparisonTests {
    @Test("The interval of a ratio is Welch's, on logarithms")
    func interval() throws {
        // Logarithms 0, 1, 2 and 1, 2, 3: means differ by 1, variances are 1, freedom is 4.
        let base = [1, M_E, M_E * M_E]
        let other = base.map { $0 * M_E }
        let interval = try #require(RatioInterval(base: base, other: other))
        let width = 2.776 * (2.0 / 3).squareRoot()
        #expect(abs(interval.ratio - M_E) < 1e-9)
        #expect(abs(try #require(interval.low) - exp(1 - width)) < 1e-9)
        #expect(abs(try #require(interval.high) - exp(1 + width)) < 1e-9)
        #expect(interval.isDifferent == false)
    }

    @Test("A clear difference is one, in both directions, and none is none")
    func differences() throws {
        let base = [100.0, 101, 99, 100]
        let more = try #require(RatioInterval(base: base, other: [120, 121, 119, 120]))
        #expect(more.isDifferent == true && more.ratio > 1.19)
        let less = try #require(RatioInterval(base: base, other: [80, 81, 79, 80]))
        #expect(less.isDifferent == true && less.ratio < 0.81)
        let same = try #require(RatioInterval(base: base, other: [99, 102, 100, 98]))
        #expect(same.isDifferent == false)
        let equal = try #require(RatioInterval(base: [5, 5], other: [5, 5]))
        #expect(equal.isDifferent == false && equal.low == 1 && equal.high == 1)
    }

    @Test("One run has no interval, and what is not above zero no ratio")
    func few() throws {
        let one = try #require(RatioInterval(base: [2], other: [3, 4]))
        #expect(one.isDifferent == nil && one.low == nil)
        #expect(RatioInterval(base: [0, 1], other: [1, 1]) == nil)
        #expect(RatioInterval(base: [], other: [1]) == nil)
        #expect(RatioInterval(base: [1, .infinity], other: [1, 1]) == nil)
    }

    @Test("JSON is read as it was written, and what is none is refused")
    func json() {
        let value = JSONReader.read(Array(#"{"a": [1, -2.5e3, "x\"\u0041\n"], "b": {}}"#.utf8))
        #expect(value?["a"]?.array?.compactMap(\.number) == [1, -2500])
        #expect(value?["a"]?.array?.last?.string == "x\"A\n")
        for text in [
            "", "{", "[1,", "{\"a\"}", "1 2", "\"\\u00", String(repeating: "[", count: 99),
        ] {
            #expect(JSONReader.read(Array(text.utf8)) == nil, "\(text)")
        }
    }

    /// A file of results with these rates, one a run.
    private func results(
        _ scratch: Scratch, _ name: String, _ rates: [Double], partial: Int = 0
    ) throws -> String {
        var report = ReplayReport()
        for rate in rates {
            var run = ReplayRun()
            var item = ReplayRun.Class(operation: "read", size: "4K")
            item.count = UInt64(rate)
            item.bytes = UInt64(rate) * 4096
            item.latency.record(UInt64(1e9 / rate), weight: UInt64(rate))
            run.classes = [item]
            run.elapsedNanoseconds = 1_000_000_000
            report.runs.append(run)
        }
        for index in 0..<partial { report.runs[index].isPartial = true }
        try report.json.write(toFile: scratch(name), atomically: true, encoding: .utf8)
        return scratch(name)
    }

    @Test("Results are compared metric by metric, the base first")
    func command() throws {
        let scratch = try Scratch()
        let base = try results(scratch, "a.json", [1000, 1010, 990])
        let fast = try results(scratch, "b.json", [2000, 2020, 1980])
        let same = try results(scratch, "c.json", [9, 1002, 1008, 992], partial: 1)
        let comparison = try ReplayComparison(files: [base, fast, same])
        let row = try #require(comparison.rows.first { $0.metric == "IOPS" })
        #expect(row.means.map { $0?.rounded() } == [1000, 2000, 1001])
        let verdicts = row.ratios.map { ReplayComparison.verdict($0!, row) }
        #expect(verdicts == ["better", "no difference seen"])
        let latency = try #require(comparison.rows.first { $0.metric == "read mean us" })
        #expect(ReplayComparison.verdict(latency.ratios[0]!, latency) == "better")
        let outcome = try scratch.iotrap(["compare", base, fast, same])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("no difference seen"))
        let json = try scratch.iotrap(["compare", "--json", base, fast])
        let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8))
        #expect((object as? [String: Any])?["metrics"] != nil)
    }

    @Test("What is no result is refused by name")
    func wrongInput() throws {
        let scratch = try Scratch()
        let base = try results(scratch, "a.json", [1000, 1010])
        let partial = try results(scratch, "p.json", [1000], partial: 1)
        try "{}".write(toFile: scratch("empty.json"), atomically: true, encoding: .utf8)
        expectRefusal(try scratch.iotrap(["compare", base]), naming: "nothing to compare")
        expectRefusal(try scratch.iotrap(["compare", base, partial]), naming: "p.json", "no whole")
        expectRefusal(
            try scratch.iotrap(["compare", base, scratch("empty.json")]), naming: "empty.json")
        expectRefusal(
            try scratch.iotrap(["compare", base, scratch("gone.json")]), naming: "gone.json")
    }
}
