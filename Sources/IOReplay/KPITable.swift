import IOTrapStats

/// A volume of SAP HANA that is certified by itself.
package enum KPIVolume: String, CaseIterable, Sendable {
    case data
    case log
}

/// How a file is gone through.
package enum KPIPass: String, CaseIterable, Sendable {
    /// The first write of every block of a new file.
    case initialWrite = "initial write"
    case overwrite
    case read
}

/// One line of the certification table of SAP HANA for enterprise storage.
package struct KPIRow: Sendable {
    /// Bytes of a request.
    package let blockBytes: UInt64
    /// Bytes of the file at full size.
    package let fileBytes: UInt64
    /// The least MiB a second of each pass that has a threshold.
    package let leastMebibytes: [KPIPass: Double]
    /// The most microseconds that a request may take alone, on average; nil: no threshold.
    package let mostMicroseconds: Double?

    /// The most of the time of an I/O that may be spent submitting it.
    package static let triggerRatioMost = 0.1

    private init(
        _ blockBytes: UInt64, _ fileGibibytes: UInt64, _ initial: Double?, _ overwrite: Double?,
        _ read: Double?, latency: Double? = nil
    ) {
        self.blockBytes = blockBytes
        fileBytes = fileGibibytes << 30
        var least: [KPIPass: Double] = [:]
        least[.initialWrite] = initial
        least[.overwrite] = overwrite
        least[.read] = read
        leastMebibytes = least
        mostMicroseconds = latency
    }

    /// The lines of a volume.
    package static func table(of volume: KPIVolume) -> [KPIRow] {
        switch volume {
        case .log:
            [
                KPIRow(4 << 10, 5, nil, 30, nil, latency: 1000),
                KPIRow(16 << 10, 16, nil, 120, nil, latency: 1000),
                KPIRow(1 << 20, 16, nil, 250, 250),
            ]
        case .data:
            [
                KPIRow(4 << 10, 5, nil, nil, nil), KPIRow(16 << 10, 16, 40, 100, nil),
                KPIRow(64 << 10, 16, 100, 150, 250), KPIRow(1 << 20, 16, 150, 200, 300),
                KPIRow(16 << 20, 16, 200, 250, 400), KPIRow(64 << 20, 16, 200, 250, 400),
            ]
        }
    }

    /// "4K" and the like.
    package var name: String {
        blockBytes < 1 << 20 ? "\(blockBytes >> 10)K" : "\(blockBytes >> 20)M"
    }
}

/// What one pass of one line measured.
package struct KPICell: Sendable {
    /// The pass.
    package let pass: KPIPass
    /// MiB a second, many requests in flight.
    package let mebibytes: Double
    /// Time inside io_submit, divided by the time of the I/O.
    package let triggerRatio: Double
    /// Microseconds of a request alone: mean, p99 and the longest; nil where not measured.
    package let latency: (mean: Double, p99: Double, longest: Double)?

    /// A cell of these figures.
    package init(
        pass: KPIPass, mebibytes: Double, triggerRatio: Double,
        latency: (mean: Double, p99: Double, longest: Double)?
    ) {
        self.pass = pass
        self.mebibytes = mebibytes
        self.triggerRatio = triggerRatio
        self.latency = latency
    }

    /// What it falls short of, in words; empty if it passes.
    package func failures(of row: KPIRow) -> [String] {
        var failures: [String] = []
        guard let least = row.leastMebibytes[pass] else { return [] }
        // What cannot be compared does not pass.
        if !(mebibytes >= least) { failures.append("throughput") }
        if !(triggerRatio <= KPIRow.triggerRatioMost) { failures.append("trigger ratio") }
        if let most = row.mostMicroseconds, pass == .overwrite {
            if !((latency?.mean ?? .infinity) <= most) { failures.append("latency") }
        }
        return failures
    }
}

