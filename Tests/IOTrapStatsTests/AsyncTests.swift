import CIOTrap
import Foundation
import Testing

@testable import IOTrapStats

@Suite("Asynchronous I/O")
struct AsyncTests {
    /// 1000 requests in 50 submissions of 20, nearly all by the ring, none waited for.
    private func totals() -> AsyncTotals {
        var totals = AsyncTotals()
        totals.submitCalls = 50
        totals.submitted = 1000
        totals.submitNanoseconds = 10_000_000
        totals.reapCalls = 100
        totals.reaped = 990
        totals.reapedInUser = 495
        totals.flightNanoseconds = 990 * 1_000_000
        totals.flightRequests = 990
        totals.cancelled = 7
        totals.errors = 3
        totals.bytes = 990 * 4096
        totals.routes = [100, 900, 0, 0]
        totals.depths[5] = 10
        totals.depths[6] = 40
        for _ in 0..<990 { totals.flight.record(1_000_000) }
        return totals
    }

    private func snapshot(_ interfaces: [AsyncInterface: AsyncTotals]) throws -> Snapshot {
        let directory = try TemporaryDirectory()
        let path = try SegmentFixture().write(to: directory, name: "segment")
        var snapshot = try Segment(name: path, path: path).snapshot()
        for (interface, totals) in interfaces { snapshot.interfaces[interface.rawValue] = totals }
        return snapshot
    }

    /// The lines of the section about one interface, without its title.
    private func section(
        _ interface: AsyncInterface, _ snapshot: Snapshot
    ) throws -> [String] {
        let text = Report(snapshot, state: .running).text
        for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
        let title = "ASYNCHRONOUS I/O: \(interface.name)\n"
        let start = try #require(text.range(of: title)).upperBound
        let end = text.range(of: "\n\n", range: start..<text.endIndex)?.lowerBound
        return text[start..<(end ?? text.endIndex)].split(separator: "\n").map(String.init)
    }

    @Test("A section says how much, by whom, how deep and how long")
    func wholeSection() throws {
        let lines = try section(.libaio, snapshot([.libaio: totals()]))
        let expected = [
            "  submitted     1000 requests (3.87 MiB) in 50 calls, 20.0 a call",
            "  reaped        990 in 100 calls, 9.9 a call, 50.0 % without a system call, "
                + "7 cancelled, 3 failed",
            "  run by        kernel 10.0 %, ring 90.0 %, service 0.0 %, inline 0.0 %",
            "  latency       p50 1.00 ms, p99 1.00 ms, p99.9 1.00 ms, max 1.00 ms, "
                + "from submission to completion",
            "  in flight     p50 32-63, p99 32-63, max 32-63, 16-31: 20.0 %, 32-63: 80.0 %",
            "  trigger ratio 0.010: a request takes 10.0 us to submit and is in flight for 1.00 ms",
            "                good: the program goes on while the storage works",
        ]
        #expect(lines == expected)
    }

    @Test("An interface that the program does not use has no section")
    func unused() throws {
        let text = Report(try snapshot([.posix: totals()]), state: .running).text
        #expect(text.contains("ASYNCHRONOUS I/O: posix-aio\n"))
        #expect(!text.contains("ASYNCHRONOUS I/O: libaio"))
        #expect(!Report(try snapshot([:]), state: .running).text.contains("ASYNCHRONOUS"))
    }

    @Test("Requests that have not ended yet give no ratio, and nothing is divided by zero")
    func nothingEnded() throws {
        var totals = AsyncTotals()
        totals.submitCalls = 1
        let lines = try section(.libaio, snapshot([.libaio: totals]))
        #expect(lines.contains("  submitted     0 requests (0 B) in 1 calls, 0.0 a call"))
        #expect(lines.contains("  latency       no request was timed in flight yet"))
        #expect(lines.contains("  in flight     -"))
        #expect(lines.contains("  trigger ratio - (no request was timed in flight yet)"))
        totals = AsyncTotals()
        totals.reapCalls = 1
        #expect(totals.isUsed)
        #expect(totals.requestsPerSubmit == nil)
        #expect(totals.triggerRatio == nil)
        totals.submitted = 1
        totals.submitNanoseconds = 5
        totals.flightRequests = 1
        #expect(totals.triggerRatio == nil, "a flight of no time")
    }

