import IOTrapStats

/// The results of the ranks of one replay as those of one: sums over the time from the first
/// request of any rank to the last, and percentiles of all requests together.
package struct ReplayMerge {
    /// The sum, with a run for each that the ranks made together.
    package let report: ReplayReport

    /// One rank's file.
    private struct Part {
        let file: String
        let number: Int
        let count: Int
        let settings: [(name: String, value: String)]
        let runs: [ReplayRun]
    }

    /// What may differ between ranks.
    private static let ownSettings: Set<String> = ["rank", "target", "threads"]
    /// Faults that are kept of all ranks.
    private static let faultsKept = 64

    /// Reads the files of all ranks of one replay, in any order.
    ///
    /// - Throws: when one is missing, there twice, or of another replay.
    package init(files: [String]) throws(ReplayError) {
        var parts: [Part] = []
        for file in files { parts.append(try Self.read(file)) }
        parts.sort { ($0.number, $0.file) < ($1.number, $1.file) }
        guard let first = parts.first else { throw ReplayError("no results; name their files") }
        try Self.checkRanks(parts)
        for part in parts {
            try Self.checkAlike(first, part)
        }
        var report = ReplayReport()
        report.settings = first.settings.filter { !["rank", "threads"].contains($0.name) }
        report.settings.sort { Self.place(of: $0.name) < Self.place(of: $1.name) }
        for index in first.runs.indices {
            report.runs.append(Self.join(parts.map { ($0.number, $0.runs[index]) }))
        }
        self.report = report
    }

    private static func place(of setting: String) -> Int {
        ["trace", "target", "engine", "pace", "verify", "iotrap", "ranks"]
            .firstIndex(of: setting) ?? .max
    }

    private static func read(_ path: String) throws(ReplayError) -> Part {
        let value = try ReplayResults.read(path)
        guard let number = value["rank"]?.unsigned, let count = value["ranks"]?.unsigned,
            let rank = ReplayRank(number: Int(clamping: number), count: Int(clamping: count))
        else {
            throw ReplayError(
                "\(path): is not the result of a rank; --merge takes the files that iotrap replay "
                    + "--results wrote")
        }
        var runs: [ReplayRun] = []
        for item in value["runs"]?.array ?? [] {
            guard let run = ReplayRun(item) else {
                throw ReplayError(
                    "\(path): a run is not as it was written; replay again, or use the iotrap that "
                        + "wrote it")
            }
            runs.append(run)
        }
        let settings = value["settings"]?.object?.compactMapValues(\.string) ?? [:]
        return Part(
            file: path, number: rank.number, count: rank.count,
            settings: settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, runs: runs)
    }

    private static func checkRanks(_ parts: [Part]) throws(ReplayError) {
        let count = parts[0].count
        for (part, next) in zip(parts, parts.dropFirst()) {
            if next.count != count {
                throw ReplayError(
                    "\(next.file): is of \(next.count) ranks, and \(parts[0].file) of \(count); "
                        + "merge the files of one replay")
            }
            if part.number == next.number {
                throw ReplayError(
                    "\(next.file): is of rank \(next.number), as is \(part.file); name each once")
            }
        }
        let there = Set(parts.map(\.number))
        let missing = (0..<count).filter { !there.contains($0) }
        if missing.isEmpty { return }
        let names = missing.prefix(16).map(String.init).joined(separator: ", ")
        throw ReplayError(
            "\(parts[0].file): is of \(count) ranks, and the results of \(names) are missing; name "
                + "the files of all ranks")
    }

    private static func checkAlike(_ first: Part, _ part: Part) throws(ReplayError) {
        let expected = Dictionary(uniqueKeysWithValues: first.settings.map { ($0.name, $0.value) })
        for (name, value) in part.settings
        where !ownSettings.contains(name) && expected[name] != value {
            throw ReplayError(
                "\(part.file): has \(name) \(value), and \(first.file) "
                    + "\(expected[name] ?? "none"); merge the files of one replay")
        }
        if first.runs.count != part.runs.count {
            throw ReplayError(
                "\(part.file): has \(part.runs.count) runs, and \(first.file) \(first.runs.count); "
                    + "replay again without interruption")
        }
    }

    private static func join(_ runs: [(number: Int, run: ReplayRun)]) -> ReplayRun {
        var sum = ReplayRun()
        let starts = runs.map(\.run.startedRealtimeNanoseconds)
        let ends = runs.map { $0.run.startedRealtimeNanoseconds &+ $0.run.elapsedNanoseconds }
        let start = starts.min() ?? 0
        sum.startedRealtimeNanoseconds = start
        sum.elapsedNanoseconds = (ends.max() ?? start) &- start
        sum.ranks = (runs.count, (starts.max() ?? start) - start)
        for (number, run) in runs { sum.add(run, rank: number, faultsKept: faultsKept) }
        let operations = ["read", "write", "sync", "other"]
        func place(_ item: ReplayRun.Class) -> (Int, Int) {
            (
                operations.firstIndex(of: item.operation) ?? 0,
                ReplayRun.sizes.firstIndex(of: item.size) ?? 0
            )
        }
        sum.classes.sort { place($0) < place($1) }
        return sum
    }
}

extension ReplayRun {
    fileprivate mutating func add(_ other: ReplayRun, rank: Int, faultsKept: Int) {
        isPartial = isPartial || other.isPartial
        submitNanoseconds &+= other.submitNanoseconds
        flightNanoseconds &+= other.flightNanoseconds
        submissions &+= other.submissions
        depthMax = max(depthMax, other.depthMax)
        drift.merge(other.drift)
        held = (held.count &+ other.held.count, max(held.maxNanoseconds, other.held.maxNanoseconds))
        processor.user += other.processor.user
        processor.system += other.processor.system
        skipped &+= other.skipped
        passed &+= other.passed
        foreign.dependencies &+= other.foreign.dependencies
        foreign.syncs &+= other.foreign.syncs
        isVerified = isVerified || other.isVerified
        blocks = (blocks.checked &+ other.blocks.checked, blocks.unknown &+ other.blocks.unknown)
        faultCount &+= other.faultCount
        faults += other.faults.prefix(max(0, faultsKept - faults.count))
        if firstError == nil { firstError = other.firstError.map { "rank \(rank): \($0)" } }
        for item in other.classes {
            let index = classes.firstIndex {
                $0.operation == item.operation && $0.size == item.size
            }
            guard let index else {
                classes.append(item)
                continue
            }
            classes[index].count &+= item.count
            classes[index].bytes &+= item.bytes
            classes[index].errors &+= item.errors
            classes[index].shorts &+= item.shorts
            classes[index].latency.merge(item.latency)
        }
    }
}