/// All that was measured of a volume.
package struct KPIReport {
    /// One way of running: "plain" or "iotrap", with the cells of each line.
    package typealias Way = (name: String, cells: [[KPICell]])

    /// The volume.
    package let volume: KPIVolume
    /// Divisor of all sizes.
    package let scale: UInt64
    /// The ways, in the order in which they are shown.
    package var ways: [Way]

    /// A report on these.
    package init(volume: KPIVolume, scale: UInt64, ways: [Way]) {
        self.volume = volume
        self.scale = scale
        self.ways = ways
    }

    /// Whether every cell of every way passes.
    package var passes: Bool {
        let rows = KPIRow.table(of: volume)
        return ways.allSatisfy { way in
            zip(rows, way.cells).allSatisfy { row, cells in
                cells.allSatisfy { $0.failures(of: row).isEmpty }
            }
        }
    }

    /// For people.
    package var text: String {
        var lines = [
            "volume \(volume.rawValue): SAP HANA certification figures, libaio, "
                + (volume == .log ? "sequential" : "random")
        ]
        if scale > 1 {
            lines.append(
                "QUICK: files are 1/\(scale) of the size, 32 blocks at least; this is no "
                    + "certification run")
        }
        var table = Table(
            ["BLOCK", "PASS", "RUN", "MIB/S", "LEAST", "TRIGGER", "MEAN", "P99", "MAX", "VERDICT"],
            leftColumns: [0, 1, 2, 9])
        for (index, row) in KPIRow.table(of: volume).enumerated() {
            if row.leastMebibytes.isEmpty {
                table.append([row.name, "no threshold"] + [String](repeating: "-", count: 8))
            }
            for pass in KPIPass.allCases {
                for way in ways {
                    guard let cell = way.cells[index].first(where: { $0.pass == pass }) else {
                        continue
                    }
                    table.append([row.name, pass.rawValue, way.name] + Self.cells(cell, row))
                }
            }
        }
        lines += [""] + table.lines
        lines += ["", "latencies are those of requests made one at a time; the mean is judged"]
        lines.append(passes ? "PASS: every cell" : "FAIL: see the cells")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func cells(_ cell: KPICell, _ row: KPIRow) -> [String] {
        let failures = cell.failures(of: row)
        let latency = cell.latency.map { latency in
            [latency.mean, latency.p99, latency.longest].map {
                Units.latency(UInt64($0 * 1000))
            }
        }
        return [
            Units.decimal(cell.mebibytes, places: 1),
            Units.decimal(row.leastMebibytes[cell.pass] ?? 0, places: 0),
            Units.decimal(cell.triggerRatio, places: 3),
        ] + (latency ?? ["-", "-", "-"])
            + [failures.isEmpty ? "pass" : "fail: " + failures.joined(separator: ", ")]
    }

    /// For programs.
    package var json: String {
        let rows = KPIRow.table(of: volume)
        let list = ways.map { way -> JSON in
            let cells = zip(rows, way.cells).flatMap { row, cells in
                cells.map { Self.json($0, row) }
            }
            return .object([("run", .string(way.name)), ("cells", .array(cells))])
        }
        return JSON.object([
            ("iotrap_kpi", .unsigned(1)), ("volume", .string(volume.rawValue)),
            ("scale", .unsigned(scale)), ("passes", .boolean(passes)), ("runs", .array(list)),
        ]).text() + "\n"
    }

    private static func json(_ cell: KPICell, _ row: KPIRow) -> JSON {
        var members: [(String, JSON)] = [
            ("block", .string(row.name)), ("pass", .string(cell.pass.rawValue)),
            ("mib_per_second", .number(cell.mebibytes)),
            ("mib_per_second_least", .number(row.leastMebibytes[cell.pass] ?? 0)),
            ("trigger_ratio", .number(cell.triggerRatio)),
        ]
        if let latency = cell.latency {
            members += [
                ("latency_us_mean", .number(latency.mean)),
                ("latency_us_p99", .number(latency.p99)),
                ("latency_us_max", .number(latency.longest)),
                ("latency_us_most", row.mostMicroseconds.map { .number($0) } ?? .null),
            ]
        }
        let failures = cell.failures(of: row)
        members.append(("failures", .array(failures.map { .string($0) })))
        return .object(members)
    }

    /// Reads the cells of the only way of a report of one line; nil if it is no such report.
    package static func cells(in bytes: [UInt8]) -> [KPICell]? {
        guard let list = JSONReader.read(bytes)?["runs"]?.array?.first?["cells"]?.array else {
            return nil
        }
        return list.compactMap { item in
            guard let pass = item["pass"]?.string.flatMap(KPIPass.init),
                let rate = item["mib_per_second"]?.number,
                let trigger = item["trigger_ratio"]?.number
            else { return nil }
            let mean = item["latency_us_mean"]?.number
            let p99 = item["latency_us_p99"]?.number
            let longest = item["latency_us_max"]?.number
            var latency: (mean: Double, p99: Double, longest: Double)?
            if let mean, let p99, let longest { latency = (mean, p99, longest) }
            return KPICell(pass: pass, mebibytes: rate, triggerRatio: trigger, latency: latency)
        }
    }
}
