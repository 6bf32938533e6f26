extension Report {
    /// What the program did through one asynchronous interface, and what became of it.
    func asyncLines(of interface: AsyncInterface) -> [String] {
        let totals = snapshot[interface: interface]
        var lines = ["ASYNCHRONOUS I/O: \(interface.name)"]
        lines += field("submitted", [submittedText(totals)])
        lines += field("reaped", reapedItems(totals))
        lines += field("run by", routeItems(totals))
        lines += field("latency", flightItems(totals))
        lines += field("in flight", depthItems(totals))
        lines += field("trigger ratio", [triggerText(totals)])
        if totals.triggerRatio != nil { lines += field("", [verdict(totals)]) }
        return lines
    }

    private func submittedText(_ totals: AsyncTotals) -> String {
        "\(Units.count(totals.submitted)) requests (\(Units.bytes(totals.bytes))) in "
            + "\(Units.count(totals.submitCalls)) calls, \(each(totals.requestsPerSubmit)) a call"
    }

    private func reapedItems(_ totals: AsyncTotals) -> [String] {
        let direct = Units.share(totals.reapedInUser, of: totals.reaped)
        return [
            "\(Units.count(totals.reaped)) in \(Units.count(totals.reapCalls)) calls",
            "\(each(totals.requestsPerReap)) a call", "\(direct) without a system call",
            "\(Units.count(totals.cancelled)) cancelled", "\(Units.count(totals.errors)) failed",
        ]
    }

    private func routeItems(_ totals: AsyncTotals) -> [String] {
        let all = totals.routes.reduce(0, saturatingSum)
        return AsyncRoute.allCases.map { "\($0.name) \(Units.share(totals[$0], of: all))" }
    }

    private func flightItems(_ totals: AsyncTotals) -> [String] {
        let flight = totals.flight
        guard flight.p50 != nil else { return [nothingTimed(totals)] }
        return [
            "p50 \(latencyText(flight.p50))", "p99 \(latencyText(flight.p99))",
            "p99.9 \(latencyText(flight.p999))", "max \(Units.latency(flight.maxNanoseconds))",
            "from submission to completion",
        ]
    }

    /// Median, 99th percentile and maximum, then how often each depth that is not rare was seen.
    private func depthItems(_ totals: AsyncTotals) -> [String] {
        guard let median = totals.depthBucket(partsPerMillion: 500_000),
            let high = totals.depthBucket(partsPerMillion: 990_000),
            let top = totals.depthBucket(partsPerMillion: 1_000_000)
        else { return ["-"] }
        let all = totals.depths.reduce(0, saturatingSum)
        // One in a hundred is what a row can show; the percentiles tell of the rest.
        let seen = totals.depths.indices.filter {
            Double(totals.depths[$0]) >= Double(all) / 100
        }
        let shares = seen.map {
            "\(depthText($0)): \(Units.share(totals.depths[$0], of: all))"
        }
        return [
            "p50 \(depthText(median))", "p99 \(depthText(high))", "max \(depthText(top))",
        ] + shares
    }

    private func depthText(_ bucket: Int) -> String {
        let depths = AsyncTotals.depths(ofBucket: bucket)
        if depths.upperBound == .max { return "\(depths.lowerBound) and more" }
        return depths.lowerBound == depths.upperBound
            ? "\(depths.lowerBound)" : "\(depths.lowerBound)-\(depths.upperBound)"
    }

    private func triggerText(_ totals: AsyncTotals) -> String {
        guard let ratio = totals.triggerRatio,
            let submit = totals.submitNanosecondsPerRequest,
            let flight = totals.flightNanosecondsPerRequest
        else { return "- (\(nothingTimed(totals)))" }
        let number = ratio < 10 ? Units.decimal(ratio, places: 3) : each(ratio)
        return "\(number): a request takes "
            + "\(Units.latency(whole(submit))) to submit and is in flight for "
            + Units.latency(whole(flight))
    }

    /// Why there is no time in flight to show.
    private func nothingTimed(_ totals: AsyncTotals) -> String {
        totals.submitted > 0 && totals[.inline] >= totals.submitted
            ? "none was in flight: all data was cached and moved at once"
            : "no request was timed in flight yet"
    }

    /// What the trigger ratio means for the program.
    private func verdict(_ totals: AsyncTotals) -> String {
        let ratio = totals.triggerRatio ?? 0
        let all = totals.routes.reduce(0, saturatingSum)
        if ratio < 0.1 { return "good: the program goes on while the storage works" }
        if totals[.inline] > all / 2 {
            return "most data was cached and moved at once: there was nothing to wait for"
        }
        if ratio < 0.5 { return "the program waits for part of its I/O inside the submitting call" }
        return "the program waits for its I/O inside the submitting call, as if it were synchronous"
    }

    private func each(_ value: Double?) -> String {
        guard let value else { return "-" }
        return value < 10_000 ? Units.ratio(value) : Units.count(whole(value))
    }

    /// A number that is not negative, rounded; the file may hold any, so it stops near the top.
    private func whole(_ value: Double) -> UInt64 { UInt64(min(value, 1e19).rounded()) }

    /// A labelled line; items that do not fit any more go on below.
    private func field(_ label: String, _ items: [String]) -> [String] {
        wrapped("  " + label + String(repeating: " ", count: 14 - label.count), items)
    }

    /// Items behind a label, with commas; those that do not fit any more go on below.
    func wrapped(_ label: String, _ items: [String]) -> [String] {
        let margin = label.count
        var lines: [String] = []
        var line = label
        for (index, item) in items.enumerated() {
            let text = index == items.count - 1 ? item : item + ","
            if line.count > margin && line.count + 1 + text.count > Self.columns {
                lines.append(line)
                line = String(repeating: " ", count: margin)
            }
            line += (line.count > margin ? " " : "") + text
        }
        return lines + [line]
    }
}