    @Test("Requests that were all done inside the call were never in flight")
    func allInline() throws {
        var totals = AsyncTotals()
        totals.submitCalls = 3
        totals.submitted = 3
        totals.routes[AsyncRoute.inline.rawValue] = 3
        let lines = try section(.posix, snapshot([.posix: totals]))
        #expect(lines.contains { $0.hasPrefix("  latency       none was in flight: all data was") })
        #expect(lines.last?.hasPrefix("  trigger ratio - (none was in flight") == true)
    }

    @Test(
        "The trigger ratio is explained",
        arguments: [
            (0.099, false, "good"), (0.1, false, "part of its I/O"),
            (0.49, false, "part of its I/O"), (0.5, false, "as if it were synchronous"),
            (7, false, "as if it were synchronous"), (0.9, true, "cached"), (0.05, true, "good"),
        ])
    func verdicts(_ ratio: Double, _ inline: Bool, _ words: String) throws {
        var totals = totals()
        totals.submitNanoseconds = UInt64(ratio * 1_000_000 * Double(totals.submitted))
        if inline { totals.routes = [0, 400, 0, 600] }
        let last = try #require(try section(.posix, snapshot([.posix: totals])).last)
        #expect(last.contains(words), "\(last)")
    }

    @Test("Depth buckets are powers of two and cover every depth once")
    func depthBuckets() {
        #expect(AsyncTotals.depths(ofBucket: 0) == 0...0)
        #expect(AsyncTotals.depths(ofBucket: 1) == 1...1)
        #expect(AsyncTotals.depths(ofBucket: 2) == 2...3)
        #expect(AsyncTotals.depths(ofBucket: 17) == 65_536...UInt64.max)
        for bucket in 1..<AsyncTotals.depthBucketCount {
            let below = AsyncTotals.depths(ofBucket: bucket - 1)
            #expect(AsyncTotals.depths(ofBucket: bucket).lowerBound == below.upperBound + 1)
        }
    }

    @Test("Percentiles of the depth are those of the submissions")
    func depthPercentiles() {
        var totals = AsyncTotals()
        #expect(totals.depthBucket(partsPerMillion: 500_000) == nil)
        totals.depths[1] = 500
        totals.depths[4] = 490
        totals.depths[9] = 10
        #expect(totals.depthBucket(partsPerMillion: 500_000) == 1)
        #expect(totals.depthBucket(partsPerMillion: 501_000) == 4)
        #expect(totals.depthBucket(partsPerMillion: 990_000) == 4)
        #expect(totals.depthBucket(partsPerMillion: 991_000) == 9)
        #expect(totals.depthBucket(partsPerMillion: 1_000_000) == 9)
        totals.depths[17] = .max
        #expect(totals.depthBucket(partsPerMillion: 500_000) == 17)
    }

    @Test("Any counters make a section that fits, and a JSON that parses")
    func anyCounters() throws {
        var generator = SeededGenerator(seed: 5)
        let values: [UInt64] = [0, 1, 2, 9_999, 999_499, 1 << 40, 1 << 63, .max - 1, .max]
        for _ in 0..<300 {
            func any() -> UInt64 { values.randomElement(using: &generator)! }
            var totals = AsyncTotals()
            totals.submitCalls = any()
            totals.submitted = any()
            totals.submitNanoseconds = any()
            totals.reapCalls = max(1, any())
            totals.reaped = any()
            totals.reapedInUser = any()
            totals.flightNanoseconds = any()
            totals.flightRequests = any()
            totals.cancelled = any()
            totals.errors = any()
            totals.bytes = any()
            for index in totals.routes.indices { totals.routes[index] = any() }
            for index in totals.depths.indices { totals.depths[index] = any() }
            for _ in 0..<3 { totals.flight.record(any(), weight: any()) }
            let snapshot = try snapshot([.libaio: totals, .posix: totals])
            _ = try section(.posix, snapshot)
            let text = Report.json(snapshot, state: .running)
            _ = try JSONSerialization.jsonObject(with: Data(text.utf8))
        }
    }

