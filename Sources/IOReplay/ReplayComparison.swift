import IOTrapStats

/// Results of several replays side by side, the first of them the base.
package struct ReplayComparison {
    /// One file of results.
    package struct Side: Sendable {
        /// The file.
        let name: String
        /// Engine, pace and the like.
        let settings: [String: String]
        /// Values of each metric, one a whole run.
        let values: [String: [Double]]
        /// Metrics in the order in which they are shown.
        let order: [String]
    }

    /// One metric of all sides.
    package struct Row: Sendable {
        /// "throughput MiB/s" and the like.
        package let metric: String
        /// Whether more is better.
        package let isMoreBetter: Bool
        /// Means of the sides; nil where a side has none.
        package let means: [Double?]
        /// Ratios to the base, for every side but the first.
        package let ratios: [RatioInterval?]
    }

    /// The files.
    package let sides: [Side]
    /// All metrics that the base has.
    package let rows: [Row]

    /// Compares files of results, at least two of them.
    package init(files: [String]) throws(ReplayError) {
        var sides: [Side] = []
        for file in files { sides.append(try Self.read(file)) }
        self.sides = sides
        let base = sides[0]
        rows = base.order.map { metric in
            let all = sides.map { $0.values[metric] ?? [] }
            return Row(
                metric: metric, isMoreBetter: metric.hasSuffix("/s") || metric.hasPrefix("IOPS"),
                means: all.map { $0.isEmpty ? nil : $0.reduce(0, +) / Double($0.count) },
                ratios: all.dropFirst().map { RatioInterval(base: all[0], other: $0) })
        }
    }

    private static func read(_ path: String) throws(ReplayError) -> Side {
        let value = try ReplayResults.read(path)
        let runs = value["runs"]?.array ?? []
        var values: [String: [Double]] = [:]
        var order: [String] = []
        func add(_ metric: String, _ number: Double?) {
            guard let number else { return }
            if values[metric] == nil { order.append(metric) }
            values[metric, default: []].append(number)
        }
        // What was interrupted says nothing about the whole.
        for run in runs {
            if case .boolean(true)? = run["partial"] { continue }
            add("throughput MiB/s", run["mib_per_second"]?.number)
            add("IOPS", run["requests_per_second"]?.number)
            add("elapsed s", run["elapsed_seconds"]?.number)
            for item in run["classes"]?.array ?? [] where item["size"]?.string == "all" {
                guard let operation = item["operation"]?.string, operation != "other" else {
                    continue
                }
                for name in ["mean", "p50", "p99", "p99.9"] {
                    let latency = item["latency_ns"]?[name]?.number
                    add("\(operation) \(name) us", latency.map { $0 / 1000 })
                }
            }
            add("trigger ratio", run["trigger_ratio"]?.number)
            add("depth", run["depth_mean"]?.number)
            let user = run["cpu_user_seconds"]?.number, system = run["cpu_system_seconds"]?.number
            if let user, let system { add("CPU s", user + system) }
        }
        if order.isEmpty {
            throw ReplayError("\(path): holds no whole run; replay again without interruption")
        }
        let settings = value["settings"]?.object?.compactMapValues(\.string) ?? [:]
        return Side(name: path, settings: settings, values: values, order: order)
    }
}

extension ReplayComparison {
    /// For people.
    package var text: String {
        var lines: [String] = []
        for (index, side) in sides.enumerated() {
            let settings = ["engine", "pace", "iotrap", "ranks"].compactMap { name in
                side.settings[name].map { "\(name) \($0)" }
            }
            let runs = side.values["elapsed s"]?.count ?? 0
            lines.append(
                "\(letter(index)): \(printable(side.name)) (\(settings.joined(separator: ", ")), "
                    + "\(runs) \(runs == 1 ? "run" : "runs"))")
        }
        lines.append("")
        let titles = sides.indices.dropFirst().flatMap { ["\(letter($0))/A", "95 %", "VERDICT"] }
        var table = Table(
            ["METRIC"] + sides.indices.map(letter) + titles,
            leftColumns: Set([0] + sides.indices.dropFirst().map { sides.count + 3 * $0 }))
        for row in rows {
            table.append(
                [row.metric] + row.means.map { $0.map(Self.number) ?? "-" }
                    + row.ratios.flatMap { cells($0, row) })
        }
        return (lines + table.lines).joined(separator: "\n") + "\n"
    }

    private func letter(_ index: Int) -> String {
        index < 26 ? String(UnicodeScalar(UInt8(65 + index))) : "#\(index + 1)"
    }

    private func cells(_ interval: RatioInterval?, _ row: Row) -> [String] {
        guard let interval else { return ["-", "-", "-"] }
        let ratio = Units.decimal(interval.ratio, places: 3)
        guard let low = interval.low, let high = interval.high else {
            return [ratio, "-", Self.verdict(interval, row)]
        }
        let range = "\(Units.decimal(low, places: 3))..\(Units.decimal(high, places: 3))"
        return [ratio, range, Self.verdict(interval, row)]
    }

    /// "better", "worse", "different" where neither is meant, or that nothing was seen.
    static func verdict(_ interval: RatioInterval, _ row: Row) -> String {
        guard let isDifferent = interval.isDifferent else { return "needs --repeat 2 or more" }
        if !isDifferent { return "no difference seen" }
        if row.metric == "depth" { return "different" }
        return (interval.ratio > 1) == row.isMoreBetter ? "better" : "worse"
    }

    private static func number(_ value: Double) -> String {
        Units.decimal(value, places: value < 10 ? 3 : value < 1000 ? 1 : 0)
    }

    /// For programs.
    package var json: String {
        let list = sides.map { side in
            JSON.object([
                ("file", .string(side.name)),
                (
                    "settings",
                    .object(
                        side.settings.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }
                    )
                ),
                ("runs", .unsigned(UInt64(side.values["elapsed s"]?.count ?? 0))),
            ])
        }
        func optional(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        let table = rows.map { row in
            JSON.object([
                ("metric", .string(row.metric)), ("means", .array(row.means.map(optional))),
                (
                    "ratios",
                    .array(
                        row.ratios.map { ratio in
                            guard let ratio else { return .null }
                            return .object([
                                ("ratio", .number(ratio.ratio)), ("low", optional(ratio.low)),
                                ("high", optional(ratio.high)),
                                ("verdict", .string(Self.verdict(ratio, row))),
                            ])
                        })
                ),
            ])
        }
        return JSON.object([("sides", .array(list)), ("metrics", .array(table))]).text() + "\n"
    }
}
