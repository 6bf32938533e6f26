extension Report {
    /// The width of the table of paths: that many columns do not fit into a usual line.
    private static let pathColumns = 120

    /// One line for each path, pool by pool.
    var pathLines: [String] {
        let paths = pathsByPool
        let names = paths.map { (pool: printable($0.pool), path: printable($0.path)) }
        let cells = zip(paths, paths.map(poolBytes)).map { pathCells($0, poolBytes: $1) }
        // As wide as it wants to be, then closer together, then with names cut.
        for gap in [2, 1] {
            let lines = pathTable(names, cells, namesColumns: .max, gap: gap).lines
            if lines.allSatisfy({ $0.count <= Self.pathColumns }) { return lines }
        }
        let numbers = pathTable(names.map { _ in ("", "") }, cells, namesColumns: 0, gap: 1)
        let title = Self.pathTitles[0].count
        let others = (numbers.lines.map(\.count).max() ?? 0) - title
        return pathTable(
            names, cells, namesColumns: max(title, Self.pathColumns - others), gap: 1
        ).lines
    }

    /// The paths, those of a pool together, pools in the order in which they first come.
    private var pathsByPool: [PathTotals] {
        var order: [String: Int] = [:]
        for path in snapshot.paths where order[path.pool] == nil { order[path.pool] = order.count }
        // Each with its place, which keeps the order inside a pool.
        return snapshot.paths.enumerated().sorted {
            (order[$0.element.pool]!, $0.offset) < (order[$1.element.pool]!, $1.offset)
        }.map(\.element)
    }

    private func poolBytes(of path: PathTotals) -> UInt64 {
        snapshot.paths.filter { $0.pool == path.pool }.reduce(0) { saturatingSum($0, $1.bytes) }
    }

    private static let pathTitles = [
        "MOUNT POOLS", "STATE", "SHARE", "MB/S", "P50", "P99", "WINDOW", "FLIGHT", "EJECTED",
        "REISSUED", "HEDGES", "ERRORS", "SYNCS",
    ]

    private func pathCells(_ path: PathTotals, poolBytes: UInt64) -> [String] {
        [
            path.state.name, Units.share(path.bytes, of: poolBytes),
            path.rateBytes == 0 ? "-" : Units.megabytes(path.rateBytes),
            latencyText(path.latency.p50), latencyText(path.latency.p99),
            path.windowBytes == 0 ? "-" : shortBytes(path.windowBytes),
            shortBytes(path.inFlightBytes), Units.count(path.ejections),
            Units.count(path.reissued),
            path.hedges == 0
                ? "-" : shortCount(path.hedgesWon) + "/" + shortCount(path.hedges),
            Units.count(path.errors), Units.count(path.syncs),
        ]
    }

    private func pathTable(
        _ names: [(pool: String, path: String)], _ cells: [[String]], namesColumns: Int, gap: Int
    ) -> Table {
        let poolColumns = min(names.map(\.pool.count).max() ?? 0, max(namesColumns / 3, 4))
        var table = Table(Self.pathTitles, leftColumns: [0, 1], gap: gap)
        for ((pool, path), cells) in zip(names, cells) {
            let poolText = pool.count <= poolColumns ? pool : pool.prefix(poolColumns - 3) + "..."
            let padding = String(repeating: " ", count: poolColumns - poolText.count + 2)
            table.append(
                [
                    poolText + padding + pathText(path, columns: namesColumns - poolColumns - 2)
                ] + cells)
        }
        return table
    }

    /// A path, without its front where that is too long or was lost already.
    private func pathText(_ path: String, columns: Int) -> String {
        let isWhole = path.isEmpty || path.hasPrefix("/")
        if isWhole && path.count <= columns { return path }
        return "..." + path.suffix(max(0, columns - 3))
    }

    /// Bytes with a one-letter unit: the table has no room for more.
    private func shortBytes(_ value: UInt64) -> String {
        Units.bytes(value).replacing("iB", with: "")
    }

    private func shortCount(_ value: UInt64) -> String {
        Units.count(value).replacing(" ", with: "")
    }
}