    @Test("Every depth that is not rare is shown, on as many lines as that takes")
    func manyDepths() throws {
        var totals = totals()
        for index in totals.depths.indices { totals.depths[index] = 1 }
        let text = try section(.libaio, snapshot([.libaio: totals])).joined(separator: " ")
        #expect(text.contains(" 0: 5.6 %,"))
        #expect(text.contains(" 16384-32767: 5.6 %,"))
        #expect(text.contains(" 65536 and more: 5.6 % "))
        totals.depths[1] = 10_000
        let rare = try section(.libaio, snapshot([.libaio: totals])).joined(separator: " ")
        #expect(!rare.contains("16384"))
        #expect(rare.contains("p50 1, p99 1, max 65536 and more, 1: 99.8 %"))
    }

    @Test("JSON holds every counter of both interfaces, with its unit in the name")
    func json() throws {
        let text = Report.json(try snapshot([.libaio: totals()]), state: .running)
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let all = try #require(object["asynchronous"] as? [String: [String: Any]])
        #expect(Set(all.keys) == ["libaio", "posix-aio"])
        let libaio = try #require(all["libaio"])
        let counts = [
            "submit_calls": 50, "submitted_requests": 1000, "submit_ns": 10_000_000,
            "reap_calls": 100, "reaped_requests": 990, "reaped_without_system_call_requests": 495,
            "flight_requests": 990, "flight_ns": 990_000_000, "cancelled_requests": 7,
            "failed_requests": 3, "bytes": 990 * 4096,
        ]
        for (name, count) in counts { #expect(libaio[name] as? Int == count, "\(name)") }
        #expect(libaio["requests_per_submit_mean"] as? Double == 20)
        #expect(libaio["requests_per_reap_mean"] as? Double == 9.9)
        #expect(libaio["trigger_ratio"] as? Double == 0.01)
        let routes = try #require(libaio["requests_by_route"] as? [String: Int])
        #expect(routes == ["kernel": 100, "ring": 900, "service": 0, "inline": 0])
        let depths = try #require(libaio["submissions_by_depth"] as? [[String: Any]])
        #expect(depths.count == AsyncTotals.depthBucketCount)
        #expect(depths[6]["depth_min"] as? Int == 32)
        #expect(depths[6]["depth_max"] as? Int == 63)
        #expect(depths[6]["submissions"] as? Int == 40)
        #expect(depths[17]["depth_max"] is NSNull)
        #expect((libaio["latency"] as? [String: Any])?["count"] as? Int == 990)
        #expect(all["posix-aio"]?["trigger_ratio"] is NSNull)
    }

    @Test("Merging adds up every counter, so that ratios stay and counts double")
    func merging() throws {
        let one = try snapshot([.libaio: totals(), .posix: totals()])
        var both = one
        both.merge(one)
        for interface in AsyncInterface.allCases {
            let sum = both[interface: interface]
            let part = one[interface: interface]
            #expect(sum.triggerRatio == part.triggerRatio)
            #expect(sum.requestsPerSubmit == part.requestsPerSubmit)
            #expect(sum.requestsPerReap == part.requestsPerReap)
            #expect(sum.reapedInUser == 2 * part.reapedInUser)
            #expect(sum.cancelled == 2 * part.cancelled)
            #expect(sum.errors == 2 * part.errors)
            #expect(sum.bytes == 2 * part.bytes)
            #expect(sum.submitCalls == 2 * part.submitCalls)
            #expect(sum.flight.count == 2 * part.flight.count)
            #expect(sum.routes == part.routes.map { 2 * $0 })
            #expect(sum.depths == part.depths.map { 2 * $0 })
        }
    }
}
