import IOTrapStats

/// The runs of one replay, and how they were made: what tables and JSON show.
package struct ReplayReport: Sendable {
    /// "engine", "pace" and the like with their values.
    package var settings: [(name: String, value: String)] = []
    /// In the order in which they ran.
    package var runs: [ReplayRun] = []
    /// The rank whose results these are; nil: they are of the whole trace.
    package var rank: ReplayRank?

    /// Nothing.
    package init() {}

    /// What `iotrap compare` reads.
    package var json: String {
        var members: [(String, JSON)] = [("iotrap_replay", .unsigned(1))]
        if let rank {
            members += [
                ("rank", .unsigned(UInt64(rank.number))), ("ranks", .unsigned(UInt64(rank.count))),
            ]
        }
        members += [
            ("settings", .object(settings.map { ($0.name, .string($0.value)) })),
            ("runs", .array(runs.map(\.json))),
        ]
        return JSON.object(members).text() + "\n"
    }

    /// For people: each run with its classes; of a rank, what its share came to.
    package var text: String {
        if let rank {
            return runs.flatMap(\.rankLines).map { "rank \(rank.number) of \(rank.count): \($0)\n" }
                .joined()
        }
        var lines = [settings.map { "\($0.name) \(printable($0.value))" }.joined(separator: ", ")]
        for (index, run) in runs.enumerated() {
            lines.append("")
            if runs.count > 1 { lines.append("run \(index + 1) of \(runs.count)") }
            lines += run.lines
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension ReplayRun {
    /// Latency percentiles in tables and JSON: names and parts per million.
    static let percentiles: [(name: String, partsPerMillion: UInt64)] = [
        ("p50", 500_000), ("p90", 900_000), ("p99", 990_000), ("p99.9", 999_000),
    ]

    var json: JSON {
        let drift: [(String, JSON)] =
            [
                ("requests", .unsigned(self.drift.count)),
                ("mean", .number(self.drift.meanNanoseconds ?? 0)),
            ] + Self.percentileMembers(self.drift) + self.drift.bucketMembers + [
                ("held_requests", .unsigned(held.count)),
                ("held_max", .unsigned(held.maxNanoseconds)),
            ]
        var members: [(String, JSON)] = [
            ("partial", .boolean(isPartial)),
            ("started_realtime_ns", .unsigned(startedRealtimeNanoseconds)),
            ("elapsed_seconds", .number(seconds)),
            ("requests", .unsigned(requests)),
            ("bytes", .unsigned(bytes)),
            ("bytes_read", .unsigned(sum(of: "read")?.bytes ?? 0)),
            ("bytes_written", .unsigned(sum(of: "write")?.bytes ?? 0)),
            ("errors", .unsigned(errors)),
            ("events_skipped", .unsigned(skipped)),
            ("opens_and_closes_passed", .unsigned(passed)),
            ("mib_per_second", .number(mebibytesPerSecond)),
            ("requests_per_second", .number(requestsPerSecond)),
            ("submissions", .unsigned(submissions)),
            ("submit_ns", .unsigned(submitNanoseconds)),
            ("flight_ns", .unsigned(flightNanoseconds)),
            ("trigger_ratio", .number(triggerRatio)),
            ("depth_mean", .number(depthMean)),
            ("depth_max", .unsigned(depthMax)),
            ("cpu_user_seconds", .number(processor.user)),
            ("cpu_system_seconds", .number(processor.system)),
            ("drift_ns", .object(drift)),
            ("classes", .array(rows.map(\.json))),
        ]
        if isVerified { members.append(("verification", verification)) }
        if let ranks {
            let spread = JSON.unsigned(ranks.startSpreadNanoseconds)
            members += [
                ("ranks", .unsigned(UInt64(ranks.count))), ("start_spread_ns", spread),
            ]
        }
        if foreign != Foreign() {
            members += [
                ("dependencies_not_kept", .unsigned(foreign.dependencies)),
                ("syncs_of_shared_files", .unsigned(foreign.syncs)),
            ]
        }
        if let firstError { members.append(("first_error", .string(firstError))) }
        return .object(members)
    }

    private static func percentileMembers(_ histogram: Histogram) -> [(String, JSON)] {
        percentiles.map {
            ($0.name, JSON.optional(histogram.percentile(partsPerMillion: $0.partsPerMillion)))
        } + [("max", .unsigned(histogram.maxNanoseconds))]
    }

    private var verification: JSON {
        let list = faults.map { fault -> JSON in
            var members: [(String, JSON)] = [
                ("kind", .string(fault.kind)), ("path", .string(fault.path)),
                ("offset", .unsigned(fault.offset)),
                ("expected_version", .unsigned(UInt64(fault.expected))),
                ("found_version", JSON.optional(fault.found.map(UInt64.init))),
            ]
            if fault.kind == "torn" {
                members.append(
                    ("second_version", JSON.optional(fault.second.map(UInt64.init))))
            }
            if let origin = fault.origin { members.append(("belongs_to", .string(origin))) }
            return .object(members)
        }
        return .object([
            ("blocks_checked", .unsigned(blocks.checked)),
            ("blocks_unknown", .unsigned(blocks.unknown)),
            ("faults", .unsigned(faultCount)), ("first_faults", .array(list)),
        ])
    }

    /// Each operation in all, followed by its sizes if there are several.
    var rows: [Class] {
        ["read", "write", "sync", "other"].flatMap { operation -> [Class] in
            guard let sum = sum(of: operation) else { return [] }
            let parts = classes.filter { $0.operation == operation && !$0.size.isEmpty }
            return [sum] + parts
        }
    }

    var lines: [String] {
        var lines: [String] = []
        if isPartial { lines.append("PARTIAL: it was interrupted") }
        var table = Table(
            [
                "CLASS", "REQUESTS", "MIB/S", "IOPS", "MEAN", "P50", "P90", "P99", "P99.9", "MAX",
                "ERRORS",
            ])
        for row in rows where isShown(row) { table.append(row.cells(seconds: seconds)) }
        lines += table.lines
        func decimal(_ value: Double, _ places: Int = 2) -> String {
            Units.decimal(value, places: places)
        }
        lines.append(
            "total: \(Units.bytes(bytes)) in \(decimal(seconds, 3)) s, "
                + "\(decimal(mebibytesPerSecond)) MiB/s, \(decimal(requestsPerSecond, 0)) IOPS")
        lines.append(
            "depth: \(decimal(depthMean)) on average, \(depthMax) at most in one thread; trigger "
                + "ratio \(decimal(triggerRatio, 3)) (\(submissions) submissions)")
        lines.append(
            "CPU: \(decimal(processor.user)) s user, \(decimal(processor.system)) s system")
        if drift.count > 0 || held.count > 0 { lines.append(driftLine) }
        if let ranks {
            lines.append(
                "ranks: \(ranks.count), which began within "
                    + Units.latency(ranks.startSpreadNanoseconds))
        }
        lines += foreignLines
        if skipped > 0 { lines.append("left out: \(skipped) events that failed when recorded") }
        if passed > 0 { lines.append("passed over: \(passed) opens and closes; files stay open") }
        if let firstError {
            lines.append("FAILED: \(errors) requests; the first: \(printable(firstError))")
        }
        return lines + verificationLines
    }

    /// The only size of an operation says no more than the sum.
    private func isShown(_ row: Class) -> Bool {
        row.size.isEmpty || classes.count { $0.operation == row.operation } > 1
    }

    private var driftLine: String {
        let p99 = Units.latency(drift.p99 ?? 0)
        let late =
            held.count == 0
            ? ""
            : "; \(held.count) were held up, \(Units.latency(held.maxNanoseconds)) at most"
        return "drift: \(Units.latency(drift.p50 ?? 0)) p50, \(p99) p99, "
            + "\(Units.latency(drift.maxNanoseconds)) at most" + late
    }

    /// A rank's share in short, and all that went wrong.
    var rankLines: [String] {
        let seconds = Units.decimal(seconds, places: 3)
        var lines = [
            (isPartial ? "PARTIAL: " : "") + "\(requests) requests, \(Units.bytes(bytes)) in "
                + "\(seconds) s"
        ]
        lines += foreignLines
        if let firstError {
            lines.append("FAILED: \(errors) requests; the first: \(printable(firstError))")
        }
        return lines + verificationLines
    }

    private var foreignLines: [String] {
        var lines: [String] = []
        if foreign.dependencies > 0 {
            lines.append("not kept: \(foreign.dependencies) dependencies on events of other ranks")
        }
        if foreign.syncs > 0 {
            lines.append(
                "\(foreign.syncs) syncs of files that other ranks write, too, waited for this "
                    + "rank's writes only")
        }
        return lines
    }

    private var verificationLines: [String] {
        if !isVerified { return [] }
        var lines = [
            "verified: \(blocks.checked) blocks, \(faultCount) wrong, \(blocks.unknown) unknown"
        ]
        for fault in faults { lines.append("  " + printable(fault.text)) }
        if faultCount > UInt64(faults.count) {
            lines.append("  and \(faultCount - UInt64(faults.count)) more")
        }
        if memoryWaits > 0 {
            lines.append("depth was held back \(memoryWaits) times for want of memory to verify")
        }
        return lines
    }
}

extension ReplayRun.Fault {
    /// One line that names the place and both versions.
    package var text: String {
        func name(_ version: UInt32?) -> String { version.map { "version \($0)" } ?? "no version" }
        let found =
            switch kind {
            case "torn": "found \(name(found)) at its start and \(name(second)) at its end"
            case "misplaced": "found \(name(found)) of \(origin ?? "another run")"
            default: "found \(name(found))"
            }
        return "\(kind): \(path) at offset \(offset): expected version \(expected), \(found)"
    }
}

extension ReplayRun.Class {
    /// "read", or "read <=4K".
    package var name: String {
        if size.isEmpty { return operation }
        return size == "above" ? "  above 64M" : "  to \(size)"
    }

    /// Whether there are parts, by size.
    private var isSum: Bool { size.isEmpty && ["read", "write"].contains(operation) }

    fileprivate func cells(seconds: Double) -> [String] {
        let percentiles = ReplayRun.percentiles.map {
            Units.latency(latency.percentile(partsPerMillion: $0.partsPerMillion) ?? 0)
        }
        let rate = bytes == 0 ? "-" : Units.decimal(Double(bytes) / 1_048_576 / seconds, places: 2)
        return [name, String(count), rate, Units.decimal(Double(count) / seconds, places: 0)]
            + [Units.latency(UInt64(latency.meanNanoseconds ?? 0))] + percentiles
            + [Units.latency(latency.maxNanoseconds), errors == 0 ? "-" : String(errors)]
    }

    fileprivate var json: JSON {
        let percentiles = ReplayRun.percentiles.map {
            (
                $0.name,
                JSON.optional(self.latency.percentile(partsPerMillion: $0.partsPerMillion))
            )
        }
        var latency: [(String, JSON)] =
            [("mean", JSON.number(self.latency.meanNanoseconds ?? 0))] + percentiles
            + [("max", .unsigned(self.latency.maxNanoseconds))]
        // Those of a sum are in its parts.
        if !isSum { latency += self.latency.bucketMembers }
        return .object([
            ("operation", .string(operation)), ("size", .string(size.isEmpty ? "all" : size)),
            ("requests", .unsigned(count)), ("bytes", .unsigned(bytes)),
            ("errors", .unsigned(errors)), ("short", .unsigned(shorts)),
            ("latency_ns", .object(latency)),
        ])
    }
}
